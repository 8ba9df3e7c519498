//! INFO: each shard counts for itself, the asked one adds up and prints.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::connection::{REDIS_VERSION, mode};
use crate::kv::home::Home;
use crate::kv::reply::Reply;
use crate::kv::request::Args;

/// How many counters a shard gives.
pub(crate) const COUNTER_COUNT: usize = 11;

/// The counters of all shards, added up, in the order of [`part`].
type Sums = [i64; COUNTER_COUNT];
/// Writes the lines of one section.
type Writer = fn(&mut String, &Home, &Sums);

/// INFO [section ...]: the counters of one shard, in the order in which [`print()`] takes them.
pub(crate) fn part(home: &mut Home, _: Args<'_>, reply: &mut Reply<'_>) {
    let (counters, store) = (&home.counters, &home.store);
    let (hits, misses) = store.lookup_counts();
    let values: [u64; COUNTER_COUNT] = [
        home.clients.len() as u64,
        counters.connections,
        counters.rejected,
        counters.commands,
        counters.bytes_in,
        counters.hops,
        store.len() as u64,
        store.deadline_count() as u64,
        store.expired_count(),
        hits,
        misses,
    ];
    reply.array(values.len());
    for value in values {
        reply.integer(value as i64);
    }
}

/// The sections that were asked for, with the shards' counters added up.
pub(crate) fn print(home: &Home, sections: &[String], sums: Sums) -> String {
    let mut text = String::new();
    let writers: [(&str, Writer); 8] = [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Persistence", |text, _, _| text.push_str("loading:0\r\nasync_loading:0\r\n")),
        ("Stats", stats),
        ("Replication", |text, _, _| text.push_str("role:master\r\nconnected_slaves:0\r\n")),
        ("Cluster", cluster),
        ("Keyspace", keyspace),
    ];
    let is_asked = |name: &str| {
        let all = ["all", "everything", "default"];
        let asks = |word: &String| {
            word.eq_ignore_ascii_case(name) || all.iter().any(|all| word.eq_ignore_ascii_case(all))
        };
        sections.is_empty() || sections.iter().any(asks)
    };
    for (name, write) in writers {
        if is_asked(name) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            let _ = write!(text, "# {name}\r\n");
            write(&mut text, home, &sums);
        }
    }
    text
}

fn server(text: &mut String, home: &Home, _: &Sums) {
    let uptime_seconds = home.store.now_ms() / 1000;
    let _ = write!(
        text,
        "redis_version:{REDIS_VERSION}\r\nserver_name:corelane-kv\r\ncorelane_version:{}\r\n\
         redis_mode:{}\r\nos:{}\r\narch_bits:{}\r\nprocess_id:{}\r\ntcp_port:{}\r\n\
         uptime_in_seconds:{uptime_seconds}\r\nuptime_in_days:{}\r\nshards:{}\r\n",
        env!("CARGO_PKG_VERSION"),
        mode(home),
        std::env::consts::OS,
        usize::BITS,
        std::process::id(),
        home.facts.port.load(Ordering::Relaxed),
        uptime_seconds / 86_400,
        home.facts.shard_count,
    );
}

fn clients(text: &mut String, home: &Home, sums: &Sums) {
    let [connected, ..] = sums;
    let limit = home.facts.max_clients;
    let _ = write!(
        text,
        "connected_clients:{connected}\r\nmaxclients:{limit}\r\nblocked_clients:0\r\n"
    );
}

fn memory(text: &mut String, _: &Home, _: &Sums) {
    // The allocator is not asked: both figures are what the kernel says the process has.
    if let Some(bytes) = resident_bytes() {
        let _ = write!(text, "used_memory:{bytes}\r\nused_memory_rss:{bytes}\r\n");
    }
    text.push_str("maxmemory:0\r\nmaxmemory_policy:noeviction\r\n");
}

/// The memory that the process has, as far as the kernel tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn stats(text: &mut String, _: &Home, sums: &Sums) {
    let [_, connections, rejected, commands, bytes_in, hops, _, _, expired, hits, misses] = sums;
    let _ = write!(
        text,
        "total_connections_received:{connections}\r\ntotal_commands_processed:{commands}\r\n\
         total_hops:{hops}\r\ntotal_net_input_bytes:{bytes_in}\r\nrejected_connections:{rejected}\r\n\
         expired_keys:{expired}\r\nevicted_keys:0\r\nkeyspace_hits:{hits}\r\n\
         keyspace_misses:{misses}\r\n"
    );
}

fn cluster(text: &mut String, home: &Home, _: &Sums) {
    let is_enabled = u8::from(home.slots.cluster().is_some());
    let _ = write!(text, "cluster_enabled:{is_enabled}\r\n");
}

fn keyspace(text: &mut String, _: &Home, sums: &Sums) {
    let [.., keys, expires, _, _, _] = sums;
    if *keys > 0 {
        let _ = write!(text, "db0:keys={keys},expires={expires},avg_ttl=0\r\n");
    }
}
