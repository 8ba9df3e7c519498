//! `task_group`.

use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Result, TaskGroup, catch_cancel, catch_cancel_plain, create_task, sleep, task_group, timeout,
    yield_now,
};

use crate::support::{FOREVER, check_run, finally, me, outcome, raise, settle};

const MS_10: Duration = Duration::from_millis(10);

/// Waits for ever; when it is cancelled it says so and obeys, or fails.
async fn member(kind: &'static str) -> Result<()> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        ev!("member cancelled", kind);
        if kind == "fails" {
            return raise("member");
        }
        cancelled.resume().await
    }
    Ok(())
}

#[test]
fn taskgroup_body_failure() {
    check_run("taskgroup_body_failure", async || {
        for kind in ["obeys", "fails"] {
            let scope: Result<()> = task_group(async |g| {
                g.add(member(kind))?;
                yield_now().await;
                raise("body")
            })
            .await;
            ev!("scope raised", scope.unwrap_err());
        }
        let scope = task_group(async |g| {
            g.add(async { raise::<()>("soon") })?;
            if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
                ev!("body swallows");
            }
            yield_now().await;
            ev!("body ends normally");
            Ok(())
        })
        .await;
        ev!("scope raised", scope.unwrap_err(), cancelling = me().cancelling());
        Ok(())
    });
}

#[test]
fn taskgroup_child_failure() {
    check_run("taskgroup_child_failure", async || {
        let mut s = None;
        let scope = task_group(async |g| {
            let lone = g.create_task(sibling())?;
            sleep(MS_10).await;
            lone.cancel();
            sleep(MS_10).await;
            ev!("lone cancelled member is harmless", outcome(&lone));
            let gate = Event::new();
            g.add(fails(gate.clone()))?;
            s = Some(g.create_task(sibling())?);
            g.add(fails_in_cleanup())?;
            sleep(MS_10).await;
            gate.set();
            if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
                ev!("body cancelled", cancelling = me().cancelling());
                ev!("refused while shutting down", g.create_task(unstarted()).unwrap_err());
                cancelled.resume().await
            }
            Ok(())
        })
        .await;
        ev!("scope raised", scope.unwrap_err());
        ev!("sibling", outcome(&s.unwrap()), cancelling = me().cancelling());
        yield_now().await;
        ev!("parent goes on");
        Ok(())
    });
}

async fn fails(gate: Event) -> Result<()> {
    gate.wait().await;
    ev!("member fails");
    raise("first")
}

async fn sibling() -> Result<()> {
    let _end = finally(|| ev!("sibling cancelled"));
    sleep(FOREVER).await;
    Ok(())
}

async fn fails_in_cleanup() -> Result<()> {
    if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
        sleep(MS_10).await;
        ev!("cleanup fails");
        return raise("second");
    }
    Ok(())
}

async fn unstarted() -> Result<()> {
    ev!("must not run");
    Ok(())
}

#[test]
fn taskgroup_external_cancel() {
    check_run("taskgroup_external_cancel", async || {
        for kind in ["obeys", "fails"] {
            for in_body in [true, false] {
                let p = create_task(parent(kind, in_body));
                settle().await;
                p.cancel();
                settle().await;
                drop((&p).await);
                ev!("parent", outcome(&p));
            }
        }
        ev!("-- twice");
        let p = create_task(parent("obeys", false));
        settle().await;
        p.cancel();
        settle().await;
        p.cancel();
        drop((&p).await);
        ev!("parent", outcome(&p), cancelling = p.cancelling());
        Ok(())
    });
}

async fn cleans_up(kind: &'static str) -> Result<()> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        ev!("member cancelled", kind);
        sleep(MS_10).await;
        ev!("member cleaned up", kind);
        if kind == "fails" {
            return raise("member");
        }
        cancelled.resume().await
    }
    Ok(())
}

async fn parent(kind: &'static str, in_body: bool) -> Result<()> {
    let scope = task_group(async |g| {
        g.add(cleans_up(kind))?;
        if in_body {
            sleep(FOREVER).await;
        }
        Ok(())
    });
    match catch_cancel(scope).await {
        Err(cancelled) => {
            ev!("scope raised", cancelled, cancelling = me().cancelling());
            cancelled.resume().await
        }
        Ok(scope) => ev!("scope raised", scope.unwrap_err(), cancelling = me().cancelling()),
    }
    if let Err(cancelled) = catch_cancel_plain(yield_now()).await {
        ev!("request delivered again");
        cancelled.resume().await
    }
    ev!("must not run");
    Ok(())
}

#[test]
fn taskgroup_in_timeout() {
    check_run("taskgroup_in_timeout", async || {
        for kind in ["obeys", "fails"] {
            let mut expired = false;
            let scope = timeout(MS_10, async |s| {
                let _seen = finally(|| expired = s.expired());
                task_group(async |g| {
                    g.add(member(kind))?;
                    Ok(())
                })
                .await
            })
            .await;
            ev!("raised", scope.unwrap_err(), expired = expired);
            ev!(cancelling = me().cancelling());
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn taskgroup_nested() {
    check_run("taskgroup_nested", async || {
        let scope: Result<()> = task_group(async |outer| {
            outer.add(waits("outer member"))?;
            let scope = task_group(async |inner| {
                inner.add(waits("inner member"))?;
                inner.add(fails_soon("inner"))?;
                Ok(())
            })
            .await;
            ev!("inner scope raised", scope.unwrap_err());
            yield_now().await;
            ev!("outer body lives on");
            task_group(async |inner| {
                inner.add(fails_soon("deep"))?;
                Ok(())
            })
            .await
        })
        .await;
        ev!("outer scope raised", scope.unwrap_err(), cancelling = me().cancelling());
        Ok(())
    });
}

async fn waits(name: &'static str) -> Result<()> {
    let _end = finally(|| ev!("cancelled", name));
    sleep(FOREVER).await;
    Ok(())
}

async fn fails_soon(label: &'static str) -> Result<()> {
    yield_now().await;
    raise(label)
}

#[test]
fn taskgroup_success() {
    check_run("taskgroup_success", async || {
        // A group is made by entering it, and is entered once.
        ev!("before entry", "RuntimeError");
        let (group, a, b) = task_group(async |g| {
            let a = g.create_task(adds_members(g.clone(), "a".to_owned(), 2))?;
            let b = g.create_task(adds_members(g.clone(), "b".to_owned(), 0))?;
            ev!("body ends");
            Ok((g.clone(), a, b))
        })
        .await?;
        ev!("left", outcome(&a), outcome(&b));
        ev!("after exit", group.create_task(unstarted()).unwrap_err());
        ev!("entered again", "RuntimeError");
        task_group(async |_| {
            ev!("empty group");
            Ok(())
        })
        .await
    });
}

async fn adds_members(group: TaskGroup, name: String, depth: usize) -> Result<String> {
    ev!("begin", name);
    yield_now().await;
    if depth > 0 {
        let added = adds_members(group.clone(), format!("{name}.x"), depth - 1);
        group.add(Box::pin(added))?;
    }
    ev!("end", name);
    Ok(name)
}
