//! What a shard counts, and how it is told.

use std::cell::Cell;
use std::fmt::Write as _;

use corelane::Result;
use corelane_shards::{Shard, ShardId};

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
const FAMILIES: [(&str, &str, &str); 4] = [
    ("http_requests_total", "counter", "Requests that were answered."),
    ("http_connections_total", "counter", "Connections that were accepted."),
    ("http_connection_errors_total", "counter", "Connections that ended with an error."),
    ("http_open_connections", "gauge", "Connections that are open."),
];

/// The counters of all shards as text. Each shard is asked by a message; all at once.
///
/// # Errors
/// When a shard has ended.
pub(super) async fn text(shard: &Shard) -> Result<String> {
    let asked: Vec<_> = shard.all().map(|peer| (peer, shard.invoke(peer, snapshot))).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (peer, answer) in asked {
        answers.push((peer, answer.await?));
    }
    Ok(format(&answers))
}

fn format(answers: &[(ShardId, [u64; FAMILIES.len()])]) -> String {
    let mut text = String::new();
    for (place, (name, kind, meaning)) in FAMILIES.into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
        for (peer, counts) in answers {
            let _ = writeln!(text, "{name}{{shard=\"{}\"}} {}", peer.index(), counts[place]);
        }
    }
    text
}
