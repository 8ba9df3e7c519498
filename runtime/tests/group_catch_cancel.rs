//! Cancel frames: rules G23 to G33.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{Event, Lock};
use corelane::{
    CancelledError, Error, catch_cancel, catch_cancel_plain, create_task, sleep, spawn, timeout,
    yield_now,
};
use futures_util::future::{Either, join, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use task_support::{settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn push(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }

    fn guard(&self, name: &'static str) -> Guard {
        Guard(self.clone(), name)
    }
}

/// Says when it is dropped.
struct Guard(Log, &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.push(format!("drop {}", self.1));
    }
}

/// Waits in a frame and says how that ended.
async fn framed(log: Log, name: &'static str) {
    let inner = log.clone();
    let caught = catch_cancel_plain(async move {
        let _guard = inner.guard(name);
        sleep(FOREVER).await;
    })
    .await;
    log.push(format!("{name} {}", if caught.is_err() { "cancelled" } else { "done" }));
}

#[test]
fn g23_the_inside_is_dropped_and_the_handler_goes_on_in_the_same_step() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = spawn(async move {
            let outer = inner.guard("outside");
            let caught = catch_cancel_plain(async {
                let _first = inner.guard("first");
                let _second = inner.guard("second");
                sleep(FOREVER).await;
            })
            .await;
            assert!(caught.is_err());
            inner.push("handler");
            yield_now().await;
            inner.push("cleaned up");
            drop(outer);
            7
        });
        settle().await;
        assert!(task.cancel());
        assert!(log.take().is_empty(), "nothing happens before the task's own turn");
        yield_now().await;
        assert_eq!(log.take(), ["drop second", "drop first", "handler"]);
        yield_now().await;
        assert_eq!(log.take(), ["cleaned up", "drop outside"]);
        assert_eq!(task.cancelling(), 1, "swallowing does not lower the count");
        assert_eq!(task.await?, 7);
        Ok(())
    });
}

#[test]
fn g24_resuming_reaches_the_next_frame_out_in_the_same_step() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = spawn(async move {
            let outer = catch_cancel_plain(async {
                let _between = inner.guard("between");
                let caught = catch_cancel_plain(sleep(FOREVER)).await;
                inner.push("inner");
                caught.unwrap_err().resume().await;
            })
            .await;
            inner.push(format!("outer {:?}", outer.unwrap_err().message()));
        });
        settle().await;
        task.cancel_with("enough");
        yield_now().await;
        assert_eq!(log.take(), ["inner", "drop between", "outer Some(\"enough\")"]);
        task.await
    });
}

#[test]
fn g24_resuming_without_a_frame_ends_the_task_cancelled_in_the_same_step() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = spawn(async move {
            let _outside = inner.guard("outside");
            let caught = catch_cancel_plain(sleep(FOREVER)).await;
            caught.unwrap_err().resume().await;
        });
        settle().await;
        task.cancel_with("enough");
        yield_now().await;
        assert!(task.done() && task.cancelled());
        assert_eq!(log.take(), ["drop outside"]);
        let error = task.await.unwrap_err();
        assert_eq!(error.downcast_ref::<CancelledError>().unwrap().message(), Some("enough"));
        Ok(())
    });
}

#[test]
fn g25_a_second_request_interrupts_the_clean_up_and_is_seen_by_the_next_frame_out() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = spawn(async move {
            let outer = catch_cancel_plain(async {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
                inner.push("clean-up begins");
                let _cut = inner.guard("clean-up");
                sleep(FOREVER).await;
            })
            .await;
            assert!(outer.is_err());
            inner.push("outer");
            yield_now().await;
            inner.push("no third one");
        });
        settle().await;
        task.cancel();
        settle().await;
        assert_eq!(log.take(), ["clean-up begins"]);
        task.cancel();
        settle().await;
        assert_eq!(log.take(), ["drop clean-up", "outer", "no third one"]);
        assert_eq!(task.cancelling(), 2);
        task.await
    });
}

#[test]
fn g23_a_request_goes_to_both_frames_of_a_join_and_the_rest_goes_on() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let gate = Event::new();
        let opened = gate.clone();
        let task = spawn(async move {
            let beside = async {
                let _guard = inner.guard("beside");
                opened.wait().await;
                inner.push("beside goes on");
            };
            let frames = join(framed(inner.clone(), "a"), framed(inner.clone(), "b"));
            join(frames, beside).await;
            inner.push("joined");
        });
        settle().await;
        task.cancel();
        settle().await;
        assert_eq!(log.take(), ["drop a", "a cancelled", "drop b", "b cancelled"]);
        gate.set();
        task.await?;
        assert_eq!(log.take(), ["beside goes on", "drop beside", "joined"]);
        Ok(())
    });
}

#[test]
fn g23_a_request_reaches_frames_that_are_polled_only_when_woken() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = spawn(async move {
            let mut all = FuturesUnordered::new();
            for name in ["a", "b", "c"] {
                all.push(framed(inner.clone(), name));
            }
            while all.next().await.is_some() {}
            inner.push("all");
        });
        settle().await;
        task.cancel();
        task.await?;
        let mut seen = log.take();
        assert_eq!(seen.pop().unwrap(), "all");
        seen.sort();
        assert_eq!(
            seen,
            ["a cancelled", "b cancelled", "c cancelled", "drop a", "drop b", "drop c"]
        );
        Ok(())
    });
}

#[test]
fn g23_a_timeout_beside_a_plain_future_is_dropped_with_it() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = create_task(async move {
            let limited = timeout(FOREVER / 2, async |_| {
                let _guard = inner.guard("limited");
                sleep(FOREVER).await;
                Ok(())
            });
            let plain = async {
                let _guard = inner.guard("plain");
                sleep(FOREVER).await;
            };
            join(limited, plain).await.0
        });
        settle().await;
        task.cancel();
        yield_now().await;
        assert!(task.cancelled());
        assert_eq!(log.take(), ["drop limited", "drop plain"]);
        Ok(())
    });
}

#[test]
fn g23_an_expiry_asks_only_the_frames_below_its_scope() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let task = create_task(async move {
            let limited = timeout(Duration::from_secs(1), async |_| {
                framed(inner.clone(), "below").await;
                Ok("swallowed")
            });
            let beside = timeout(Duration::from_secs(5), async |_| {
                framed(inner.clone(), "beside").await;
                Ok("later")
            });
            let (limited, beside) = join(limited, beside).await;
            Ok((limited?, beside?))
        });
        sleep(Duration::from_secs(2)).await;
        assert_eq!(log.take(), ["drop below", "below cancelled"]);
        assert_eq!(task.await?, ("swallowed", "later"));
        assert_eq!(log.take(), ["drop beside", "beside cancelled"]);
        Ok(())
    });
}

#[test]
fn g26_a_request_goes_to_the_task_that_is_awaited_and_may_be_swallowed_there() {
    virtual_run(async || {
        let inner = spawn(async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            yield_now().await;
            "inner value"
        });
        let outer = create_task(inner);
        settle().await;
        assert!(outer.cancel());
        settle().await;
        assert_eq!(outer.cancelling(), 1);
        assert!(!outer.cancelled());
        assert_eq!(outer.await?, "inner value");
        Ok(())
    });
}

#[test]
fn g26_a_request_passes_down_a_long_chain_of_tasks_without_recursion() {
    virtual_run(async || {
        let mut last = create_task(async {
            sleep(FOREVER).await;
            Ok(())
        });
        for _ in 0..100_000 {
            let before = last;
            last = create_task(before);
        }
        sleep(Duration::from_secs(1)).await;
        last.cancel();
        assert!(last.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn g29_both_carriers_reach_the_frame() {
    virtual_run(async || {
        let cancelled = spawn(sleep(FOREVER));
        cancelled.cancel();
        let caught = catch_cancel(cancelled).await;
        assert!(caught.is_err());
        let failed = catch_cancel(async { Err::<(), _>(Error::msg("mine")) }).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "mine");
        Ok(())
    });
}

#[test]
fn g32_with_two_waits_a_request_is_not_forwarded() {
    virtual_run(async || {
        let inner = spawn(async {
            sleep(Duration::from_secs(5)).await;
            1
        });
        let outer = create_task(async move {
            let both = select(inner, sleep(FOREVER)).await;
            let Either::Left((value, _)) = both else { unreachable!("the task ends first") };
            value
        });
        settle().await;
        outer.cancel();
        yield_now().await;
        assert!(outer.cancelled(), "it was delivered here and not to the task that runs on");
        Ok(())
    });
}

#[test]
fn g33_a_frame_that_has_completed_is_no_target() {
    virtual_run(async || {
        let task = spawn(async {
            let mut done = pin!(catch_cancel_plain(async { 1 }));
            let first = done.as_mut().await;
            assert_eq!(first.unwrap(), 1);
            // The completed frame is still there, and takes nothing.
            sleep(FOREVER).await;
        });
        settle().await;
        task.cancel();
        yield_now().await;
        assert!(task.cancelled());
        Ok(())
    });
}

#[test]
fn g21_a_lock_passes_over_a_waiter_whose_frame_was_asked() {
    virtual_run(async || {
        let lock = Lock::new(());
        let held = lock.acquire().await;
        let (first, second) = (lock.clone(), lock.clone());
        let log = Log::default();
        let (a, b) = (log.clone(), log.clone());
        let cancelled = spawn(async move {
            let caught = catch_cancel_plain(first.acquire()).await;
            a.push(if caught.is_err() { "first cancelled" } else { "first got it" });
        });
        let next = spawn(async move {
            let _guard = second.acquire().await;
            b.push("second got it");
        });
        settle().await;
        cancelled.cancel();
        drop(held);
        cancelled.await?;
        next.await?;
        assert_eq!(log.take(), ["first cancelled", "second got it"]);
        Ok(())
    });
}

#[test]
fn t32_a_request_that_was_taken_back_is_not_delivered_to_a_frame() {
    virtual_run(async || {
        let event = Event::new();
        let waited = event.clone();
        let task = spawn(async move { catch_cancel_plain(waited.wait()).await.is_ok() });
        settle().await;
        event.set();
        task.cancel();
        assert_eq!(task.uncancel(), 0);
        assert!(task.await?, "it was queued, so the request could be taken back");
        Ok(())
    });
}

#[test]
fn g31_guards_may_cancel_spawn_and_release() {
    virtual_run(async || {
        struct Busy(Option<corelane::Task<()>>);
        impl Drop for Busy {
            fn drop(&mut self) {
                drop(spawn(async {}));
                if let Some(other) = self.0.take() {
                    other.cancel();
                }
                drop(catch_cancel_plain(sleep(FOREVER)));
            }
        }
        let other = spawn(sleep(FOREVER));
        let task = spawn(async move {
            let caught = catch_cancel_plain(async move {
                let _busy = Busy(Some(other));
                sleep(FOREVER).await;
            });
            caught.await.is_err()
        });
        settle().await;
        task.cancel();
        assert!(task.await?);
        Ok(())
    });
}

#[test]
fn g30_outside_a_task_a_frame_lets_everything_through() {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut frame = pin!(catch_cancel_plain(async { 3 }));
    assert_eq!(
        frame.as_mut().poll(&mut context).map(|caught| caught.unwrap()),
        std::task::Poll::Ready(3)
    );
}
