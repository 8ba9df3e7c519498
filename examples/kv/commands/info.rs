//! INFO: each shard counts for itself, the asked one adds up and prints.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use corelane::loop_stats;
use corelane::stats::LoopStats;
use corelane_shards::{LaneStats, Shard};

use super::connection::{REDIS_VERSION, mode};
use crate::kv::home::Home;
use crate::kv::reply::Reply;
use crate::kv::request::Args;

/// How many counters of the server a shard gives; those of its loop and lanes follow.
const SERVER_COUNT: usize = 11;
/// How many counters a shard gives.
pub(crate) const COUNTER_COUNT: usize = SERVER_COUNT + RUNTIME.len();

/// The name of what a loop, or the lanes that go out from its shard, have counted.
type Metric = (&'static str, fn(&LoopStats, &LaneStats) -> u64);

/// What the section of the runtime prints, added up over the shards.
const RUNTIME: [Metric; 14] = [
    ("loop_turns", |event_loop, _| event_loop.turn_count),
    ("loop_steps", |event_loop, _| event_loop.step_count),
    ("loop_callbacks", |event_loop, _| event_loop.callback_count),
    ("loop_timers_fired", |event_loop, _| event_loop.timer_count),
    ("loop_unfinished_tasks", |event_loop, _| event_loop.unfinished_task_count),
    ("loop_sleeps", |event_loop, _| event_loop.sleep_count),
    ("loop_system_polls", |event_loop, _| event_loop.driver_count),
    ("loop_foreign_wakes", |event_loop, _| event_loop.foreign_wake_count),
    ("lane_messages", |_, lanes| lanes.message_count),
    ("lane_packets", |_, lanes| lanes.packet_count),
    ("lane_wakes", |_, lanes| lanes.wake_count),
    ("lane_spared_wakes", |_, lanes| lanes.suppressed_wake_count()),
    ("lane_full", |_, lanes| lanes.full_count),
    ("lane_permit_waits", |_, lanes| lanes.wait_count),
];

/// The counters of all shards, added up, in the order of [`part`].
type Sums = [i64; COUNTER_COUNT];
/// Writes the lines of one section.
type Writer = fn(&mut String, &Home, &Sums);

/// INFO [section ...]: the counters of one shard, in the order in which [`print()`] takes them.
pub(crate) fn part(home: &mut Home, _: Args<'_>, reply: &mut Reply<'_>) {
    let (counters, store) = (&home.counters, &home.store);
    let (hits, misses) = store.lookup_counts();
    let of_server: [u64; SERVER_COUNT] = [
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
    reply.array(COUNTER_COUNT);
    for value in of_server.into_iter().chain(of_runtime()) {
        reply.integer(value as i64);
    }
}

/// The counters of this shard's loop and lanes, in the order of [`RUNTIME`]; zeros off a shard.
fn of_runtime() -> [u64; RUNTIME.len()] {
    let (Some(shard), Ok(event_loop)) = (Shard::current(), loop_stats()) else {
        return [0; RUNTIME.len()];
    };
    let mut lanes = LaneStats::default();
    for lane in shard.all().map(|peer| shard.lane_stats(peer)) {
        lanes.message_count += lane.message_count;
        lanes.packet_count += lane.packet_count;
        lanes.wake_count += lane.wake_count;
        lanes.full_count += lane.full_count;
        lanes.wait_count += lane.wait_count;
    }
    RUNTIME.map(|(_, value)| value(&event_loop, &lanes))
}

/// The sections that were asked for, with the shards' counters added up.
pub(crate) fn print(home: &Home, sections: &[String], sums: Sums) -> String {
    let mut text = String::new();
    let writers: [(&str, Writer); 9] = [
        ("Server", server),
        ("Clients", clients),
        ("Memory", memory),
        ("Persistence", |text, _, _| text.push_str("loading:0\r\nasync_loading:0\r\n")),
        ("Stats", stats),
        ("Runtime", runtime),
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
    let [_, connections, rejected, commands, bytes_in, hops, _, _, expired, hits, misses, ..] =
        sums;
    let _ = write!(
        text,
        "total_connections_received:{connections}\r\ntotal_commands_processed:{commands}\r\n\
         total_hops:{hops}\r\ntotal_net_input_bytes:{bytes_in}\r\nrejected_connections:{rejected}\r\n\
         expired_keys:{expired}\r\nevicted_keys:0\r\nkeyspace_hits:{hits}\r\n\
         keyspace_misses:{misses}\r\n"
    );
}

fn runtime(text: &mut String, _: &Home, sums: &Sums) {
    for ((name, _), sum) in RUNTIME.iter().zip(&sums[SERVER_COUNT..]) {
        let _ = write!(text, "{name}:{sum}\r\n");
    }
}

fn cluster(text: &mut String, home: &Home, _: &Sums) {
    let is_enabled = u8::from(home.slots.cluster().is_some());
    let _ = write!(text, "cluster_enabled:{is_enabled}\r\n");
}

fn keyspace(text: &mut String, _: &Home, sums: &Sums) {
    let [_, _, _, _, _, _, keys, expires, ..] = sums;
    if *keys > 0 {
        let _ = write!(text, "db0:keys={keys},expires={expires},avg_ttl=0\r\n");
    }
}
