//! `shield`: a wait whose cancellation stops at it.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::bell::Bell;
use super::items::{IntoTask, Joinable, TaskHandle};
use crate::error::{Error, Result};
use crate::task::{Notice, Observer, Watch};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// Waits for a task, and keeps a cancellation of whoever waits away from it (rules T75 to T77): cancelling the
/// waiting task ends the wait at once, and the inner task runs on. What the inner task ends with, value, error
/// or cancellation, is what the shield gives.
///
/// A bare future becomes a task. To have its outcome in spite of a cancellation, keep the task and shield a
/// reference to it:
///
/// ```
/// # use corelane::{create_task, shield, wait_for};
/// # use std::time::Duration;
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let saving = create_task(async {
///     corelane::sleep(Duration::from_secs(10)).await;
///     Ok("saved")
/// });
/// let limit = Duration::from_secs(1);
/// assert!(wait_for(shield(&saving), limit).await.is_err_and(|error| error.is_timeout()));
/// assert_eq!(saving.await?, "saved");
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Panics
/// Off a loop, if it is given a bare future.
///
/// # Cancel safety
/// Safe: dropping it leaves the inner task alone. A shield that owns its task detaches it; an error that comes
/// after that is reported as never retrieved (rule T79).
#[track_caller]
pub fn shield<I: IntoTask<Handle: Joinable>>(inner: I) -> Shield<I::Handle> {
    let inner = inner.into_task();
    let signal = Rc::<Signal>::default();
    // Rule T78: a finished one is used directly, without a hop.
    let watch = (!inner.task().done())
        .then(|| inner.task().watch_end(Notice::new(Rc::clone(&signal) as _, 0)));
    Shield { signal, watch, inner: Some(inner) }
}

/// The future of [`shield`].
#[must_use = "futures do nothing unless awaited"]
pub struct Shield<H: Joinable> {
    signal: Rc<Signal>,
    /// `None` if there is nothing to wait for.
    watch: Option<Watch>,
    /// There until the future returns.
    inner: Option<H>,
}

#[derive(Default)]
struct Signal {
    given: Cell<bool>,
    bell: Bell,
}

impl Observer for Signal {
    fn ended(&self, _child: usize, _error: Option<Error>) {
        if !self.given.replace(true) {
            self.bell.ring();
        }
    }
}

impl<H: Joinable> Drop for Shield<H> {
    fn drop(&mut self) {
        // The watch goes next, and the notice that comes of that is for nobody.
        self.signal.given.set(true);
    }
}

impl<H: Joinable> Future for Shield<H> {
    type Output = Result<H::Output>;

    /// # Panics
    /// If it is polled after it has returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.watch.is_some() && !self.signal.given.get() {
            self.signal.bell.listen(context.waker());
            cancel::note_wait(WaitKind::Shield);
            return Poll::Pending;
        }
        self.watch = None;
        let inner = self.inner.take().expect("a shield was polled after it had returned");
        Poll::Ready(inner.join_done())
    }
}

impl<H: Joinable> fmt::Debug for Shield<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("inner", &self.inner.as_ref().map(H::task)).finish()
    }
}
