//! `timeout`, `timeout_at` and `wait_for`.

use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Result, Task, catch_cancel, catch_cancel_plain, create_task, now, sleep, timeout, timeout_at,
    wait_for, yield_now,
};

use crate::support::{FOREVER, attempt, check_run, finally, me, outcome, raise, settle};

const MS_10: Duration = Duration::from_millis(10);

#[test]
fn timeout_basics() {
    check_run("timeout_basics", async || {
        sleep(Duration::from_secs(5)).await; // so that there is a past
        let expired = timeout(FOREVER, async |s| {
            yield_now().await;
            Ok(s.expired())
        });
        ev!("in time", expired = expired.await?);
        let (expired, when) = timeout(None, async |s| {
            yield_now().await;
            Ok((s.expired(), s.when().is_some()))
        })
        .await?;
        ev!("no deadline", expired = expired, when = when.then_some("some"));
        let mut expired = false;
        let scope: Result<()> = timeout(FOREVER, async |s| {
            expired = s.expired();
            raise("body")
        })
        .await;
        ev!("transparent", scope.unwrap_err(), expired = expired);
        let scope: Result<()> = timeout(MS_10, async |s| {
            if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
                expired = s.expired();
                ev!("inside", cancelled, expired = expired);
                cancelled.resume().await
            }
            Ok(())
        })
        .await;
        ev!("edge", scope.unwrap_err(), expired = expired);
        past_deadline().await;
        let expired = timeout(Duration::ZERO, async |s| Ok(s.expired())).await?;
        ev!("no suspension", expired = expired);
        sleep(Duration::from_millis(20)).await;
        ev!("own requests", me().cancelling());
        Ok(())
    });
}

async fn past_deadline() {
    let start = now() - Duration::from_secs(1);
    let mut expired = false;
    let scope: Result<()> = timeout_at(start, async |s| {
        ev!("past deadline, before suspension", expired = s.expired());
        let _seen = finally(|| expired = s.expired());
        yield_now().await;
        ev!("must not run");
        Ok(())
    })
    .await;
    ev!("edge", scope.unwrap_err(), expired = expired);
}

#[test]
fn timeout_nested() {
    check_run("timeout_nested", async || {
        inner_expires().await;
        outer_expires().await;
        let expired = timeout(MS_10, async |s| {
            if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
                ev!("swallowed in body");
            }
            Ok(s.expired())
        });
        ev!("exit normal", expired = expired.await?);
        let mut expired = false;
        let scope: Result<()> = timeout(MS_10, async |s| {
            let _seen = finally(|| expired = s.expired());
            if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
                return raise("instead");
            }
            Ok(())
        })
        .await;
        ev!("body error passes", scope.unwrap_err(), expired = expired);
        ev!("own requests", me().cancelling());
        Ok(())
    });
}

async fn inner_expires() {
    let (mut outer_expired, mut inner_expired) = (false, false);
    let scope: Result<()> = timeout(FOREVER, async |outer| {
        let _outer = finally(|| outer_expired = outer.expired());
        timeout(MS_10, async |inner| {
            let _inner = finally(|| inner_expired = inner.expired());
            sleep(FOREVER).await;
            Ok(())
        })
        .await
    })
    .await;
    ev!("inner expired", scope.unwrap_err(), inner = inner_expired, outer = outer_expired);
}

async fn outer_expires() {
    let (mut outer_expired, mut inner_expired) = (false, false);
    let scope: Result<()> = timeout(MS_10, async |outer| {
        let _outer = finally(|| outer_expired = outer.expired());
        let inner = timeout(FOREVER, async |inner| {
            let _inner = finally(|| inner_expired = inner.expired());
            sleep(FOREVER).await;
            Ok(())
        });
        match catch_cancel(inner).await {
            Ok(outcome) => outcome,
            Err(cancelled) => {
                ev!("between the scopes", cancelled);
                cancelled.resume().await
            }
        }
    })
    .await;
    ev!("outer expired", scope.unwrap_err(), inner = inner_expired, outer = outer_expired);
}

#[test]
fn timeout_reschedule() {
    check_run("timeout_reschedule", async || {
        // There is no scope before it is entered or after it is left, and it is entered once.
        ev!("before entry", "RuntimeError");
        timeout(FOREVER, async |s| {
            s.reschedule(None)?;
            ev!("removed", when = s.when().map(|_| "some"));
            let when = now() + Duration::from_secs(500);
            s.reschedule(when)?;
            ev!("moved", s.when() == Some(when));
            Ok(())
        })
        .await?;
        ev!("after exit", "RuntimeError");
        ev!("entered again", "RuntimeError");
        let scope: Result<()> = timeout(None, async |s| {
            s.reschedule(now() + MS_10)?;
            let _refused = finally(|| ev!("while expiring", s.reschedule(None).unwrap_err()));
            sleep(FOREVER).await;
            Ok(())
        })
        .await;
        ev!("edge", scope.unwrap_err());
        let expired = timeout(MS_10, async |s| {
            s.reschedule(now() + FOREVER)?;
            sleep(Duration::from_millis(50)).await;
            Ok(s.expired())
        });
        ev!("postponed in time", expired = expired.await?);
        Ok(())
    });
}

async fn quick() -> Result<&'static str> {
    yield_now().await;
    Ok("quick")
}

async fn slow() -> Result<&'static str> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        ev!("cleanup begins");
        sleep(MS_10).await;
        ev!("cleanup ends");
        cancelled.resume().await
    }
    Ok("must not return")
}

#[test]
fn wait_for_basics() {
    check_run("wait_for_basics", async || {
        let limit = Duration::from_secs(100);
        attempt("in time", wait_for(quick(), limit)).await;
        attempt("error", wait_for(async { raise::<()>("inner") }, limit)).await;
        attempt("timed out", wait_for(slow(), MS_10)).await;
        attempt("no limit", wait_for(quick(), None)).await;
        let unstarted = async {
            ev!("must not run");
            Ok::<_, corelane::Error>(())
        };
        attempt("zero, bare", wait_for(unstarted, Duration::ZERO)).await;
        let t = create_task(quick());
        settle().await;
        attempt("zero, finished", wait_for(t, Duration::ZERO)).await;
        let t = create_task(slow());
        settle().await;
        // A Duration is never negative.
        attempt("zero, running", wait_for(&t, Duration::ZERO)).await;
        ev!("task", outcome(&t));
        ev!("own requests", me().cancelling());
        Ok(())
    });
}

async fn calls(t: Rc<Task<&'static str>>) -> Result<()> {
    match catch_cancel(wait_for(&*t, FOREVER)).await {
        Ok(outcome) => ev!("caller got", outcome?),
        Err(cancelled) => {
            ev!("caller cancelled", inner_done = t.done());
            cancelled.resume().await
        }
    }
    Ok(())
}

#[test]
fn wait_for_cancelled() {
    check_run("wait_for_cancelled", async || {
        let t = Rc::new(create_task(async {
            if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
                ev!("inner cleanup");
                yield_now().await;
                ev!("inner cleanup done");
                cancelled.resume().await
            }
            Ok("must not return")
        }));
        let c = create_task(calls(Rc::clone(&t)));
        settle().await;
        c.cancel();
        settle().await;
        ev!(outcome(&c), outcome(&t));

        let gate = Event::new();
        let opened = gate.clone();
        let t = Rc::new(create_task(async move {
            opened.wait().await;
            Ok("kept")
        }));
        let c = create_task(calls(Rc::clone(&t)));
        settle().await;
        gate.set();
        while !t.done() {
            yield_now().await;
        }
        ev!("inner is done, caller has not run", c.done());
        c.cancel();
        settle().await;
        ev!(outcome(&c), outcome(&t));
        Ok(())
    });
}

async fn swallows() -> Result<&'static str> {
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        yield_now().await;
    }
    Ok("late value")
}

async fn fails() -> Result<&'static str> {
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        return raise("from cleanup");
    }
    Ok("must not return")
}

#[test]
fn wait_for_inner_resists() {
    check_run("wait_for_inner_resists", async || {
        for (limit, shown) in [(MS_10, "0.01"), (Duration::ZERO, "0")] {
            let t = create_task(swallows());
            yield_now().await;
            attempt(format!("task swallows {shown}"), wait_for(t, limit)).await;
            let t = create_task(fails());
            yield_now().await;
            attempt(format!("task fails {shown}"), wait_for(t, limit)).await;
        }
        attempt("bare swallows", wait_for(swallows(), MS_10)).await;
        attempt("bare fails", wait_for(fails(), MS_10)).await;
        ev!("own requests", me().cancelling());
        Ok(())
    });
}
