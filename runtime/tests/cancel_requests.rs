//! Where a request goes when several things happen in one turn: rules G21, G23, T32 and T117.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use corelane::sync::{Event, Lock};
use corelane::{
    catch_cancel_plain, create_task, current_task, now, sleep, spawn, timeout, yield_now,
};
use futures_util::future::{join, select};
use task_support::{settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t32_a_waiter_that_was_cancelled_is_not_restored_when_the_request_is_taken_back() {
    virtual_run(async || {
        let waits = spawn(sleep(FOREVER));
        settle().await;
        waits.cancel();
        assert_eq!(waits.uncancel(), 0);
        settle().await;
        assert!(waits.cancelled());
        Ok(())
    });
}

#[test]
fn t32_a_request_is_taken_back_in_the_step_that_would_have_delivered_it_to_a_frame() {
    virtual_run(async || {
        let (first, second) = (Event::new(), Event::new());
        let (set_first, set_second) = (first.clone(), second.clone());
        let task = create_task(async move {
            let takes_back = async {
                first.wait().await;
                assert_eq!(current_task().unwrap().unwrap().uncancel(), 0);
            };
            let ((), caught) = join(takes_back, catch_cancel_plain(second.wait())).await;
            Ok(caught.is_ok())
        });
        settle().await;
        set_first.set();
        // It is queued, so that the frame can be spared.
        task.cancel();
        settle().await;
        set_second.set();
        assert!(task.await?, "the frame saw nothing");
        Ok(())
    });
}

#[test]
fn g21_a_task_that_is_queued_keeps_its_request_although_it_awaits_another() {
    virtual_run(async || {
        let inner = Rc::new(spawn(pending::<()>()));
        let awaited = Rc::clone(&inner);
        let waker = Rc::new(RefCell::new(None));
        let kept = Rc::clone(&waker);
        let outer = spawn(async move {
            let mut waiting = pin!(async { (&*awaited).await });
            poll_fn(|context| {
                *kept.borrow_mut() = Some(context.waker().clone());
                waiting.as_mut().poll(context).map(drop)
            })
            .await;
        });
        settle().await;
        waker.take().unwrap().wake();
        outer.cancel();
        assert_eq!(inner.cancelling(), 0);
        settle().await;
        assert!(outer.cancelled() && !inner.done());
        Ok(())
    });
}

#[test]
fn g21_who_cancels_itself_and_waits_is_dead_to_who_releases_in_the_same_turn() {
    virtual_run(async || {
        let lock = Lock::new(());
        let held = lock.acquire().await;
        let waited = lock.clone();
        let waits = spawn(async move {
            current_task().unwrap().unwrap().cancel();
            drop(waited.acquire().await);
        });
        yield_now().await;
        // It stands in line, and its guards have not run yet.
        assert!(!waits.done());
        drop(held);
        assert!(lock.try_acquire().is_some(), "nobody alive was promised the lock");
        settle().await;
        assert!(waits.cancelled());
        Ok(())
    });
}

#[test]
fn g23_a_request_that_one_frame_took_is_not_left_behind_by_another_that_goes_unasked() {
    virtual_run(async || {
        let task = create_task(async {
            let first = pin!(catch_cancel_plain(sleep(FOREVER)));
            let second = Box::pin(catch_cancel_plain(sleep(FOREVER)));
            // Both are asked; the first answers, and the other one is dropped.
            drop(select(first, second).await);
            settle().await;
            Ok("went on")
        });
        settle().await;
        task.cancel();
        assert_eq!(task.await?, "went on");
        Ok(())
    });
}

#[test]
fn t117_a_dropped_timeout_does_not_take_a_request_of_somebody_else_along() {
    virtual_run(async || {
        let task = create_task(async {
            let limited = Box::pin(timeout(SECOND, async |_| {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
                Ok(())
            }));
            let end = now() + SECOND;
            let wins = poll_fn(|_| if now() < end { Poll::Pending } else { Poll::Ready(()) });
            drop(select(wins, limited).await);
            settle().await;
            Ok(())
        });
        settle().await;
        corelane::advance(2 * SECOND);
        yield_now().await;
        yield_now().await;
        // It has struck, and the task is queued.
        assert_eq!(task.cancelling(), 1);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn g26_a_task_that_is_awaited_no_more_is_not_asked() {
    virtual_run(async || {
        let inner = Rc::new(spawn(pending::<()>()));
        let awaited = Rc::clone(&inner);
        let outer = spawn(async move {
            let mut waiting = Box::pin(async { (&*awaited).await });
            assert!(futures_util::poll!(&mut waiting).is_pending());
            drop(waiting);
            pending::<()>().await;
        });
        settle().await;
        outer.cancel();
        settle().await;
        assert!(outer.cancelled());
        assert_eq!((inner.done(), inner.cancelling()), (false, 0));
        Ok(())
    });
}

#[test]
fn g28_the_words_of_a_request_to_oneself_reach_the_frame() {
    virtual_run(async || {
        let shared: Rc<RefCell<Option<corelane::Task<Option<String>>>>> = Rc::default();
        let own = Rc::clone(&shared);
        let task = spawn(async move {
            own.borrow().as_ref().unwrap().cancel_with("enough");
            let cancelled = catch_cancel_plain(sleep(FOREVER)).await.unwrap_err();
            cancelled.message().map(str::to_owned)
        });
        *shared.borrow_mut() = Some(task);
        settle().await;
        let task = shared.take().unwrap();
        assert_eq!(task.await?.as_deref(), Some("enough"));
        Ok(())
    });
}

thread_local! {
    /// Whether the waker below may be cloned.
    static MAY_CLONE: Cell<bool> = const { Cell::new(true) };
}

/// A waker that wakes nobody, and that is not always cloned.
fn moody() -> Waker {
    fn clone(_: *const ()) -> RawWaker {
        assert!(MAY_CLONE.get(), "no more clones");
        RawWaker::new(std::ptr::null(), &TABLE)
    }
    fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    // SAFETY: no function of the table looks at the pointer, and there is nothing that belongs to a waker.
    unsafe { Waker::new(std::ptr::null(), &TABLE) }
}

#[test]
fn g10_a_foreign_waker_that_is_not_cloned_keeps_no_request_from_its_way() {
    virtual_run(async || {
        let (first, second) = (Event::new(), Event::new());
        let both = create_task(async move {
            let mut first = pin!(catch_cancel_plain(first.wait()));
            // Polled by a waker of its own, as collections of futures do it, and whenever the task is.
            let foreign = poll_fn(move |_| {
                first
                    .as_mut()
                    .poll(&mut Context::from_waker(&moody()))
                    .map(|caught| caught.is_err())
            });
            let other = async { catch_cancel_plain(second.wait()).await.is_err() };
            Ok(join(foreign, other).await)
        });
        settle().await;
        MAY_CLONE.set(false);
        let asked = both.cancel();
        MAY_CLONE.set(true);
        assert!(asked);
        assert_eq!(both.await?, (true, true));
        Ok(())
    });
}
