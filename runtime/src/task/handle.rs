//! What the creator of a task holds.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::finished::FinishedTask;
use super::home::Home;
use super::id::TaskId;
use super::joiners::{DoneKey, Taken};
use super::locals::LocalContext;
use crate::error::{Error, Result};

/// A handle on a task: await it for the task's output, or cancel it.
///
/// Awaiting gives the value that the body returned, or the one [`Error`] it ended with: its own
/// (`error.downcast_ref::<MyError>()` gives it back), a panic, or a cancellation. Dropping the handle
/// detaches the task: it runs on, and if it fails that is reported to the exception handler (rules T34, T36).
///
/// Awaiting the handle takes the output out of it, once. Several tasks can await `&task`, in the order in
/// which they began to, and each gets a clone (rule T27):
///
/// ```
/// use std::rc::Rc;
///
/// corelane::run(async || {
///     let config = Rc::new(corelane::spawn(async { "loaded".to_owned() }));
///     let shared = Rc::clone(&config);
///     let other = corelane::create_task(async move { (&*shared).await });
///     assert_eq!((&*config).await?, other.await?);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
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
#[must_use = "a dropped handle leaves its task to itself, or to its task group; await it, or say `drop` to mean that"]
pub struct Task<T> {
    home: Rc<Home>,
    slot: u32,
    /// Whether the output was taken and the slot given away.
    spent: bool,
    id: TaskId,
    /// What is still to be known then. None for a task that had a value and no name.
    late: Cell<Option<Box<Late>>>,
    /// Invariant: a handle must name its task's output type to the letter, not one that it coerces to.
    output: PhantomData<fn(T) -> T>,
}

/// What a handle still knows when the output was taken and the slot given away.
#[derive(Default)]
struct Late {
    name: Option<Box<str>>,
    error: Option<Error>,
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
        Some(Self {
            home: Rc::clone(home),
            slot,
            spent: false,
            id,
            late: Cell::new(None),
            output: PhantomData,
        })
    }
}

impl<T> Task<T> {
    /// Requests the task's cancellation (rule G20): true if it was not done. Nothing is dropped now: at the
    /// task's next turn its future is, and the task ends cancelled. A value that a lock, queue or other
    /// primitive was about to hand over goes to the next in line.
    ///
    /// Cancelling a task before its first step means that its body never runs (rule G22).
    pub fn cancel(&self) -> bool {
        !self.spent && self.home.cancel(self.slot, &None)
    }

    /// The same with a message, which the [`CancelledError`](crate::CancelledError) carries (rule G28). A
    /// request that was not delivered yet keeps its own.
    pub fn cancel_with(&self, message: &str) -> bool {
        !self.spent && self.home.cancel(self.slot, &Some(message.into()))
    }

    /// Requests that were not taken back (rule T31).
    #[must_use]
    pub fn cancelling(&self) -> usize {
        match self.slot() {
            Some(slot) => self.home.cancelling(slot),
            None => self.late(|late| late.as_ref().map_or(0, |late| late.cancelling)),
        }
    }

    /// Takes one request back and says how many are left. With none left, one that was recorded while the
    /// task was ready or running, and is not delivered yet, is withdrawn (rule T32).
    pub fn uncancel(&self) -> usize {
        match self.slot() {
            Some(slot) => self.home.uncancel(slot),
            None => self.late(|late| {
                let Some(late) = late else { return 0 };
                late.cancelling = late.cancelling.saturating_sub(1);
                late.cancelling
            }),
        }
    }

    /// Whether the task has ended: with a value, an error, or cancelled.
    #[must_use]
    pub fn done(&self) -> bool {
        self.spent || self.home.is_done(self.slot)
    }

    /// Whether the task ended cancelled. False while it has not ended.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        match self.slot() {
            Some(slot) => self.home.was_cancelled(slot),
            None => self.error().is_some_and(|error| error.is_cancelled()),
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
        match self.slot() {
            Some(slot) => self.home.name_of(slot, self.id),
            None => match self.late(|late| late.as_ref()?.name.clone()) {
                Some(name) => name.into(),
                None => format!("Task-{}", self.id),
            },
        }
    }

    /// Names the task, at any time.
    pub fn set_name(&self, name: &str) {
        match self.slot() {
            Some(slot) => self.home.set_name(slot, name),
            None => self.late(|late| late.get_or_insert_default().name = Some(name.into())),
        }
    }

    /// Names the task and gives the handle back, for use at the call that creates it.
    pub fn named(self, name: &str) -> Self {
        self.set_name(name);
        self
    }
}

impl<T> Task<T> {
    /// The error that the task failed with, `None` if it has a value (rule T26). Asking counts as having seen
    /// the error (rule T34).
    ///
    /// # Errors
    /// [`is_invalid_state`](Error::is_invalid_state) while the task is not done; the cancellation, if it was
    /// cancelled.
    pub fn exception(&self) -> Result<Option<Error>> {
        if !self.done() {
            return Err(unfinished());
        }
        self.mark_retrieved();
        match self.error() {
            Some(error) if error.is_cancelled() => Err(error),
            error => Ok(error),
        }
    }

    /// Has `f` called when the task has ended, as an entry of the ready queue of its own (rule T30). Callbacks of
    /// one task are called in the order of registration, each with the finished task; on a task that is done
    /// already, `f` is queued now. A callback belongs to no task: [`current_task`](crate::current_task) is
    /// `None` in it.
    ///
    /// ```
    /// corelane::run(async || {
    ///     let task = corelane::spawn(async { 7 });
    ///     task.add_done_callback(|task| println!("{} has ended", task.name()));
    ///     task.await?;
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// A loop that is closed over the task never calls `f`.
    pub fn add_done_callback(&self, f: impl FnOnce(&FinishedTask) + 'static) -> DoneKey {
        let context = LocalContext::current();
        let f = move |task: &FinishedTask| context.enter(|| f(task));
        if let Some(slot) = self.slot() {
            return self.home.on_finished(slot, self.id, Box::new(f));
        }
        let finished = FinishedTask::spent(&self.home, self.id, self.name(), self.error());
        self.home.on_done_already(Box::new(move || f(&finished)))
    }

    /// Takes back a callback and returns how many that were: none if it was taken back before, was registered
    /// on another task, or the task has ended, when it has run or is about to.
    pub fn remove_done_callback(&self, key: DoneKey) -> usize {
        usize::from(self.off_done(key))
    }

    /// Has a task that was just created begin with `context` instead of its creator's.
    pub(crate) fn begin_with(&self, context: LocalContext) {
        if let Some(slot) = self.slot() {
            self.home.set_locals(slot, context);
        }
    }

    /// Has `f` called, as an entry of the ready queue, when the task has ended; queues it now if it has
    /// already. Those of one task are called in the order of registration, in between its awaiters (rule T30).
    pub(crate) fn on_done(&self, f: impl FnOnce() + 'static) -> DoneKey {
        match self.slot() {
            Some(slot) => self.home.on_done(slot, Box::new(f)),
            None => self.home.on_done_already(Box::new(f)),
        }
    }

    /// Takes back what [`on_done`](Self::on_done) registered: true if it was there and will not be called.
    pub(crate) fn off_done(&self, key: DoneKey) -> bool {
        self.slot().is_some_and(|slot| self.home.off_done(slot, key))
    }

    /// Nobody needs a report of the task's error, whether it has failed already or will (rules T34, T63).
    pub(crate) fn mark_retrieved(&self) {
        if let Some(slot) = self.slot() {
            self.home.mark_retrieved(slot);
        }
    }

    /// The loop of the task.
    pub(crate) fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// The task's place in the table of its loop; `None` once the output was taken, when another task may
    /// have it.
    pub(crate) fn slot(&self) -> Option<u32> {
        (!self.spent).then_some(self.slot)
    }

    /// The error that the task ended with, also the carrier of a cancellation.
    fn error(&self) -> Option<Error> {
        match self.slot() {
            Some(slot) => self.home.outcome_error(slot),
            None => self.late(|late| late.as_ref()?.error.clone()),
        }
    }

    /// Looks at what is kept of a spent handle.
    fn late<R>(&self, look: impl FnOnce(&mut Option<Box<Late>>) -> R) -> R {
        let mut late = self.late.take();
        let found = look(&mut late);
        self.late.set(late);
        found
    }
}

impl<T: 'static> Task<T> {
    /// A clone of what the task ended with: its value, or the error of a failed, panicked or cancelled task
    /// (rule T26). Asking counts as having seen the error (rule T34). To take the value itself, await the
    /// handle.
    ///
    /// # Errors
    /// [`is_invalid_state`](Error::is_invalid_state) while the task is not done, or if its value was taken by
    /// an await; otherwise the task's own.
    pub fn result(&self) -> Result<T>
    where
        T: Clone,
    {
        match self.slot() {
            Some(slot) if self.home.is_done(slot) => self.home.clone_output(slot),
            Some(_) => Err(unfinished()),
            None => Err(self.error().unwrap_or_else(|| {
                Error::invalid_state("the task's value was taken by the one who awaited it")
            })),
        }
    }

    /// What a task that is done ended with, which spends the handle; `None` if it is not done, or if the
    /// output was taken already.
    pub(crate) fn take_output(&mut self) -> Option<Result<T>> {
        let taken = self.home.take_output(self.slot()?)?;
        Some(self.spend(taken))
    }

    #[inline]
    fn spend(&mut self, taken: Taken<T>) -> Result<T> {
        let Taken { output, name, cancelling } = taken;
        self.spent = true;
        if output.is_err() || name.is_some() || cancelling > 0 {
            self.keep(name, output.as_ref().err(), cancelling);
        }
        output
    }

    #[cold]
    fn keep(&mut self, name: Option<Box<str>>, error: Option<&Error>, cancelling: usize) {
        self.late.set(Some(Box::new(Late { name, error: error.cloned(), cancelling })));
    }
}

fn unfinished() -> Error {
    Error::invalid_state("the task has not ended")
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T>;

    /// # Panics
    /// If the output was taken already: a handle gives it once.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        assert!(!self.spent, "a task was awaited again after its output was taken");
        let Poll::Ready(joined) = self.home.poll_join(self.slot, context) else {
            return Poll::Pending;
        };
        // Rule T29: a task that awaits itself is told so, and keeps its handle.
        let Some(taken) = joined else {
            return Poll::Ready(Err(Error::runtime("a task cannot await itself")));
        };
        Poll::Ready(self.spend(taken))
    }
}

impl<T> Unpin for Task<T> {}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.spent {
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
