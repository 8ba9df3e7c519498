//! Cancel frames that are moved, and dropped, where nobody expects it: rules G23 and T111.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use corelane::{catch_cancel_plain, create_task, gather, sleep, spawn, timeout, yield_now};
use futures_util::future::{join, select};
use task_support::{settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);

#[test]
fn g23_a_frame_that_was_moved_belongs_to_the_task_that_polls_it() {
    virtual_run(async || {
        let moved = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&moved);
        let first = spawn(async move {
            let mut frame = Box::pin(catch_cancel_plain(sleep(FOREVER)));
            assert!(futures_util::poll!(&mut frame).is_pending());
            *slot.borrow_mut() = Some(spawn(frame));
            sleep(FOREVER).await;
        });
        settle().await;
        let second = moved.take().unwrap();
        first.cancel();
        settle().await;
        assert!(first.done() && !second.done());
        second.cancel();
        assert!(second.await?.is_err(), "its own request came to the frame");
        Ok(())
    });
}

#[test]
fn t111_a_timeout_that_was_moved_strikes_after_its_first_task_has_ended() {
    virtual_run(async || {
        let first = create_task(async {
            let mut limited = Box::pin(timeout(Duration::from_secs(1), async |_| {
                sleep(FOREVER).await;
                Ok(())
            }));
            assert!(futures_util::poll!(&mut limited).is_pending());
            Ok(create_task(limited))
        });
        let second = first.await?;
        assert!(second.await.unwrap_err().is_timeout());
        assert_eq!(corelane::now(), corelane::Instant::ZERO + Duration::from_secs(1));
        Ok(())
    });
}

#[test]
fn g23_a_request_whose_frame_another_task_drops_stays_with_its_own_task() {
    virtual_run(async || {
        type Shared = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;
        let shared: Shared = Rc::default();
        let slot = Rc::clone(&shared);
        let owner = spawn(async move {
            let mut frame: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
            });
            assert!(futures_util::poll!(&mut frame).is_pending());
            *slot.borrow_mut() = Some(frame);
            sleep(FOREVER).await;
        });
        settle().await;
        let other = spawn(async move {
            yield_now().await;
            drop(shared.take());
            yield_now().await;
        });
        yield_now().await;
        owner.cancel();
        other.await?;
        settle().await;
        assert!(owner.done());
        Ok(())
    });
}

#[test]
fn g23_a_request_whose_frame_is_dropped_while_its_task_waits_wakes_that_task() {
    virtual_run(async || {
        type Shared = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;
        let shared: Shared = Rc::default();
        let slot = Rc::clone(&shared);
        let owner = spawn(async move {
            let mut frame: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                let _ = catch_cancel_plain(sleep(FOREVER)).await;
            });
            assert!(futures_util::poll!(&mut frame).is_pending());
            *slot.borrow_mut() = Some(frame);
            sleep(FOREVER).await;
        });
        settle().await;
        owner.cancel();
        // The owner is stepped and does not poll the frame, so that the request stays with it.
        settle().await;
        assert!(!owner.done());
        drop(shared.take());
        settle().await;
        assert!(owner.done() && owner.cancelled());
        Ok(())
    });
}

#[test]
fn g21_a_value_beside_a_frame_that_was_asked_and_dropped_is_dropped() {
    virtual_run(async || {
        let event = corelane::sync::Event::new();
        let set = event.clone();
        let task = spawn(async move {
            let frame = pin!(catch_cancel_plain(sleep(FOREVER)));
            let event = pin!(event.wait());
            // The event goes first, so that the frame is never polled again.
            select(event, frame).await;
            "value"
        });
        settle().await;
        set.set();
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn g26_the_target_of_an_outer_wait_outlives_those_inside_a_frame() {
    virtual_run(async || {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let child = move || {
            let count = Rc::clone(&count);
            async move {
                if catch_cancel_plain(sleep(FOREVER)).await.is_err() {
                    count.set(count.get() + 1);
                }
                Ok(())
            }
        };
        let task = create_task(async move {
            let all = gather(vec![child()]);
            // It is done in the step that polls both, and leaves the outer gather as the one wait.
            let inside = catch_cancel_plain(async move {
                let mut inner = pin!(gather(vec![child()]));
                assert!(futures_util::poll!(inner.as_mut()).is_pending());
            });
            let (all, _) = join(all, inside).await;
            all.map(drop)
        });
        settle().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(asked.get(), 1);
        Ok(())
    });
}

#[test]
fn t114_a_timeout_is_not_rescheduled_before_it_is_entered() {
    virtual_run(async || {
        let scope = timeout(Duration::from_secs(1), |scope: &corelane::Timeout| {
            let early = scope.reschedule(None);
            async move { Ok(early.unwrap_err().is_runtime()) }
        });
        assert!(scope.await?);
        Ok(())
    });
}
