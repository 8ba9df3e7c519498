//! Which CPUs the server gets and which the generator.

use corelane_shards::AllowedCores;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// CPUs of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Layout {
    /// One per shard of the embedded server; empty for a server that somebody else runs.
    pub(crate) server_cpus: Vec<usize>,
    /// One per load thread.
    pub(crate) load_cpus: Vec<usize>,
    /// Whether a server and a load thread share a CPU: such numbers are indicative at best.
    pub(crate) shared: bool,
    /// Whether threads were bound to their CPUs.
    #[serde(default)]
    pub(crate) pin: Pin,
}

/// Whether threads are bound to their CPUs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pin {
    /// Each to its own; where one cannot be, nothing is measured.
    Strict,
    /// Each to its own where the system allows it, with a warning where not.
    #[default]
    Prefer,
    /// None: the kernel moves them as it likes, and the result is indicative at best.
    Off,
}

impl Layout {
    /// Server and generator on these CPUs.
    pub(crate) fn new(server_cpus: Vec<usize>, load_cpus: Vec<usize>, shared: bool) -> Self {
        Layout { server_cpus, load_cpus, shared, pin: Pin::default() }
    }

    /// The CPU that a load thread is bound to, by the number of the thread.
    pub(crate) fn load_cpu(&self, thread: usize) -> Option<usize> {
        self.load_cpus.get(thread).copied().filter(|_| self.pin != Pin::Off)
    }
}

/// The CPUs that this process may use, as its affinity mask and its cpuset have them; ascending. The first look
/// counts, so it is to come before any thread is pinned.
///
/// # Errors
/// If the kernel refuses to tell.
pub(crate) fn allowed_cpus() -> std::io::Result<&'static [usize]> {
    Ok(AllowedCores::of_process()?.cores())
}

/// Server and generator on the CPUs that this process may use, divided as [`divide`] does.
///
/// # Errors
/// As [`allowed_cpus`].
pub(crate) fn automatic() -> std::io::Result<Layout> {
    Ok(divide(&AllowedCores::of_process()?.physical_cores()))
}

/// Divides the physical cores: the generator gets a third of them, rounded up, and the server the
/// rest; siblings of one core are never split between the two.
fn divide(cores: &[Vec<usize>]) -> Layout {
    let flat = |cores: &[Vec<usize>]| cores.iter().flatten().copied().collect::<Vec<_>>();
    match cores {
        [] => Layout::new(vec![0], vec![0], true),
        [only] => match only[..] {
            // Two siblings share a core, which is better than sharing one CPU, but still shared.
            [first, second, ..] => Layout::new(vec![second], vec![first], true),
            _ => Layout::new(flat(cores), flat(cores), true),
        },
        _ => {
            let (load, server) = cores.split_at(cores.len().div_ceil(3));
            Layout::new(flat(server), flat(load), false)
        }
    }
}

/// Reads a list of CPUs such as `0,2-5`.
///
/// # Errors
/// A text that names the part that is no CPU or no range.
pub(crate) fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let number = |digits: &str| {
            digits.trim().parse::<usize>().map_err(|_| format!("{part:?} is not a cpu or a range"))
        };
        match part.split_once('-') {
            None => cpus.push(number(part)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last || last >= rustix::thread::CpuSet::MAX_CPU {
                    return Err(format!("{part:?} is not a range of cpus"));
                }
                cpus.extend(first..=last);
            }
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(text: &str) -> Vec<Vec<usize>> {
        text.split(' ').map(|core| parse_list(core).unwrap()).collect()
    }

    #[test]
    fn a_list_has_single_cpus_and_ranges() {
        assert_eq!(parse_list("0,2-4,7"), Ok(vec![0, 2, 3, 4, 7]));
        for bad in ["", "a", "3-1", "1-", "0-99999999"] {
            assert!(parse_list(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn server_and_generator_share_nothing_from_two_cores_on() {
        let layout = |text: &str| divide(&cores(text));
        assert!(layout("0").shared);
        assert!(layout("0,1").shared);
        let two = layout("0 1");
        assert_eq!((two.load_cpus, two.server_cpus, two.shared), (vec![0], vec![1], false));
        let four = layout("0 1 2 3");
        assert_eq!((four.load_cpus, four.server_cpus), (vec![0, 1], vec![2, 3]));
        let siblings = layout("0,4 1,5 2,6 3,7");
        assert_eq!(
            (siblings.load_cpus, siblings.server_cpus),
            (vec![0, 4, 1, 5], vec![2, 6, 3, 7])
        );
    }
}
