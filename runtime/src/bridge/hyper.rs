//! What hyper 1 asks of a runtime: a stream, a clock, a way to start tasks.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt;

use crate::executor::{self, TimerKey, try_create_task};
use crate::io::Duplex;
use crate::util::cancel;
use crate::util::copy::steps;
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

#[cfg(test)]
mod tests;

impl rt::Read for Duplex {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut to: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let reader = &mut self.get_mut().reader;
        if to.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let unread = ready!(reader.poll_fill_buf(context))?;
        let count_bytes = unread.len().min(to.remaining());
        steps(&unread[..count_bytes]).for_each(|step| to.put_slice(step));
        reader.consume(count_bytes);
        Poll::Ready(Ok(()))
    }
}

impl rt::Write for Duplex {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write_vectored(context, slices)
    }
}

/// Starts hyper's futures as tasks of the current loop. They need not be `Send`.
///
/// On a loop that is closing, and off a loop, a future is dropped instead, which ends what it served.
#[derive(Debug, Clone, Copy, Default)]
pub struct HyperExecutor;

impl<F: Future + 'static> rt::Executor<F> for HyperExecutor {
    fn execute(&self, future: F) {
        let body = async move {
            future.await;
            Ok(())
        };
        // The handle is dropped, which detaches the task.
        drop(try_create_task(body));
    }
}

/// The current loop's clock for hyper, which may be a virtual one.
///
/// It belongs to the loop on which it was made; what it is asked for must be awaited there.
///
/// ```
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// use corelane::bridge::HyperTimer;
/// use hyper::rt::Timer;
///
/// let start = corelane::now();
/// HyperTimer::new().sleep(std::time::Duration::from_secs(3_600)).await;
/// assert_eq!(corelane::now() - start, std::time::Duration::from_secs(3_600));
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct HyperTimer {
    /// One moment, on hyper's clock and on the loop's.
    theirs: std::time::Instant,
    ours: Instant,
}

impl HyperTimer {
    /// The clock of the current loop.
    ///
    /// # Panics
    /// Off a loop.
    #[must_use]
    #[track_caller]
    #[allow(
        clippy::disallowed_methods,
        reason = "hyper counts by std's clock: this is only the point from which both count"
    )]
    pub fn new() -> Self {
        Self { theirs: std::time::Instant::now(), ours: executor::now() }
    }

    fn on_loop(&self, deadline: std::time::Instant) -> Instant {
        match deadline.checked_duration_since(self.theirs) {
            Some(ahead) => self.ours + ahead,
            None => self.ours - self.theirs.saturating_duration_since(deadline),
        }
    }
}

impl Default for HyperTimer {
    /// As [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl rt::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(LoopSleep { deadline: executor::now() + duration, timer: None })
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(LoopSleep { deadline: self.on_loop(deadline), timer: None })
    }

    fn now(&self) -> std::time::Instant {
        // As the loop last saw it: hyper asks at each request, for a deadline that is seconds away.
        let seen =
            executor::with(|core| core.seen()).expect("a HyperTimer needs a running corelane loop");
        self.theirs + (seen - self.ours)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn rt::Sleep>>, deadline: std::time::Instant) {
        match sleep.as_mut().downcast_mut_pin::<LoopSleep>() {
            Some(sleep) => sleep.get_mut().reset(self.on_loop(deadline)),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// A sleep without a reference to its loop: hyper wants it to be `Send`, which a loop is not. So it finds the
/// loop at each poll, and its timer by number.
#[derive(Debug)]
struct LoopSleep {
    deadline: Instant,
    /// Fires at the deadline or before it.
    timer: Option<Armed>,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    /// The serial number of its loop.
    on: u64,
    key: TimerKey,
    at: Instant,
}

impl LoopSleep {
    /// A timer that fires too early is left alone: hyper puts the deadline off with each request, and its last
    /// one is rarely reached.
    fn reset(&mut self, deadline: Instant) {
        if self.timer.is_some_and(|armed| armed.at > deadline) {
            self.disarm();
        }
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        let Some(armed) = self.timer.take() else { return };
        // On another loop, or on none, it cannot be reached: then it wakes whoever waited, for nothing.
        let _ = executor::with(|core| {
            if core.serial() == armed.on {
                core.cancel_timer(armed.key);
            }
        });
    }
}

impl Future for LoopSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.get_mut();
        let core = executor::current().expect("a HyperTimer needs a running corelane loop");
        if let Some(armed) = sleep.timer
            && armed.on == core.serial()
            && core.renew_timer(armed.key, context.waker())
        {
            cancel::note_wait(WaitKind::Sleep);
            return Poll::Pending;
        }
        sleep.timer = None;
        // What has come due since the loop last looked at the clock fires in its next turn: that is soon enough,
        // and saves a look for each of hyper's requests.
        if core.seen() >= sleep.deadline {
            return Poll::Ready(());
        }
        // On a loop that is closing nobody will be woken any more.
        if !core.is_shut() {
            let at = sleep.deadline;
            let key = core.insert_timer(at, context.waker().clone());
            sleep.timer = Some(Armed { on: core.serial(), key, at });
        }
        cancel::note_wait(WaitKind::Sleep);
        Poll::Pending
    }
}

impl rt::Sleep for LoopSleep {}

impl Drop for LoopSleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
