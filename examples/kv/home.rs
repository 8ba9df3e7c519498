//! What one shard keeps: its store, the connections it serves, its counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use super::slots::Slots;
use super::store::Store;

/// What all shards know alike.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Where keys belong.
    pub(crate) slots: Slots,
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
    pub(crate) fn new(slots: Slots, max_clients: usize, bind: String) -> Self {
        Self {
            slots,
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
}

/// All that one shard owns.
#[derive(Debug)]
pub(crate) struct Home {
    /// What all shards know.
    pub(crate) facts: Arc<Facts>,
    /// The index of this shard.
    pub(crate) index: usize,
    /// Its keys.
    pub(crate) store: Store,
    /// Its connections by number.
    pub(crate) clients: BTreeMap<u64, Client>,
    /// Its counters.
    pub(crate) counters: Counters,
}

impl Home {
    /// The empty home of shard `index`; `seed` keys the hashes of its store.
    pub(crate) fn new(facts: Arc<Facts>, index: usize, seed: u64) -> Self {
        Self {
            facts,
            index,
            store: Store::new(seed),
            clients: BTreeMap::new(),
            counters: Counters::default(),
        }
    }
}
