//! The strict order class: how many passes lie between two events.

use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Result, Task, advance, catch_cancel, catch_cancel_plain, create_task, gather, sleep, spawn,
    task_group, timeout, yield_now,
};

use crate::support::{FOREVER, check_run, finally, me, outcome, passes, raise, ticker};

#[test]
fn order_fifo_ready() {
    check_run("order_fifo_ready", async || {
        let e = Event::new();
        let ws = ["w0", "w1"].map(|name| {
            let e = e.clone();
            create_task(async move {
                e.wait().await;
                ev!(name, "woken");
                Ok(())
            })
        });
        yield_now().await;
        let ts = [
            create_task(named("a", 3)),
            create_task(spawner()),
            create_task(setter(e.clone())),
            create_task(named("b", 3)),
        ];
        e.clear();
        for i in 0..5 {
            ev!("main", i);
            yield_now().await;
        }
        gather(ws.into_iter().chain(ts)).await?;
        Ok(())
    });
}

async fn named(name: &str, n: usize) -> Result<()> {
    for i in 0..n {
        ev!(name, i);
        yield_now().await;
    }
    Ok(())
}

async fn spawner() -> Result<()> {
    ev!("spawner");
    drop(create_task(named("from spawner", 1)));
    yield_now().await;
    ev!("spawner again");
    Ok(())
}

async fn setter(e: Event) -> Result<()> {
    ev!("setter sets");
    e.set();
    yield_now().await;
    ev!("setter again");
    Ok(())
}

#[test]
fn order_timers() {
    check_run("order_timers", async || {
        let late = sleeper("late", 30);
        let ts = [late, sleeper("early", 10), sleeper("middle", 20)];
        yield_now().await;
        advance(Duration::from_millis(50));
        ev!("all expired");
        gather(ts.into_iter().chain([create_task(ticker("tick", 3))])).await?;

        gather((ticker("a", 3), expires_at_once(), ticker("b", 3))).await?;
        Ok(())
    });
}

fn sleeper(name: &'static str, ms: u64) -> Task<()> {
    spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        ev!("timer", name);
    })
}

async fn expires_at_once() -> Result<()> {
    let scope: Result<()> = timeout(Duration::ZERO, async |_| {
        ev!("inside");
        yield_now().await;
        ev!("must not run");
        Ok(())
    })
    .await;
    ev!(scope.unwrap_err());
    Ok(())
}

async fn blocked() -> Result<()> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        ev!("handler");
        cancelled.resume().await
    }
    Ok(())
}

async fn queued(e: Event) -> Result<()> {
    match catch_cancel_plain(e.wait()).await {
        Ok(()) => ev!("must not run"),
        Err(cancelled) => {
            ev!("handler");
            cancelled.resume().await
        }
    }
    Ok(())
}

async fn running() -> Result<()> {
    me().cancel();
    ev!("requested");
    blocked().await
}

async fn through(t: Rc<Task<()>>, name: &'static str) -> Result<()> {
    match catch_cancel((&*t).into_future()).await {
        Ok(outcome) => outcome,
        Err(cancelled) => {
            ev!("handler", name);
            cancelled.resume().await
        }
    }
}

#[test]
fn order_cancel_delivery() {
    check_run("order_cancel_delivery", async || {
        let t = create_task(blocked());
        passes(2).await;
        t.cancel();
        ev!("-- blocked", done = t.done());
        ticker("tick", 2).await?;
        ev!(outcome(&t));

        let e = Event::new();
        let t = create_task(queued(e.clone()));
        passes(2).await;
        e.set();
        t.cancel();
        ev!("-- queued", done = t.done());
        ticker("tick", 2).await?;
        ev!(outcome(&t));

        let t = create_task(running());
        ev!("-- running");
        ticker("tick", 3).await?;
        ev!(outcome(&t));

        let t = create_task(blocked());
        t.cancel();
        ev!("-- not started", done = t.done());
        ticker("tick", 2).await?;
        ev!(outcome(&t));

        let a = Rc::new(create_task(blocked()));
        let b = Rc::new(create_task(through(Rc::clone(&a), "b")));
        let c = Rc::new(create_task(through(Rc::clone(&b), "c")));
        passes(4).await;
        c.cancel();
        ev!("-- chain", [&a, &b, &c].map(|t| t.done()));
        ticker("tick", 4).await?;
        ev!([&a, &b, &c].map(|t| outcome(t)));
        Ok(())
    });
}

#[test]
fn order_done_callbacks() {
    check_run("order_done_callbacks", async || {
        let gate = Event::new();
        let opened = gate.clone();
        let t = Rc::new(create_task(async move {
            opened.wait().await;
            ev!("child ends");
            Ok(())
        }));
        yield_now().await;
        t.add_done_callback(|_| ev!("callback 1"));
        let waiter = |i: i32| {
            let t = Rc::clone(&t);
            create_task(async move {
                (&*t).await?;
                ev!("waiter", i);
                Ok(())
            })
        };
        let w1 = waiter(1);
        yield_now().await;
        let again = Rc::clone(&t);
        t.add_done_callback(move |_| {
            ev!("callback 2");
            again.add_done_callback(|_| ev!("callback added late"));
        });
        let w2 = waiter(2);
        yield_now().await;
        gate.set();
        gather((w1, w2, ticker("tick", 4))).await?;
        Ok(())
    });
}

#[test]
fn order_taskgroup_abort() {
    check_run("order_taskgroup_abort", async || {
        gather((aborted(), ticker("tick", 8))).await?;
        Ok(())
    });
}

async fn aborted() -> Result<()> {
    let scope: Result<()> = task_group(async |g| {
        g.add(async {
            passes(2).await;
            ev!("member fails");
            raise::<()>("member")
        })?;
        g.add(async {
            let _end = finally(|| ev!("sibling cancelled"));
            sleep(FOREVER).await;
            Ok(())
        })?;
        let _end = finally(|| ev!("body cancelled"));
        sleep(FOREVER).await;
        Ok(())
    })
    .await;
    ev!("scope raised", scope.unwrap_err());
    Ok(())
}
