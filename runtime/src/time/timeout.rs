//! Deadlines for a piece of code.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::sleep::{Sleep, sleep_until};
use crate::error::{Error, Result};
use crate::executor;
use crate::util::instant::Instant;

/// A deadline that is being watched over a body; see [`timeout`].
pub struct Timeout {
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
    /// Whoever polls the scope, so that a new deadline is heard.
    waker: RefCell<Option<Waker>>,
}

/// Runs `body`, but no longer than `duration` (rules T110 to T115). On expiry the body is dropped where it
/// waits, its guards run, and the scope ends with an error that [`is_timeout`](Error::is_timeout). A body
/// that never waits is never interrupted (rule T113). `None` is no deadline.
///
/// ```
/// use std::time::Duration;
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let slow = corelane::timeout(Duration::from_secs(1), async |_| {
///     corelane::sleep(Duration::from_secs(60)).await;
///     Ok(())
/// });
/// assert!(slow.await.is_err_and(|error| error.is_timeout()));
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// What the body returns, or the timeout.
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// As safe as the body: it is dropped with the scope.
pub async fn timeout<T>(
    duration: impl Into<Option<Duration>>,
    body: impl AsyncFnOnce(&Timeout) -> Result<T>,
) -> Result<T> {
    let deadline = duration.into().map(|duration| executor::now() + duration);
    timeout_at(deadline, body).await
}

/// The same with an absolute deadline on the loop's clock.
///
/// # Errors
/// What the body returns, or the timeout.
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// As [`timeout`].
pub async fn timeout_at<T>(
    deadline: impl Into<Option<Instant>>,
    body: impl AsyncFnOnce(&Timeout) -> Result<T>,
) -> Result<T> {
    let scope = Timeout {
        deadline: Cell::new(deadline.into()),
        expired: Cell::new(false),
        waker: RefCell::new(None),
    };
    let mut timer = None;
    let mut body = pin!(body(&scope));
    poll_fn(|context| {
        // The deadline goes first: a value that comes with it or after it is too late (rule G21, case 2).
        if timer.is_some() && scope.poll_expired(&mut timer, context).is_ready() {
            return Poll::Ready(Err(Error::timed_out()));
        }
        if let Poll::Ready(outcome) = body.as_mut().poll(context) {
            return Poll::Ready(outcome);
        }
        scope.poll_expired(&mut timer, context).map(|()| Err(Error::timed_out()))
    })
    .await
}

/// Waits for `future`, but no longer than `duration` (rules T95, T98). On expiry the future is dropped.
///
/// # Errors
/// What the future fails with, or the timeout.
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// As safe as the future: it is dropped with the wait.
pub async fn wait_for<T, E: Into<Error>>(
    future: impl Future<Output = Result<T, E>>,
    duration: impl Into<Option<Duration>>,
) -> Result<T> {
    timeout(duration, async move |_| future.await.map_err(Into::into)).await
}

impl Timeout {
    /// The deadline; `None` if there is none.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Whether the deadline has struck.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.expired.get()
    }

    /// Replaces the deadline, also by none (rule T114).
    ///
    /// # Errors
    /// Runtime, once the scope has expired.
    pub fn reschedule(&self, deadline: impl Into<Option<Instant>>) -> Result<()> {
        if self.expired.get() {
            return Err(Error::runtime("a timeout that has expired cannot be rescheduled"));
        }
        self.deadline.set(deadline.into());
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn poll_expired(&self, timer: &mut Option<Sleep>, context: &mut Context<'_>) -> Poll<()> {
        let previous = self.waker.replace(Some(context.waker().clone()));
        drop(previous);
        let Some(deadline) = self.deadline.get() else {
            *timer = None;
            return Poll::Pending;
        };
        // One that has passed already strikes in the next turn (rule T113), even if the loop is too busy
        // to look at the clock before that.
        let moved = timer.as_ref().is_none_or(|timer| timer.deadline() != deadline);
        if moved && deadline <= executor::now() {
            *timer = Some(Sleep::passed(deadline));
        }
        let timer = timer.get_or_insert_with(|| sleep_until(deadline));
        if timer.deadline() != deadline {
            timer.reset(deadline);
        }
        if Pin::new(timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.expired.set(true);
        Poll::Ready(())
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("when", &self.deadline.get())
            .field("expired", &self.expired.get())
            .finish()
    }
}
