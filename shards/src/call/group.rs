//! A share of the permits for one kind of work.
//!
//! All calls between two shards take from the same permits, so a burst of one kind, repairs or
//! statistics, can keep all others waiting. A [`ServiceGroup`] bounds how many of its calls are under
//! way from one shard to another at a time; the permits that it leaves are the others'.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use corelane::sync::{Permit, Semaphore};
use corelane::{Error, Result};

use super::ambient;
use crate::id::ShardId;
use crate::kept::no_shard;
use crate::shard::Shard;

/// A kind of calls that takes no more than its share of the permits between two shards: `Send`, `Sync`,
/// and a clone is the same group.
///
/// The limit holds for each ordered pair of shards by itself, for closures and for calls, and, as with
/// permits, for each depth of calls inside of calls. Who waits is served in order. Choose it well below
/// [`Builder::permits`](crate::Builder::permits).
///
/// # Examples
/// ```
/// use corelane_shards::{Placement, ServiceGroup, ShardId, Shards};
///
/// let repairs = ServiceGroup::new(2)?;
/// Shards::builder().placement(Placement::Unpinned(2)).run(async move |shard| {
///     for peer in shard.all() {
///         assert_eq!(repairs.call(peer, || async { Ok(6 * 7) }).await?, 42);
///     }
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone)]
pub struct ServiceGroup(Arc<Limit>);

struct Limit(usize);

/// What a group has done on this shard so far, for one peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Calls that are under way now.
    pub in_flight_count: usize,
    /// Calls that have had to wait for their group's share.
    pub wait_count: u64,
}

/// The shares of one shard in all groups.
#[derive(Default)]
pub(crate) struct Shares(RefCell<BTreeMap<ShareKey, Rc<Share>>>);

/// A group, a peer, and the depth of calls; closures have none.
type ShareKey = (usize, ShardId, Option<usize>);

struct Share {
    group: Weak<Limit>,
    places: Semaphore,
    wait_count: Cell<u64>,
}

impl ServiceGroup {
    /// A group of which `call_count` calls may be under way from one shard to another.
    ///
    /// # Errors
    /// Value, if it is 0.
    pub fn new(call_count: u32) -> Result<Self> {
        if call_count == 0 {
            return Err(Error::value("a group must have a share of at least one call"));
        }
        Ok(Self(Arc::new(Limit(call_count as usize))))
    }

    /// [`Shard::invoke`], when the group has a place for it. Unlike there nothing is under way before
    /// the future is polled.
    ///
    /// # Errors
    /// As [`Shard::invoke`]; Runtime if this thread is no shard.
    ///
    /// # Cancel safety
    /// As [`Shard::invoke`]; its place goes to the next in line.
    pub async fn invoke<T, F>(&self, to: ShardId, f: F) -> Result<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let shard = Shard::current().ok_or_else(no_shard)?;
        let _place = self.place(&shard, to, None).await?;
        shard.invoke(to, f).await
    }

    /// [`Shard::call`], when the group has a place for it. Unlike there nothing is under way before the
    /// future is polled.
    ///
    /// # Errors
    /// As [`Shard::call`]; Runtime if this thread is no shard.
    ///
    /// # Cancel safety
    /// As [`Shard::call`]; its place goes to the next in line.
    pub async fn call<T, F, M>(&self, to: ShardId, f: F) -> Result<T>
    where
        F: FnOnce() -> M + Send + 'static,
        M: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        let shard = Shard::current().ok_or_else(no_shard)?;
        let _place = self.place(&shard, to, Some(ambient::depth())).await?;
        shard.call(to, f).await
    }

    /// What the group has done from `shard` to `to`.
    #[must_use]
    pub fn stats(&self, shard: &Shard, to: ShardId) -> GroupStats {
        let shares = shard.shares().0.borrow();
        let own = shares.range((self.number(), to, None)..=(self.number(), to, Some(usize::MAX)));
        own.fold(GroupStats::default(), |stats, (_, share)| GroupStats {
            in_flight_count: stats.in_flight_count + self.0.0 - share.places.available(),
            wait_count: stats.wait_count + share.wait_count.get(),
        })
    }

    async fn place(&self, shard: &Shard, to: ShardId, depth: Option<usize>) -> Result<Permit> {
        let share = self.share(shard, to, depth);
        if let Ok(place) = share.places.try_acquire() {
            return Ok(place);
        }
        share.wait_count.set(share.wait_count.get() + 1);
        Ok(share.places.acquire().await?)
    }

    fn share(&self, shard: &Shard, to: ShardId, depth: Option<usize>) -> Rc<Share> {
        let key = (self.number(), to, depth);
        let mut shares = shard.shares().0.borrow_mut();
        if let Some(known) = shares.get(&key) {
            return Rc::clone(known);
        }
        // Those of groups that are no more; their numbers may come again.
        shares.retain(|_, share| share.group.strong_count() > 0);
        let share = Rc::new(Share {
            group: Arc::downgrade(&self.0),
            places: Semaphore::new(self.0.0),
            wait_count: Cell::new(0),
        });
        shares.insert(key, Rc::clone(&share));
        share
    }

    /// Unlike that of any other group that is alive or remembered: what is remembered keeps the place.
    fn number(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for ServiceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceGroup").field("call_count", &self.0.0).finish()
    }
}
