//! `run` and `Runner`.

use std::time::Duration;

use corelane::{
    Result, catch_cancel_plain, create_task, current_task, sleep, try_create_task, yield_now,
};

use crate::support::{FOREVER, check, me, passes, raise, report_to_trace, run};

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
