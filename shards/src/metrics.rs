//! What all shards count: their loops, their lanes, their connections.

use std::collections::BTreeMap;
use std::time::Duration;

use corelane::stats::{Durations, Exposition, Kind, LoopStats};
use corelane::{Result, loop_stats};

use crate::balance::Balance;
use crate::call::ShardsHandle;
use crate::id::ShardId;
use crate::lane::LaneStats;
use crate::shard::Shard;
use crate::survey::{FromShard, ask_all, ask_all_blocking};

/// What one shard has done so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStats {
    /// Its loop.
    pub event_loop: LoopStats,
    /// Its lanes to the other shards. What it received over lanes is what they sent.
    pub lanes: Vec<(ShardId, LaneStats)>,
    /// How long packets from the other shards were on their way to this one: from when they were put into the
    /// lane to when they were taken out, for one in 64 of each lane, the first included. It is the price of a
    /// hop: the time for which this shard slept, or was busy with something else.
    pub hops: Durations,
    /// Connections of its servers that are open.
    pub connection_count: usize,
}

/// What all shards of a run have done so far: a snapshot, from [`Shard::stats`] or [`ShardsHandle::stats`].
///
/// Each shard is asked by a message and answers between two of its steps; nothing stops.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunStats {
    /// The shards in their order, also those that did not answer.
    pub shards: Vec<FromShard<ShardStats>>,
}

impl Shard {
    /// What all shards have done so far, this one included. Those that do not answer within `limit` are told of,
    /// with what holds them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use corelane_shards::{Placement, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     let stats = shard.stats(Duration::from_secs(1)).await;
    ///     let text = stats.prometheus().to_string();
    ///     assert!(text.contains("corelane_shard_up{shard=\"1\"}"));
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn stats(&self, limit: Duration) -> RunStats {
        RunStats { shards: ask_all(&self.handle(), limit, own).await }
    }
}

impl ShardsHandle {
    /// What all shards have done so far, for a thread that is none of them. It blocks for `limit` at most.
    ///
    /// # Errors
    /// Runtime on the thread of a shard or of another loop; there is [`Shard::stats`].
    pub fn stats(&self, limit: Duration) -> Result<RunStats> {
        Ok(RunStats { shards: ask_all_blocking(self, limit, own)? })
    }
}

/// What this shard has done so far.
fn own() -> Result<ShardStats> {
    let shard = Shard::current().ok_or_else(corelane::Error::cancelled)?;
    let peers = shard.all().filter(|peer| *peer != shard.id());
    Ok(ShardStats {
        event_loop: loop_stats()?,
        lanes: peers.map(|peer| (peer, shard.lane_stats(peer))).collect(),
        hops: shard.desk().hops(),
        connection_count: shard.servers().connection_count(),
    })
}

/// Name and meaning of a counter of lanes, and where its value is.
type LaneCounter = (&'static str, &'static str, fn(&LaneStats) -> u64);

const LANE_COUNTERS: &[LaneCounter] = &[
    ("corelane_lane_messages_total", "Messages that were sent.", |lane| lane.message_count),
    ("corelane_lane_packets_total", "Packets that carried messages.", |lane| lane.packet_count),
    ("corelane_lane_wakes_total", "Packets for which the receiver was woken.", |lane| {
        lane.wake_count
    }),
    ("corelane_lane_spared_wakes_total", "Packets for which it was awake.", |lane| {
        lane.suppressed_wake_count()
    }),
    ("corelane_lane_full_total", "Flushes that found the lane full.", |lane| lane.full_count),
    ("corelane_lane_waits_total", "Calls that waited for a permit.", |lane| lane.wait_count),
];

impl RunStats {
    /// The metrics for Prometheus, with the labels `shard`, or `from` and `to` for lanes. A shard that did not
    /// answer has `corelane_shard_up` 0 and nothing else. Add your own metrics to it before you print it.
    #[must_use]
    pub fn prometheus(&self) -> Exposition {
        let mut text = Exposition::new();
        for FromShard { id, answer, .. } in &self.shards {
            let shard = id.to_string();
            let labels = [("shard", shard.as_str())];
            let help = "Whether the shard answers.";
            text.add("corelane_shard_up", Kind::Gauge, help, &labels, u8::from(answer.is_ok()));
            let Ok(stats) = answer else { continue };
            stats.event_loop.describe(&mut text, &labels);
            let help = "Connections of servers that are open.";
            let count = stats.connection_count as f64;
            text.add("corelane_shard_connections", Kind::Gauge, help, &labels, count);
            let help = "Time that packets to the shard were on their way, sampled.";
            text.add_durations("corelane_lane_hop_seconds", help, &labels, &stats.hops);
            for (peer, lane) in &stats.lanes {
                let to = peer.to_string();
                let labels = [("from", shard.as_str()), ("to", to.as_str())];
                for (name, help, value) in LANE_COUNTERS {
                    text.add(name, Kind::Counter, help, &labels, value(lane) as f64);
                }
            }
        }
        let help = "Connections of the shard with the most, in terms of their mean: 1 is even.";
        let most = self.connections().max_over_mean();
        text.add("corelane_shards_connection_imbalance", Kind::Gauge, help, &[], most);
        text
    }

    /// How the connections of servers are spread over those shards that answered.
    #[must_use]
    pub fn connections(&self) -> Balance {
        let counts = self.answers().into_values().map(|stats| stats.connection_count as f64);
        Balance::new(counts.collect())
    }

    /// How long steps of tasks took on all shards together.
    #[must_use]
    pub fn steps(&self) -> Durations {
        let mut all = Durations::default();
        for stats in self.answers().into_values() {
            all.merge(&stats.event_loop.steps);
        }
        all
    }

    /// What those shards said that answered.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<ShardId, &ShardStats> {
        let answers =
            self.shards.iter().filter_map(|shard| Some((shard.id, shard.answer.as_ref().ok()?)));
        answers.collect()
    }
}
