//! `run` and `Runner`.

use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    LocalKey, Result, Runner, Task, catch_cancel_plain, create_task, current_task, sleep,
    try_create_task, yield_now,
};

use crate::support::{FOREVER, check, finally, me, passes, raise, report_to_trace, run, settle};

async fn ok() -> Result<i32> {
    ev!("main runs");
    Ok(42)
}

async fn cancels_itself() -> Result<()> {
    me().cancel();
    yield_now().await;
    Ok(())
}

#[test]
fn run_basic() {
    check("run_basic", || {
        ev!("run gave", corelane::run(ok).unwrap());
        ev!("run raised", corelane::run(async || raise::<()>("main")).unwrap_err());
        corelane::run(async || {
            ev!("nested run refused", corelane::run(ok).unwrap_err());
            yield_now().await;
            ev!("outer still works", "yes");
            Ok(())
        })
        .unwrap();
        ev!("run raised", corelane::run(cancels_itself).unwrap_err());
        ev!("create_task outside", try_create_task(ok()).unwrap_err());
        ev!("current_task outside", current_task().unwrap_err());
    });
}

#[test]
fn run_cancels_leftovers() {
    check("run_cancels_leftovers", || {
        let outcome = run(async || {
            report_to_trace();
            drop(create_task(slow_cleanup()));
            passes(2).await;
            drop(create_task(stubborn()));
            passes(2).await;
            drop(create_task(failing()));
            passes(2).await;
            ev!("main ends");
            Ok("result")
        });
        ev!("run gave", outcome.unwrap());
    });
}

async fn slow_cleanup() -> Result<()> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        sleep(Duration::from_millis(10)).await;
        ev!("slow cleanup ends");
        cancelled.resume().await
    }
    Ok(())
}

async fn stubborn() -> Result<()> {
    drop(catch_cancel_plain(sleep(FOREVER)).await);
    sleep(Duration::from_millis(40)).await;
    ev!("stubborn ends");
    Ok(())
}

async fn failing() -> Result<()> {
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        sleep(Duration::from_millis(80)).await;
        ev!("failing fails");
        return raise("cleanup");
    }
    Ok(())
}

static VAR: LocalKey<&str> = LocalKey::new();

async fn first() -> Result<(Task<()>, Event)> {
    VAR.set("from first");
    let go = Event::new();
    let task = create_task(background(go.clone()));
    settle().await;
    ev!("first ends");
    Ok((task, go))
}

async fn background(go: Event) -> Result<()> {
    let _end = finally(|| ev!("background stopped"));
    ev!("background starts");
    go.wait().await;
    ev!("background continues");
    sleep(FOREVER).await;
    Ok(())
}

async fn third() -> Result<i32> {
    ev!("third runs");
    Ok(3)
}

async fn never() -> Result<()> {
    ev!("must not run");
    Ok(())
}

#[test]
fn runner_lifecycle() {
    check("runner_lifecycle", || {
        let mut runner = Runner::builder().virtual_clock().build();
        let (task, go) = runner.run(first).unwrap();
        let task = Rc::new(task);
        ev!("between runs");
        let leftover = Rc::clone(&task);
        let second = async move || {
            ev!("second sees context", VAR.get().unwrap_or("unset"));
            ev!("leftover done", leftover.done());
            go.set();
            settle().await;
            raise::<()>("second")
        };
        ev!("run raised", runner.run(second).unwrap_err());
        ev!("third gave", runner.run(third).unwrap());
        runner.close().unwrap();
        ev!("closed; leftover cancelled", task.cancelled());
        runner.close().unwrap();
        ev!("run after close", runner.run(never).unwrap_err());
        ev!("shard after close", runner.remote().unwrap_err());
        ev!("scope left by", scope().unwrap_err());
        Runner::new().close().unwrap();
        ev!("unused runner closed");
    });
}

fn scope() -> Result<()> {
    let mut r2 = Runner::new();
    r2.run(third)?;
    raise("scope")
}
