//! What tasks call: make a task, look at the clock, let others run.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::context;
use crate::error::{Error, Result};
use crate::task::{Home, Report, Resident, Task, TaskId, bound};
use crate::util::cancel;
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

const OFF_LOOP: &str = "no corelane loop is running on this thread";

/// Runs a fallible future as a task of the current loop (rules T40, T41). Its first step comes in the next
/// turn, after the tasks that were created before it.
///
/// The body returns [`Result`], so `?` works in it on every standard error. [`spawn`] is for bodies that
/// cannot fail. Dropping the handle detaches the task: it runs on (rule T36).
///
/// # Memory
/// A task is one allocation: its future, or its output where that is larger, with a header of 40 bytes and a tag
/// of up to 8, rounded up to what an allocator has room for. Beside it the table of the loop has 16 bytes for it. A name, a context, a done
/// callback or a cancel request is allocated when it is first used. The memory of tasks that have ended is kept
/// for the next ones, up to 256 KiB for each size up to a kibibyte; the table keeps its size.
///
/// ```
/// corelane::run(async || {
///     let port = corelane::create_task(async { Ok("6379".parse::<u16>()?) });
///     assert_eq!(port.await?, 6379);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Panics
/// Off a loop, or on one that is closing; [`try_create_task`] gives an error instead.
#[track_caller]
pub fn create_task<T: 'static>(future: impl Future<Output = Result<T>> + 'static) -> Task<T> {
    match task_at(future, Location::caller()) {
        Ok(task) => task,
        Err(error) => panic!("create_task: {error}"),
    }
}

/// Runs a future that cannot fail as a task of the current loop. The handle gives `Ok` of its output, or the
/// error of a cancelled or panicked task.
///
/// **A `Result` that the body returns is a value here**: awaiting the handle gives `Ok(Err(…))`, and if nobody awaits
/// it, nobody is told of the error. A body that can fail goes through [`create_task`].
///
/// ```
/// corelane::run(async || {
///     let answer = corelane::spawn(async { 6 * 7 });
///     assert_eq!(answer.await?, 42);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Panics
/// As [`create_task`].
#[track_caller]
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    match task_at(Plain::new(future), Location::caller()) {
        Ok(task) => task,
        Err(error) => panic!("spawn: {error}"),
    }
}

/// The same as [`create_task`], with an error where that panics.
///
/// # Errors
/// Runtime, off a loop or on one that is closing. The future is dropped.
#[track_caller]
pub fn try_create_task<T: 'static>(
    future: impl Future<Output = Result<T>> + 'static,
) -> Result<Task<T>> {
    task_at(future, Location::caller())
}

pub(crate) fn task_at<T: 'static>(
    future: impl Future<Output = Result<T>> + 'static,
    location: &'static Location<'static>,
) -> Result<Task<T>> {
    context::with(|core| Task::spawn(core.home(), future, location))?
        .ok_or_else(|| Error::runtime("the loop is closing"))
}

pin_project_lite::pin_project! {
    /// A future that cannot fail, as one that could.
    pub(crate) struct Plain<F> {
        #[pin]
        future: F,
    }
}

impl<F> Plain<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future }
    }
}

impl<F: Future> Future for Plain<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(context).map(Ok)
    }
}

/// A task of the current loop, whatever its output: what [`current_task`] and [`all_tasks`] give. It may be
/// kept: once the task has ended, asking it for something does nothing.
#[derive(Clone)]
pub struct TaskRef {
    home: Rc<Home>,
    resident: Resident,
}

impl TaskRef {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.resident.id
    }

    /// Its name: the given one, or `Task-N` (rule T33).
    #[must_use]
    pub fn name(&self) -> String {
        let Resident { slot, id, .. } = self.resident;
        if self.is_unfinished() { self.home.name_of(slot, id) } else { format!("Task-{id}") }
    }

    /// Names it.
    pub fn set_name(&self, name: &str) {
        if self.is_unfinished() {
            self.home.set_name(self.resident.slot, name);
        }
    }

    /// Where it was created.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.resident.location
    }

    /// Requests its cancellation (rule G20): while it runs, the request is delivered at its next suspension
    /// (rule G21). False if it has ended.
    pub fn cancel(&self) -> bool {
        self.is_unfinished() && self.home.cancel(self.resident.slot, &None)
    }

    /// The same with a message, which the [`CancelledError`](crate::CancelledError) carries (rule G28).
    pub fn cancel_with(&self, message: &str) -> bool {
        self.is_unfinished() && self.home.cancel(self.resident.slot, &Some(message.into()))
    }

    /// Requests that were not taken back (rule T31).
    #[must_use]
    pub fn cancelling(&self) -> usize {
        if self.is_unfinished() { self.home.cancelling(self.resident.slot) } else { 0 }
    }

    /// Takes one request back and says how many are left (rules T31, T32).
    pub fn uncancel(&self) -> usize {
        if self.is_unfinished() { self.home.uncancel(self.resident.slot) } else { 0 }
    }

    fn of(home: &Rc<Home>, resident: Resident) -> Self {
        Self { home: Rc::clone(home), resident }
    }

    fn is_unfinished(&self) -> bool {
        self.home.is_unfinished(self.resident.slot, self.resident.id)
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskRef")
            .field("id", &self.id())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// The task whose step is being made (rule T45): `None` in a callback that belongs to no task.
///
/// # Errors
/// Runtime, off a loop.
pub fn current_task() -> Result<Option<TaskRef>> {
    context::with(|core| core.home().running().map(|resident| TaskRef::of(core.home(), resident)))
}

/// The tasks of the current loop that have not ended, oldest first: the caller among them, and those that
/// were not begun (rule T46).
///
/// ```
/// # corelane::run(async || {
/// let _worker = corelane::spawn(corelane::sleep(std::time::Duration::from_secs(1))).named("worker");
/// for task in corelane::all_tasks()? {
///     println!("{} made at {}", task.name(), task.location());
/// }
/// assert_eq!(corelane::all_tasks()?.len(), 2);
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// Runtime, off a loop.
pub fn all_tasks() -> Result<Vec<TaskRef>> {
    context::with(|core| {
        let residents = core.home().residents().into_iter();
        residents.map(|resident| TaskRef::of(core.home(), resident)).collect()
    })
}

/// The time on the current loop's clock, virtual if that is. Loops on the system's clock have one for the process: see
/// [`Instant`].
///
/// # Panics
/// Off a loop.
#[must_use]
#[track_caller]
pub fn now() -> Instant {
    context::with(|core| core.now()).expect(OFF_LOOP)
}

/// Moves the current loop's virtual clock forward, as if the thread had been busy for so long: timers
/// that come due meanwhile fire together in the next turn. False, and nothing happens, on a real clock.
///
/// # Panics
/// Off a loop.
#[track_caller]
pub fn advance(duration: Duration) -> bool {
    context::with(|core| core.advance(duration)).expect(OFF_LOOP)
}

/// Calls `f` on the current loop: it is one entry of the ready queue, behind what is ready already. It sees
/// the task-local context of its caller. If it panics that is reported (rule G10).
///
/// # Panics
/// Off a loop.
#[track_caller]
pub fn call_soon(f: impl FnOnce() + 'static) {
    let f = bound(f);
    context::with(|core| core.call_soon(f)).expect(OFF_LOOP);
}

/// Sets who is told what nobody else can be told (rule E20), and returns who was told before. The default
/// writes to the log. A handler that panics is itself reported by the default.
///
/// # Panics
/// Off a loop.
#[track_caller]
pub fn set_report_handler(handler: impl Fn(&Report) + 'static) -> Rc<dyn Fn(&Report)> {
    let handler = Rc::new(handler);
    context::with(|core| core.home().set_report_handler(handler)).expect(OFF_LOOP)
}

/// Lets every task that is ready now run before this one goes on: one hop, asyncio's `sleep(0)`.
///
/// # Cancel safety
/// Safe: it holds nothing.
#[must_use = "futures do nothing unless awaited"]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        cancel::note_wait(WaitKind::Turn);
        Poll::Pending
    }
}
