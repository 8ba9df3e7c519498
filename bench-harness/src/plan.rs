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
//!
//! A ramp bends the time of the schedule at its beginning, so that the rate rises evenly from nothing;
//! the requests stay the same.

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
    ramp_ns: u64,
    stride: u64,
    /// Of the next request, in the schedule of all threads.
    index: u64,
    /// Requests of all threads from this one on are not due any more.
    limit: u64,
    next_ns: u64,
}

#[derive(Debug, Clone)]
enum Gaps {
    /// A request is due with the first of its burst of `burst`.
    Exact { rate: Rate, burst: u64 },
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
        let exact = |burst: u32| Gaps::Exact { rate, burst: u64::from(burst.max(1)) };
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
        let mut schedule = Schedule {
            gaps,
            start_ns,
            end_ns,
            ramp_ns: 0,
            stride: threads,
            index: thread,
            limit: u64::MAX,
            next_ns: start_ns,
        };
        // The first random arrival comes one gap after the start, for thread 0.
        schedule.place(thread + 1);
        schedule
    }

    /// The same arrivals, and the rate rises from nothing in the first `ramp_ns`. Nothing may have been
    /// taken yet.
    pub(crate) fn ramped(mut self, ramp_ns: u64) -> Self {
        let offset_ns = self.next_ns - self.start_ns;
        self.ramp_ns = ramp_ns;
        self.next_ns = self.start_ns.saturating_add(bend(offset_ns, ramp_ns));
        self
    }

    /// Moves the end.
    pub(crate) fn set_end(&mut self, end_ns: u64) {
        self.end_ns = end_ns;
    }

    /// Lets no request of any thread be due whose number is `limit` or more.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The number of the first request that is due at `from_ns` or later, of those that are this cursor's.
    pub(crate) fn first_from(&self, from_ns: u64) -> u64 {
        let mut cursor = self.clone();
        while cursor.peek().is_some_and(|due_ns| due_ns < from_ns) {
            cursor.advance();
        }
        cursor.index
    }

    /// When the next request is due; `None` once the schedule has ended.
    pub(crate) fn peek(&self) -> Option<u64> {
        (self.next_ns < self.end_ns && self.index < self.limit).then_some(self.next_ns)
    }

    /// Takes the next request and returns when it is due.
    pub(crate) fn advance(&mut self) -> Option<u64> {
        let due_ns = self.peek()?;
        self.index += self.stride;
        self.place(self.stride);
        Some(due_ns)
    }

    /// Computes when the next request is due, which is so many behind the one before.
    fn place(&mut self, requests: u64) {
        let offset_ns = match &mut self.gaps {
            Gaps::Exact { rate, burst } => rate.offset_ns(self.index - self.index % *burst),
            Gaps::Drawn { mean, shape, elapsed, rng } => {
                for _ in 0..requests {
                    *elapsed += (*mean * shape.draw(rng)).round() as u128;
                }
                u64::try_from(*elapsed >> 16).unwrap_or(u64::MAX)
            }
        };
        self.next_ns = self.start_ns.saturating_add(bend(offset_ns, self.ramp_ns));
    }
}

/// When something happens that would happen at `offset_ns` if the rate did not rise first.
///
/// After a share `x` of the ramp its rate is that share of the whole, and so half of `x²` ramps of
/// requests have come; when it ends, as many as come in half of it otherwise.
fn bend(offset_ns: u64, ramp_ns: u64) -> u64 {
    let (offset, ramp) = (u128::from(offset_ns), u128::from(ramp_ns));
    let bent = if 2 * offset < ramp { (2 * offset * ramp).isqrt() } else { offset + ramp / 2 };
    u64::try_from(bent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
