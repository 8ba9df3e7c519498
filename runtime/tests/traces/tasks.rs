//! `Task` in all its states, `current_task`, `all_tasks`, `sleep`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    LocalKey, Result, Task, TaskRef, all_tasks, call_soon, create_task, current_task, gather,
    sleep, sleep_secs, sleep_with, yield_now,
};

use crate::support::{
    FOREVER, Show, attempt, check_run, finally, me, outcome, passes, raise, report_to_trace, settle,
};

#[test]
fn sleep_basics() {
    check_run("sleep_basics", async || {
        ev!("zero", sleep_with(Duration::ZERO, "r0").await);
        sleep_secs(-5.0)?.await;
        ev!("negative", "r1");
        ev!("no result", sleep(Duration::ZERO).await);
        ev!("nan", sleep_secs(f64::NAN).unwrap_err());
        let log = Rc::new(RefCell::new(Vec::new()));
        let sleeper = |name: &'static str, ms| {
            let log = Rc::clone(&log);
            async move {
                sleep(Duration::from_millis(ms)).await;
                log.borrow_mut().push(name);
                Ok(())
            }
        };
        gather((sleeper("c", 90), sleeper("a", 10), sleeper("b", 50), sleeper("now", 0))).await?;
        ev!("finish order", *log.borrow());
        Ok(())
    });
}

fn names() -> Vec<String> {
    let mut names: Vec<_> = all_tasks().unwrap().iter().map(TaskRef::name).collect();
    names.sort();
    names
}

#[test]
fn current_and_all_tasks() {
    check_run("current_and_all_tasks", async || {
        me().set_name("main");
        let gate = Event::new();
        let child = |name| {
            let gate = gate.clone();
            let child = async move {
                ev!("in child", me().name(), names());
                gate.wait().await;
                Ok(())
            };
            create_task(child).named(name)
        };
        let (a, b) = (child("a"), child("b"));
        ev!("not started yet", names());
        settle().await;
        b.cancel();
        ev!("requested, not done", names());
        settle().await;
        ev!("b gone", names());
        call_soon(|| ev!("in callback", current_task().unwrap().is_none()));
        gate.set();
        a.await?;
        ev!("a gone", names());
        Ok(())
    });
}

#[test]
fn task_awaits_cancelled_task() {
    check_run("task_awaits_cancelled_task", async || {
        let t = Rc::new(create_task(async {
            sleep(FOREVER).await;
            Ok(())
        }));
        let source = Rc::clone(&t);
        let w = create_task(async move {
            let _unwinding = finally(|| ev!("unwinding"));
            (&*source).await
        });
        settle().await;
        t.cancel();
        settle().await;
        ev!("sleeper", outcome(&t), cancelling = t.cancelling());
        ev!("awaiter", outcome(&w), cancelling = w.cancelling());
        Ok(())
    });
}

#[test]
fn task_many_awaiters() {
    check_run("task_many_awaiters", async || {
        for kind in ["fine", "error", "cancel"] {
            shared_by_three(kind).await;
        }
        Ok(())
    });
}

async fn shared_by_three(kind: &'static str) {
    let gate = Event::new();
    let opened = gate.clone();
    let src = Rc::new(create_task(async move {
        opened.wait().await;
        if kind == "error" {
            return raise("shared");
        }
        Ok(kind)
    }));
    let waiters = [0, 1, 2].map(|i| {
        let src = Rc::clone(&src);
        create_task(async move {
            attempt(format!("{kind} waiter {i}"), &*src).await;
            ev!("own requests", me().cancelling());
            Ok(())
        })
    });
    settle().await;
    if kind == "cancel" {
        src.cancel();
    } else {
        gate.set();
    }
    settle().await;
    ev!("waiters done", waiters.each_ref().map(Task::done));
}

#[test]
fn task_never_retrieved() {
    check_run("task_never_retrieved", async || {
        report_to_trace();
        let t: Task<()> = create_task(async { raise("forgotten") });
        settle().await;
        ev!("dropping");
        drop(t);

        let t: Task<()> = create_task(async { raise("looked at") });
        settle().await;
        ev!("exception", t.exception()?);
        drop(t);

        let t: Task<()> = create_task(async { raise("cancelled afterwards") });
        settle().await;
        ev!("cancel", t.cancel());
        drop(t);

        let t = create_task(async {
            sleep(FOREVER).await;
            Ok(())
        });
        settle().await;
        t.cancel();
        drop(t);
        settle().await;

        drop(create_task(async {
            yield_now().await;
            ev!("detached task ran on");
            Ok(())
        }));
        settle().await;
        ev!("end");
        Ok(())
    });
}

fn query<T: Show + Clone + 'static>(label: &str, task: &Task<T>) {
    match task.result() {
        Ok(value) => ev!(label, "result", "gives", value),
        Err(error) => ev!(label, "result", "raises", error),
    }
    match task.exception() {
        Ok(error) => ev!(label, "exception", "gives", error),
        Err(error) => ev!(label, "exception", "raises", error),
    }
    ev!(label, done = task.done(), cancelled = task.cancelled());
}

#[test]
fn task_states() {
    check_run("task_states", async || {
        has_a_value().await?;

        let t: Task<()> = create_task(async {
            yield_now().await;
            raise("e")
        });
        settle().await;
        ev!("cancel of failed", t.cancel(), cancelling = t.cancelling());
        query("error", &t);

        let t = create_task(async {
            sleep(FOREVER).await;
            Ok(())
        });
        settle().await;
        ev!("cancel", t.cancel(), done = t.done(), cancelling = t.cancelling());
        ev!("cancel again", t.cancel(), cancelling = t.cancelling());
        settle().await;
        query("cancelled", &t);
        ev!("cancel of cancelled", t.cancel(), cancelling = t.cancelling());
        Ok(())
    });
}

async fn has_a_value() -> Result<()> {
    let seven = async {
        yield_now().await;
        Ok(7)
    };
    let t = Rc::new(create_task(seven).named("worker"));
    ev!("name", t.name());
    t.set_name("renamed");
    ev!("name", t.name());
    t.add_done_callback(|_| ev!("callback first"));
    let removed = t.add_done_callback(|_| ev!("must not run"));
    t.add_done_callback(|_| ev!("callback last", done = true));
    ev!("removed", t.remove_done_callback(removed));
    ev!("removed again", t.remove_done_callback(removed));
    query("pending", &t);
    (&*t).await?;
    settle().await;
    query("value", &t);
    let late = Rc::clone(&t);
    t.add_done_callback(move |_| ev!("late callback", late.result().unwrap()));
    ev!("late callback registered");
    passes(1).await;
    Ok(())
}

static VAR: LocalKey<&str> = LocalKey::new();

fn var() -> &'static str {
    VAR.get().unwrap_or("unset")
}

#[test]
fn task_context() {
    check_run("task_context", async || {
        let gate = Event::new();
        VAR.set("parent's");
        let opened = gate.clone();
        let t = create_task(async move {
            ev!("child sees", var());
            opened.wait().await;
            ev!("child still sees", var());
            VAR.set("child's");
            create_task(async {
                ev!("grandchild sees", var());
                Ok(())
            })
            .await
        });
        VAR.set("changed later");
        yield_now().await;
        gate.set();
        t.await?;
        ev!("parent sees", var());
        Ok(())
    });
}
