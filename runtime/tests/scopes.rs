//! Where a timeout and a group can be entered, and what is left of one that is dropped: rules T111 to T139.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corelane::{
    Error, Result, Runner, call_soon, catch_cancel_plain, sleep, task_group, timeout, timeout_at,
    wait_for, yield_now,
};

const FOREVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
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
