//! What one shard keeps: its store, the connections it serves, its counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use super::slots::{Slots, slot_of};
use super::store::Store;

/// What all shards know alike.
#[derive(Debug)]
pub(crate) struct Facts {
    /// How many shards there are.
    pub(crate) shard_count: usize,
    /// The largest number of connections, over all shards.
    pub(crate) max_clients: usize,
    /// Where the server was asked to listen, as CONFIG GET and INFO print it.
    pub(crate) bind: String,
    /// The port it listens on; 0 until that is known.
    pub(crate) port: AtomicU16,
    /// Connections now, over all shards.
    client_count: AtomicUsize,
    /// Connections ever, over all shards: the number of the last one.
    last_client: AtomicU64,
}

impl Facts {
    /// The facts of a server that has not begun to listen.
    pub(crate) fn new(shard_count: usize, max_clients: usize, bind: String) -> Self {
        Self {
            shard_count,
            max_clients,
            bind,
            port: AtomicU16::new(0),
            client_count: AtomicUsize::new(0),
            last_client: AtomicU64::new(0),
        }
    }

    /// Takes a place for one more connection; `None` if all are taken. The place is free again when
    /// the value is dropped.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        // Relaxed: a counter guards no other data.
        if self.client_count.fetch_add(1, Ordering::Relaxed) >= self.max_clients {
            self.client_count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let id = self.last_client.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Admission { facts: Arc::clone(self), id })
    }
}

/// A connection's place among the server's [`max_clients`](Facts::max_clients).
#[derive(Debug)]
pub(crate) struct Admission {
    facts: Arc<Facts>,
    /// The number of the connection, unique in the server.
    pub(crate) id: u64,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.facts.client_count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection as CLIENT LIST shows it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    /// Where it arrived.
    pub(crate) local: SocketAddr,
    /// The name it gave itself.
    pub(crate) name: String,
    /// The client library, as CLIENT SETINFO told.
    pub(crate) library: String,
    /// The version of the client library.
    pub(crate) library_version: String,
    /// When it came, in the milliseconds of the store's clock.
    pub(crate) since_ms: i64,
    /// When it was heard last.
    pub(crate) heard_ms: i64,
    /// The command it sent last.
    pub(crate) last_command: &'static str,
    /// The version of the protocol it speaks.
    pub(crate) resp: i64,
}

impl Client {
    /// A connection that came at `now_ms`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, now_ms: i64) -> Self {
        Self {
            peer,
            local,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            since_ms: now_ms,
            heard_ms: now_ms,
            last_command: "NULL",
            resp: 2,
        }
    }
}

/// What a shard counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Commands run for connections of this shard.
    pub(crate) commands: u64,
    /// Connections accepted.
    pub(crate) connections: u64,
    /// Connections turned away because there were too many.
    pub(crate) rejected: u64,
    /// Bytes of requests.
    pub(crate) bytes_in: u64,
    /// Commands, and parts of commands, that were sent to other shards.
    pub(crate) hops: u64,
}

/// How many buckets of the store [`Home::purge`] looks at.
const PURGE_BUDGET: usize = 128;

/// All that one shard owns.
#[derive(Debug)]
pub(crate) struct Home {
    /// What all shards know.
    pub(crate) facts: Arc<Facts>,
    /// The index of this shard.
    pub(crate) index: usize,
    /// Where keys belong.
    pub(crate) slots: Slots,
    /// Its keys.
    pub(crate) store: Store,
    /// Its connections by number.
    pub(crate) clients: BTreeMap<u64, Client>,
    /// Its counters.
    pub(crate) counters: Counters,
}

impl Home {
    /// The empty home of shard `index`; `seed` keys the hashes of its store.
    pub(crate) fn new(facts: Arc<Facts>, index: usize, slots: Slots, seed: u64) -> Self {
        Self {
            facts,
            index,
            slots,
            store: Store::new(seed),
            clients: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// Removes keys that belong to others by now, as far as it comes in one go from `cursor` on. Returns
    /// where to go on; a key that stays at its place is met once.
    pub(crate) fn purge(&mut self, cursor: u32) -> Option<u32> {
        let map = self.slots.cluster()?;
        let (mut strangers, mut next): (Vec<Vec<u8>>, _) = (Vec::new(), Some(cursor));
        for _ in 0..PURGE_BUDGET {
            let Some(from) = next else { break };
            next = self.store.scan(from, |key| {
                if map.shard_of(slot_of(key)) != Some(self.index) {
                    strangers.push(key.to_vec());
                }
            });
        }
        for key in strangers {
            self.store.remove(&key);
        }
        next
    }
}
