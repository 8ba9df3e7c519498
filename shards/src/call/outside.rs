//! The way to shards from outside: any thread, and any other runtime.
//!
//! Who is no shard has no lane. Its closures go by the inbox of the shard's loop, which takes them in
//! the order in which one thread has sent them, and the answer comes back by a place that both sides
//! share.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use corelane::lowlevel::{Holder, LoopPulse, current_remote};
use corelane::{Error, RemoteLoop, RemoteTask, Result, SchedulingGroup, run_coroutine_threadsafe};
use crossbeam_channel::Sender;

use super::errand::catch;
use super::error::CallError;
use super::post::TryPostError;
use super::{into_result, run_caught};
use crate::atomic::{Mutex, lock};
use crate::id::ShardId;
use crate::report::StartReport;
use crate::shard::Shard;
use crate::supervisor::Event;

/// A run of shards, for whoever is outside of it: `Send`, `Sync` and `Clone`.
///
/// It is given by [`Running::handle`](crate::Running::handle) or [`Shard::handle`]. Any thread may use
/// it, and the answers can be awaited in any runtime. A shard has a shorter way to its peers:
/// [`Shard::invoke`] and [`Shard::call`].
///
/// # Examples
/// ```
/// use corelane_shards::{Placement, ShardId, Shards};
///
/// let shards = Shards::builder().placement(Placement::Unpinned(2));
/// let running = shards.start(async |shard| {
///     shard.shutdown().requested().await;
///     Ok(())
/// })?;
/// let handle = running.handle();
/// let answer = handle.call(ShardId::new(1), || async { Ok(6 * 7) });
/// assert_eq!(answer.wait(None)?, 42);
/// handle.request_shutdown();
/// running.join()?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone)]
pub struct ShardsHandle(Arc<Outside>);

struct Outside {
    doors: Box<[Door]>,
    /// Posts to one shard that have not run, at most.
    post_limit: usize,
    /// The shard that [`ShardsHandle::next`] gives, by its remainder.
    turn: AtomicUsize,
    report: Arc<StartReport>,
    events: Sender<Event>,
}

/// The way to one shard.
struct Door {
    remote: RemoteLoop,
    pulse: LoopPulse,
    post_count: AtomicUsize,
}

impl ShardsHandle {
    pub(crate) fn new(
        loops: &[(RemoteLoop, LoopPulse)],
        post_limit: u32,
        report: Arc<StartReport>,
        events: Sender<Event>,
    ) -> Self {
        let door = |(remote, pulse): &(RemoteLoop, LoopPulse)| Door {
            remote: remote.clone(),
            pulse: pulse.clone(),
            post_count: 0.into(),
        };
        Self(Arc::new(Outside {
            doors: loops.iter().map(door).collect(),
            post_limit: post_limit as usize,
            turn: AtomicUsize::new(0),
            report,
            events,
        }))
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.doors.len()
    }

    /// All shards in their order.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.count()).map(ShardId::at)
    }

    /// One shard after the other, for work that any of them can do. All clones take turns together.
    #[must_use]
    pub fn next(&self) -> ShardId {
        ShardId::at(self.0.turn.fetch_add(1, Ordering::Relaxed) % self.count())
    }

    /// How the shards were started.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        &self.0.report
    }

    /// Asks for the orderly end of all shards, as SIGTERM does. Asking again changes nothing.
    pub fn request_shutdown(&self) {
        // Refused means that nobody supervises any more: the run is over.
        let _ = self.0.events.send(Event::StopRequested);
    }

    /// Has `f` called on shard `to`, and gives a handle on its answer at once.
    ///
    /// # Errors
    /// None here; see [`Submitted`].
    pub fn invoke<T, F>(&self, to: ShardId, f: F) -> Submitted<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.submit(to, move || ready(into_result(catch(f))), true)
    }

    /// Has `f` called on shard `to`, where the future that it makes becomes a task, and gives a handle
    /// on its answer at once. Only `f` and the output travel; the future need not be `Send`.
    ///
    /// # Errors
    /// None here; see [`Submitted`].
    pub fn call<T, F, M>(&self, to: ShardId, f: F) -> Submitted<T>
    where
        F: FnOnce() -> M + Send + 'static,
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        self.submit(to, move || run_caught(catch(f)), true)
    }

    /// The same for a look at what a shard is doing, also at one that has left the others.
    pub(crate) fn look<T, F>(&self, to: ShardId, f: F) -> Submitted<T>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        self.submit(to, move || ready(f()), false)
    }

    /// Has `f` called on shard `to` and tells nobody what came of it. A panic of it is reported over
    /// there. As many posts as a lane has permits may be on their way to one shard.
    ///
    /// # Errors
    /// [`TryPostError`], with `f` in it: so many are on their way, or the shard has ended, or there is
    /// none.
    pub fn try_post<F>(&self, to: ShardId, f: F) -> Result<(), TryPostError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let count = self.count();
        let Some(door) = self.0.doors.get(to.index()) else {
            return Err(TryPostError::Unreachable(f, CallError::NoSuchShard { asked: to, count }));
        };
        let under_way = UnderWay { outside: Arc::clone(&self.0), to };
        // It carries no data: Relaxed will do.
        if door.post_count.fetch_add(1, Ordering::Relaxed) >= self.0.post_limit {
            return Err(TryPostError::Full(f));
        }
        // The loop drops what it refuses, so the closure stays where it can be had back.
        let kept = Arc::new(Mutex::new(Some(f)));
        let takes = Arc::clone(&kept);
        let sent = door.remote.submit(move || {
            let run = move || {
                // Counted until it has run, or will not any more.
                let _under_way = under_way;
                // A shard that has left the others runs nothing more of theirs.
                if let Some(f) = take(&takes).filter(|_| !has_left()) {
                    f();
                }
            };
            match inbound_group() {
                None => run(),
                // A loop that is closing runs nothing more.
                Some(group) => drop(group.call_soon(run)),
            }
        });
        match sent.err().and_then(|_| take(&kept)) {
            Some(f) => Err(TryPostError::Unreachable(f, CallError::ShardGone(to))),
            None => Ok(()),
        }
    }

    /// What the thread of a shard is in the middle of, if it is in the middle of something.
    pub(crate) fn holder(&self, id: ShardId) -> Option<Holder> {
        self.0.doors[id.index()].pulse.holder()
    }

    pub(crate) fn remote(&self, id: ShardId) -> &RemoteLoop {
        &self.0.doors[id.index()].remote
    }

    fn submit<T, M>(
        &self,
        to: ShardId,
        f: impl FnOnce() -> M + Send + 'static,
        is_work: bool,
    ) -> Submitted<T>
    where
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        let Some(door) = self.0.doors.get(to.index()) else {
            let error = CallError::NoSuchShard { asked: to, count: self.count() };
            return Submitted(Place::Refused(error));
        };
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let task = run_coroutine_threadsafe(&door.remote, move || {
            // Seen by whoever sees the outcome, whose lock orders the two.
            let begin = move || {
                (!is_work || !has_left()).then(|| {
                    begins.store(true, Ordering::Relaxed);
                    f()
                })
            };
            let begun = match inbound_group().filter(|_| is_work) {
                None => Ok(begin()),
                Some(group) => Err((group, begin)),
            };
            async move {
                match begun {
                    Ok(future) => finish(future).await,
                    Err((group, begin)) => {
                        group.create_task(async move { finish(begin()).await }).await
                    }
                }
            }
        });
        Submitted(Place::Sent { task, begun, to })
    }
}

/// The future that was made, if the shard did not refuse.
async fn finish<T>(future: Option<impl Future<Output = Result<T>>>) -> Result<T> {
    match future {
        Some(future) => future.await,
        None => Err(Error::cancelled()),
    }
}

/// Where what comes to this shard from outside runs; `None` for at once.
fn inbound_group() -> Option<SchedulingGroup> {
    Shard::current()?.desk().inbound_group()
}

/// Whether this shard has left the others and is about to end.
fn has_left() -> bool {
    Shard::current().is_some_and(|shard| shard.has_left())
}

fn take<F>(kept: &Mutex<Option<F>>) -> Option<F> {
    lock(kept).take()
}

/// A post that has not run.
struct UnderWay {
    outside: Arc<Outside>,
    to: ShardId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.outside.doors[self.to.index()].post_count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer of a closure that was sent to a shard from outside: `Send` and `Sync` if `T` is `Send`.
///
/// Await it, in any runtime, or block on it with [`wait`](Self::wait). Either gives the value or an
/// error: the closure's own; [`CallError`], by `downcast_ref`, if it panicked, if the shard has ended
/// before it began, or if there is no such shard; [`is_cancelled`](Error::is_cancelled) if its task
/// was cancelled over there, as at the end of the run.
///
/// # Cancel safety
/// Awaiting `&mut submitted` is safe. Dropping it gives the call up: if it has not begun it will not,
/// and its task is cancelled.
#[must_use = "dropping it gives the call up"]
pub struct Submitted<T>(Place<T>);

enum Place<T> {
    Refused(CallError),
    Sent { task: RemoteTask<T>, begun: Arc<AtomicBool>, to: ShardId },
}

impl<T> Submitted<T> {
    /// Blocks this thread until the answer is here; with a limit, no longer than that. A value is given
    /// once, an error as often as it is asked for.
    ///
    /// # Errors
    /// The call's own, see [`Submitted`]; [`is_timeout`](Error::is_timeout) if the limit has passed,
    /// when the call goes on and can be asked again; Runtime on a thread with a shard or a loop, which
    /// would stop for as long with everything on it, and if the value was given already.
    pub fn wait(&self, limit: impl Into<Option<Duration>>) -> Result<T> {
        match &self.0 {
            Place::Refused(error) => Err(error.clone().into()),
            Place::Sent { task, .. } => {
                if !task.done() {
                    refuse_to_block()?;
                }
                self.explain(task.result(limit))
            }
        }
    }

    /// Whether the answer is here.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Place::Refused(_) => true,
            Place::Sent { task, .. } => task.done(),
        }
    }

    /// A task that never began has met a loop that was closed: the shard has ended.
    fn explain(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match &self.0 {
            Place::Sent { begun, to, .. }
                if !error.is_timeout() && !begun.load(Ordering::Relaxed) =>
            {
                CallError::ShardGone(*to).into()
            }
            _ => error,
        })
    }
}

/// Refuses what would block, where it would stop a shard.
///
/// # Errors
/// Runtime, on the thread of a shard or of another loop.
pub(crate) fn refuse_to_block() -> Result<()> {
    if Shard::current().is_none() && current_remote().is_err() {
        return Ok(());
    }
    Err(Error::runtime(
        "a blocking wait would stop this shard, or loop, with everything on it: await it instead, or \
         wait in a thread of `corelane::to_thread`",
    ))
}

impl<T> Future for Submitted<T> {
    type Output = Result<T>;

    /// # Panics
    /// Never.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let polled = match &mut self.0 {
            Place::Refused(error) => return Poll::Ready(Err(error.clone().into())),
            Place::Sent { task, .. } => Pin::new(task).poll(context),
        };
        polled.map(|outcome| self.explain(outcome))
    }
}

impl<T> Drop for Submitted<T> {
    fn drop(&mut self) {
        if let Place::Sent { task, .. } = &self.0
            && !task.done()
        {
            task.cancel();
        }
    }
}

impl<T> Unpin for Submitted<T> {}

impl<T> fmt::Debug for Submitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("is_done", &self.is_done()).finish()
    }
}

impl fmt::Debug for ShardsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardsHandle").field("count", &self.count()).finish()
    }
}
