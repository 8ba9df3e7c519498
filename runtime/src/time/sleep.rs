//! `sleep`: a future that is ready when its time has come.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::executor::{self, LoopCore, TimerKey};
use crate::util::cancel;
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

/// Waits until `duration` has passed on the loop's clock, counted from this call. Zero lets every task that
/// is ready run once (rule T51).
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// Safe: dropping it removes its timer at once (rule T53).
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let core = current();
    let state = if duration.is_zero() { State::Yield } else { State::New };
    Sleep { deadline: core.now() + duration, state, core }
}

/// Waits as [`sleep`] does and gives `value` back (rule T50).
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// Safe: dropping it drops the value and removes the timer.
pub async fn sleep_with<T>(duration: Duration, value: T) -> T {
    sleep(duration).await;
    value
}

/// The same for a number of seconds: nothing and less than nothing let every task that is ready run once, and
/// more than the clock can count is for ever (rules T51, T52).
///
/// ```
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// corelane::sleep_secs(0.25)?.await;
/// assert!(corelane::sleep_secs(f64::NAN).is_err_and(|error| error.is_value()));
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// Value, if `seconds` is not a number.
///
/// # Panics
/// Off a loop.
#[track_caller]
pub fn sleep_secs(seconds: f64) -> Result<Sleep> {
    if seconds.is_nan() {
        return Err(Error::value("sleep was given seconds that are not a number"));
    }
    let too_long = Duration::from_secs(u64::MAX);
    Ok(sleep(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(too_long)))
}

/// Waits until `deadline` on the loop's clock. One that has passed lets every task that is ready run once.
///
/// # Panics
/// Off a loop.
///
/// # Cancel safety
/// Safe: dropping it removes its timer at once.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, state: State::New, core: current() }
}

#[track_caller]
fn current() -> Rc<LoopCore> {
    executor::current().expect("sleep needs a running corelane loop on this thread")
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    core: Rc<LoopCore>,
    deadline: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    New,
    /// One hop, whatever the clock does.
    Yield,
    Waiting(TimerKey),
    Done,
}

impl Sleep {
    /// When it is ready.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn stop(&mut self) {
        if let State::Waiting(key) = std::mem::replace(&mut self.state, State::Done) {
            self.core.cancel_timer(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.state {
            State::New => {
                let key = self.core.insert_timer(self.deadline, context.waker().clone());
                self.state = State::Waiting(key);
                cancel::note_wait(WaitKind::Sleep);
                Poll::Pending
            }
            State::Yield => {
                self.state = State::Done;
                context.waker().wake_by_ref();
                cancel::note_wait(WaitKind::Turn);
                Poll::Pending
            }
            State::Waiting(key) => {
                if self.core.renew_timer(key, context.waker()) {
                    cancel::note_wait(WaitKind::Sleep);
                    return Poll::Pending;
                }
                self.state = State::Done;
                Poll::Ready(())
            }
            State::Done => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
