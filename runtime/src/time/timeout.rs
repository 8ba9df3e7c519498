//! Deadlines for a piece of code.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{Error, Result, TimeoutError};
use crate::executor::{self, LoopCore, TimerKey};
use crate::task::{TaskId, alarm};
use crate::util::cancel::{self, Frame, Request, tree};
use crate::util::instant::Instant;

/// A deadline that is being watched over a body; see [`timeout`].
pub struct Timeout {
    core: Rc<LoopCore>,
    frame: Frame,
    state: Cell<State>,
    deadline: Cell<Option<Instant>>,
    /// When it was made, for the text of the error.
    since: Instant,
    /// The deadline it was made with leaves no time at all.
    has_passed: bool,
    timer: Cell<Option<TimerKey>>,
    /// In place of a timer, a callback that is queued; it does nothing once this says false.
    soon: Cell<Option<Rc<Cell<bool>>>>,
    /// Whether the body has waited, so that the deadline counts.
    armed: Cell<bool>,
    /// The task that polled it last.
    task: Cell<Option<TaskId>>,
    /// Requests of that task that were outstanding when it entered the scope.
    cancelling_before: Cell<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Active,
    Expired,
    Left,
}

/// What [`timeout`] takes: an `async |scope| …` or an `async fn` that gives a [`Result`].
///
/// Every `AsyncFnOnce(&Timeout) -> Result<T>` is one, and nothing else. It has a name so that the compiler can say what
/// to do with a future, which is what other runtimes' `timeout` takes: that is for [`wait_for`](crate::wait_for).
///
/// ```compile_fail,E0277
/// # async fn answer() -> corelane::Result<u8> { Ok(42) }
/// # async fn example() -> corelane::Result<u8> {
/// corelane::timeout(std::time::Duration::from_secs(1), answer()).await
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`timeout` takes an async closure, and this is `{Self}`",
    label = "not an `async |scope| …` that gives a `corelane::Result`",
    note = "for a future there is `wait_for(future, duration)`"
)]
pub trait TimeoutBody<T>: AsyncFnOnce(&Timeout) -> Result<T> {}

#[diagnostic::do_not_recommend]
impl<T, F: AsyncFnOnce(&Timeout) -> Result<T>> TimeoutBody<T> for F {}

/// Runs `body`, but no longer than `duration` (rules T110 to T122). `None` is no deadline.
///
/// On expiry the body is asked to end, as by [`Task::cancel`](crate::Task::cancel): what it waits for is asked
/// first, then its innermost [`catch_cancel`](crate::catch_cancel) frames, whose clean-up is waited for. Without
/// one the body is dropped where it waits. The scope then ends with an error that
/// [`is_timeout`](Error::is_timeout). A body that swallows the request and goes on keeps its value or error
/// (rule T118), and a body that never waits is never interrupted (rule T113).
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
/// What the body returns, or the timeout. If the task was cancelled besides, CancelledError goes on
/// (rules T102, T117). Runtime, outside a task of a loop (rule T116).
///
/// # Cancel safety
/// As safe as the body: it is dropped with the scope. Clean-up in it that waits cannot run then; a cancel
/// request does let it run.
pub async fn timeout<T>(
    duration: impl Into<Option<Duration>>,
    body: impl TimeoutBody<T>,
) -> Result<T> {
    let duration = duration.into();
    let core = core_of_task()?;
    let since = if duration.is_some() { core.now() } else { Instant::ZERO };
    let deadline = duration.map(|duration| since + duration);
    enter(core, since, deadline, duration.is_some_and(|duration| duration.is_zero()), body).await
}

/// The same with an absolute deadline on the loop's clock.
///
/// # Errors
/// As [`timeout`].
///
/// # Cancel safety
/// As [`timeout`].
pub async fn timeout_at<T>(
    deadline: impl Into<Option<Instant>>,
    body: impl TimeoutBody<T>,
) -> Result<T> {
    let core = core_of_task()?;
    let since = core.seen();
    enter(core, since, deadline.into(), false, body).await
}

/// The loop of the task that is being polled.
pub(super) fn core_of_task() -> Result<Rc<LoopCore>> {
    let core = executor::current()?;
    if core.home().running().is_none() {
        return Err(Error::runtime("a timeout is entered inside a task"));
    }
    Ok(core)
}

async fn enter<T>(
    core: Rc<LoopCore>,
    since: Instant,
    deadline: Option<Instant>,
    has_passed: bool,
    body: impl TimeoutBody<T>,
) -> Result<T> {
    let scope = Timeout {
        core,
        frame: Frame::new(),
        state: Cell::new(State::New),
        deadline: Cell::new(deadline),
        since,
        has_passed,
        timer: Cell::new(None),
        soon: Cell::new(None),
        armed: Cell::new(false),
        task: Cell::new(None),
        cancelling_before: Cell::new(0),
    };
    let mut body = pin!(Some(body(&scope)));
    poll_fn(|context| scope.poll(body.as_mut(), context)).await
}

impl Timeout {
    /// The deadline; `None` if there is none.
    #[must_use]
    pub fn when(&self) -> Option<Instant> {
        self.deadline.get()
    }

    /// Whether the deadline has struck (rule T115).
    #[must_use]
    pub fn expired(&self) -> bool {
        self.state.get() == State::Expired || tree::asked(self.frame.number()).is_some()
    }

    /// Replaces the deadline, also by none (rule T114).
    ///
    /// # Errors
    /// Runtime, once the deadline has struck, and before the scope is entered.
    pub fn reschedule(&self, deadline: impl Into<Option<Instant>>) -> Result<()> {
        if self.state.get() == State::New {
            return Err(Error::runtime("a timeout cannot be rescheduled before it is entered"));
        }
        if self.expired() {
            return Err(Error::runtime("a timeout that has expired cannot be rescheduled"));
        }
        self.deadline.set(deadline.into());
        self.disarm();
        // Not yet polled, or the body never waits: the timer is set when it first does.
        if self.armed.get() {
            self.arm();
        }
        Ok(())
    }

    fn poll<T>(
        &self,
        mut body: Pin<&mut Option<impl Future<Output = Result<T>>>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        let task = self.core.home().running().map(|task| task.id);
        if self.task.replace(task) != task {
            self.change_task();
        }
        if self.state.get() == State::New {
            self.state.set(State::Active);
            // One that has passed strikes in the next turn, ahead of whatever the body wakes (rule T113).
            let has_passed =
                self.deadline.get().is_some_and(|deadline| deadline <= self.core.seen());
            if self.has_passed || has_passed {
                self.frame.join(context.waker());
                self.armed.set(true);
                self.strike_soon();
            }
        }
        if let Some(request) = self.frame.take_request() {
            return self.unwound(body, request);
        }
        let Some(future) = body.as_mut().as_pin_mut() else { return Poll::Pending };
        match self.frame.enter(context, |context| future.poll(context)) {
            Poll::Ready(outcome) => Poll::Ready(self.leave(outcome)),
            Poll::Pending => match self.frame.take_request() {
                Some(request) => self.unwound(body, request),
                None => {
                    // A body that never waits needs no timer.
                    if !self.armed.replace(true) {
                        self.arm();
                    }
                    Poll::Pending
                }
            },
        }
    }

    /// Another task than before polls the scope, the first one included.
    #[cold]
    fn change_task(&self) {
        self.cancelling_before.set(self.cancelling());
        self.core.home().hand_over(self.frame.number());
        let has_passed = self.deadline.get().is_some_and(|deadline| deadline <= self.core.seen());
        if self.armed.get() && has_passed && !self.expired() {
            // It struck when the scope belonged to nobody, or is about to.
            self.disarm();
            self.strike_soon();
        }
    }

    /// The body has ended by itself.
    fn leave<T>(&self, outcome: Result<T>) -> Result<T> {
        let is_ours = self.end();
        match outcome {
            Err(error) if is_ours && error.is_cancelled() => Err(self.error()),
            outcome => outcome,
        }
    }

    /// Unwinding has come to this edge: it ends here if it was ours alone, or goes on (rule T117).
    fn unwound<T>(
        &self,
        mut body: Pin<&mut Option<impl Future<Output = Result<T>>>>,
        request: Request,
    ) -> Poll<Result<T>> {
        body.set(None);
        if self.end() {
            return Poll::Ready(Err(self.error()));
        }
        cancel::unwind(request);
        Poll::Pending
    }

    fn error(&self) -> Error {
        let duration = self.deadline.get().map(|deadline| deadline - self.since);
        duration.map(TimeoutError::after).unwrap_or_default().into()
    }

    /// Leaves the tree and takes back the request of its own; true if no other one came meanwhile.
    fn end(&self) -> bool {
        self.disarm();
        let left = self.core.home().take_back(self.frame.number());
        self.state.set(if left.is_some() { State::Expired } else { State::Left });
        self.frame.leave();
        left.is_some_and(|left| left <= self.cancelling_before.get())
    }

    fn cancelling(&self) -> usize {
        let home = self.core.home();
        home.running().map_or(0, |task| home.cancelling(task.slot))
    }

    /// Has the loop say when the deadline strikes.
    fn arm(&self) {
        let Some(deadline) = self.deadline.get() else { return };
        if deadline <= self.core.seen() {
            self.strike_soon();
        } else if self.frame.number() != 0 {
            let alarm = alarm(self.frame.number());
            self.timer.set(Some(self.core.insert_timer(deadline, alarm)));
        }
    }

    fn strike_soon(&self) {
        let number = self.frame.number();
        let counts = Rc::new(Cell::new(true));
        self.soon.set(Some(Rc::clone(&counts)));
        let home = Rc::downgrade(self.core.home());
        self.core.call_soon(Box::new(move || {
            if let Some(home) = home.upgrade()
                && counts.get()
            {
                home.request_below(number);
            }
        }));
    }

    fn disarm(&self) {
        if let Some(timer) = self.timer.take() {
            self.core.cancel_timer(timer);
        }
        if let Some(counts) = self.soon.take() {
            counts.set(false);
        }
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("when", &self.deadline.get())
            .field("expired", &self.expired())
            .finish()
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        self.disarm();
        if self.state.get() == State::Active {
            self.core.home().withdraw(&self.frame, self.cancelling_before.get());
        }
    }
}
