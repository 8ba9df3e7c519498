//! Timeouts that wait for the clean-up they cause: rules T95 to T122.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Error, Result, Runner, catch_cancel, catch_cancel_plain, create_task, sleep, timeout, wait_for,
    yield_now,
};

const FOREVER: Duration = Duration::from_secs(1_000_000);

fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
}

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
}

async fn settle() {
    for _ in 0..25 {
        yield_now().await;
    }
}

#[test]
fn t96_on_expiry_the_clean_up_is_waited_for() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let limited = wait_for(
            async move {
                let caught = catch_cancel_plain(sleep(FOREVER)).await;
                sleep(Duration::from_secs(3)).await;
                inner.push("cleaned up");
                if let Err(cancelled) = caught {
                    cancelled.resume().await;
                }
                Ok::<(), Error>(())
            },
            Duration::from_secs(1),
        );
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(log.take(), ["cleaned up"]);
        assert_eq!(corelane::now(), corelane::Instant::ZERO + Duration::from_secs(4));
        Ok(())
    });
}

#[test]
fn t102_a_request_from_outside_wins_over_a_timeout_in_the_same_pass() {
    virtual_run(async || {
        let task = create_task(async {
            timeout(Duration::from_secs(1), async |_| {
                sleep(FOREVER).await;
                Ok(())
            })
            .await
        });
        settle().await;
        corelane::advance(Duration::from_secs(2));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t119_with_two_expired_scopes_the_outer_edge_converts() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let outer = timeout(Duration::from_secs(1), async |_| {
            let nested = timeout(Duration::from_secs(2), async |_| {
                sleep(FOREVER).await;
                Ok(())
            });
            let seen = catch_cancel(nested).await;
            inner.push(format!("inner cancelled: {}", seen.is_err()));
            match seen {
                Err(cancelled) => cancelled.resume().await,
                Ok(outcome) => outcome,
            }
        });
        let mut outer = pin!(outer);
        futures_util::poll!(outer.as_mut()).is_pending().then_some(()).unwrap();
        corelane::advance(Duration::from_secs(3));
        assert!(outer.await.unwrap_err().is_timeout());
        assert_eq!(log.take(), ["inner cancelled: true"]);
        Ok(())
    });
}

#[test]
fn t120_a_timeout_in_a_handler_works_while_a_request_is_outstanding() {
    virtual_run(async || {
        let task = create_task(async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            let limited = timeout(Duration::from_secs(1), async |_| {
                sleep(FOREVER).await;
                Ok(())
            });
            Ok(limited.await.unwrap_err().is_timeout())
        });
        settle().await;
        task.cancel();
        assert!(task.await?);
        Ok(())
    });
}
