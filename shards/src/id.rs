//! The number of a shard.

use std::fmt;

/// The number of a shard: shards are counted from 0 in the order of their placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number. Whether there is one is seen when it is used.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The id of the shard at `index` of a mesh, whose size `Placement` has limited.
    pub(crate) fn at(index: usize) -> Self {
        debug_assert!(
            index < crate::placement::MAX_SHARD_COUNT,
            "a mesh has at most so many shards"
        );
        Self(index as u16)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
