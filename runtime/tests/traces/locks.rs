//! `Lock` and `Event`.

use corelane::sync::{Event, Lock, LockGuard};
use corelane::{Result, Task, create_task, sleep, yield_now};

use crate::support::{FOREVER, check_run, outcome, raise, settle};

#[test]
fn event_basics() {
    check_run("event_basics", async || {
        let e = Event::new();
        let waiter = |i: i32| {
            let e = e.clone();
            create_task(async move {
                e.wait().await;
                ev!("waiter", i, "got", true, is_set = e.is_set());
                Ok(())
            })
        };
        let ts: Vec<_> = (0..4).map(waiter).collect();
        settle().await;
        ts[1].cancel();
        settle().await;
        e.set();
        e.set();
        e.clear();
        settle().await;
        ev!(ts.iter().map(outcome).collect::<Vec<_>>(), is_set = e.is_set());
        let t = waiter(9);
        settle().await;
        ev!("waits again", t.done());
        e.set();
        t.await?;
        e.wait().await;
        ev!("set event returns", true);
        Ok(())
    });
}

#[test]
fn lock_basics() {
    check_run("lock_basics", async || {
        let lock = Lock::new(());
        ev!("release of free lock", lock.release_raw().unwrap_err());
        LockGuard::forget(lock.acquire().await);
        ev!("acquire", true, locked = lock.locked());
        lock.release_raw()?;
        ev!(locked = lock.locked());

        let held = lock.acquire().await;
        let ts: Vec<_> = (0..3).map(|i| create_task(enters_and_leaves(lock.clone(), i))).collect();
        settle().await;
        ev!("nobody entered", locked = lock.locked());
        drop(held);
        settle().await;
        ev!(locked = lock.locked(), done = ts.iter().map(Task::done).collect::<Vec<_>>());

        let scope: Result<()> = async {
            let _held = lock.acquire().await;
            raise("in scope")
        }
        .await;
        assert!(scope.is_err());
        ev!("after error", locked = lock.locked());

        let holder = lock.clone();
        let t = create_task(async move {
            let _held = holder.acquire().await;
            sleep(FOREVER).await;
            Ok(())
        });
        settle().await;
        ev!("held", locked = lock.locked());
        t.cancel();
        settle().await;
        ev!("after cancel", locked = lock.locked());
        Ok(())
    });
}

async fn enters_and_leaves(lock: Lock, i: i32) -> Result<()> {
    let _held = lock.acquire().await;
    ev!("enter", i);
    yield_now().await;
    yield_now().await;
    ev!("leave", i);
    Ok(())
}

async fn enters(lock: Lock, name: &'static str) -> Result<()> {
    let _held = lock.acquire().await;
    ev!("entered", name);
    Ok(())
}

#[test]
fn lock_cancel_handoff() {
    check_run("lock_cancel_handoff", async || {
        for how in ["release then cancel", "cancel then release", "cancel second", "cancel both"] {
            ev!("--", how);
            let lock = Lock::new(());
            let held = lock.acquire().await;
            let ts = ["a", "b", "c"].map(|name| create_task(enters(lock.clone(), name)));
            settle().await;
            match how {
                "cancel then release" => {
                    ts[0].cancel();
                    drop(held);
                }
                "release then cancel" => {
                    drop(held);
                    ts[0].cancel();
                }
                "cancel second" => {
                    drop(held);
                    ts[1].cancel();
                }
                _ => {
                    drop(held);
                    ts[0].cancel();
                    ts[1].cancel();
                }
            }
            settle().await;
            ev!(ts.each_ref().map(outcome), locked = lock.locked());
        }
        Ok(())
    });
}

#[test]
fn lock_no_barging() {
    check_run("lock_no_barging", async || {
        let lock = Lock::new(());
        let held = lock.acquire().await;
        drop(create_task(enters(lock.clone(), "waiter")));
        settle().await;
        drop(held);
        ev!("free for a moment", !lock.locked());
        {
            let _held = lock.acquire().await;
            ev!("entered newcomer");
        }
        let held = lock.acquire().await;
        let t = create_task(enters(lock.clone(), "cancelled"));
        settle().await;
        t.cancel();
        drop(held);
        {
            let _held = lock.acquire().await;
            ev!("newcomer passes dead waiter");
        }
        settle().await;
        ev!("cancelled", t.cancelled(), locked = lock.locked());
        Ok(())
    });
}
