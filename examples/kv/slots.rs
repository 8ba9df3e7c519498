//! Which shard a key belongs to: Redis Cluster's hash slots, dealt out to the shards in equal runs.
//!
//! A key's slot is the CRC16 of the key, or of what stands in its first `{...}`, modulo 16384: keys
//! with the same tag are on the same shard. The slots are Redis Cluster's, so what a client knows
//! about keys that belong together holds here.

/// How many hash slots there are, as in Redis Cluster.
pub(crate) const SLOT_COUNT: usize = 16_384;

/// The map from keys to shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    shard_count: usize,
}

impl Slots {
    /// Deals the slots out to `shard_count` shards.
    ///
    /// # Panics
    /// If there is no shard, or there are more shards than slots.
    pub(crate) fn new(shard_count: usize) -> Self {
        assert!((1..=SLOT_COUNT).contains(&shard_count), "from 1 to {SLOT_COUNT} shards");
        Self { shard_count }
    }

    /// How many shards there are.
    pub(crate) fn shard_count(self) -> usize {
        self.shard_count
    }

    /// The index of the shard that `key` belongs to.
    pub(crate) fn shard_of(self, key: &[u8]) -> usize {
        if self.shard_count == 1 {
            return 0;
        }
        let slot = redis_protocol::redis_keyslot(key);
        usize::from(slot) * self.shard_count / SLOT_COUNT
    }
}

#[cfg(test)]
mod tests;
