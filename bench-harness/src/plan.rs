//! The intended start of each request: absolute, integer, known before the run begins.
//!
//! Request `i` is due at `t0 + i × 10⁹ / rate`, rounded down to the nanosecond, whatever happened
//! to the requests before it. A generator that computed `next = now + gap` would slow down with a
//! slow server and hide the wait: that is coordinated omission. Of `T` threads the k-th takes the
//! requests with `i ≡ k (mod T)`, so that together they are one schedule.
//!
//! Poisson arrivals are one seeded stream for the whole run; each thread draws all of it and keeps
//! its share, so that the arrivals do not depend on the number of threads.

use std::fmt;

use crate::clock::SECOND_NS;
use crate::rng::Rng;

/// Requests per second, kept exactly as a count per 1000 seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    per_kilosecond: u64,
}

impl Rate {
    /// The slowest rate: one request in a thousand seconds.
    const MIN_PER_SECOND: f64 = 0.001;
    /// The fastest: above it the schedule would place several requests in each nanosecond.
    const MAX_PER_SECOND: f64 = 1e9;

    /// A rate in requests per second, rounded to a thousandth.
    ///
    /// # Errors
    /// A text that names the range, if the rate lies outside it or is not a number.
    pub(crate) fn per_second(rate: f64) -> Result<Self, String> {
        if !(Self::MIN_PER_SECOND..=Self::MAX_PER_SECOND).contains(&rate) {
            return Err(format!("a rate must lie between 0.001/s and 1G/s, not {rate}"));
        }
        Ok(Rate { per_kilosecond: (rate * 1e3).round() as u64 })
    }

    /// Requests per second as a floating-point number.
    pub(crate) fn as_per_second(self) -> f64 {
        self.per_kilosecond as f64 / 1e3
    }

    /// Nanoseconds from the start of the schedule to its request `index`.
    pub(crate) fn offset_ns(self, index: u64) -> u64 {
        let offset = u128::from(index) * NS_PER_KILOSECOND / u128::from(self.per_kilosecond);
        u64::try_from(offset).unwrap_or(u64::MAX)
    }
}

const NS_PER_KILOSECOND: u128 = SECOND_NS as u128 * 1_000;

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/s", self.as_per_second())
    }
}

/// How the arrivals are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arrival {
    /// Evenly: each gap is the same.
    Constant,
    /// As independent users do: gaps are exponential.
    Poisson,
}

impl fmt::Display for Arrival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Arrival::Constant => "constant",
            Arrival::Poisson => "poisson",
        })
    }
}

/// One thread's share of the plan: a cursor over the intended times of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    gaps: Gaps,
    start_ns: u64,
    end_ns: u64,
    stride: u64,
    next_ns: u64,
}

#[derive(Debug, Clone)]
enum Gaps {
    Constant {
        rate: Rate,
        index: u64,
    },
    /// The elapsed time is kept in 2⁻¹⁶ ns, so that three million gaps a second add up exactly.
    Poisson {
        mean: f64,
        elapsed: u128,
        rng: Rng,
    },
}

/// Fixed-point fraction of a nanosecond in which Poisson arrivals add up.
const FRACTION: f64 = 65_536.0;

impl Schedule {
    /// The share of thread `thread` of `threads` in the arrivals from `start_ns` to `end_ns`.
    pub(crate) fn new(
        rate: Rate,
        arrival: Arrival,
        seed: u64,
        (start_ns, end_ns): (u64, u64),
        (thread, threads): (u64, u64),
    ) -> Self {
        debug_assert!(thread < threads, "thread {thread} of {threads}");
        let gaps = match arrival {
            Arrival::Constant => Gaps::Constant { rate, index: thread },
            Arrival::Poisson => Gaps::Poisson {
                mean: SECOND_NS as f64 / rate.as_per_second() * FRACTION,
                elapsed: 0,
                rng: Rng::new(seed),
            },
        };
        let mut schedule = Schedule { gaps, start_ns, end_ns, stride: threads, next_ns: start_ns };
        match &mut schedule.gaps {
            Gaps::Constant { .. } => schedule.next_ns = schedule.constant_next(),
            // The first arrival of the process comes one gap after its start, for thread 0.
            Gaps::Poisson { .. } => schedule.step_poisson(thread + 1),
        }
        schedule
    }

    /// When the next request is due; `None` once the schedule has ended.
    pub(crate) fn peek(&self) -> Option<u64> {
        (self.next_ns < self.end_ns).then_some(self.next_ns)
    }

    /// Takes the next request and returns when it is due.
    pub(crate) fn advance(&mut self) -> Option<u64> {
        let due_ns = self.peek()?;
        match &mut self.gaps {
            Gaps::Constant { index, .. } => {
                *index += self.stride;
                self.next_ns = self.constant_next();
            }
            Gaps::Poisson { .. } => self.step_poisson(self.stride),
        }
        Some(due_ns)
    }

    fn constant_next(&self) -> u64 {
        match self.gaps {
            Gaps::Constant { rate, index } => self.start_ns.saturating_add(rate.offset_ns(index)),
            Gaps::Poisson { .. } => self.next_ns,
        }
    }

    fn step_poisson(&mut self, draws: u64) {
        if let Gaps::Poisson { mean, elapsed, rng } = &mut self.gaps {
            for _ in 0..draws {
                *elapsed += (*mean * rng.exponential()).round() as u128;
            }
            let offset_ns = u64::try_from(*elapsed >> 16).unwrap_or(u64::MAX);
            self.next_ns = self.start_ns.saturating_add(offset_ns);
        }
    }
}

#[cfg(test)]
mod tests;
