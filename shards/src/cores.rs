//! The cores that this process may use.
//!
//! Two masters decide: the affinity mask of the thread that asks first, and the cpuset of the
//! control group that the process lives in. What both allow is offered. A CPU quota takes no core
//! away, it takes time away; it is noted, because more shards than the quota pays for will stand
//! still together.
//!
//! The facts are read once for the whole process, before the first shard is pinned: afterwards the
//! mask of a pinned thread would show one core and the next run would believe it.

mod cgroup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use rustix::thread::{CpuSet, sched_getaffinity};

static OF_PROCESS: OnceLock<Result<AllowedCores, (io::ErrorKind, String)>> = OnceLock::new();

/// What the process may use: cores, and the share of their time.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowedCores {
    cores: Vec<usize>,
    cpu_quota: Option<f64>,
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
            affinity_mask()
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

    /// How many cores' worth of time the control group grants, or `None` if it sets no limit.
    pub fn cpu_quota(&self) -> Option<f64> {
        self.cpu_quota
    }

    /// What was odd about the facts, one sentence each; usually empty.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Joins an affinity mask with the control group files found below `root`.
    fn read_under(root: &Path, mask: Vec<usize>) -> Self {
        let mut notes = Vec::new();
        let limits = cgroup::read(root, &mut notes);
        let cores = match limits.cpuset {
            Some(cpuset) => {
                let both: Vec<usize> =
                    mask.iter().copied().filter(|core| cpuset.contains(core)).collect();
                if both.is_empty() {
                    notes.push(format!(
                        "the affinity mask {} and the cpuset {} have no core in common: \
                         going by the mask",
                        CpuList(&mask),
                        CpuList(&cpuset)
                    ));
                    mask
                } else {
                    both
                }
            }
            None => mask,
        };
        Self { cores, cpu_quota: limits.cpu_quota, notes }
    }

    /// Made-up facts, for tests of what is decided from them.
    #[cfg(test)]
    pub(crate) fn fixed(cores: &[usize]) -> Self {
        Self { cores: cores.to_vec(), cpu_quota: None, notes: Vec::new() }
    }
}

impl fmt::Display for AllowedCores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", CpuList(&self.cores))?;
        match self.cpu_quota {
            Some(quota) => write!(f, " (quota {quota:.2} CPUs)"),
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

/// The cores in the calling thread's affinity mask.
fn affinity_mask() -> io::Result<Vec<usize>> {
    let mask = sched_getaffinity(None)?;
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
