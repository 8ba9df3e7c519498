//! The cores that this process may use.
//!
//! Two masters decide: the affinity mask of the thread that asks first, and the cpuset of the
//! control group that the process lives in. What both allow is offered. A CPU quota takes no core
//! away, it takes time away; it is noted, because more shards than the quota pays for will stand
//! still together.
//!
//! `/sys/devices/system` adds which of them are one physical core, and which share a memory.
//!
//! The facts are read once for the whole process, before the first shard is pinned: afterwards the
//! mask of a pinned thread would show one core and the next run would believe it.

mod cgroup;
#[cfg(test)]
mod tests;
mod topology;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use self::cgroup::Limits;
use rustix::thread::{CpuSet, Pid, sched_getaffinity};

pub(crate) use topology::Topology;

static OF_PROCESS: OnceLock<Result<AllowedCores, (io::ErrorKind, String)>> = OnceLock::new();

/// What the process may use: cores, and the share of their time.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedCores {
    cores: Vec<usize>,
    mask: Vec<usize>,
    cpuset: Option<Vec<usize>>,
    cpu_quota: Option<f64>,
    topology: Topology,
    notes: Vec<String>,
}

impl AllowedCores {
    /// Reads what this process may use; later calls return what the first one saw.
    ///
    /// # Errors
    /// The kernel does not tell the affinity mask of the calling thread. A control group
    /// that cannot be read is no error: the mask alone decides then, and [`notes`](Self::notes)
    /// says so.
    pub fn of_process() -> io::Result<&'static Self> {
        let first = OF_PROCESS.get_or_init(|| {
            affinity_mask(None)
                .map(|mask| Self::read_under(Path::new("/"), mask))
                .map_err(|error| (error.kind(), error.to_string()))
        });
        first.as_ref().map_err(|(kind, text)| {
            io::Error::new(*kind, format!("cannot read the affinity mask: {text}"))
        })
    }

    /// The numbers of the cores that may be used, ascending, each once. Never empty.
    pub fn cores(&self) -> &[usize] {
        &self.cores
    }

    /// Those numbers by physical core: the hyperthreads of one core stand together. Each alone where
    /// the system does not tell.
    pub fn physical_cores(&self) -> Vec<Vec<usize>> {
        self.topology.by_core(&self.cores)
    }

    /// Those numbers by NUMA node; one group on a machine with one memory, or where the system does
    /// not tell.
    pub fn numa_nodes(&self) -> Vec<Vec<usize>> {
        self.topology.by_node(&self.cores)
    }

    /// How many cores' worth of time the control group grants, or `None` if it sets no limit.
    pub fn cpu_quota(&self) -> Option<f64> {
        self.cpu_quota
    }

    /// What was odd about the facts, one sentence each; usually empty.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Where all CPUs of the machine sit, also those that this process may not use.
    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Joins an affinity mask with the files of control groups and of the system found below `root`.
    fn read_under(root: &Path, mask: Vec<usize>) -> Self {
        let mut notes = Vec::new();
        let limits = cgroup::read(root, &mut notes);
        let topology = Topology::read(root, &mask, &mut notes);
        let is_on = |core: &usize| topology.cpus.iter().any(|cpu| cpu.number == *core);
        let mut cores = common(&mask, is_on).unwrap_or_else(|| mask.clone());
        if let Some(cpuset) = &limits.cpuset {
            match common(&cores, |core| cpuset.contains(core)) {
                Some(both) => cores = both,
                None => notes.push(format!(
                    "the affinity mask {} and the cpuset {} have no core in common: \
                     going by the mask",
                    CpuList(&mask),
                    CpuList(cpuset)
                )),
            }
        }
        let Limits { cpuset, cpu_quota } = limits;
        Self { cores, mask, cpuset, cpu_quota, topology, notes }
    }

    /// Made-up facts, for simulated hosts and for tests of what is decided from them.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn fixed(cores: &[usize]) -> Self {
        Self {
            cores: cores.to_vec(),
            mask: cores.to_vec(),
            cpuset: None,
            cpu_quota: None,
            topology: Topology::flat(cores),
            notes: Vec::new(),
        }
    }

    /// The same with a quota.
    #[cfg(test)]
    pub(crate) fn with_quota(mut self, cpus: f64) -> Self {
        self.cpu_quota = Some(cpus);
        self
    }

    /// The same with CPUs that sit somewhere: each a number, a physical core and a node.
    #[cfg(test)]
    pub(crate) fn seated(cpus: &[(usize, usize, usize)]) -> Self {
        let numbers: Vec<usize> = cpus.iter().map(|&(number, ..)| number).collect();
        let mut allowed = Self::fixed(&numbers);
        for (cpu, &(_, core, node)) in allowed.topology.cpus.iter_mut().zip(cpus) {
            (cpu.core, cpu.node) = (core, node);
        }
        allowed.topology.is_known = true;
        allowed
    }
}

/// Those of `cores` for which `is_in` holds, unless that is none.
fn common(cores: &[usize], is_in: impl Fn(&usize) -> bool) -> Option<Vec<usize>> {
    let both: Vec<usize> = cores.iter().copied().filter(is_in).collect();
    (!both.is_empty()).then_some(both)
}

impl fmt::Display for AllowedCores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", CpuList(&self.cores))?;
        if self.mask != self.cores {
            write!(f, ", of affinity mask {}", CpuList(&self.mask))?;
        }
        if let Some(cpuset) = self.cpuset.as_ref().filter(|&cpuset| *cpuset != self.cores) {
            write!(f, ", of cpuset {}", CpuList(cpuset))?;
        }
        let physical_count = self.physical_cores().len();
        if physical_count < self.cores.len() {
            write!(f, ", {physical_count} physical")?;
        }
        let node_count = self.numa_nodes().len();
        if node_count > 1 {
            write!(f, ", {node_count} NUMA nodes")?;
        }
        match self.cpu_quota {
            Some(quota) => write!(f, ", quota {quota:.2} CPUs"),
            None => Ok(()),
        }
    }
}

/// A list of cores in the kernel's notation: `0-3,8`.
pub(crate) struct CpuList<'a>(pub(crate) &'a [usize]);

impl fmt::Display for CpuList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest.iter().zip(first..).take_while(|&(&core, expected)| core == expected);
            let length = run.count();
            write!(f, "{comma}{first}")?;
            if length > 1 {
                write!(f, "-{}", first + length - 1)?;
            }
            comma = ",";
            rest = &rest[length..];
        }
        Ok(())
    }
}

/// The cores in the affinity mask of a thread, which is the calling one if none is named.
pub(crate) fn affinity_mask(thread: Option<Pid>) -> io::Result<Vec<usize>> {
    let mask = sched_getaffinity(thread)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| mask.is_set(core)).collect())
}

/// Parses the kernel's notation for a list of cores (`0-3,8`); an empty text is an empty list.
fn parse_cpu_list(text: &str) -> Result<Vec<usize>, String> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            let core = digits.trim().parse::<usize>().ok().filter(|&core| core < CpuSet::MAX_CPU);
            core.ok_or_else(|| format!("\"{part}\" is not a core or a range of cores"))
        };
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(format!("the range \"{part}\" ends before it begins"));
        }
        cores.extend(first..=last);
    }
    cores.sort_unstable();
    cores.dedup();
    Ok(cores)
}
