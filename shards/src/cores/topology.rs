//! Which CPUs are one physical core, and which share a memory.
//!
//! Read from `/sys/devices/system`. Where that is hidden, as in some sandboxes, every CPU counts as a
//! core of its own, and all as one node.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use super::parse_cpu_list;

/// Where one CPU sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    pub(crate) number: usize,
    /// The lowest number among the CPUs of the same physical core.
    pub(crate) core: usize,
    /// The NUMA node.
    pub(crate) node: usize,
}

/// The CPUs of the machine that are switched on, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub(crate) cpus: Vec<Cpu>,
    /// Whether the system said which CPUs share a core, and which a node.
    pub(crate) is_known: bool,
}

impl Topology {
    /// Every CPU on its own.
    pub(super) fn flat(numbers: &[usize]) -> Self {
        let cpus = numbers.iter().map(|&number| Cpu { number, core: number, node: 0 });
        Self { cpus: cpus.collect(), is_known: false }
    }

    /// Reads it below `root`, which is `/` but for tests. CPUs in `mask` count as switched on if the
    /// system does not list any.
    pub(super) fn read(root: &Path, mask: &[usize], notes: &mut Vec<String>) -> Self {
        let system = root.join("sys/devices/system");
        let online = read_list(&system.join("cpu/online"), notes);
        let mut topology = Self::flat(online.as_deref().unwrap_or(mask));
        let nodes = read_nodes(&system.join("node"), notes);
        let mut cores_known = 0;
        for cpu in &mut topology.cpus {
            let folder = system.join(format!("cpu/cpu{}/topology", cpu.number));
            // The second name is the older one.
            let files = ["core_cpus_list", "thread_siblings_list"];
            let siblings = files.iter().find_map(|file| read_list(&folder.join(file), notes));
            if let Some(&first) = siblings.as_ref().and_then(|siblings| siblings.first()) {
                cpu.core = first;
                cores_known += 1;
            }
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(&cpu.number));
            cpu.node = node.map_or(0, |&(node, _)| node);
        }
        topology.is_known = cores_known == topology.cpus.len() && cores_known > 0;
        topology
    }

    /// Where a CPU sits; one that is not known sits alone, on node 0.
    pub(crate) fn cpu(&self, number: usize) -> Cpu {
        let known = self.cpus.iter().find(|cpu| cpu.number == number);
        known.copied().unwrap_or(Cpu { number, core: number, node: 0 })
    }

    /// `numbers` by physical core, in the order of each core's first.
    pub(super) fn by_core(&self, numbers: &[usize]) -> Vec<Vec<usize>> {
        self.grouped(numbers, |cpu| cpu.core)
    }

    /// `numbers` by node, in the order of the nodes.
    pub(super) fn by_node(&self, numbers: &[usize]) -> Vec<Vec<usize>> {
        let mut nodes = self.grouped(numbers, |cpu| cpu.node);
        nodes.sort_by_key(|group| self.cpu(group[0]).node);
        nodes
    }

    fn grouped(&self, numbers: &[usize], key: impl Fn(Cpu) -> usize) -> Vec<Vec<usize>> {
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for &number in numbers {
            let key = key(self.cpu(number));
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(number),
                None => groups.push((key, vec![number])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// The nodes that have CPUs, with them.
fn read_nodes(folder: &Path, notes: &mut Vec<String>) -> Vec<(usize, Vec<usize>)> {
    let numbers = read_list(&folder.join("online"), notes).unwrap_or_default();
    let nodes = numbers.into_iter().filter_map(|node| {
        let cpus = read_list(&folder.join(format!("node{node}/cpulist")), notes)?;
        Some((node, cpus))
    });
    nodes.collect()
}

/// The list in a file; `None` if there is no such file, none in it, or nonsense, which is noted.
fn read_list(file: &Path, notes: &mut Vec<String>) -> Option<Vec<usize>> {
    let text = fs::read_to_string(file).ok()?;
    match parse_cpu_list(&text) {
        Ok(list) => (!list.is_empty()).then_some(list),
        Err(why) => {
            notes.push(format!("{} is left out: {why}", file.display()));
            None
        }
    }
}
