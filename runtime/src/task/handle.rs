//! What the creator of a task holds.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::home::Home;
use super::id::TaskId;
use super::joiners::DoneKey;
use crate::error::{Error, Result};

/// A handle on a task: await it for the task's output, or cancel it.
///
/// Awaiting gives the value that the body returned, or the one [`Error`] it ended with: its own
/// (`error.downcast_ref::<MyError>()` gives it back), a panic, or a cancellation. Dropping the handle
/// detaches the task: it runs on, and if it fails that is reported to the exception handler (rules T34, T36).
///
/// A handle has its task's output type to the letter:
///
/// ```compile_fail
/// fn coerced(task: corelane::Task<for<'a> fn(&'a u8)>) -> corelane::Task<fn(&'static u8)> {
///     task
/// }
/// ```
///
/// # Cancel safety
/// Awaiting `&mut task` is safe: a wait that is dropped takes nothing, and the task runs on.
#[must_use = "a dropped handle detaches its task; await it, or say `drop` to mean that"]
pub struct Task<T> {
    home: Rc<Home>,
    slot: u32,
    id: TaskId,
    spent: Option<Spent>,
    /// Invariant: a handle must name its task's output type to the letter, not one that it coerces to.
    output: PhantomData<fn(T) -> T>,
}

/// What a handle still knows when the output was taken and the slot given away.
#[derive(Clone, Copy)]
struct Spent {
    cancelled: bool,
    cancelling: usize,
}

impl<T: 'static> Task<T> {
    /// `None` if the loop has been closed.
    pub(crate) fn spawn(
        home: &Rc<Home>,
        future: impl Future<Output = Result<T>> + 'static,
        location: &'static Location<'static>,
    ) -> Option<Self> {
        let (slot, id) = home.spawn(future, location)?;
        Some(Self { home: Rc::clone(home), slot, id, spent: None, output: PhantomData })
    }
}

impl<T> Task<T> {
    /// Requests the task's cancellation (rule G20): true if it was not done. Nothing is dropped now: at the
    /// task's next turn its future is, and the task ends cancelled. A value that a lock, queue or other
    /// primitive was about to hand over goes to the next in line.
    ///
    /// Cancelling a task before its first step means that its body never runs (rule G22).
    pub fn cancel(&self) -> bool {
        self.spent.is_none() && self.home.cancel(self.slot, &None)
    }

    /// The same with a message, which the [`CancelledError`](crate::CancelledError) carries (rule G28). A
    /// request that was not delivered yet keeps its own.
    pub fn cancel_with(&self, message: &str) -> bool {
        self.spent.is_none() && self.home.cancel(self.slot, &Some(message.into()))
    }

    /// Requests that were not taken back (rule T31).
    #[must_use]
    pub fn cancelling(&self) -> usize {
        match self.spent {
            Some(spent) => spent.cancelling,
            None => self.home.cancelling(self.slot),
        }
    }

    /// Takes one request back and says how many are left. With none left, one that was recorded while the
    /// task was ready or running, and is not delivered yet, is withdrawn (rule T32).
    pub fn uncancel(&self) -> usize {
        if self.spent.is_some() { 0 } else { self.home.uncancel(self.slot) }
    }

    /// Whether the task has ended: with a value, an error, or cancelled.
    #[must_use]
    pub fn done(&self) -> bool {
        self.spent.is_some() || self.home.is_done(self.slot)
    }

    /// Whether the task ended cancelled. False while it has not ended.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        match self.spent {
            Some(spent) => spent.cancelled,
            None => self.home.was_cancelled(self.slot),
        }
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task's name: the given one, or `Task-N` with its number (rule T33).
    #[must_use]
    pub fn name(&self) -> String {
        match self.spent {
            Some(_) => format!("Task-{}", self.id),
            None => self.home.name_of(self.slot, self.id),
        }
    }

    /// Names the task. A finished task whose output was taken keeps its number.
    pub fn set_name(&self, name: &str) {
        if self.spent.is_none() {
            self.home.set_name(self.slot, name);
        }
    }

    /// Names the task and gives the handle back, for use at the call that creates it.
    pub fn named(self, name: &str) -> Self {
        self.set_name(name);
        self
    }
}

#[allow(dead_code, reason = "for the aggregates, which come next")]
impl<T: 'static> Task<T> {
    /// Has `f` called, as an entry of the ready queue, when the task has ended; queues it now if it has
    /// already. Those of one task are called in the order of registration, in between its awaiters (rule T30).
    pub(crate) fn on_done(&self, f: impl FnOnce() + 'static) -> DoneKey {
        match self.spent {
            Some(_) => self.home.on_done_already(Box::new(f)),
            None => self.home.on_done(self.slot, Box::new(f)),
        }
    }

    /// Takes back what [`on_done`](Self::on_done) registered: true if it was there and will not be called.
    pub(crate) fn off_done(&self, key: DoneKey) -> bool {
        self.spent.is_none() && self.home.off_done(self.slot, key)
    }

    /// Nobody needs a report of the task's error, whether it has failed already or will (rules T34, T63).
    pub(crate) fn mark_retrieved(&self) {
        if self.spent.is_none() {
            self.home.mark_retrieved(self.slot);
        }
    }

    /// What a task that is done ended with, which spends the handle; `None` if it is not done, or if the
    /// output was taken already.
    pub(crate) fn take_output(&mut self) -> Option<Result<T>> {
        if self.spent.is_some() {
            return None;
        }
        let (output, cancelling) = self.home.take_output(self.slot)?;
        self.spend(&output, cancelling);
        Some(output)
    }

    /// The loop of the task.
    pub(crate) fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// The task's place in the table of its loop; `None` once the output was taken, when another task may
    /// have it.
    pub(crate) fn slot(&self) -> Option<u32> {
        self.spent.is_none().then_some(self.slot)
    }

    fn spend(&mut self, output: &Result<T>, cancelling: usize) {
        let cancelled = output.as_ref().is_err_and(Error::is_cancelled);
        self.spent = Some(Spent { cancelled, cancelling });
    }
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T>;

    /// # Panics
    /// If the output was taken already: a handle gives it once.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        assert!(self.spent.is_none(), "a task was awaited again after its output was taken");
        let Poll::Ready(joined) = self.home.poll_join(self.slot, context) else {
            return Poll::Pending;
        };
        // Rule T29: a task that awaits itself is told so, and keeps its handle.
        let Some((output, cancelling)) = joined else {
            return Poll::Ready(Err(Error::runtime("a task cannot await itself")));
        };
        self.spend(&output, cancelling);
        Poll::Ready(output)
    }
}

impl<T> Unpin for Task<T> {}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.spent.is_none() {
            self.home.detach(self.slot);
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.done(), self.cancelled()) {
            (false, _) => "pending",
            (true, true) => "cancelled",
            (true, false) => "done",
        };
        f.debug_struct("Task").field("name", &self.name()).field("state", &state).finish()
    }
}
