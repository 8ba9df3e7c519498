//! What a cancel request does to those who wait for an aggregate: rules T65 to T68, T76, T81, T91, G26, G32.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Result, ReturnWhen, Task, as_completed, catch_cancel, catch_cancel_plain, create_task, gather,
    shield, sleep, timeout, wait, yield_now,
};
use futures_util::future::{Either, select};
use task_support::{Guard, Log, badness, fails, job, passes, settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);

/// How a child takes a cancellation.
#[derive(Clone, Copy)]
enum Mode {
    Obeys,
    Swallows,
    Slow,
    Fails,
}

use Mode::{Fails, Obeys, Slow, Swallows};

async fn child(log: Log, mode: Mode) -> Result<u8> {
    let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await else {
        return Ok(0);
    };
    match mode {
        Obeys => log.say("obeys"),
        Swallows => {
            log.say("swallows");
            return Ok(1);
        }
        Slow => {
            passes(5).await;
            log.say("slow");
        }
        Fails => return fails("child"),
    }
    Err(cancelled.into())
}

fn children(log: &Log, modes: &[Mode]) -> Vec<Task<u8>> {
    modes.iter().map(|mode| create_task(child(log.clone(), *mode))).collect()
}

/// Cancels a task that waits for a gather of such children, and tells how both ended.
async fn cancel_collector(modes: &[Mode], all: bool) -> (Vec<String>, Result<usize>, usize) {
    let log = Log::default();
    let (children, told) = (children(&log, modes), log.clone());
    let collector = create_task(async move {
        let gathered = if all {
            gather(children).return_exceptions().await.map(|outcomes| outcomes.len())
        } else {
            gather(children).await.map(|values| values.len())
        };
        told.say("gather ended");
        gathered
    });
    settle().await;
    assert!(collector.cancel());
    assert!(!collector.done());
    settle().await;
    let cancelling = collector.cancelling();
    (log.take(), collector.await, cancelling)
}

#[test]
fn t65_a_request_for_the_waiting_task_goes_to_every_unfinished_child() {
    virtual_run(async || {
        for all in [false, true] {
            let (log, outcome, cancelling) = cancel_collector(&[Obeys, Obeys], all).await;
            assert_eq!(log, ["obeys", "obeys", "gather ended"]);
            assert!(outcome.unwrap_err().is_cancelled());
            assert_eq!(cancelling, 1);
        }
        Ok(())
    });
}

#[test]
fn t66_it_ends_cancelled_even_if_every_child_swallows_the_request() {
    virtual_run(async || {
        for all in [false, true] {
            let (log, outcome, _) = cancel_collector(&[Swallows, Swallows], all).await;
            assert_eq!(log, ["swallows", "swallows", "gather ended"]);
            assert!(outcome.unwrap_err().is_cancelled());
            let (log, outcome, _) = cancel_collector(&[Slow, Swallows], all).await;
            assert_eq!(log, ["swallows", "slow", "gather ended"]);
            assert!(outcome.unwrap_err().is_cancelled());
        }
        Ok(())
    });
}

#[test]
fn t66_the_first_child_that_ends_cancelled_ends_it_before_slower_ones() {
    virtual_run(async || {
        let (log, outcome, _) = cancel_collector(&[Slow, Obeys], false).await;
        assert_eq!(log, ["obeys", "gather ended", "slow"]);
        assert!(outcome.unwrap_err().is_cancelled());
        let (log, outcome, _) = cancel_collector(&[Slow, Obeys], true).await;
        assert_eq!(log, ["obeys", "slow", "gather ended"]);
        assert!(outcome.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t66_a_child_that_fails_first_gives_its_error_unless_all_are_waited_for() {
    virtual_run(async || {
        let (_, outcome, _) = cancel_collector(&[Slow, Fails], false).await;
        assert_eq!(badness(outcome), "child");
        let (_, outcome, _) = cancel_collector(&[Slow, Fails], true).await;
        assert!(outcome.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t65_what_the_request_says_reaches_children_and_gather() {
    virtual_run(async || {
        let log = Log::default();
        let inner = children(&log, &[Swallows]);
        let collector = create_task(async move { gather(inner).await });
        settle().await;
        collector.cancel_with("closing time");
        assert_eq!(collector.await.unwrap_err().to_string(), "cancelled: closing time");
        Ok(())
    });
}

#[test]
fn t67_a_gather_that_was_decided_does_not_pass_a_request_on() {
    virtual_run(async || {
        let (a, bad) = (job("a"), job("bad"));
        let (a_task, gate) = (Rc::new(a.task), bad.gate);
        let waiting = Rc::clone(&a_task);
        let collector = create_task(async move { gather((&*waiting, bad.task)).await.map(drop) });
        settle().await;
        gate.set();
        passes(2).await;
        assert!(!collector.done(), "it was queued by the callback in this turn");
        assert!(collector.cancel());
        settle().await;
        assert!(collector.cancelled() && !a_task.done());
        a.gate.set();
        assert_eq!(shield(&*a_task).await?, "a");
        Ok(())
    });
}

#[test]
fn t68_a_child_that_is_cancelled_from_elsewhere_leaves_its_siblings_and_the_waiter_alone() {
    virtual_run(async || {
        let log = Log::default();
        let tasks = Rc::new(children(&log, &[Obeys, Obeys]));
        let waiting = Rc::clone(&tasks);
        let collector = create_task(async move {
            let outcomes = gather(&*waiting).return_exceptions().await?;
            Ok(outcomes.iter().filter(|outcome| outcome.is_err()).count())
        });
        settle().await;
        tasks[0].cancel();
        settle().await;
        assert!(!collector.done() && !tasks[1].done() && collector.cancelling() == 0);
        tasks[1].cancel();
        assert_eq!(collector.await?, 2, "all ended cancelled, and the gather was not");
        Ok(())
    });
}

#[test]
fn g26_repeated_requests_are_forwarded_again() {
    virtual_run(async || {
        let count = Rc::new(RefCell::new(0));
        let counted = Rc::clone(&count);
        let stubborn = create_task(async move {
            for _ in 0..3 {
                catch_cancel_plain(sleep(FOREVER)).await.unwrap_err();
                *counted.borrow_mut() += 1;
            }
            Ok(())
        });
        let collector = create_task(async move { gather([stubborn]).await });
        settle().await;
        for asked in 1..=3 {
            assert!(collector.cancel());
            settle().await;
            assert_eq!(*count.borrow(), asked);
        }
        assert!(collector.cancelled(), "rule T66");
        Ok(())
    });
}

#[test]
fn g26_a_frame_around_a_gather_is_cancelled_through_the_children() {
    virtual_run(async || {
        let log = Log::default();
        let (inner, told) = (children(&log, &[Slow, Slow]), log.clone());
        let task = create_task(async move {
            let caught = catch_cancel(gather(inner).return_exceptions()).await;
            told.say(if caught.is_err() { "caught" } else { "not caught" });
            Ok(())
        });
        settle().await;
        task.cancel();
        task.await?;
        assert_eq!(log.take(), ["slow", "slow", "caught"]);
        Ok(())
    });
}

#[test]
fn g26_a_timeout_around_a_gather_waits_for_what_the_children_do_about_it() {
    virtual_run(async || {
        let log = Log::default();
        let inner = children(&log, &[Slow, Obeys]);
        let limited = timeout(Duration::from_secs(1), async |_| {
            gather(inner).return_exceptions().await.map(drop)
        });
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(log.take(), ["obeys", "slow"]);
        Ok(())
    });
}

#[test]
fn g26_gathers_inside_gathers_pass_a_request_down_to_the_leaves() {
    virtual_run(async || {
        let log = Log::default();
        let (left, right) = (children(&log, &[Obeys, Obeys]), children(&log, &[Slow]));
        let collector = create_task(gather((gather(left), gather(right))));
        settle().await;
        collector.cancel();
        settle().await;
        assert!(collector.cancelled());
        assert_eq!(log.take(), ["obeys", "obeys", "slow"]);
        Ok(())
    });
}

#[test]
fn g26_a_gather_in_which_a_task_waits_for_itself_can_be_cancelled() {
    virtual_run(async || {
        let own: Rc<RefCell<Option<Rc<Task<()>>>>> = Rc::default();
        let handle = Rc::clone(&own);
        let task = Rc::new(create_task(async move {
            yield_now().await;
            let itself = handle.take().unwrap();
            gather([&*itself]).await.map(drop)
        }));
        *own.borrow_mut() = Some(Rc::clone(&task));
        settle().await;
        assert!(task.cancel());
        settle().await;
        assert!(task.cancelled());
        Ok(())
    });
}

#[test]
fn g32_a_gather_beside_another_wait_does_not_take_the_request() {
    virtual_run(async || {
        let log = Log::default();
        let tasks = Rc::new(children(&log, &[Obeys]));
        let (waiting, told) = (Rc::clone(&tasks), log.clone());
        let both = create_task(async move {
            let _guard = Guard(told, "both");
            match select(gather(&*waiting), sleep(FOREVER)).await {
                Either::Left((values, _)) => values.map(drop),
                Either::Right(((), _)) => Ok(()),
            }
        });
        settle().await;
        both.cancel();
        passes(1).await;
        assert!(both.cancelled(), "its request was delivered to itself");
        settle().await;
        assert!(!tasks[0].done(), "what a dropped branch awaited runs on");
        assert_eq!(log.take(), ["both dropped"]);
        Ok(())
    });
}

/// Cancels a task that waits in such a way for a task; neither is the one that takes the request.
async fn cancelled_in_one_hop(
    body: impl AsyncFnOnce(&Task<&'static str>) -> Result<()> + 'static,
) -> bool {
    let a = job("a");
    let inner = Rc::new(a.task);
    let waiting = Rc::clone(&inner);
    let waiter = create_task(async move { body(&waiting).await });
    settle().await;
    assert!(waiter.cancel());
    passes(1).await;
    let alone = waiter.cancelled() && !inner.done() && inner.cancelling() == 0;
    a.gate.set();
    settle().await;
    alone && inner.done() && !inner.cancelled()
}

#[test]
fn t76_t91_t159_shield_wait_and_as_completed_keep_a_request_for_themselves() {
    virtual_run(async || {
        assert!(cancelled_in_one_hop(async |task| shield(task).await.map(drop)).await);
        let waits =
            async |task: &Task<_>| wait([task], ReturnWhen::default(), None).await.map(drop);
        assert!(cancelled_in_one_hop(waits).await);
        let limited = Duration::from_secs(5);
        let waits = async move |task: &Task<_>| {
            wait([task], ReturnWhen::default(), limited).await.map(drop)
        };
        assert!(cancelled_in_one_hop(waits).await);
        let next = async |task: &Task<_>| as_completed([task], None).next().await.map(drop);
        assert!(cancelled_in_one_hop(next).await);
        let item = async |task: &Task<&'static str>| {
            let mut items = as_completed([task], Duration::from_secs(5)).into_iter();
            items.next().unwrap().await.map(drop)
        };
        assert!(cancelled_in_one_hop(item).await);
        Ok(())
    });
}

#[test]
fn t81_a_shielded_gather_is_not_asked() {
    virtual_run(async || {
        let log = Log::default();
        let inner = children(&log, &[Obeys, Obeys]);
        let waiter = create_task(async move { shield(gather(inner)).await });
        settle().await;
        waiter.cancel();
        passes(1).await;
        assert!(waiter.cancelled());
        settle().await;
        assert!(log.take().is_empty());
        Ok(())
    });
}

#[test]
fn g32_the_timeout_of_as_completed_is_no_wait_of_the_task_that_made_it() {
    virtual_run(async || {
        let (a, b) = (job("a"), job("b"));
        let inner = a.task;
        let waiter = create_task(async move {
            let later = as_completed([b.task], FOREVER);
            let outcome = inner.await;
            drop(later);
            outcome
        });
        yield_now().await;
        yield_now().await;
        waiter.cancel();
        passes(1).await;
        assert!(!waiter.done(), "the request went to the task that it awaits (rule G26)");
        passes(1).await;
        assert!(waiter.cancelled());
        Ok(())
    });
}
