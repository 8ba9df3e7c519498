//! The strict order class: how many passes lie between two events.

use std::time::Duration;

use corelane::sync::Event;
use corelane::{Result, Task, advance, create_task, sleep, spawn, timeout, yield_now};

use crate::support::{check_run, ticker};

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
        for t in ws.into_iter().chain(ts) {
            t.await?;
        }
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
        create_task(ticker("tick", 3)).await?;
        for t in ts {
            t.await?;
        }

        let rulers =
            [create_task(ticker("a", 3)), spawn(expires_at_once()), create_task(ticker("b", 3))];
        for t in rulers {
            t.await?;
        }
        Ok(())
    });
}

fn sleeper(name: &'static str, ms: u64) -> Task<()> {
    spawn(async move {
        sleep(Duration::from_millis(ms)).await;
        ev!("timer", name);
    })
}

async fn expires_at_once() {
    let scope: Result<()> = timeout(Duration::ZERO, async |_| {
        ev!("inside");
        yield_now().await;
        ev!("must not run");
        Ok(())
    })
    .await;
    ev!(scope.unwrap_err());
}
