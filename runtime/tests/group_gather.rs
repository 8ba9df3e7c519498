//! `gather` and its children: rules T60 to T70.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use corelane::{Result, Task, create_task, current_task, gather, sleep, spawn, yield_now};
use task_support::{
    Guard, Log, badness, fails, job, passes, settle, virtual_run, wakes_when_dropped,
};

/// Polls of the task that it is created in, counted by a task that is always ready.
async fn turns_until(done: Rc<Cell<bool>>) -> usize {
    let mut turns = 0;
    while !done.get() {
        turns += 1;
        yield_now().await;
    }
    turns
}

#[test]
fn t60_values_come_in_argument_order_whatever_the_order_of_completion() {
    virtual_run(async || {
        let naps = [5, 1, 3].map(|seconds| async move {
            sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        });
        assert_eq!(gather(naps).await?, [5, 1, 3]);
        let (a, b) = gather((
            async {
                sleep(Duration::from_secs(2)).await;
                Ok("slow")
            },
            async { Ok(1) },
        ))
        .await?;
        assert_eq!((a, b), ("slow", 1));
        Ok(())
    });
}

#[test]
fn t60_nothing_is_available_at_once() {
    virtual_run(async || {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        drop(spawn(async move { flag.set(true) }));
        assert!(gather(Vec::<Task<u8>>::new()).await?.is_empty());
        assert!(gather([] as [Task<u8>; 0]).return_exceptions().await?.is_empty());
        assert!(!ran.get(), "no turn went by");
        Ok(())
    });
}

#[test]
fn t61_bare_futures_become_tasks_in_order_at_the_call_and_tasks_are_used_as_they_are() {
    virtual_run(async || {
        let log = Log::default();
        let body = |name: &'static str| {
            let log = log.clone();
            async move {
                log.say(name);
                Ok(current_task()?.map(|task| task.id()))
            }
        };
        let task = create_task(body("task"));
        let id = task.id();
        let all = gather((body("first"), task, body("last")));
        yield_now().await;
        assert_eq!(log.take(), ["task", "first", "last"], "they run before the gather is awaited");
        let (first, given, last) = all.await?;
        assert_eq!(given, Some(id));
        assert!(first != last && first != given);
        Ok(())
    });
}

#[test]
fn t61_the_place_that_creates_the_tasks_is_the_one_that_gathers() {
    virtual_run(async || {
        let body = || async { Ok(current_task()?.unwrap().location().line()) };
        let line = line!() + 1;
        let (one, many) = (gather((body(),)).await?, gather([body(), body()]).await?);
        assert_eq!((one.0, many), (line, vec![line, line]));
        Ok(())
    });
}

#[test]
fn t62_one_task_in_several_places_runs_once_and_fills_them_all() {
    virtual_run(async || {
        let runs = Rc::new(Cell::new(0));
        let count = Rc::clone(&runs);
        let twice = spawn(async move {
            count.set(count.get() + 1);
            yield_now().await;
            "twice".to_owned()
        });
        let between = spawn(async { "between".to_owned() });
        let values = gather([&twice, &between, &twice]).await?;
        assert_eq!(values, ["twice", "between", "twice"]);
        assert_eq!(gather((&twice, &between, &twice)).await?.2, "twice");
        assert_eq!(runs.get(), 1);
        assert_eq!(twice.await?, "twice", "who holds it still has it");
        Ok(())
    });
}

#[test]
fn t63_the_first_failure_ends_it_at_once_and_leaves_the_others_running() {
    virtual_run(async || {
        let reports = Log::reports();
        let (a, b, c) = (job("a"), job("bad b"), job("bad c"));
        let mut all = gather([&a.task, &b.task, &c.task]);
        b.gate.set();
        assert_eq!(badness((&mut all).await), "bad b");
        assert!(!a.task.done() && !c.task.done());
        assert!(!all.cancel(), "rule T67");
        drop(all);
        a.gate.set();
        c.gate.set();
        settle().await;
        assert!(a.task.done() && !a.task.cancelled() && c.task.done());
        drop((a, b, c));
        assert!(reports.take().is_empty(), "errors of siblings count as retrieved");
        Ok(())
    });
}

#[test]
fn t63_errors_of_siblings_that_the_gather_owned_count_as_retrieved_too() {
    virtual_run(async || {
        let reports = Log::reports();
        let (before, first, after) = (job("bad before"), job("bad first"), job("bad after"));
        let all = gather([before.task, first.task, after.task]);
        first.gate.set();
        passes(1).await;
        before.gate.set();
        assert_eq!(badness(all.await), "bad first");
        after.gate.set();
        settle().await;
        assert!(reports.take().is_empty());
        Ok(())
    });
}

#[test]
fn t63_a_cancelled_child_ends_it_with_the_cancellation() {
    virtual_run(async || {
        let (lost, other) = (job("lost"), job("other"));
        lost.task.cancel_with("enough");
        let error = gather([&lost.task, &other.task]).await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.to_string(), "cancelled: enough");
        assert!(!other.task.done(), "rule T68: it was not the gather that was cancelled");
        other.gate.set();
        assert_eq!(other.task.await?, "other");
        Ok(())
    });
}

#[test]
fn t34_a_failure_that_an_unawaited_gather_met_is_reported_once() {
    virtual_run(async || {
        let reports = Log::reports();
        let (first, second) = (job("bad first"), job("bad second"));
        let all = gather([first.task, second.task]);
        first.gate.set();
        settle().await;
        second.gate.set();
        settle().await;
        assert!(all.done() && reports.take().is_empty());
        drop(all);
        assert_eq!(reports.take(), ["never-retrieved bad bad first"]);
        Ok(())
    });
}

#[test]
fn t64_with_return_exceptions_every_outcome_has_its_place() {
    virtual_run(async || {
        let (p, bad, lost, q) = (job("p"), job("bad"), job("lost"), job("q"));
        lost.task.cancel();
        let all = gather([p.task, bad.task, lost.task, q.task]).return_exceptions();
        bad.gate.set();
        settle().await;
        assert!(!all.done(), "it waits for all");
        q.gate.set();
        p.gate.set();
        let mut outcomes = all.await?.into_iter();
        assert_eq!(outcomes.next().unwrap()?, "p");
        assert_eq!(badness(outcomes.next().unwrap()), "bad");
        assert!(outcomes.next().unwrap().unwrap_err().is_cancelled());
        assert_eq!(outcomes.next().unwrap()?, "q");

        let (text, number) =
            gather((async { Ok("text") }, async { fails::<u8>("n") })).return_exceptions().await?;
        assert_eq!((text?, badness(number)), ("text", "n"));
        Ok(())
    });
}

#[test]
fn g4_a_gather_of_finished_tasks_does_not_wait() {
    virtual_run(async || {
        let (a, bad) = (spawn(async { 1 }), create_task(async { fails::<u8>("b") }));
        yield_now().await;
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        drop(spawn(async move { flag.set(true) }));
        assert_eq!(gather([&a]).await?, [1]);
        assert_eq!(badness(gather([&a, &bad]).await), "b");
        assert!(gather([&a, &bad]).return_exceptions().await?[1].is_err());
        assert!(!ran.get(), "no turn went by");
        Ok(())
    });
}

#[test]
fn t69_two_hops_lie_between_the_deciding_child_and_the_waiting_task() {
    virtual_run(async || {
        let a = job("a");
        let ended = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ended);
        let waiter = spawn(async move {
            gather([a.task]).await.unwrap();
            flag.set(true);
        });
        passes(3).await;
        a.gate.set();
        // The turn of the child, that of the callback, that of the waiter.
        assert_eq!(turns_until(ended).await, 3);
        waiter.await
    });
}

#[test]
fn t65_cancelling_the_gather_requests_every_unfinished_child() {
    virtual_run(async || {
        let (done, one, two) = (job("done"), job("one"), job("two"));
        done.gate.set();
        settle().await;
        let all = gather([&done.task, &one.task, &two.task, &one.task]);
        assert!(all.cancel());
        assert!(!one.task.done(), "a request drops nothing");
        assert_eq!((one.task.cancelling(), two.task.cancelling()), (1, 1), "one request each");
        settle().await;
        assert!(one.task.cancelled() && two.task.cancelled() && !done.task.cancelled());
        assert!(!all.cancel(), "rule T67");
        assert!(all.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t67_cancelling_a_gather_that_a_failure_decided_does_not_touch_running_children() {
    virtual_run(async || {
        let (a, bad) = (job("a"), job("bad"));
        let all = gather([&a.task, &bad.task]);
        bad.gate.set();
        settle().await;
        assert!(all.done() && !all.cancel());
        assert_eq!(a.task.cancelling(), 0);
        let all = all.return_exceptions();
        assert!(!all.done() && all.cancel(), "now it waits for the other one");
        assert!(all.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn g28_what_a_request_says_reaches_children_and_gather() {
    virtual_run(async || {
        let (a, b) = (job("a"), job("b"));
        let all = gather([&a.task, &b.task]).return_exceptions();
        assert!(all.cancel_with("closing time"));
        assert_eq!(all.await.unwrap_err().to_string(), "cancelled: closing time");
        assert_eq!(a.task.await.unwrap_err().to_string(), "cancelled: closing time");
        let all = gather([b.task]);
        assert!(!all.cancel_with("again"));
        Ok(())
    });
}

#[test]
fn t67_a_request_that_no_child_accepts_changes_nothing() {
    virtual_run(async || {
        let a = job("a");
        let all = gather([&a.task]);
        passes(1).await;
        a.gate.set();
        passes(1).await;
        assert!(a.task.done() && !all.done(), "its callback has not run yet");
        assert!(!all.cancel());
        assert_eq!(all.await?, ["a"]);
        Ok(())
    });
}

#[test]
fn t70_dropping_a_gather_detaches_its_children() {
    virtual_run(async || {
        let log = Log::reports();
        let (a, bad) = (job("a"), job("bad"));
        let seen = log.clone();
        let (gate, task) = (a.gate, a.task);
        let spy = create_task(async move {
            let name = task.await?;
            seen.say(name);
            Ok(name)
        });
        let all = gather([spy, bad.task]);
        passes(2).await;
        drop(all);
        gate.set();
        bad.gate.set();
        settle().await;
        assert_eq!(log.take(), ["never-retrieved bad bad", "a"]);
        Ok(())
    });
}

#[test]
fn t70_a_dropped_gather_wakes_nobody() {
    virtual_run(async || {
        let a = job("a");
        assert_eq!(wakes_when_dropped(gather([&a.task])).await, 0);
        assert_eq!(wakes_when_dropped(gather([a.task]).return_exceptions()).await, 0);
        Ok(())
    });
}

#[test]
fn g31_values_and_guards_that_use_the_loop_while_they_are_dropped() {
    struct Restless(Log);

    impl Drop for Restless {
        fn drop(&mut self) {
            let log = self.0.clone();
            drop(spawn(async move { log.say("spawned by a drop") }));
        }
    }

    virtual_run(async || {
        let log = Log::default();
        let value = log.clone();
        let given = create_task(async move { Ok(Some(Restless(value))) });
        let guarded = log.clone();
        let bad = create_task(async move {
            let _guard = Guard(guarded, "guard");
            yield_now().await;
            fails("late")
        });
        assert_eq!(badness(gather([given, bad]).await), "late");
        settle().await;
        assert_eq!(log.take(), ["guard dropped", "spawned by a drop"]);
        Ok(())
    });
}

#[test]
fn a_child_that_panics_is_one_that_fails() {
    virtual_run(async || {
        let panics: Task<()> = spawn(async { panic!("oh") });
        let error = gather((panics, pending::<Result<u8>>())).await.unwrap_err();
        assert!(error.is_panic());
        Ok(())
    });
}

#[test]
fn a_gather_of_a_closed_loop_is_not_waited_for_in_vain() {
    let kept = Rc::new(RefCell::new(None));
    let out = Rc::clone(&kept);
    virtual_run(async move || {
        *out.borrow_mut() = Some(gather([create_task(pending::<Result<u8>>())]));
        Ok(())
    });
    let all = kept.take().unwrap();
    assert!(all.done());
    let error = virtual_run(async || Ok(all.await.unwrap_err()));
    assert!(error.is_cancelled());
}
