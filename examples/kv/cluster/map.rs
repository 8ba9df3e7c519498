//! Who has which hash slots.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

use crate::kv::command::Keys;
use crate::kv::request::Args;
use crate::kv::slots::{SLOT_COUNT, even_shard, slot_of};

/// The owner of a slot that nobody serves.
const NOBODY: u16 = u16::MAX;

/// One node: a shard of this process or of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Forty hexadecimal digits, the same for the life of the cluster.
    pub(crate) id: String,
    /// The address or name that clients connect to.
    pub(crate) host: String,
    /// The port that clients connect to.
    pub(crate) port: u16,
    /// The shard's index, if it is a shard of this process.
    pub(crate) shard: Option<usize>,
}

/// The nodes and their slots, as one process sees them. It never changes: a change is another map.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClusterMap {
    version: u64,
    nodes: Vec<Node>,
    /// For each slot the index of its node, or [`NOBODY`].
    owners: Vec<u16>,
    /// The same in runs, for those who ask for all of it.
    runs: Vec<(RangeInclusive<usize>, u16)>,
    /// Whether this process serves every slot.
    is_whole: bool,
}

/// Slots that follow each other and have one owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    /// The slots.
    pub(crate) slots: RangeInclusive<usize>,
    /// Their owner.
    pub(crate) node: &'a Node,
}

/// Why a request is not answered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The slot is another node's.
    Moved {
        /// The slot.
        slot: usize,
        /// Its owner, as `host:port`.
        to: String,
    },
    /// The keys are in several slots.
    CrossSlot,
    /// Nobody serves the slot: it is on its way from one shard to another.
    Unserved,
}

impl ClusterMap {
    /// The map of a cluster in which `nodes` each have the slots that stand beside them.
    ///
    /// # Errors
    /// What is wrong with it: an address or an id that occurs twice, a slot that there is not, that
    /// two nodes have, or that none has.
    pub(crate) fn new(
        version: u64,
        nodes: Vec<(Node, Vec<RangeInclusive<usize>>)>,
    ) -> Result<Self, String> {
        if nodes.len() >= usize::from(NOBODY) {
            return Err(format!(
                "{} shards: a cluster has no more than {}",
                nodes.len(),
                NOBODY - 1
            ));
        }
        let mut owners = vec![NOBODY; SLOT_COUNT];
        let (mut addresses, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for (index, (node, ranges)) in nodes.iter().enumerate() {
            if !addresses.insert((&node.host, node.port)) {
                return Err(format!("{node} occurs twice"));
            }
            if !ids.insert(&node.id) {
                return Err(format!("{node} has the id of another shard: {}", node.id));
            }
            for slot in ranges.iter().cloned().flatten() {
                let owner = owners.get_mut(slot).ok_or_else(|| no_slot(slot))?;
                if *owner != NOBODY {
                    let (other, _) = &nodes[usize::from(*owner)];
                    return Err(format!("slot {slot} is given to {other} and to {node}"));
                }
                *owner = index as u16;
            }
        }
        if let Some(hole) = runs_of(&owners).find(|(_, owner)| *owner == NOBODY) {
            return Err(format!("nobody has {}", Slotted(&hole.0)));
        }
        Ok(Self::from_parts(version, nodes.into_iter().map(|(node, _)| node).collect(), owners))
    }

    /// The map of a cluster that is this process alone: each of its shards has an equal run of
    /// slots, and listens on one of `ports`. The ids follow from the first address, so they stay as
    /// long as that does.
    pub(crate) fn even(host: &str, ports: &[u16]) -> Self {
        let name = format!("{host}:{}", ports.first().copied().unwrap_or_default());
        let nodes = ports.iter().enumerate().map(|(shard, port)| Node {
            id: node_id(&name, shard),
            host: host.to_owned(),
            port: *port,
            shard: Some(shard),
        });
        let owners = (0..SLOT_COUNT).map(|slot| even_shard(slot, ports.len()) as u16).collect();
        Self::from_parts(1, nodes.collect(), owners)
    }

    fn from_parts(version: u64, nodes: Vec<Node>, owners: Vec<u16>) -> Self {
        let runs: Vec<_> = runs_of(&owners).collect();
        let is_own =
            |owner: u16| nodes.get(usize::from(owner)).is_some_and(|node| node.shard.is_some());
        let is_whole = runs.iter().all(|(_, owner)| is_own(*owner));
        Self { version, nodes, owners, runs, is_whole }
    }

    /// The map on the way from `self` to `next`, which was made for this process: what goes from one of
    /// its shards to another is served by neither. So no two of them ever serve a slot, whichever
    /// has which map, as long as all have this one before the first has the next.
    ///
    /// # Errors
    /// If the shards of this process are not the same in both.
    pub(crate) fn between(&self, next: &Self) -> Result<Self, String> {
        if self.own_nodes() != next.own_nodes() {
            let [before, after] = [self, next].map(|map| {
                let own = map.own_nodes();
                own.iter()
                    .map(|node| format!("{node} ({})", node.id))
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            return Err(format!(
                "the shards of this process cannot change while it runs: they are {before}, not {after}"
            ));
        }
        let owners = next.owners.iter().enumerate().map(|(slot, owner)| {
            match (self.shard_of(slot), next.shard_of(slot)) {
                (Some(from), Some(to)) if from != to => NOBODY,
                _ => *owner,
            }
        });
        Ok(Self::from_parts(self.version + 1, next.nodes.clone(), owners.collect()))
    }

    /// Says whether it has the same nodes and slots as another one, whatever their versions.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.nodes == other.nodes && self.owners == other.owners
    }

    /// A number that grows with each change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// All nodes, in the order in which they were given.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that are shards of this process, in the order of the shards.
    pub(crate) fn own_nodes(&self) -> Vec<&Node> {
        let mut own: Vec<&Node> = self.nodes.iter().filter(|node| node.shard.is_some()).collect();
        own.sort_by_key(|node| node.shard);
        own
    }

    /// The node that `shard` of this process is.
    pub(crate) fn node_of(&self, shard: usize) -> Option<&Node> {
        self.nodes.iter().find(|node| node.shard == Some(shard))
    }

    /// The shard of this process that has `slot`; `None` if it is another process's.
    pub(crate) fn shard_of(&self, slot: usize) -> Option<usize> {
        self.owner(slot)?.shard
    }

    /// The slots in runs, each with its owner; those that nobody serves are left out.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let node = |owner: &u16| self.nodes.get(usize::from(*owner));
        let runs = self.runs.iter();
        runs.filter_map(move |(slots, owner)| {
            Some(Run { slots: slots.clone(), node: node(owner)? })
        })
    }

    /// Says whether the node that `shard` is answers a command: its keys must be in one slot, and
    /// the slot must be the node's.
    ///
    /// # Errors
    /// What to answer instead.
    pub(crate) fn admit_at_node(
        &self,
        shard: usize,
        keys: Keys,
        args: Args<'_>,
    ) -> Result<(), Refusal> {
        let mut keys = keys.of(args);
        let Some(first) = keys.next() else { return Ok(()) };
        let slot = slot_of(first);
        if keys.any(|key| slot_of(key) != slot) {
            return Err(Refusal::CrossSlot);
        }
        self.admit_slot(slot, |owner| owner == shard)
    }

    /// Says whether this process answers a command: all its keys must be here.
    ///
    /// # Errors
    /// What to answer instead. Keys of several slots, some of them not here, have no common owner.
    pub(crate) fn admit_here(&self, keys: Keys, args: Args<'_>) -> Result<(), Refusal> {
        if self.is_whole {
            return Ok(());
        }
        let mut slots = keys.of(args).map(slot_of);
        let Some(stranger) = slots.find(|slot| self.shard_of(*slot).is_none()) else {
            return Ok(());
        };
        if keys.of(args).any(|key| slot_of(key) != stranger) {
            return Err(Refusal::CrossSlot);
        }
        self.admit_slot(stranger, |_| true)
    }

    /// Says whether `shard` runs its part of a command that was sent to it by an older map.
    ///
    /// # Errors
    /// What to answer instead.
    pub(crate) fn admit_part(
        &self,
        shard: usize,
        keys: Keys,
        args: Args<'_>,
    ) -> Result<(), Refusal> {
        keys.of(args).try_for_each(|key| self.admit_slot(slot_of(key), |owner| owner == shard))
    }

    fn admit_slot(&self, slot: usize, is_right: impl Fn(usize) -> bool) -> Result<(), Refusal> {
        let owner = self.owner(slot).ok_or(Refusal::Unserved)?;
        if owner.shard.is_some_and(is_right) {
            return Ok(());
        }
        Err(Refusal::Moved { slot, to: owner.to_string() })
    }

    fn owner(&self, slot: usize) -> Option<&Node> {
        self.nodes.get(usize::from(self.owners[slot]))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ClusterMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.runs().map(|run| (run.slots, run.node.to_string()));
        f.debug_tuple("ClusterMap").field(&self.version).field(&runs.collect::<Vec<_>>()).finish()
    }
}

/// Slots as people write them: `5` or `5-9`.
pub(crate) struct Slotted<'a>(pub(crate) &'a RangeInclusive<usize>);

impl fmt::Display for Slotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.0.start(), self.0.end());
        if start == end { write!(f, "{start}") } else { write!(f, "{start}-{end}") }
    }
}

/// In Redis' words.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { slot, to } => write!(f, "MOVED {slot} {to}"),
            Self::CrossSlot => f.write_str("CROSSSLOT Keys in request don't hash to the same slot"),
            Self::Unserved => f.write_str("CLUSTERDOWN Hash slot not served"),
        }
    }
}

/// The runs of equal owners.
fn runs_of(owners: &[u16]) -> impl Iterator<Item = (RangeInclusive<usize>, u16)> {
    let mut start = 0;
    owners.chunk_by(|one, next| one == next).map(move |run| {
        let slots = start..=start + run.len() - 1;
        start += run.len();
        (slots, run[0])
    })
}

fn no_slot(slot: usize) -> String {
    format!("there is no slot {slot}: they go from 0 to {}", SLOT_COUNT - 1)
}

/// The id of a machine's `shard`: a hash of the machine's name and the number (FNV-1a, for it is
/// the same in every version of this program and on every machine).
pub(crate) fn node_id(machine: &str, shard: usize) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let step = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    let name = format!("{machine}/{shard}");
    // Twice, so that the last bytes, which are what differs, reach every digit.
    let hash = name.bytes().chain(name.bytes()).fold(BASIS, step);
    // Redis' ids are longer than the hash: what another byte makes of it fills them up.
    format!("{hash:032x}{:08x}", (step(hash, 0) >> 96) as u32)
}

#[cfg(test)]
mod tests;
