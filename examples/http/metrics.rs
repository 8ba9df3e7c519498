//! What a shard counts, and how it is told.

use std::cell::Cell;
use std::time::Duration;

use corelane::Result;
use corelane::stats::Kind;
use corelane_shards::Shard;

thread_local! {
    /// The counters of the shard that this thread is.
    static COUNTERS: Counters = const { Counters::new() };
}

/// The counters of one shard.
#[derive(Debug)]
struct Counters {
    requests: Cell<u64>,
    connections: Cell<u64>,
    failed_connections: Cell<u64>,
    open_connections: Cell<u64>,
}

impl Counters {
    const fn new() -> Self {
        Self {
            requests: Cell::new(0),
            connections: Cell::new(0),
            failed_connections: Cell::new(0),
            open_connections: Cell::new(0),
        }
    }
}

fn add(counter: impl Fn(&Counters) -> &Cell<u64>, count: i64) {
    COUNTERS.with(|counters| {
        let cell = counter(counters);
        cell.set(cell.get().saturating_add_signed(count));
    });
}

/// A request has been answered.
pub(super) fn count_request() {
    add(|counters| &counters.requests, 1);
}

/// A connection ended with an error.
pub(super) fn count_failure() {
    add(|counters| &counters.failed_connections, 1);
}

/// An open connection, counted as long as this lives.
#[derive(Debug)]
pub(super) struct OpenConnection(());

impl OpenConnection {
    /// One more.
    pub(super) fn new() -> Self {
        add(|counters| &counters.connections, 1);
        add(|counters| &counters.open_connections, 1);
        Self(())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        add(|counters| &counters.open_connections, -1);
    }
}

/// The counters of this shard in the order of [`FAMILIES`].
fn snapshot() -> [u64; FAMILIES.len()] {
    COUNTERS.with(|counters| {
        [
            counters.requests.get(),
            counters.connections.get(),
            counters.failed_connections.get(),
            counters.open_connections.get(),
        ]
    })
}

/// Name, type and meaning of what is counted.
const FAMILIES: [(&str, Kind, &str); 4] = [
    ("http_requests_total", Kind::Counter, "Requests that were answered."),
    ("http_connections_total", Kind::Counter, "Connections that were accepted."),
    ("http_connection_errors_total", Kind::Counter, "Connections that ended with an error."),
    ("http_open_connections", Kind::Gauge, "Connections that are open."),
];

/// How long a shard has to answer before the others' metrics are shown without its own.
const LIMIT: Duration = Duration::from_secs(1);

/// The counters of all shards as text: those of this server, and those of the shards themselves.
///
/// # Errors
/// When a shard has ended.
pub(super) async fn text(shard: &Shard) -> Result<String> {
    let stats = shard.stats(LIMIT).await;
    let mut text = stats.prometheus();
    // A shard that is stalled would not answer here either.
    let asked: Vec<_> =
        stats.answers().into_keys().map(|peer| (peer, shard.invoke(peer, snapshot))).collect();
    for (peer, answer) in asked {
        let peer = peer.to_string();
        for ((name, kind, meaning), value) in FAMILIES.into_iter().zip(answer.await?) {
            text.add(name, kind, meaning, &[("shard", &peer)], value as f64);
        }
    }
    Ok(text.to_string())
}
