//! Which shard runs on which core.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::error::Error;
use std::fmt;

use crate::cores::{AllowedCores, CpuList};

/// The most shards that one process may start: a mesh has a lane for every ordered pair.
pub const MAX_SHARD_COUNT: usize = 1024;

/// How many shards there are, and which core each is pinned to.
///
/// Cores that the process may use are those of its affinity mask and its cpuset. A container with a quota of CPU time
/// and no cpuset may use all of the machine, and several such containers would all take the *same* first cores, each
/// with its quota: give them cpusets (Kubernetes: the static CPU manager and whole CPUs), or say
/// [`Unpinned`](Self::Unpinned). The start-up report warns of a quota that is less than the shards can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// One shard on each core that the process may use.
    #[default]
    PerCore,
    /// One shard on each physical core that the process may use: of hyperthreads that share one, the
    /// first. For work that two hyperthreads would only hold up, as it waits for no memory.
    PerPhysicalCore,
    /// This many shards, pinned to the first cores that the process may use.
    Count(usize),
    /// This many shards, dealt out to the NUMA nodes in turn, so that each has the same share of
    /// every memory's bandwidth. On a node, physical cores come before second hyperthreads.
    Spread(usize),
    /// This many shards on as few NUMA nodes as have room for them, so that messages need not cross
    /// from one to another. On a node, physical cores come before second hyperthreads.
    Pack(usize),
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
            Self::PerPhysicalCore => allowed.physical_cores().len(),
            Self::Count(count)
            | Self::Spread(count)
            | Self::Pack(count)
            | Self::Unpinned(count) => *count,
            Self::Cores(list) => list.len(),
        };
        if shard_count == 0 {
            return Err(PlacementError::NoShards);
        }
        if shard_count > MAX_SHARD_COUNT {
            return Err(PlacementError::TooMany { asked: shard_count });
        }
        let order = match self {
            Self::Unpinned(_) => return Ok(vec![None; shard_count]),
            Self::Cores(list) => {
                check_list(list, allowed, oversubscribe)?;
                list.clone()
            }
            Self::PerCore | Self::Count(_) => allowed.cores().to_vec(),
            Self::PerPhysicalCore => {
                allowed.physical_cores().into_iter().map(|threads| threads[0]).collect()
            }
            Self::Spread(_) => dealt(nodes(allowed)),
            Self::Pack(_) => {
                let mut nodes = nodes(allowed);
                nodes.sort_by_key(|node| Reverse(node.len()));
                nodes.concat()
            }
        };
        if shard_count > order.len() && !oversubscribe {
            let allowed = allowed.cores().to_vec();
            return Err(PlacementError::MoreThanCores { asked: shard_count, allowed });
        }
        Ok(order.into_iter().cycle().take(shard_count).map(Some).collect())
    }

    /// Why the cores that were taken were taken, for a line to be read.
    pub(crate) fn reason(&self, allowed: &AllowedCores, taken: &[usize]) -> String {
        let nodes = allowed.numa_nodes();
        let used = nodes.iter().filter(|node| node.iter().any(|core| taken.contains(core)));
        let on_nodes = |count: usize| match count {
            1 => "1 NUMA node".to_owned(),
            _ => format!("{count} NUMA nodes"),
        };
        match self {
            Self::PerCore => "one per core".to_owned(),
            Self::PerPhysicalCore => "one per physical core".to_owned(),
            Self::Count(_) => "the first ones".to_owned(),
            Self::Spread(_) => format!("spread over {}", on_nodes(used.count())),
            Self::Pack(_) => format!("packed on {}", on_nodes(used.count())),
            Self::Cores(_) => "as listed".to_owned(),
            Self::Unpinned(_) => "not pinned".to_owned(),
        }
    }

    /// Whether it goes by what shares a core or a memory.
    pub(crate) fn needs_topology(&self) -> bool {
        matches!(self, Self::PerPhysicalCore | Self::Spread(_) | Self::Pack(_))
    }
}

/// The cores of each node, physical ones first: the first threads of all, then the second ones.
fn nodes(allowed: &AllowedCores) -> Vec<Vec<usize>> {
    let physical = allowed.physical_cores();
    let on_node = |node: Vec<usize>| {
        dealt(physical.iter().filter(|threads| node.contains(&threads[0])).cloned().collect())
    };
    allowed.numa_nodes().into_iter().map(on_node).collect()
}

/// The first of each group, then the second of each that has one, and so on.
fn dealt(groups: Vec<Vec<usize>>) -> Vec<usize> {
    let longest = groups.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(|nth| groups.iter().filter_map(move |group| group.get(nth)))
        .copied()
        .collect()
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
                 ask for fewer, do not pin them, or allow oversubscription",
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
