//! How long a server is loaded before it is measured.
//!
//! Automatically: until the last five intervals are alike. Throughput, median and 99th percentile may
//! neither rise nor fall all the time, and throughput and median may not differ by more than a
//! twentieth from one end to the other. What never gets steady is measured after three seconds; a
//! result says how much it drifted.

use std::time::Duration;

use crate::record::{Collector, Interval, Metric};

/// Time before the measurement, under the same load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warmup {
    /// As long as it takes, and no longer than [`LONGEST`].
    Automatic,
    /// So long.
    Fixed(Duration),
}

/// The most that an automatic warm-up takes.
const LONGEST: Duration = Duration::from_secs(3);

/// So many intervals are held against each other.
const BLOCKS: usize = 5;

/// The two ends may differ by this share.
const ALIKE: f64 = 0.05;

/// From this rank correlation with time on something rises or falls.
const TREND: f64 = 0.9;

impl Warmup {
    /// The most that it takes.
    pub(crate) fn longest(self) -> Duration {
        match self {
            Warmup::Automatic => LONGEST,
            Warmup::Fixed(length) => length,
        }
    }

    /// The same, but fixed and no longer than `limit`.
    pub(crate) fn at_most(self, limit: Duration) -> Self {
        Warmup::Fixed(self.longest().min(limit))
    }
}

/// Looks at the intervals of a warm-up as they come.
pub(crate) struct Watch {
    seen: usize,
    first: usize,
    blocks: Vec<Block>,
}

/// What is held against each other: answers, median, 99th percentile.
type Block = [f64; 3];

impl Watch {
    /// A watch that leaves out the intervals before `first`, in which the load still rises.
    pub(crate) fn new(first: u64) -> Self {
        Watch { seen: 0, first: usize::try_from(first).unwrap_or(usize::MAX), blocks: Vec::new() }
    }

    /// Whether the last intervals are alike.
    pub(crate) fn is_warm(&mut self, collector: &Collector) -> bool {
        let intervals = collector.complete();
        for interval in intervals.iter().skip(self.seen.max(self.first)) {
            self.blocks.push(block(interval));
        }
        self.seen = self.seen.max(intervals.len());
        is_steady(&self.blocks)
    }
}

fn block(interval: &Interval) -> Block {
    let response = interval.histogram(Metric::Warmup);
    let at = |percentile| response.value_at_percentile(percentile) as f64;
    [interval.done as f64, at(50.0), at(99.0)]
}

fn is_steady(blocks: &[Block]) -> bool {
    let Some(last) = blocks.len().checked_sub(BLOCKS).map(|first| &blocks[first..]) else {
        return false;
    };
    let series = |of: usize| last.iter().map(move |block| block[of]).collect::<Vec<f64>>();
    let answers = series(0);
    answers.iter().all(|count| *count > 0.0)
        && (0..3).all(|of| trend(&series(of)).abs() < TREND)
        && (0..2).all(|of| ends_are_alike(&series(of)))
}

fn ends_are_alike(values: &[f64]) -> bool {
    let half = values.len() / 2;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&values[..half]), mean(&values[values.len() - half..]));
    (first - last).abs() <= ALIKE * first.max(last)
}

/// Spearman's rank correlation of a series with time; 0 for one that does not vary.
fn trend(values: &[f64]) -> f64 {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let (mut both, mut time, mut value_squares) = (0.0, 0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at as f64 - middle, rank(value) - middle);
        both += x * y;
        time += x * x;
        value_squares += y * y;
    }
    if value_squares == 0.0 { 0.0 } else { both / (time * value_squares).sqrt() }
}

#[cfg(test)]
mod tests;
