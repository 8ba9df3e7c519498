//! Which shard a key belongs to: Redis Cluster's hash slots.
//!
//! A key's slot is the CRC16 of the key, or of what stands in its first `{...}`, modulo 16384: keys
//! with the same tag are on the same shard. The slots are Redis Cluster's, so what a client knows
//! about keys that belong together holds here. Without `--cluster` the shards have equal runs of
//! them; with it a [`ClusterMap`] says whose they are, on this machine and on others.

use std::sync::Arc;

use super::cluster::ClusterMap;

/// How many hash slots there are, as in Redis Cluster.
pub(crate) const SLOT_COUNT: usize = 16_384;

/// The hash slot of `key`.
pub(crate) fn slot_of(key: &[u8]) -> usize {
    usize::from(redis_protocol::redis_keyslot(key))
}

/// The map from keys to shards.
#[derive(Clone, Debug)]
pub(crate) enum Slots {
    /// Equal runs of slots for so many shards.
    Even(usize),
    /// The slots of a cluster, of which this process may have a part.
    Cluster(Arc<ClusterMap>),
}

impl Slots {
    /// Deals the slots out to `shard_count` shards.
    ///
    /// # Panics
    /// If there is no shard, or there are more shards than slots.
    pub(crate) fn even(shard_count: usize) -> Self {
        assert!((1..=SLOT_COUNT).contains(&shard_count), "from 1 to {SLOT_COUNT} shards");
        Self::Even(shard_count)
    }

    /// The index of the shard that `key` belongs to. A key of another process belongs to none of
    /// this one: a cluster's requests are refused ([`ClusterMap::admit_here`]) before they come here.
    pub(crate) fn shard_of(&self, key: &[u8]) -> usize {
        match self {
            Self::Even(1) => 0,
            Self::Even(shard_count) => owner_of(key, *shard_count),
            Self::Cluster(map) => map.shard_of(slot_of(key)).unwrap_or_default(),
        }
    }

    /// The cluster's map, if there is a cluster.
    pub(crate) fn cluster(&self) -> Option<&Arc<ClusterMap>> {
        match self {
            Self::Even(_) => None,
            Self::Cluster(map) => Some(map),
        }
    }

    /// A number that grows with each change of the map.
    pub(crate) fn version(&self) -> u64 {
        self.cluster().map_or(0, |map| map.version())
    }
}

/// The shard that a key belongs to where `shard_count` shards have equal runs of the slots, as they do without
/// `--cluster`: for a client that wants to know whether the shard it talks to will answer by itself.
pub fn owner_of(key: &[u8], shard_count: usize) -> usize {
    even_shard(slot_of(key), shard_count)
}

/// The shard of a slot where `shard_count` shards have equal runs.
pub(crate) fn even_shard(slot: usize, shard_count: usize) -> usize {
    slot * shard_count / SLOT_COUNT
}

#[cfg(test)]
mod tests;
