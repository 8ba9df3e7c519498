//! An idle shard sleeps: it is not woken, and takes no CPU time. Alone in its process, as it counts threads' switches.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;

use corelane_shards::{Placement, Shard, Shards};

const SHARDS: usize = 4;

/// Of each thread of a shard: how often it has gone to sleep, and the CPU time that it has taken, in ticks.
fn shard_threads() -> BTreeMap<String, (u64, u64)> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let counted = threads.filter_map(|thread| {
        let name = fs::read_to_string(thread.join("comm")).ok()?.trim().to_owned();
        let status = fs::read_to_string(thread.join("status")).ok()?;
        let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let stat = fs::read_to_string(thread.join("stat")).ok()?;
        // User and system time are the 14th and 15th field, and the second may hold spaces.
        let (_, fields) = stat.rsplit_once(')')?;
        let times = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>());
        let ticks = times.sum::<Result<u64, _>>().ok()?;
        Some((name, (sleeps?.trim().parse().ok()?, ticks)))
    });
    counted.filter(|(name, _)| name.starts_with("shard-") && name != "shard-signals").collect()
}

#[expect(clippy::disallowed_methods, reason = "this thread is no shard")]
fn pause(length: Duration) {
    thread::sleep(length);
}

#[test]
fn an_idle_shard_is_not_woken_and_takes_no_cpu_time() {
    let shards = Shards::builder().placement(Placement::Unpinned(SHARDS));
    let running = shards.start(async |shard: Shard| {
        let server = shard.serve("127.0.0.1:0", async |_, _| Ok(())).await?;
        shard.shutdown().requested().await;
        server.close();
        Ok(())
    });
    let running = running.unwrap();
    // Until they have come to rest.
    let mut before = shard_threads();
    loop {
        pause(Duration::from_millis(100));
        let now = shard_threads();
        if now == before && now.len() == SHARDS {
            break;
        }
        before = now;
    }
    pause(Duration::from_secs(1));
    assert_eq!(shard_threads(), before, "a shard was woken for nothing");
    // They were idle, not stuck; and a shard that is asked does wake.
    running.handle().invoke(corelane_shards::ShardId::new(0), || ()).wait(None).unwrap();
    while shard_threads()["shard-0"].0 == before["shard-0"].0 {
        pause(Duration::from_millis(1));
    }
    running.handle().request_shutdown();
    running.join().unwrap();
}
