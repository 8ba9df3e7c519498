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
    let mut gaps = Gaps::default();
    while last_ns < begin_ns + length_ns {
        let now_ns = now_ns();
        gaps.note(now_ns - last_ns);
        last_ns = now_ns;
    }
    gaps.of(cpu, last_ns - begin_ns)
}

/// What a spinning thread saw between its looks at the clock.
#[derive(Debug, Default)]
struct Gaps {
    max_ns: u64,
    long_count: u64,
    lost_ns: u64,
}

impl Gaps {
    fn note(&mut self, gap_ns: u64) {
        if gap_ns >= GAP_NS {
            self.max_ns = self.max_ns.max(gap_ns);
            self.long_count += u64::from(gap_ns >= 10_000);
            self.lost_ns += gap_ns;
        }
    }

    fn of(&self, cpu: usize, length_ns: u64) -> Noise {
        let seconds = length_ns as f64 / 1e9;
        Noise {
            cpu,
            max_us: self.max_ns as f64 / 1e3,
            over_10us_per_s: self.long_count as f64 / seconds,
            lost_ppm: self.lost_ns as f64 / seconds / 1e3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_told_by_their_length_their_number_and_their_sum() {
        let mut gaps = Gaps::default();
        [999, 1_000, 9_999, 50_000, 10_000, 40].into_iter().for_each(|gap_ns| gaps.note(gap_ns));
        let noise = gaps.of(3, 2_000_000_000);
        assert_eq!((noise.cpu, noise.max_us, noise.over_10us_per_s), (3, 50.0, 1.0));
        // 70 999 ns of two seconds.
        assert!((noise.lost_ppm - 35.4995).abs() < 1e-9, "{}", noise.lost_ppm);
    }
}
