//! Which shard runs on which core.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;

use crate::cores::{AllowedCores, CpuList};

/// The most shards that one process may start: a mesh has a lane for every ordered pair.
pub const MAX_SHARD_COUNT: usize = 1024;

/// How many shards there are, and which core each is pinned to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// One shard on each core that the process may use.
    #[default]
    PerCore,
    /// This many shards, pinned to the first cores that the process may use.
    Count(usize),
    /// One shard on each of these cores, in this order.
    Cores(Vec<usize>),
    /// This many shards, pinned nowhere: for laptops, tests, and machines that others share.
    Unpinned(usize),
}

impl Placement {
    /// Decides the core of every shard; `None` is a shard that is not pinned.
    pub(crate) fn plan(
        &self,
        allowed: &AllowedCores,
        oversubscribe: bool,
    ) -> Result<Vec<Option<usize>>, PlacementError> {
        let shard_count = match self {
            Self::PerCore => allowed.cores().len(),
            Self::Count(count) | Self::Unpinned(count) => *count,
            Self::Cores(list) => list.len(),
        };
        if shard_count == 0 {
            return Err(PlacementError::NoShards);
        }
        if shard_count > MAX_SHARD_COUNT {
            return Err(PlacementError::TooMany { asked: shard_count });
        }
        match self {
            Self::Unpinned(_) => Ok(vec![None; shard_count]),
            Self::Cores(list) => {
                check_list(list, allowed, oversubscribe)?;
                Ok(list.iter().copied().map(Some).collect())
            }
            Self::PerCore | Self::Count(_) => {
                if shard_count > allowed.cores().len() && !oversubscribe {
                    return Err(PlacementError::MoreThanCores {
                        asked: shard_count,
                        allowed: allowed.cores().to_vec(),
                    });
                }
                Ok(allowed.cores().iter().copied().cycle().take(shard_count).map(Some).collect())
            }
        }
    }
}

fn check_list(
    list: &[usize],
    allowed: &AllowedCores,
    oversubscribe: bool,
) -> Result<(), PlacementError> {
    for (index, &core) in list.iter().enumerate() {
        if !allowed.cores().contains(&core) {
            return Err(PlacementError::NotAllowed { core, allowed: allowed.cores().to_vec() });
        }
        if !oversubscribe && list[..index].contains(&core) {
            return Err(PlacementError::Twice { core });
        }
    }
    Ok(())
}

/// A placement that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlacementError {
    /// No shard at all was asked for.
    NoShards,
    /// A listed core is not one that the process may use.
    NotAllowed {
        /// The core that was asked for.
        core: usize,
        /// The cores that may be used.
        allowed: Vec<usize>,
    },
    /// A core is listed twice and oversubscription is not allowed.
    Twice {
        /// The core that was listed twice.
        core: usize,
    },
    /// There are fewer cores than shards and oversubscription is not allowed.
    MoreThanCores {
        /// How many shards were asked for.
        asked: usize,
        /// The cores that may be used.
        allowed: Vec<usize>,
    },
    /// More shards than [`MAX_SHARD_COUNT`].
    TooMany {
        /// How many shards were asked for.
        asked: usize,
    },
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoShards => write!(f, "at least one shard is needed"),
            Self::NotAllowed { core, allowed } => {
                write!(f, "this process may not use core {core}; it may use {}", CpuList(allowed))
            }
            Self::Twice { core } => {
                write!(f, "core {core} is listed twice; list it once, or allow oversubscription")
            }
            Self::MoreThanCores { asked, allowed } => write!(
                f,
                "{asked} shards are more than the {} cores that this process may use ({}); \
                 ask for fewer, or allow oversubscription",
                allowed.len(),
                CpuList(allowed)
            ),
            Self::TooMany { asked } => {
                write!(f, "{asked} shards are more than the limit of {MAX_SHARD_COUNT}")
            }
        }
    }
}

impl Error for PlacementError {}
