//! What the machine takes from a thread that only spins: the floor under every tail.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::{now_ns, ns};
use crate::threads;

/// Gaps that a spinning thread saw on one CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Noise {
    /// The CPU.
    pub(crate) cpu: usize,
    /// The longest gap, in microseconds.
    pub(crate) max_us: f64,
    /// Gaps of 10 µs or more, for each second.
    pub(crate) over_10us_per_s: f64,
    /// Time lost in gaps of 1 µs or more, in parts per million.
    pub(crate) lost_ppm: f64,
}

/// Below this a gap is the loop itself.
const GAP_NS: u64 = 1_000;

/// Spins on every one of `cpus` at once.
///
/// # Errors
/// If a thread cannot be started.
pub(crate) fn measure(cpus: &[usize], duration: Duration) -> io::Result<Vec<Noise>> {
    let length_ns = ns(duration).max(1);
    let threads = cpus
        .iter()
        .map(|&cpu| threads::spawn("noise", Some(cpu), move || spin(cpu, length_ns)))
        .collect::<io::Result<Vec<_>>>()?;
    threads
        .into_iter()
        .map(|thread| thread.join().map_err(|_| io::Error::other("a noise thread panicked")))
        .collect()
}

fn spin(cpu: usize, length_ns: u64) -> Noise {
    let begin_ns = now_ns();
    let mut last_ns = begin_ns;
    let (mut max_ns, mut long, mut lost_ns) = (0, 0u64, 0);
    while last_ns < begin_ns + length_ns {
        let now_ns = now_ns();
        let gap_ns = now_ns - last_ns;
        if gap_ns >= GAP_NS {
            max_ns = max_ns.max(gap_ns);
            long += u64::from(gap_ns >= 10_000);
            lost_ns += gap_ns;
        }
        last_ns = now_ns;
    }
    let seconds = (last_ns - begin_ns) as f64 / 1e9;
    Noise {
        cpu,
        max_us: max_ns as f64 / 1e3,
        over_10us_per_s: long as f64 / seconds,
        lost_ppm: lost_ns as f64 / seconds / 1e3,
    }
}
