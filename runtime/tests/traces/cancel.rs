//! Requests, their delivery to frames, and their count.

use std::rc::Rc;

use corelane::sync::Lock;
use corelane::{Result, Task, catch_cancel, catch_cancel_plain, create_task, sleep, yield_now};

use crate::support::{FOREVER, check_run, finally, me, outcome, passes, raise, settle};

#[test]
fn cancel_before_start() {
    check_run("cancel_before_start", async || {
        let t = create_task(async {
            ev!("must not run");
            Ok(())
        });
        ev!("cancel", t.cancel(), done = t.done());
        passes(1).await;
        ev!("after its turn", outcome(&t));
        Ok(())
    });
}

#[test]
fn cancel_during_cleanup() {
    check_run("cancel_during_cleanup", async || {
        let t = create_task(cleans_up_for_ever());
        settle().await;
        t.cancel();
        settle().await;
        t.cancel();
        settle().await;
        ev!("first task", outcome(&t));

        let t = create_task(async {
            if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
                ev!("caught one", cancelling = me().cancelling());
            }
            yield_now().await;
            yield_now().await;
            ev!("not interrupted again");
            Ok(())
        });
        settle().await;
        t.cancel();
        t.cancel();
        settle().await;
        ev!("second task", outcome(&t), cancelling = t.cancelling());
        Ok(())
    });
}

async fn cleans_up_for_ever() -> Result<()> {
    let body = async {
        if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
            ev!("cleanup begins");
            {
                let _cut = finally(|| ev!("cleanup cut short"));
                sleep(FOREVER).await;
            }
            ev!("must not run");
        }
    };
    if catch_cancel_plain(body).await.is_err() {
        ev!("outer frame", cancelling = me().cancelling());
    }
    yield_now().await;
    ev!("no third one");
    Ok(())
}

#[test]
fn cancel_forwarding() {
    check_run("cancel_forwarding", async || {
        for inner in [create_task(obeys()), create_task(swallows())].map(Rc::new) {
            let outer = create_task(awaits(Rc::clone(&inner)));
            settle().await;
            outer.cancel();
            settle().await;
            ev!("inner", outcome(&inner), cancelling = inner.cancelling());
            ev!("outer", outcome(&outer), cancelling = outer.cancelling());
        }
        Ok(())
    });
}

async fn obeys() -> Result<&'static str> {
    let _end = finally(|| ev!("inner obeys"));
    sleep(FOREVER).await;
    Ok("must not return")
}

async fn swallows() -> Result<&'static str> {
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        ev!("inner swallows");
        yield_now().await;
        yield_now().await;
    }
    Ok("inner value")
}

async fn awaits(t: Rc<Task<&'static str>>) -> Result<&'static str> {
    let v = match catch_cancel((&*t).into_future()).await {
        Ok(outcome) => outcome?,
        Err(cancelled) => {
            ev!("awaiter cancelled");
            cancelled.resume().await
        }
    };
    ev!("awaiter got", v, cancelling = me().cancelling());
    Ok(v)
}

#[test]
fn cancel_message() {
    check_run("cancel_message", async || {
        let t = create_task(async {
            if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
                ev!("handler", cancelled, msg = cancelled.message());
                cancelled.resume().await
            }
            Ok(())
        });
        settle().await;
        t.cancel_with("first");
        t.cancel_with("second");
        if let Err(cancelled) = catch_cancel(t).await {
            ev!("awaiter", cancelled, msg = cancelled.message());
        }
        Ok(())
    });
}

#[test]
fn cancel_nested_handlers() {
    check_run("cancel_nested_handlers", async || {
        let t = create_task(outer());
        settle().await;
        t.cancel();
        settle().await;
        ev!("task", outcome(&t), cancelling = t.cancelling());
        Ok(())
    });
}

async fn inner() {
    let body = async {
        let _guard = finally(|| ev!("guard innermost"));
        sleep(FOREVER).await;
    };
    if let Err(cancelled) = catch_cancel_plain(body).await {
        ev!("handler inner, cleaning");
        yield_now().await;
        ev!("handler inner, passing on");
        cancelled.resume().await
    }
}

async fn middle() {
    let _guard = finally(|| ev!("guard middle"));
    inner().await;
}

async fn outer() -> Result<&'static str> {
    if catch_cancel_plain(middle()).await.is_err() {
        ev!("handler outer swallows", cancelling = me().cancelling());
    }
    yield_now().await;
    ev!("life goes on");
    Ok("survived")
}

#[test]
fn cancel_self() {
    check_run("cancel_self", async || {
        let tasks = [
            create_task(then_suspends()).named("then_suspends"),
            create_task(then_returns()).named("then_returns"),
            create_task(then_fails()).named("then_fails"),
        ];
        settle().await;
        for t in tasks {
            ev!(t.name(), outcome(&t));
        }
        Ok(())
    });
}

async fn then_suspends() -> Result<&'static str> {
    me().cancel();
    ev!("still running");
    let lock = Lock::new(());
    {
        let _held = lock.acquire().await;
        ev!("no suspension on a free lock");
    }
    if let Err(cancelled) = catch_cancel_plain(yield_now()).await {
        ev!("caught at suspension");
        cancelled.resume().await
    }
    Ok("must not return")
}

async fn then_returns() -> Result<&'static str> {
    me().cancel();
    Ok("lost")
}

async fn then_fails() -> Result<&'static str> {
    me().cancel();
    raise("wins")
}

#[test]
fn uncancel() {
    check_run("uncancel", async || {
        let t = create_task(withdrawn());
        settle().await;
        ev!("withdrawn", outcome(&t));
        let t = create_task(async {
            me().cancel();
            me().cancel();
            ev!("left", me().uncancel());
            yield_now().await;
            ev!("must not run");
            Ok(())
        });
        settle().await;
        ev!("half withdrawn", outcome(&t), cancelling = t.cancelling());
        Ok(())
    });
}

async fn withdrawn() -> Result<&'static str> {
    ev!("uncancel at zero", me().uncancel());
    me().cancel();
    me().cancel();
    ev!("requests", me().cancelling());
    ev!("left", me().uncancel());
    ev!("left", me().uncancel());
    yield_now().await;
    ev!("not cancelled");
    Ok("ok")
}
