//! Tasks of a loop that other threads have asked for: `run_coroutine_threadsafe` (rules T170 to T176).
//!
//! ```text
//!  other thread                                   the loop's thread
//!  run_coroutine_threadsafe(loop, f) ── letter ─▶ f makes a future, the future becomes a task
//!  RemoteTask: result, await ◀── outcome ──────── the task ends
//!              cancel ────────── letter ────────▶ the task is cancelled
//! ```
//!
//! What both sides share is one place for the outcome, under a lock. The first to fill it settles the matter:
//! the task that ended, a `cancel`, or a loop that was closed. The task itself never leaves its loop.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::{Error, Result, TimeoutError, drop_quietly};
use crate::executor::{self, RemoteLoop};
use crate::task::{ReportKind, Task, Travelling};
use crate::util::cancel;
use crate::util::monitor::Monitor;
use crate::util::wait_kind::WaitKind;

/// Runs a future as a task of another thread's loop, from any thread, and gives a handle on it at once
/// (rule T170).
///
/// `f` travels to the loop and makes the future there, so the future need not be `Send`. It is called in the
/// order in which one thread has submitted (rule T175); if it panics, that goes to the handle and is reported
/// on the loop (rule T174). The task is one as any other: when `run` ends while it is alive it is cancelled,
/// and the handle with it (rule T176). It begins with clones of the values that [`sendable`](crate::LocalKey::sendable)
/// local keys have on this thread, or in this task.
///
/// ```
/// use std::time::Duration;
///
/// let mut runner = corelane::Runner::new();
/// let remote = runner.remote()?;
/// let client = std::thread::spawn(move || {
///     let task = corelane::run_coroutine_threadsafe(&remote, || async {
///         corelane::sleep(Duration::from_millis(1)).await;
///         Ok(42)
///     });
///     task.result(Duration::from_secs(10))
/// });
/// runner.run(async || Ok(corelane::sleep(Duration::from_millis(50)).await))?;
/// assert_eq!(client.join().unwrap()?, 42);
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// None here. The handle gives Runtime if the loop has been closed, and is cancelled if it closes before the
/// task was made (rule T176).
#[track_caller]
pub fn run_coroutine_threadsafe<T, F>(
    target: &RemoteLoop,
    f: impl FnOnce() -> F + Send + 'static,
) -> RemoteTask<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + 'static,
{
    let location = Location::caller();
    let place = Arc::new(Place(Monitor::new(Stage::Pending(None))));
    let key = LAST_KEY.fetch_add(1, Ordering::Relaxed);
    let promise = Promise { key, place: Arc::clone(&place) };
    let locals = Travelling::capture();
    if target.submit(move || locals.enter(|| create(promise, f, location))).is_err() {
        // The promise was dropped with the closure; nobody can have seen what it said.
        *place.0.lock() = Stage::Ended(Err(Error::runtime("the loop has been closed")));
    }
    RemoteTask { place, key, target: target.clone(), awaited: false }
}

/// A task of another thread's loop, as every thread may see it: `Send` and `Sync`.
///
/// Ask for its outcome with [`result`](Self::result), which blocks, or await it, in any runtime. A handle that
/// is dropped lets its task run on, and an error that then nobody can ask for is reported on the loop. One
/// that is dropped while it is awaited, because whoever awaits it was cancelled, cancels its task.
///
/// # Cancel safety
/// Awaiting `&mut task` is safe: a wait that is dropped takes nothing, and the task can be awaited again.
#[must_use = "a dropped handle detaches its task; await it, or say `drop` to mean that"]
pub struct RemoteTask<T> {
    place: Arc<Place<T>>,
    key: u64,
    target: RemoteLoop,
    awaited: bool,
}

/// Names tasks among the residents of whatever loop. No data travels by it, so `Relaxed` is enough.
static LAST_KEY: AtomicU64 = AtomicU64::new(0);

/// Where the outcome goes.
struct Place<T>(Monitor<Stage<T>>);

enum Stage<T> {
    /// With whoever awaits it.
    Pending(Option<Waker>),
    Ended(Result<T>),
    /// The value was given away.
    Taken,
}

impl<T> RemoteTask<T> {
    /// Blocks this thread until the task has ended, and gives its value or error; with a limit, no longer than
    /// that (rule T171). A value is given once, an error as often as it is asked for.
    ///
    /// # Errors
    /// The task's own; [`is_timeout`](Error::is_timeout) if the limit has passed, when the task goes on and can
    /// be asked again; [`is_cancelled`](Error::is_cancelled) if either side has cancelled it (rules T172,
    /// T173); Runtime if the value was given already, or on the thread of the task's own loop, which would
    /// wait for itself.
    pub fn result(&self, limit: impl Into<Option<Duration>>) -> Result<T> {
        let limit = limit.into();
        let mut stage = self.place.0.lock();
        if stage.is_pending() {
            if self.target.is_home() {
                return Err(Error::runtime("a loop's own thread cannot wait for its tasks"));
            }
            stage = self.place.0.wait_while(stage, limit, |stage| stage.is_pending());
        }
        stage
            .take()
            .unwrap_or_else(|| Err(limit.map(TimeoutError::after).unwrap_or_default().into()))
    }

    /// Cancels the task: the handle is cancelled at once, the task when its loop comes to it (rule T172). True
    /// if the handle is cancelled now; false if the task had ended before.
    pub fn cancel(&self) -> bool {
        if !self.place.settle(Err(Error::cancelled())) {
            return self.cancelled();
        }
        let key = self.key;
        let order = move || {
            // Off the loop, or on one that is closing, there is no task any more.
            let residents = executor::with(|core| core.existing_companion::<Residents>());
            if let Ok(Some(residents)) = residents {
                residents.cancel(key);
            }
        };
        // A loop that was closed has no task to cancel.
        let _ = self.target.submit(order);
        true
    }

    /// Whether the outcome is known: a value, an error, or cancelled.
    #[must_use]
    pub fn done(&self) -> bool {
        !self.place.0.lock().is_pending()
    }

    /// Whether the task was cancelled, by either side.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        matches!(&*self.place.0.lock(), Stage::Ended(Err(error)) if error.is_cancelled())
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.awaited = true;
        // Cloning and dropping a waker may be another executor's code: without the lock.
        let waker = context.waker().clone();
        let mut stage = self.place.0.lock();
        if let Stage::Pending(waiting) = &mut *stage {
            let replaced = waiting.replace(waker);
            drop(stage);
            drop(replaced);
            cancel::note_wait(WaitKind::Call);
            return Poll::Pending;
        }
        Poll::Ready(stage.take().expect("what is not pending has an outcome"))
    }
}

impl<T> Unpin for RemoteTask<T> {}

impl<T> Drop for RemoteTask<T> {
    fn drop(&mut self) {
        if self.awaited && !self.done() {
            self.cancel();
        }
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.done(), self.cancelled()) {
            (false, _) => "pending",
            (true, true) => "cancelled",
            (true, false) => "done",
        };
        f.debug_struct("RemoteTask").field("state", &state).finish()
    }
}

impl<T> Stage<T> {
    fn is_pending(&self) -> bool {
        matches!(self, Self::Pending(_))
    }

    /// The outcome, if there is one. A value goes, an error stays.
    fn take(&mut self) -> Option<Result<T>> {
        match self {
            Self::Pending(_) => None,
            Self::Ended(Err(error)) => Some(Err(error.clone())),
            Self::Ended(Ok(_)) => match std::mem::replace(self, Self::Taken) {
                Self::Ended(outcome) => Some(outcome),
                _ => None,
            },
            Self::Taken => Some(Err(Error::runtime("the value of this task was given already"))),
        }
    }
}

impl<T> Place<T> {
    /// Fills the place, if nobody was faster. What is not wanted is dropped without the lock.
    fn settle(&self, outcome: Result<T>) -> bool {
        let mut stage = self.0.lock();
        if !stage.is_pending() {
            drop(stage);
            drop_quietly(outcome);
            return false;
        }
        let before = std::mem::replace(&mut *stage, Stage::Ended(outcome));
        drop(stage);
        self.0.notify_all();
        if let Stage::Pending(Some(waker)) = before {
            // A waker of another executor is other people's code, and we may be inside a destructor.
            drop_quietly(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
        true
    }
}

/// The duty to fill a place: whoever drops it unfilled cancels the handle.
struct Promise<T> {
    key: u64,
    place: Arc<Place<T>>,
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.place.settle(Err(Error::cancelled()));
    }
}

/// Makes the task, on its loop.
fn create<T, F>(promise: Promise<T>, f: impl FnOnce() -> F, location: &'static Location<'static>)
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + 'static,
{
    // Cancelled before it was made: the body never runs.
    if !promise.place.0.lock().is_pending() {
        return;
    }
    let Ok(core) = executor::current() else { return };
    let future = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(future) => future,
        Err(payload) => {
            let error = Error::panicked(payload);
            promise.place.settle(Err(error.clone()));
            return core.report(ReportKind::Callback, error);
        }
    };
    let Some(residents) = core.companion(Residents::default) else { return };
    if let Some(task) = Task::spawn(core.home(), future, location) {
        Residents::admit(&residents, task, promise);
    }
}

/// The tasks of one loop that other threads have asked for.
#[derive(Default)]
struct Residents(RefCell<BTreeMap<u64, Box<dyn Resident>>>);

trait Resident {
    fn cancel(&self);
}

/// A task and the place for its outcome. It is dropped when the task has ended, or with its loop.
struct Tenant<T: 'static> {
    task: Task<T>,
    promise: Promise<T>,
}

impl Residents {
    fn admit<T: 'static>(this: &Rc<Self>, task: Task<T>, promise: Promise<T>) {
        let (key, residents) = (promise.key, Rc::downgrade(this));
        task.on_done(move || {
            // With the loop the residents go, and all tenants at once.
            let tenant = residents.upgrade().and_then(|this| this.0.borrow_mut().remove(&key));
            drop(tenant);
        });
        this.0.borrow_mut().insert(key, Box::new(Tenant { task, promise }));
    }

    fn cancel(&self, key: u64) {
        if let Some(tenant) = self.0.borrow().get(&key) {
            tenant.cancel();
        }
    }
}

impl<T> Resident for Tenant<T> {
    fn cancel(&self) {
        self.task.cancel();
    }
}

impl<T> Drop for Tenant<T> {
    /// Settles. Without a handle there is nobody to ask for an error, so the task's own rule holds: it is
    /// reported (rule T34).
    fn drop(&mut self) {
        let is_wanted = Arc::strong_count(&self.promise.place) > 1;
        if is_wanted && let Some(outcome) = self.task.take_output() {
            self.promise.place.settle(outcome);
        }
    }
}
