//! The intended start of each request: absolute, integer, known before the run begins.
//!
//! Request `i` is due at `t0 + i × 10⁹ / rate`, rounded down to the nanosecond, whatever happened
//! to the requests before it. A generator that computed `next = now + gap` would slow down with a
//! slow server and hide the wait: that is coordinated omission. Of `T` threads the k-th takes the
//! requests with `i ≡ k (mod T)`, so that together they are one schedule.
//!
//! A burst is a group of requests that are all due when the first of them is. Random arrivals are one
//! seeded stream for the whole run; each thread draws all of it and keeps its share, so that the
//! arrivals do not depend on the number of threads.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Evenly: each gap is the same.
    Constant,
    /// As independent users do: gaps are exponential.
    Poisson,
    /// Evenly with jitter: gaps differ from the mean by up to so many percent of it, all alike often.
    Uniform(u8),
    /// So many at once, at the same rate on the whole.
    Burst(u32),
}

impl fmt::Display for Arrival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Constant => out.write_str("constant"),
            Arrival::Poisson => out.write_str("poisson"),
            Arrival::Uniform(percent) => write!(out, "uniform:{}", f64::from(*percent) / 100.0),
            Arrival::Burst(count) => write!(out, "burst:{count}"),
        }
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
    /// Request `index` is due with the first of its burst of `burst`.
    Exact { rate: Rate, index: u64, burst: u64 },
    /// The elapsed time is kept in 2⁻¹⁶ ns, so that three million gaps a second add up exactly.
    Drawn { mean: f64, shape: Shape, elapsed: u128, rng: Rng },
}

/// The distribution of random gaps, whose mean is 1.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Exponential,
    /// Between 1 - spread and 1 + spread.
    Uniform(f64),
}

impl Shape {
    fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Shape::Exponential => rng.exponential(),
            Shape::Uniform(spread) => 1.0 + spread * (2.0 * rng.unit() - 1.0),
        }
    }
}

/// Fixed-point fraction of a nanosecond in which random gaps add up.
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
        let exact =
            |burst: u32| Gaps::Exact { rate, index: thread, burst: u64::from(burst.max(1)) };
        let drawn = |shape| Gaps::Drawn {
            mean: SECOND_NS as f64 / rate.as_per_second() * FRACTION,
            shape,
            elapsed: 0,
            rng: Rng::new(seed),
        };
        let gaps = match arrival {
            Arrival::Constant => exact(1),
            Arrival::Burst(count) => exact(count),
            Arrival::Poisson => drawn(Shape::Exponential),
            Arrival::Uniform(percent) => drawn(Shape::Uniform(f64::from(percent) / 100.0)),
        };
        let mut schedule = Schedule { gaps, start_ns, end_ns, stride: threads, next_ns: start_ns };
        match schedule.gaps {
            Gaps::Exact { .. } => schedule.step(0),
            // The first random arrival comes one gap after the start, for thread 0.
            Gaps::Drawn { .. } => schedule.step(thread + 1),
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
        self.step(self.stride);
        Some(due_ns)
    }

    /// Goes on by so many requests of the whole schedule.
    fn step(&mut self, requests: u64) {
        let offset_ns = match &mut self.gaps {
            Gaps::Exact { rate, index, burst } => {
                *index += requests;
                rate.offset_ns(*index - *index % *burst)
            }
            Gaps::Drawn { mean, shape, elapsed, rng } => {
                for _ in 0..requests {
                    *elapsed += (*mean * shape.draw(rng)).round() as u128;
                }
                u64::try_from(*elapsed >> 16).unwrap_or(u64::MAX)
            }
        };
        self.next_ns = self.start_ns.saturating_add(offset_ns);
    }
}

#[cfg(test)]
mod tests;
