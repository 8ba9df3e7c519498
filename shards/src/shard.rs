//! One shard: its loop, and its ends of the mesh. `life` is what it goes through, and `thread` what turns it.

pub(crate) mod life;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
pub(crate) mod thread;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;

use corelane::lowlevel::add_poller;
use corelane::{RemoteLoop, Result};
use crossbeam_channel::Sender;

use crate::call::{self, Desk, Invoke, Posting, Seed, ShardsHandle, Shares, TryPostError};
use crate::cores::affinity_mask;
use crate::ending::{LateShard, Phase};
use crate::id::ShardId;
use crate::kept::Kept;
use crate::lane::LaneStats;
use crate::overdue;
use crate::report::StartReport;
use crate::server::{Groups, Servers};
use crate::shutdown::{Shutdown, Stage, StageWatch};
use crate::supervisor::Event;

thread_local! {
    static CURRENT: RefCell<Option<Shard>> = const { RefCell::new(None) };
}

/// The shard that this thread is: its number, its peers, and the way to them. A cheap handle.
#[derive(Clone)]
pub struct Shard(Rc<Inner>);

struct Inner {
    desk: Rc<Desk>,
    watch: Rc<StageWatch>,
    events: Sender<Event>,
    servers: Servers,
    kept: Kept,
    shares: Shares,
    outside: ShardsHandle,
    /// Something has panicked, and the policy shuts this shard alone.
    has_left: Cell<bool>,
}

impl Shard {
    /// The shard that this thread is; `None` elsewhere.
    #[must_use]
    pub fn current() -> Option<Self> {
        // A guard of the thread itself may ask when there is no shard any more.
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Makes this thread a shard, or the one that it was before no shard any more; gives that one.
    pub(crate) fn enter(shard: Option<Self>) -> Option<Self> {
        CURRENT.replace(shard)
    }

    /// The number of this shard.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.0.desk.id()
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.desk.shard_count()
    }

    /// All shards, this one included, in their order.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.count()).map(ShardId::at)
    }

    /// How the shards were started: which cores were offered and taken, and what went wrong.
    #[must_use]
    pub fn report(&self) -> &StartReport {
        self.0.outside.report()
    }

    /// The way to this run's shards for whoever is outside of it: another thread, another runtime.
    #[must_use]
    pub fn handle(&self) -> ShardsHandle {
        self.0.outside.clone()
    }

    /// The cores that this shard's thread may run on at this moment: the one that it was pinned to,
    /// unless somebody has changed affinity masks or cpusets since.
    ///
    /// # Errors
    /// The kernel does not tell the affinity mask.
    pub fn allowed_cores(&self) -> io::Result<Vec<usize>> {
        affinity_mask(None)
    }

    /// The end of the run: to ask for it and to wait for it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(Rc::clone(&self.0.watch), self.0.events.clone())
    }

    /// What the lane from this shard to `to` has done so far; zeros for the shard itself.
    ///
    /// # Panics
    /// If there is no such shard.
    #[must_use]
    pub fn lane_stats(&self, to: ShardId) -> LaneStats {
        self.0.desk.lane_stats(to)
    }

    /// Has `f` called on shard `to`, in its mail phase, and waits for what it returns.
    ///
    /// It is the cheapest way to another shard: no task is made, one box travels out and home. So
    /// `f` should be short, as it keeps that shard from everything else; [`call`](Self::call) is
    /// for what has to wait. Several calls to one shard run in the order in which they were made, those of each
    /// scheduling group by themselves: `f` runs in the group that calls, when it is that group's turn over there.
    ///
    /// The call is under way when `invoke` returns, not only when its future is polled: a pipeline
    /// first makes all its calls, which travel together, in packets and by the end of the turn at the
    /// latest, and then awaits them one by one. If as many calls as there are permits are in flight to `to`, it waits its
    /// turn, in order, and then leaves by itself. On this very shard `f` runs before `invoke`
    /// returns.
    ///
    /// What `f` returns is the answer, so with a closure that can fail there are two errors, of the call and of the
    /// closure, and two question marks:
    ///
    /// ```
    /// # use corelane_shards::{Placement, Shards};
    /// # Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    /// # let far = shard.all().last().unwrap_or(shard.id());
    /// let port = shard.invoke(far, || "6379".parse::<u16>()).await??;
    /// assert_eq!(port, 6379);
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// `f` sees clones of what [`sendable`](corelane::LocalKey::sendable) local keys are set to here
    /// (rule T168). What it sets is forgotten after it; on this very shard it runs in the caller's
    /// own context. It is the same with [`call`](Self::call) and [`post`](Self::post).
    ///
    /// # Errors
    /// [`CallError`](crate::CallError), by `downcast_ref`: `f` panicked, the shard has
    /// ended, or there is none.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up: if `f` has not run yet it will not.
    /// Its permit comes back when the other shard has acknowledged.
    pub fn invoke<T, F>(&self, to: ShardId, f: F) -> Invoke<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        call::invoke(&self.0.desk, to, f)
    }

    /// Has `f` called on shard `to`, where the future that it makes becomes a task, and waits for
    /// its output.
    ///
    /// Only `f` and the output travel; the future stays where it runs and need not be `Send`. As
    /// with [`invoke`](Self::invoke) the call is under way when this returns, except on this very
    /// shard: there `f` is called, and its future polled, in place, when the returned future is.
    ///
    /// # Errors
    /// What the future returns; [`CallError`](crate::CallError), by `downcast_ref`, if it
    /// panicked, the shard has ended, or there is none; [`is_cancelled`](corelane::Error::is_cancelled) if
    /// its task was cancelled over there.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the task over there, which may clean up; nobody
    /// waits for it. The permit comes back when the task has ended.
    pub fn call<T, F, M>(&self, to: ShardId, f: F) -> impl Future<Output = Result<T>> + use<T, F, M>
    where
        F: FnOnce() -> M + Send + 'static,
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        call::call(&self.0.desk, to, f)
    }

    /// Has `f` called on shard `to`, in its mail phase, and tells nobody what came of it.
    ///
    /// For messages that need no answer: half the way of [`invoke`](Self::invoke), and the other
    /// shard does not wake this one for each. The future is ready when `f` has left, which does not
    /// mean that it has run. With a free permit that is before `post` returns. Else `f` waits its turn
    /// for a permit of `invoke`, so that whoever awaits its posts cannot flood the other shard. Posts
    /// and invocations of one scheduling group to one shard run in the order in which they were made, and
    /// [`call`](Self::call)s that need not wait for a permit start in that order, too.
    ///
    /// A panic of `f` is reported over there, by the handler of that shard's loop
    /// ([`set_report_handler`](corelane::set_report_handler)). A shard that ends drops what it has
    /// not run; if you must know, `invoke`. On this very shard `f` runs before `post` returns, and
    /// its panic is reported here.
    ///
    /// # Errors
    /// [`CallError`](crate::CallError), by `downcast_ref`: the shard has ended, or there is none. `f`
    /// is dropped then; [`try_post`](Self::try_post) gives it back.
    ///
    /// # Cancel safety
    /// Dropping the future takes `f` back, unrun, if it still waits for a permit. Once it has left it
    /// cannot be taken back.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use corelane_shards::{Placement, Shards};
    ///
    /// static SEEN: AtomicUsize = AtomicUsize::new(0);
    /// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     for peer in shard.all() {
    ///         shard.post(peer, || _ = SEEN.fetch_add(1, Ordering::Relaxed)).await?;
    ///         // It runs before what is sent after it.
    ///         shard.invoke(peer, || ()).await?;
    ///     }
    ///     Ok(())
    /// })?;
    /// assert_eq!(SEEN.load(Ordering::Relaxed), 4);
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub fn post<F>(&self, to: ShardId, f: F) -> Posting
    where
        F: FnOnce() + Send + 'static,
    {
        call::post(&self.0.desk, to, f)
    }

    /// [`post`](Self::post)s `f` if a permit is free, and never waits.
    ///
    /// # Errors
    /// [`TryPostError`], with `f` in it: no permit is free, the shard has ended, or there is none.
    pub fn try_post<F>(&self, to: ShardId, f: F) -> Result<(), TryPostError<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        call::try_post(&self.0.desk, to, f)
    }

    pub(crate) fn desk(&self) -> &Rc<Desk> {
        &self.0.desk
    }

    pub(crate) fn watch(&self) -> &Rc<StageWatch> {
        &self.0.watch
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.0.servers
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.0.kept
    }

    pub(crate) fn shares(&self) -> &Shares {
        &self.0.shares
    }

    /// The loop of a shard of this run.
    pub(crate) fn remote(&self, id: ShardId) -> &RemoteLoop {
        self.0.outside.remote(id)
    }

    /// Takes its place at its ends of the mesh, in the loop that is being entered.
    pub(crate) fn settle(go: Go, events: Sender<Event>) -> Result<Self> {
        let desk = Desk::new(go.seed);
        add_poller(Rc::clone(&desk) as Rc<_>)?;
        Ok(Self(Rc::new(Inner {
            desk,
            watch: Rc::default(),
            events,
            servers: Servers::new(go.groups),
            kept: Kept::default(),
            shares: Shares::default(),
            outside: go.outside,
            has_left: Cell::default(),
        })))
    }

    fn enter_stage(&self, stage: Stage, is_overdue: bool) {
        let before = self.0.watch.stage();
        if stage <= before {
            return;
        }
        if is_overdue && let Some(phase) = Phase::of(before) {
            let (id, tasks) = (self.id(), overdue::left());
            let connection_count = self.0.servers.connection_count();
            if !tasks.is_empty() || connection_count > 0 {
                let late = LateShard { phase, id, tasks, connection_count, holder: None };
                corelane::__report!(WARN, shard = id.index(), "{late}");
                self.tell(Event::Late(late));
            }
        }
        if stage >= Stage::Draining {
            let count = self.0.servers.connection_count();
            if stage == Stage::Draining && count > 0 {
                let (id, plural) = (self.id(), if count == 1 { "" } else { "s" });
                tracing::info!(
                    shard = id.index(),
                    "shard {id} is draining: {count} connection{plural}"
                );
            }
            self.0.servers.close();
        }
        self.0.watch.advance(stage);
    }

    /// Ends alone, while the others go on: they are told before anything here is cancelled.
    fn leave(&self) {
        if !self.0.has_left.replace(true) {
            self.0.desk.leave();
            self.enter_stage(Stage::Cancelling, false);
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.0.has_left.get()
    }

    pub(crate) fn tell(&self, event: Event) {
        // Refused means that nobody supervises any more, and then nobody needs to know.
        let _ = self.0.events.send(event);
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("id", &self.id()).field("count", &self.count()).finish()
    }
}

/// What a shard is given when the loops of all have been made.
pub(crate) struct Go {
    pub(crate) seed: Seed,
    pub(crate) groups: Groups,
    pub(crate) outside: ShardsHandle,
}

/// Has every shard of a run enter `stage`. If the one before took too long it says what is left.
pub(crate) fn broadcast(remotes: &[RemoteLoop], stage: Stage, is_overdue: bool) {
    for remote in remotes {
        send_on(remote, stage, is_overdue);
    }
}

/// The same for one shard.
pub(crate) fn send_on(remote: &RemoteLoop, stage: Stage, is_overdue: bool) {
    on_shard(remote, move |shard| shard.enter_stage(stage, is_overdue));
}

/// Has one shard end alone.
pub(crate) fn shut(remote: &RemoteLoop) {
    on_shard(remote, |shard| shard.leave());
}

fn on_shard(remote: &RemoteLoop, f: impl FnOnce(&Shard) + Send + 'static) {
    // Refused means that the shard has ended, and so is past every stage.
    let _ = remote.submit(move || {
        if let Some(shard) = Shard::current() {
            f(&shard);
        }
    });
}
