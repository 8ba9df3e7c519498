//! What came of a placement.

#[cfg(test)]
mod tests;

use std::fmt;

use corelane::lowlevel::DriverKind;

use crate::cores::{AllowedCores, CpuList};
use crate::id::ShardId;
use crate::placement::Placement;

/// How the shards of a run were started.
#[derive(Clone, Debug, PartialEq)]
pub struct StartReport {
    pub(crate) placement: Placement,
    pub(crate) allowed: AllowedCores,
    pub(crate) shards: Vec<ShardStart>,
    pub(crate) driver: DriverKind,
}

/// How one shard was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStart {
    /// The shard.
    pub id: ShardId,
    /// The core that was chosen for it; `None` if it was not to be pinned.
    pub core: Option<usize>,
    /// Whether it runs where it was to run. False only if the system refused to pin it; it runs all
    /// the same.
    pub is_placed: bool,
}

impl StartReport {
    /// What was asked for.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What this process may use.
    #[must_use]
    pub fn allowed(&self) -> &AllowedCores {
        &self.allowed
    }

    /// The shards in their order.
    #[must_use]
    pub fn shards(&self) -> &[ShardStart] {
        &self.shards
    }

    /// The cores that shards are pinned to, ascending.
    #[must_use]
    pub fn pinned_cores(&self) -> Vec<usize> {
        let placed = self.shards.iter().filter(|shard| shard.is_placed);
        let mut cores: Vec<usize> = placed.filter_map(|shard| shard.core).collect();
        cores.sort_unstable();
        cores.dedup();
        cores
    }

    /// What a user should know: pins that failed, a quota that is too small, facts that were odd. The rest of what may
    /// be wrong, and what to do about it, is in [`host`](Self::host).
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.problems().into_iter().map(|problem| problem.what).collect()
    }
}

impl fmt::Display for StartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.shards.len();
        let plural = if count == 1 { "" } else { "s" };
        let cores = self.pinned_cores();
        if cores.is_empty() {
            write!(f, "{count} shard{plural}, not pinned")?;
        } else {
            let reason = self.placement.reason(&self.allowed, &cores);
            write!(f, "{count} shard{plural} on cores {}, {reason}", CpuList(&cores))?;
        }
        write!(f, " (may use {})", self.allowed)
    }
}
