//! `run` and `Runner`.

use corelane::{Error, Result, current_task, try_create_task, yield_now};

use crate::support::{check, raise};

async fn ok() -> Result<i32> {
    ev!("main runs");
    Ok(42)
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
        ev!("run raised", corelane::run(async || Err::<(), _>(Error::cancelled())).unwrap_err());
        ev!("create_task outside", try_create_task(ok()).unwrap_err());
        ev!("current_task outside", current_task().unwrap_err());
    });
}
