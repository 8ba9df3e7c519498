//! Scheduling groups as programs see them: a name, shares, and what is run in them.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::context;
use super::handle::{Plain, task_at};
use crate::error::{Error, Result};
use crate::task::{Task, bound};

/// A kind of work with a share of the loop's time, so that background work cannot hurt the foreground.
///
/// As long as several groups have something ready, each gets time in proportion to its shares, measured by the
/// clock and not by the number of steps; who leaves time to others is served at once when it comes back, and
/// saves nothing up. With one group, the default, a loop's order is rule G1's and costs nothing more. With several
/// that order holds within each group; timers and I/O are served before the groups are.
///
/// Tasks inherit the group of what creates them, and so does what they call by [`call_soon`](crate::call_soon). A
/// step is not interrupted: a task that computes for long should [`yield_if_needed`](crate::yield_if_needed).
///
/// A clone is the same group, on every loop that it is used on, each of which divides its own time. The default
/// group is [`SchedulingGroup::default`], with 1,000 shares. A loop has seven others at most, for as long as it
/// lives.
///
/// ```
/// use corelane::SchedulingGroup;
///
/// let background = SchedulingGroup::new("background", 100)?;
/// corelane::run(async move || {
///     let repair = background.spawn(async {
///         for _ in 0..1_000 {
///             corelane::yield_now().await;
///         }
///         SchedulingGroup::current()
///     });
///     assert_eq!(repair.await?, background);
///     assert_eq!(SchedulingGroup::current(), SchedulingGroup::default());
///     let stats = corelane::loop_stats()?;
///     assert_eq!(stats.groups[1].name, "background");
///     assert!(stats.groups[1].step_count > 1_000);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SchedulingGroup(Option<Arc<Kind>>);

struct Kind {
    name: Box<str>,
    shares: u32,
}

impl SchedulingGroup {
    /// The shares of the default group.
    pub const DEFAULT_SHARES: u32 = 1_000;
    /// The most shares that a group may have.
    pub const MAX_SHARES: u32 = 1_000_000;

    /// A group with a name, for metrics, and shares. Only their ratio to those of other groups matters.
    ///
    /// # Errors
    /// Value, unless the shares are between 1 and [`MAX_SHARES`](Self::MAX_SHARES).
    pub fn new(name: impl Into<String>, shares: u32) -> Result<Self> {
        if shares == 0 || shares > Self::MAX_SHARES {
            return Err(Error::value("a scheduling group has between 1 and 1,000,000 shares"));
        }
        Ok(Self(Some(Arc::new(Kind { name: name.into().into(), shares }))))
    }

    /// The group of the task or callback that is being run; the default off a loop.
    #[must_use]
    pub fn current() -> Self {
        context::with(|core| core.running_group()).unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.as_ref().map_or("default", |kind| &kind.name)
    }

    /// Its shares.
    #[must_use]
    pub fn shares(&self) -> u32 {
        self.0.as_ref().map_or(Self::DEFAULT_SHARES, |kind| kind.shares)
    }

    /// Whether it is the default group.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0.is_none()
    }

    /// Runs a fallible future as a task of this group; see [`create_task`](crate::create_task).
    ///
    /// # Panics
    /// As there, and if the loop has seven other groups already; [`TaskBuilder::group`](crate::TaskBuilder::group)
    /// with `try_create` gives an error instead.
    #[track_caller]
    pub fn create_task<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Task<T> {
        match self.task_at(future, Location::caller()) {
            Ok(task) => task,
            Err(error) => panic!("create_task: {error}"),
        }
    }

    /// Runs a future that cannot fail as a task of this group; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    /// As [`create_task`](Self::create_task).
    #[track_caller]
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        match self.task_at(Plain::new(future), Location::caller()) {
            Ok(task) => task,
            Err(error) => panic!("spawn: {error}"),
        }
    }

    /// Calls `f` on the current loop as a part of this group; see [`call_soon`](crate::call_soon).
    ///
    /// # Errors
    /// Runtime, off a loop, and if the loop has seven other groups already. `f` is dropped.
    pub fn call_soon(&self, f: impl FnOnce() + 'static) -> Result<()> {
        self.enter(|| context::with(|core| core.call_soon(bound(f))))?
    }

    /// Calls `f` here and now as a part of this group: the tasks that it creates, and what it calls soon, belong
    /// to the group. The time that `f` takes itself is its caller's.
    ///
    /// ```
    /// use corelane::{SchedulingGroup, spawn};
    ///
    /// corelane::run(async || {
    ///     let background = SchedulingGroup::new("background", 100)?;
    ///     let repair = background.enter(|| spawn(async { SchedulingGroup::current() }))?;
    ///     assert_eq!(repair.await?, background);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// Runtime, off a loop; Value, if the loop has seven other groups already. `f` is not called.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        let core = context::current()?;
        let number = core.number_of(self)?;
        Ok(core.home().run_as(number, f))
    }

    pub(super) fn task_at<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
        location: &'static Location<'static>,
    ) -> Result<Task<T>> {
        self.enter(|| task_at(future, location))?
    }
}

impl PartialEq for SchedulingGroup {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for SchedulingGroup {}

impl fmt::Debug for SchedulingGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchedulingGroup")
            .field("name", &self.name())
            .field("shares", &self.shares())
            .finish()
    }
}
