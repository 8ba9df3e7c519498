//! What goes with a call beside its closure: until when it matters, how much, where it comes from, and in which
//! scheduling group it is to run.
//!
//! ```text
//!  within, at_priority ──▶ AMBIENT, a local key ──▶ tasks that are made inherit it (rule T42)
//!                             │ packed with each call            ▲
//!                             ▼                                  │
//!                           Baggage ── over there: expired? ── else the closure runs with it set
//! ```
//!
//! The path of a call is the shards from the one where the first call was made to this one. Its length
//! is the call's depth, and each depth has permits of its own: a task that holds a permit waits only
//! for permits of a greater depth. So calls inside calls cannot wait for each other in a circle, and a
//! chain without an end is refused where it passes the limit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use corelane::lowlevel::{Travelling, is_anything_inherited};
use corelane::{Instant, LocalContext, LocalKey, Result, SchedulingGroup, Timeout, timeout_at};

use super::desk::{Desk, Kind};
use super::errand::{Outcome, catch};
use super::error::CallError;
use crate::clock::{self, Moment};
use crate::foreign::drop_quietly;
use crate::id::ShardId;
use crate::shard::Shard;

static AMBIENT: LocalKey<Ambient> = LocalKey::new();

/// How a call that has to wait for a permit stands to others. Who waits is served in the order of
/// priorities, and in the order of the calls among equals. It travels with the call, and the calls
/// that it makes have it as well.
///
/// It is strict: as long as there are always calls of a higher priority, those of a lower one wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What can wait: repairs, statistics.
    Low,
    /// What is not said to be anything else.
    #[default]
    Normal,
    /// What keeps the rest going: leases, health.
    High,
}

impl Priority {
    /// How many there are.
    pub(super) const COUNT: usize = 3;
}

/// What is set for this task.
#[derive(Clone, Default)]
struct Ambient {
    deadline: Option<Moment>,
    priority: Priority,
    /// Empty where nobody has called.
    path: Option<Arc<[ShardId]>>,
}

impl Ambient {
    fn depth(&self) -> usize {
        self.path.as_ref().map_or(0, |path| path.len() - 1)
    }

    /// One shard further.
    fn extended(mut self, from: ShardId, here: ShardId) -> Self {
        let path = self.path.as_deref().unwrap_or_default();
        let start: &[ShardId] = if path.is_empty() { &[from] } else { path };
        self.path = Some(start.iter().copied().chain([here]).collect());
        self
    }
}

/// What travels with one call.
pub(super) struct Baggage {
    ambient: Ambient,
    locals: Option<Travelling>,
    /// `None` for the default group.
    group: Option<SchedulingGroup>,
}

impl Baggage {
    /// What is set here. `None`, for the price of a look, if nothing is.
    pub(super) fn pack() -> Option<Self> {
        if !is_anything_inherited() {
            return None;
        }
        let ambient = AMBIENT.get();
        let locals = Travelling::capture_any();
        let group = Some(SchedulingGroup::current()).filter(|group| !group.is_default());
        if ambient.is_none() && locals.is_none() && group.is_none() {
            return None;
        }
        Some(Self { ambient: ambient.unwrap_or_default(), locals, group })
    }

    /// Without the path, for a closure that nobody waits inside of. `None` if nothing is left.
    pub(super) fn pack_plain() -> Option<Self> {
        let mut packed = Self::pack()?;
        packed.ambient.path = None;
        let Ambient { deadline, priority, .. } = packed.ambient;
        let is_light = deadline.is_none()
            && priority == Priority::Normal
            && packed.locals.is_none()
            && packed.group.is_none();
        (!is_light).then_some(packed)
    }

    /// The scheduling group that it is to run in, if that is not the default.
    pub(super) fn group(&self) -> Option<&SchedulingGroup> {
        self.group.as_ref()
    }

    pub(super) fn priority(&self) -> Priority {
        self.ambient.priority
    }

    pub(super) fn is_expired(&self) -> bool {
        self.ambient.deadline.is_some_and(|deadline| clock::now() >= deadline)
    }

    /// The kind of a call that is made here.
    ///
    /// # Errors
    /// It is inside of too many others.
    pub(super) fn call_kind(&self, desk: &Desk) -> Result<Kind, CallError> {
        let depth = self.ambient.depth();
        if depth < desk.depth_limit() {
            return Ok(Kind::Call(depth as u8));
        }
        let path = self.ambient.path.as_deref().unwrap_or_default();
        Err(CallError::TooDeep(path.to_vec()))
    }

    /// Calls `f` with all of it set, on the shard that it was brought to.
    pub(super) fn open<R>(self, hop: Option<(ShardId, ShardId)>, f: impl FnOnce() -> R) -> R {
        let ambient = match hop {
            Some((from, here)) => self.ambient.extended(from, here),
            None => self.ambient,
        };
        let with_ambient = || {
            AMBIENT.set(ambient);
            f()
        };
        match self.locals {
            Some(locals) => locals.enter(with_ambient),
            None => LocalContext::default().enter(with_ambient),
        }
    }
}

/// How deep a call that is made here would be.
pub(super) fn depth() -> usize {
    AMBIENT.with(|ambient| ambient.map_or(0, Ambient::depth))
}

/// What is done where a call arrives.
pub(super) trait Job {
    /// What it gives.
    type Output;

    /// Does it for the shard `from`, or says why not.
    fn run(self, from: usize, desk: &Desk) -> Outcome<Self::Output>;

    /// The scheduling group that it came with, if that is not the default.
    fn group(&self) -> Option<&SchedulingGroup> {
        None
    }
}

/// A closure that came with nothing.
pub(super) struct Bare<F>(pub(super) F);

impl<T, F: FnOnce() -> T> Job for Bare<F> {
    type Output = T;

    fn run(self, _from: usize, _desk: &Desk) -> Outcome<T> {
        catch(self.0)
    }
}

/// A closure that came with baggage.
pub(super) struct Laden<F> {
    pub(super) baggage: Box<Baggage>,
    pub(super) f: F,
}

impl<T, F: FnOnce() -> T> Job for Laden<F> {
    type Output = T;

    fn run(self, _from: usize, _desk: &Desk) -> Outcome<T> {
        if self.baggage.is_expired() {
            drop_quietly(self);
            return Outcome::Expired;
        }
        catch(|| self.baggage.open(None, self.f))
    }

    fn group(&self) -> Option<&SchedulingGroup> {
        self.baggage.group()
    }
}

/// A closure that makes the future of a call. It runs with the path of the call set.
pub(super) struct Maker<F> {
    pub(super) baggage: Option<Box<Baggage>>,
    pub(super) f: F,
}

impl<T, F: FnOnce() -> T> Job for Maker<F> {
    type Output = T;

    fn run(self, from: usize, desk: &Desk) -> Outcome<T> {
        match self.baggage {
            None => {
                let context = desk.context_of(from, || context_of_hop(from, desk.id()));
                catch(|| context.enter(self.f))
            }
            Some(baggage) if baggage.is_expired() => {
                drop_quietly((baggage, self.f));
                Outcome::Expired
            }
            Some(baggage) => {
                let hop = (ShardId::at(from), desk.id());
                catch(|| baggage.open(Some(hop), self.f))
            }
        }
    }

    fn group(&self) -> Option<&SchedulingGroup> {
        self.baggage.as_ref()?.group()
    }
}

/// A context in which the path of a call is set and nothing else.
fn context_of_hop(from: usize, here: ShardId) -> LocalContext {
    LocalContext::default().enter(|| {
        AMBIENT.set(Ambient::default().extended(ShardId::at(from), here));
        LocalContext::current()
    })
}

impl Shard {
    /// Runs `future` with a deadline that travels: whatever it calls on other shards, and whatever
    /// those calls call, has until then. Where there is a nearer one already, that holds.
    ///
    /// When the time is over `future` is cancelled, as by [`timeout`](corelane::timeout), and with it
    /// go its calls: those that run are cancelled, and those that have not arrived do not run, even if
    /// nobody could tell them: a call whose deadline is over when it arrives is answered with
    /// [`CallError::DeadlinePassed`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use corelane_shards::{Placement, Shard, ShardId, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     let limit = Duration::from_secs(5);
    ///     let left = shard.within(limit, async {
    ///         let peer = ShardId::new(1);
    ///         // Over there the same moment is told by the clock of that shard.
    ///         Shard::deadline().expect("it is set here");
    ///         Ok(shard.invoke(peer, || Shard::deadline().is_some()).await?)
    ///     });
    ///     assert!(left.await?);
    ///     assert!(Shard::deadline().is_none());
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`is_timeout`](corelane::Error::is_timeout) if the time is over; else what `future` fails with.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub async fn within<T>(
        &self,
        limit: Duration,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut ambient = AMBIENT.get().unwrap_or_default();
        let wanted = clock::now().after(limit);
        let deadline = ambient.deadline.map_or(wanted, |known| known.min(wanted));
        ambient.deadline = Some(deadline);
        let body = async move |_: &Timeout| future.await;
        AMBIENT.scope(ambient, timeout_at(deadline.on_this_loop(), body)).await
    }

    /// Until when this task is wanted, by this loop's clock: the deadline of [`within`](Self::within),
    /// here or on the shard that has called. `None` if there is none, and off a loop.
    #[must_use]
    pub fn deadline() -> Option<Instant> {
        Self::current()?;
        AMBIENT.with(|ambient| ambient?.deadline).map(Moment::on_this_loop)
    }

    /// Runs `future` with a priority that travels: whatever it calls on other shards, and whatever
    /// those calls call, has it.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub fn at_priority<F: Future>(
        &self,
        priority: Priority,
        future: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let mut ambient = AMBIENT.get().unwrap_or_default();
        ambient.priority = priority;
        AMBIENT.scope(ambient, future)
    }

    /// The priority of this task.
    #[must_use]
    pub fn priority() -> Priority {
        AMBIENT.with(|ambient| ambient.map_or(Priority::default(), |ambient| ambient.priority))
    }

    /// The way of the call that this task is a part of: the shards from the first caller to this one.
    /// Empty if it is a part of none.
    #[must_use]
    pub fn call_path() -> Vec<ShardId> {
        AMBIENT.with(|ambient| ambient?.path.as_deref().map(<[_]>::to_vec)).unwrap_or_default()
    }
}
