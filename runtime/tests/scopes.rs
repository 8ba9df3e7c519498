//! Where a timeout and a group can be entered, and what is left of one that is dropped: rules T111 to T139.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Error, Instant, Result, TaskRef, call_soon, catch_cancel_plain, create_task, current_task, now,
    sleep, task_group, timeout, timeout_at, wait_for, yield_now,
};
use futures_util::future::{Either, select};
use futures_util::poll;
use task_support::{Log, settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn me() -> TaskRef {
    current_task().unwrap().unwrap()
}

/// Polls once where no task is.
fn polled_by_nobody<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

/// Calls `check` in a callback, which is no task, and off any loop.
fn outside_tasks(check: impl Fn() + Copy + 'static) {
    check();
    virtual_run(async move || {
        let done = Rc::new(Cell::new(false));
        let called = Rc::clone(&done);
        call_soon(move || {
            check();
            called.set(true);
        });
        yield_now().await;
        assert!(done.get());
        Ok(())
    });
}

#[test]
fn t116_a_timeout_outside_a_task_is_refused() {
    outside_tasks(|| {
        let entered = Cell::new(false);
        let body = async |_: &corelane::Timeout| {
            entered.set(true);
            Ok(())
        };
        assert!(polled_by_nobody(timeout(SECOND, body)).unwrap_err().is_runtime());
        assert!(polled_by_nobody(timeout(None, body)).unwrap_err().is_runtime());
        assert!(polled_by_nobody(timeout_at(None, body)).unwrap_err().is_runtime());
        for limit in [SECOND, Duration::ZERO] {
            let bare = async {
                entered.set(true);
                Ok::<_, Error>(())
            };
            let limited = wait_for(bare, limit);
            assert!(polled_by_nobody(limited).unwrap_err().is_runtime());
        }
        assert!(!entered.get(), "a refused body does not begin");
    });
}

#[test]
fn t132_a_group_outside_a_task_is_refused() {
    outside_tasks(|| {
        let entered = Cell::new(false);
        let group = task_group(async |_| {
            entered.set(true);
            Ok(())
        });
        assert!(polled_by_nobody(group).unwrap_err().is_runtime());
        assert!(!entered.get(), "a refused body does not begin");
    });
}

#[test]
fn t122_an_error_that_the_body_makes_of_its_cancellation_leaves_without_a_timeout_behind_it() {
    virtual_run(async || {
        let failed = timeout(SECOND, async |_| {
            let caught = catch_cancel_plain(sleep(FOREVER)).await;
            assert!(caught.is_err());
            Err::<(), _>(Error::from(std::io::Error::other("of the body")))
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.to_string(), "of the body");
        assert!(!error.is_timeout());
        let standard: Box<dyn std::error::Error + Send + Sync> = error.into();
        let causes = std::iter::successors(standard.source(), |cause| cause.source());
        assert!(!causes.into_iter().any(|cause| cause.is::<corelane::TimeoutError>()));
        Ok(())
    });
}

type Moved = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A timeout for two tasks; the one in which it ends has so many requests by then.
fn limited(cancelling: usize) -> Moved {
    Box::pin(timeout(SECOND, async move |_| {
        if let Err(cancelled) = catch_cancel_plain(sleep(FOREVER)).await {
            assert_eq!(me().cancelling(), cancelling);
            cancelled.resume().await;
        }
        Ok(())
    }))
}

#[test]
fn t111_a_timeout_that_strikes_between_its_two_tasks_is_the_second_ones() {
    virtual_run(async || {
        let shared: Rc<RefCell<Option<Moved>>> = Rc::default();
        let slot = Rc::clone(&shared);
        let first = create_task(async move {
            let mut moved = limited(1);
            assert!(poll!(&mut moved).is_pending());
            *slot.borrow_mut() = Some(moved);
            sleep(5 * SECOND).await;
            assert_eq!(me().cancelling(), 0, "nothing is left of a request that was not for it");
            Ok(())
        });
        sleep(2 * SECOND).await;
        assert_eq!(first.cancelling(), 1, "the timeout is still the first one's");
        let second = create_task(async move {
            let moved = shared.take().unwrap();
            assert!(moved.await.unwrap_err().is_timeout());
            assert_eq!(me().cancelling(), 0);
            yield_now().await;
            Ok(now() - Instant::ZERO)
        });
        assert_eq!(second.await?, 2 * SECOND);
        first.await
    });
}

#[test]
fn t111_a_timeout_that_strikes_after_its_first_task_and_before_its_second_is_not_lost() {
    virtual_run(async || {
        let mut moved = create_task(async {
            let mut moved = limited(1);
            assert!(poll!(&mut moved).is_pending());
            Ok(RefCell::new(moved))
        })
        .await?
        .into_inner();
        sleep(2 * SECOND).await;
        assert!(poll!(&mut moved).is_pending(), "it strikes in the next turn");
        assert!(moved.await.unwrap_err().is_timeout());
        assert_eq!(now() - Instant::ZERO, 2 * SECOND);
        assert_eq!(me().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn t117_a_timeout_that_was_moved_compares_with_the_count_of_its_new_task() {
    virtual_run(async || {
        let mut moved = limited(2);
        assert!(poll!(&mut moved).is_pending());
        let second = create_task(async move {
            assert!(catch_cancel_plain(sleep(FOREVER)).await.is_err());
            assert!(moved.await.unwrap_err().is_timeout());
            Ok(me().cancelling())
        });
        yield_now().await;
        second.cancel();
        assert_eq!(second.await?, 1, "its own request is outstanding as before");
        Ok(())
    });
}

/// What a scope is entered with, so that what is inside it is asked or is not.
async fn waits(in_frame: bool) {
    if in_frame {
        let _ = catch_cancel_plain(sleep(FOREVER)).await;
    } else {
        sleep(FOREVER).await;
    }
}

#[test]
fn t117_a_timeout_that_is_dropped_when_it_has_struck_takes_its_request_along() {
    virtual_run(async || {
        for (in_frame, before) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let task = create_task(async move {
                if before == 1 {
                    assert!(catch_cancel_plain(sleep(FOREVER)).await.is_err());
                }
                let limited = Box::pin(timeout(SECOND, async |_| {
                    waits(in_frame).await;
                    Ok(())
                }));
                let end = now() + SECOND;
                // It wins the step for which the timeout has woken the task.
                let wins = poll_fn(|_| if now() < end { Poll::Pending } else { Poll::Ready(()) });
                let raced = select(wins, limited).await;
                assert!(matches!(raced, Either::Left(_)));
                assert_eq!(me().cancelling(), before + 1);
                drop(raced);
                settle().await;
                Ok(me().cancelling())
            });
            settle().await;
            if before == 1 {
                task.cancel();
            }
            assert_eq!(task.await?, before, "in a frame: {in_frame}");
        }
        Ok(())
    });
}

#[test]
fn t139_a_group_that_is_dropped_when_it_has_asked_its_body_takes_its_request_along() {
    virtual_run(async || {
        for (in_frame, before) in [(false, 0), (true, 0), (false, 1), (true, 1)] {
            let task = create_task(async move {
                if before == 1 {
                    assert!(catch_cancel_plain(sleep(FOREVER)).await.is_err());
                }
                let event = Event::new();
                let set = event.clone();
                let group = Box::pin(task_group(async |group| {
                    group.add(async move {
                        set.set();
                        Err::<(), _>(Error::msg("member"))
                    })?;
                    waits(in_frame).await;
                    Ok(())
                }));
                let wins =
                    poll_fn(|_| if event.is_set() { Poll::Ready(()) } else { Poll::Pending });
                let raced = select(wins, group).await;
                assert!(matches!(raced, Either::Left(_)));
                assert_eq!(me().cancelling(), before + 1);
                drop(raced);
                settle().await;
                Ok(me().cancelling())
            });
            settle().await;
            if before == 1 {
                task.cancel();
            }
            assert_eq!(task.await?, before, "in a frame: {in_frame}");
        }
        Ok(())
    });
}

#[test]
fn t133_members_are_asked_in_the_order_of_their_creation_and_their_errors_are_the_groups_alone() {
    virtual_run(async || {
        let log = Log::reports();
        let group = task_group(async |group| {
            for name in ["first", "second", "third"] {
                let log = log.clone();
                group.add(async move {
                    assert!(catch_cancel_plain(sleep(FOREVER)).await.is_err());
                    log.say(name);
                    Err::<(), _>(Error::msg(name))
                })?;
            }
            settle().await;
            Err::<(), _>(Error::msg("body"))
        });
        assert!(group.await.is_err());
        settle().await;
        // And nothing was reported, although nobody has the handles (rule T34).
        assert_eq!(log.take(), ["first", "second", "third"]);
        Ok(())
    });
}

#[test]
fn t140_a_request_that_was_accepted_is_delivered_however_late_it_comes() {
    virtual_run(async || {
        let mut accepted = 0;
        for late in 0..8 {
            let event = Event::new();
            let set = event.clone();
            let boss = create_task(task_group(async move |group| {
                group.add(async move {
                    event.wait().await;
                    Ok(())
                })?;
                Ok("value")
            }));
            settle().await;
            set.set();
            for _ in 0..late {
                yield_now().await;
            }
            if boss.cancel() {
                accepted += 1;
                assert!(boss.await.unwrap_err().is_cancelled(), "after {late} turns");
            } else {
                assert_eq!(boss.await?, "value");
            }
        }
        assert!((3..8).contains(&accepted), "{accepted}");
        Ok(())
    });
}
