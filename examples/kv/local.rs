//! What a shard's tasks share: its home, its connections, and the way to the other shards.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{Instant, now, sleep, yield_now};
use corelane_shards::{Invoke, Shard, ShardId, Sharded};

use super::cluster::ClusterMap;
use super::connection::{STILL_LOOKS, Seat};
use super::home::{Facts, Home};
use super::lobby::Lobby;
use super::slots::Slots;

/// How often the sweeper looks for expired keys, while there are keys that will expire.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// How many keys it removes before others run.
const SWEEP_BUDGET: usize = 128;

/// One shard, as its tasks see it.
pub(crate) struct Local {
    facts: Arc<Facts>,
    home: RefCell<Home>,
    /// Time 0 of the store's clock.
    start: Instant,
    seats: RefCell<BTreeMap<u64, Rc<Seat>>>,
    is_draining: Cell<bool>,
    /// Set when the sweeper has something to look after.
    sweep: Event,
    /// Where the shards meet; used on the first one.
    lobby: Lobby,
    /// Set when every shard has its store; never on a loop that is a server by itself.
    peers: OnceCell<Peers>,
}

/// The way to the other shards.
struct Peers {
    shard: Shard,
    ids: Vec<ShardId>,
    all: Sharded<Local>,
}

impl Local {
    /// Shard `index`, which this loop is, with an empty store.
    pub(crate) fn new(facts: Arc<Facts>, index: usize, slots: Slots, seed: u64) -> Self {
        let home = Home::new(Arc::clone(&facts), index, slots, seed);
        Self {
            facts,
            home: RefCell::new(home),
            start: now(),
            seats: RefCell::default(),
            is_draining: Cell::new(false),
            sweep: Event::new(),
            lobby: Lobby::default(),
            peers: OnceCell::new(),
        }
    }

    /// Knows the way to `all` shards from now on; `shard` is this one.
    pub(crate) fn join(&self, shard: Shard, all: Sharded<Self>) {
        let ids = shard.all().collect();
        // To join twice is to know it already.
        let _ = self.peers.set(Peers { shard, ids, all });
    }

    /// What all shards know.
    pub(crate) fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// Has another map of the cluster from now on.
    pub(crate) fn install(&self, map: Arc<ClusterMap>) {
        self.with_home(|home| home.slots = Slots::Cluster(map));
    }

    /// Works on the shard's data, with its clock set.
    pub(crate) fn with_home<T>(&self, work: impl FnOnce(&mut Home) -> T) -> T {
        let mut home = self.home.borrow_mut();
        let elapsed = now().saturating_duration_since(self.start);
        home.store.set_now(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX));
        let result = work(&mut home);
        if home.store.wants_sweep() && !self.sweep.is_set() {
            self.sweep.set();
        }
        result
    }

    /// Where the shards meet.
    pub(crate) fn lobby(&self) -> &Lobby {
        &self.lobby
    }

    /// A handle to all shards; `None` if this one is a server by itself.
    pub(crate) fn all(&self) -> Option<&Sharded<Self>> {
        self.peers.get().map(|peers| &peers.all)
    }

    /// Has `work` done on another shard, whose part it finds by a handle that it brings along. It is on its way when
    /// this returns; `None` if there are no other shards.
    pub(crate) fn invoke<T: Send + 'static>(
        &self,
        shard: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Invoke<T>> {
        let peers = self.peers.get()?;
        Some(peers.shard.invoke(peers.ids[shard], work))
    }

    /// Lists a connection, to end it with the server.
    pub(crate) fn seat(&self, id: u64, seat: Rc<Seat>) {
        self.seats.borrow_mut().insert(id, seat);
    }

    /// Takes a connection off all lists.
    pub(crate) fn unseat(&self, id: u64) {
        self.home.borrow_mut().clients.remove(&id);
        let seat = self.seats.borrow_mut().remove(&id);
        drop(seat);
    }

    /// Says whether connections should end when they have answered.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Ends the connections that are idle, and has the others end when they have answered.
    pub(crate) fn drain(&self) {
        self.is_draining.set(true);
        self.all_seats().iter().for_each(|seat| seat.leave());
    }

    /// Ends the connections whose peers were told: to be done a while after [`drain`](Self::drain).
    pub(crate) fn drain_left(&self) {
        self.all_seats().iter().for_each(|seat| seat.end_if_left());
    }

    /// Ends the connections that have not asked for anything: to be done a moment after [`drain`](Self::drain).
    pub(crate) fn drain_unheard(&self) {
        self.all_seats().iter().for_each(|seat| seat.leave_unheard());
    }

    /// Ends connections over which nothing moves for so long, or a quarter more, for as long as it is polled.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub(crate) async fn end_still_ones(&self, idle_timeout: Duration) {
        loop {
            sleep(idle_timeout / u32::from(STILL_LOOKS)).await;
            self.all_seats().iter().for_each(|seat| seat.end_if_still());
        }
    }

    fn all_seats(&self) -> Vec<Rc<Seat>> {
        self.seats.borrow().values().cloned().collect()
    }

    /// Removes expired keys and frees flushed ones, in small steps, for as long as it is polled.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub(crate) async fn sweep_forever(&self) {
        loop {
            self.sweep.wait().await;
            while self.with_home(|home| home.store.sweep(SWEEP_BUDGET)) {
                yield_now().await;
            }
            if self.home.borrow().store.wants_sweep() {
                sleep(SWEEP_INTERVAL).await;
            } else {
                self.sweep.clear();
            }
        }
    }
}
