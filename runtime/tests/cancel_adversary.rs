//! Cancel frames that are moved, and dropped, where nobody expects it: rules G23 and T111.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use corelane::{Result, Runner, catch_cancel_plain, create_task, sleep, spawn, timeout, yield_now};

const FOREVER: Duration = Duration::from_secs(1_000_000);

fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
}

async fn settle() {
    for _ in 0..25 {
        yield_now().await;
    }
}

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
