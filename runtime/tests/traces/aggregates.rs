//! `gather`, `shield`, `wait` and `as_completed`.

use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Result, ReturnWhen, Task, as_completed, call_soon, catch_cancel, catch_cancel_plain,
    create_task, gather, shield, sleep, wait,
};

use crate::support::{
    FOREVER, attempt, check_run, me, outcome, passes, raise, report_to_trace, settle,
};

const MS_10: Duration = Duration::from_millis(10);

async fn job(name: &'static str, gate: Event, fail: bool) -> Result<&'static str> {
    gate.wait().await;
    ev!("finishing", name);
    if fail {
        return raise(name);
    }
    Ok(name)
}

#[test]
fn gather_first_error() {
    check_run("gather_first_error", async || {
        report_to_trace();
        let (g1, g2) = (Event::new(), Event::new());
        let tasks = [
            create_task(job("a", g2.clone(), false)),
            create_task(job("b", g1.clone(), true)),
            create_task(job("c", g2.clone(), true)),
        ];
        let mut g = gather(tasks.each_ref());
        settle().await;
        g1.set();
        ev!("gather raised", (&mut g).await.unwrap_err());
        ev!([outcome(&tasks[0]), outcome(&tasks[2])]);
        ev!("cancel of finished gather", g.cancel());
        g2.set();
        settle().await;
        ev!("a", outcome(&tasks[0]));
        drop(g);
        drop(tasks);

        let t1 = Rc::new(create_task(async {
            sleep(FOREVER).await;
            Ok("must not return")
        }));
        let t2 = create_task(job("d", g2.clone(), false));
        let cancelled = Rc::clone(&t1);
        call_soon(move || assert!(cancelled.cancel()));
        g2.clear();
        let error = gather([&*t1, &t2]).await.unwrap_err();
        ev!("child cancelled alone", error, own = me().cancelling());
        ev!("sibling", outcome(&t2));
        g2.set();
        ev!("sibling later", t2.await?);
        Ok(())
    });
}

async fn child(name: String, mode: &'static str) -> Result<String> {
    if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
        ev!(name, mode);
        if mode == "swallows" {
            return Ok(name);
        }
        if mode == "slow" {
            passes(5).await;
            ev!(name, "finished");
        }
        cancelled.resume().await
    }
    Ok(name)
}

async fn collect(modes: [&'static str; 2], return_exceptions: bool) -> Result<()> {
    let children: Vec<_> =
        modes.into_iter().enumerate().map(|(i, mode)| child(format!("c{i}"), mode)).collect();
    let caught = if return_exceptions {
        catch_cancel(gather(children).return_exceptions()).await.map(drop)
    } else {
        catch_cancel(gather(children)).await.map(drop)
    };
    match caught {
        Ok(()) => ev!("must not return"),
        Err(cancelled) => {
            ev!("gather ended cancelled");
            cancelled.resume().await
        }
    }
    Ok(())
}

#[test]
fn gather_outer_cancel() {
    check_run("gather_outer_cancel", async || {
        let all =
            [["obeys", "obeys"], ["swallows", "swallows"], ["slow", "swallows"], ["slow", "obeys"]];
        for modes in all {
            for flag in [false, true] {
                ev!("--", modes, return_exceptions = flag);
                let t = create_task(collect(modes, flag));
                settle().await;
                t.cancel();
                settle().await;
                ev!("collector", outcome(&t));
            }
        }
        Ok(())
    });
}

async fn hops(name: &'static str, hops: usize) -> Result<&'static str> {
    passes(hops).await;
    ev!("done", name);
    if name == "bad" {
        return raise(name);
    }
    Ok(name)
}

#[test]
fn gather_results() {
    check_run("gather_results", async || {
        ev!("empty", gather(Vec::<Task<()>>::new()).await?);
        ev!(gather([hops("x", 5), hops("y", 1), hops("z", 3)]).await?);
        let t = create_task(hops("twice", 1));
        let (twice, between, again) = gather((&t, hops("between", 0), &t)).await?;
        ev!([twice, between, again]);
        let c = Rc::new(create_task(async {
            sleep(FOREVER).await;
            Ok("must not return")
        }));
        let cancelled = Rc::clone(&c);
        call_soon(move || assert!(cancelled.cancel()));
        let (p, bad, c, q) =
            gather((hops("p", 2), hops("bad", 1), &*c, hops("q", 4))).return_exceptions().await?;
        ev!([p, bad, c, q]);
        Ok(())
    });
}

async fn inner(gate: Event) -> Result<&'static str> {
    gate.wait().await;
    ev!("inner finishes");
    Ok("inner value")
}

async fn shielded(t: Rc<Task<&'static str>>) -> Result<&'static str> {
    match catch_cancel(shield(&*t)).await {
        Ok(outcome) => outcome,
        Err(cancelled) => {
            ev!("waiter sees CancelledError", inner_done = t.done());
            cancelled.resume().await
        }
    }
}

#[test]
fn shield_basics() {
    check_run("shield_basics", async || {
        let gate = Event::new();
        let t = Rc::new(create_task(inner(gate.clone())));
        let w = create_task(shielded(Rc::clone(&t)));
        settle().await;
        w.cancel();
        settle().await;
        ev!("waiter", outcome(&w), "inner", outcome(&t));
        gate.set();
        ev!("inner gives", (&*t).await?);
        ev!("shield of finished", shield(&*t).await?);

        let t = Rc::new(create_task(inner(Event::new())));
        let w = create_task(shielded(Rc::clone(&t)));
        settle().await;
        t.cancel();
        settle().await;
        ev!("waiter", outcome(&w), cancelling = w.cancelling());

        let fails = create_task(async { raise::<()>("inside") });
        attempt("shielded error", shield(&fails)).await;
        Ok(())
    });
}

async fn kind(gate: Event, kind: &'static str) -> Result<&'static str> {
    gate.wait().await;
    if kind == "error" {
        return raise("job");
    }
    Ok(kind)
}

#[test]
fn wait_modes() {
    check_run("wait_modes", async || {
        for (mode, name) in [
            (ReturnWhen::AllCompleted, "ALL_COMPLETED"),
            (ReturnWhen::FirstCompleted, "FIRST_COMPLETED"),
            (ReturnWhen::FirstException, "FIRST_EXCEPTION"),
        ] {
            waits_in(mode, name).await?;
        }
        let nothing = wait(Vec::<Task<()>>::new(), ReturnWhen::AllCompleted, None);
        ev!("empty", nothing.await.unwrap_err());
        Ok(())
    });
}

fn labels(some: &[&Task<&'static str>], all: &[Task<&'static str>]) -> Vec<usize> {
    (0..all.len()).filter(|&i| some.iter().any(|t| t.id() == all[i].id())).collect()
}

async fn waits_in(mode: ReturnWhen, name: &'static str) -> Result<()> {
    let gates: [_; 4] = std::array::from_fn(|_| Event::new());
    let kinds = ["v0", "v1", "error", "v3"];
    let tasks: [_; 4] = std::array::from_fn(|i| create_task(kind(gates[i].clone(), kinds[i])));
    let tasks = Rc::new(tasks);
    let waited = Rc::clone(&tasks);
    let w = create_task(async move {
        let (done, pending) = wait(&*waited, mode, None).await?;
        Ok((labels(&done, &*waited), labels(&pending, &*waited)))
    });
    settle().await;
    ev!("--", name);
    for i in [1, 3, 2, 0] {
        if i == 3 {
            tasks[3].cancel();
        } else {
            gates[i].set();
        }
        settle().await;
        ev!("after", i, returned = w.done());
        if w.done() {
            break;
        }
    }
    let (done, pending) = w.await?;
    ev!(done = done, pending = pending);
    for gate in &gates {
        gate.set();
    }
    settle().await;
    ev!(tasks.each_ref().map(outcome));
    Ok(())
}

#[test]
fn wait_timeout_and_cancel() {
    check_run("wait_timeout_and_cancel", async || {
        let (g1, g2) = (Event::new(), Event::new());
        let tasks = Rc::new([g1.clone(), g2.clone()].map(|gate| create_task(opened(gate))));
        let [a, b] = &*tasks;
        let all = ReturnWhen::AllCompleted;
        let (done, pending) = wait([a, b], all, MS_10).await?;
        ev!("nothing", done = done.len(), pending = pending.len());
        g1.set();
        let (done, pending) = wait([a, b], all, MS_10 * 5).await?;
        let a_done = done.iter().any(|t| t.id() == a.id());
        ev!("one", done = done.len(), pending = pending.len(), a_done = a_done);
        let (done, pending) = wait([a, b, b], all, Duration::ZERO).await?;
        ev!("zero timeout", done = done.len(), pending = pending.len());
        let waited = Rc::clone(&tasks);
        let w = create_task(async move {
            wait(&*waited, all, None).await?;
            Ok(())
        });
        settle().await;
        w.cancel();
        settle().await;
        ev!("waiter", outcome(&w), "child", outcome(b), cancelling = b.cancelling());
        g2.set();
        ev!("child later", b.await?);
        Ok(())
    });
}

async fn opened(gate: Event) -> Result<&'static str> {
    gate.wait().await;
    Ok("v")
}

const NAMES: [&str; 3] = ["a", "bad", "c"];

async fn named(gate: Event, name: &'static str) -> Result<&'static str> {
    gate.wait().await;
    if name == "bad" {
        return raise(name);
    }
    Ok(name)
}

/// Three tasks, and one that opens their gates, the last first.
fn three_and_opener() -> ([Task<&'static str>; 3], Task<()>) {
    let gates: [_; 3] = std::array::from_fn(|_| Event::new());
    let tasks = std::array::from_fn(|i| create_task(named(gates[i].clone(), NAMES[i])));
    let opener = create_task(async move {
        for gate in gates.iter().rev() {
            passes(4).await;
            gate.set();
        }
        Ok(())
    });
    (tasks, opener)
}

#[test]
fn as_completed_order() {
    check_run("as_completed_order", async || {
        let (tasks, opener) = three_and_opener();
        let [a, bad, c] = &tasks;
        for item in as_completed([a, bad, c, a], None) {
            attempt("plain", item).await;
        }
        opener.await?;

        let (tasks, _opener) = three_and_opener();
        let mut items = as_completed(&tasks, None);
        while let Some(t) = items.next().await? {
            let place = tasks.iter().position(|given| given.id() == t.id()).unwrap();
            attempt(format!("stream {}", NAMES[place]), t).await;
        }
        let nothing = as_completed(Vec::<Task<()>>::new(), None);
        ev!("empty", nothing.into_iter().map(|_| ()).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn as_completed_timeout() {
    check_run("as_completed_timeout", async || {
        let (g1, g2) = (Event::new(), Event::new());
        let tasks = [
            create_task(named(g1.clone(), "one")),
            create_task(named(g2.clone(), "two")),
            create_task(named(g2.clone(), "three")),
        ];
        g1.set();
        for item in as_completed(&tasks, MS_10 * 10) {
            attempt("item", item).await;
        }
        ev!(tasks.each_ref().map(outcome), tasks.each_ref().map(Task::cancelling));
        g2.set();
        settle().await;
        ev!(tasks.each_ref().map(outcome));
        for item in as_completed(&tasks[..1], MS_10) {
            attempt("unused timeout", item).await;
        }
        sleep(MS_10 * 3).await;
        ev!("nothing fires later");
        Ok(())
    });
}
