//! Moments, percentiles that deserve to be printed, and their confidence intervals.

pub(crate) mod rank;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::record::{Interval, Metric};
use crate::rng::Rng;

/// Count, mean and spread of a stream of numbers (Welford's recurrence).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Takes one more number.
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// Standard deviation divided by the mean; `None` for fewer than two numbers.
    pub(crate) fn variation(&self) -> Option<f64> {
        (self.count >= 2 && self.mean > 0.0)
            .then(|| (self.squares / (self.count - 1) as f64).sqrt() / self.mean)
    }
}

/// A percentile that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Percentile {
    /// As it is written.
    pub(crate) name: String,
    /// As a fraction of 100.
    pub(crate) value: f64,
}

/// The percentiles that are reported, as they are written and as fractions of 100.
pub(crate) const PERCENTILES: [(&str, f64); 5] =
    [("50", 50.0), ("90", 90.0), ("99", 99.0), ("99.9", 99.9), ("99.99", 99.99)];

/// How many samples a percentile needs before it is printed.
///
/// With fewer there is no two-sided 95 % confidence interval from order statistics: the upper bound
/// would lie above the largest sample.
pub(crate) fn min_samples(percentile: f64) -> u64 {
    match percentile {
        p if p <= 50.0 => 6,
        p if p <= 90.0 => 54,
        p if p <= 99.0 => 568,
        p if p <= 99.9 => 5_689,
        p if p <= 99.99 => 57_079,
        p => (5.708 / (1.0 - p / 100.0)).ceil() as u64,
    }
}

/// Resamples for a confidence interval: enough for its ends to be stable to a few percent.
const RESAMPLES: usize = 400;

/// The 95 % confidence interval of a percentile by block bootstrap over intervals.
///
/// Whole intervals are drawn, because neighbouring requests share their fate: a bootstrap of single
/// requests would promise a far too narrow interval. `None` with fewer than ten blocks.
pub(crate) fn percentile_interval(
    blocks: &[Interval],
    metric: Metric,
    percentile: f64,
    seed: u64,
) -> Option<(u64, u64)> {
    let blocks = Blocks::new(blocks, metric);
    if !blocks.are_enough() {
        return None;
    }
    let mut rng = Rng::new(seed);
    let estimates = (0..RESAMPLES).filter_map(|_| blocks.percentile(percentile, &mut rng));
    ends_of(estimates.collect())
}

/// The middle 95 % of some numbers.
fn ends_of<T: Copy + PartialOrd>(mut estimates: Vec<T>) -> Option<(T, T)> {
    estimates.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let at = |share: f64| estimates.get((share * estimates.len() as f64) as usize).copied();
    Some((at(0.025)?, at(0.975)?))
}

/// The intervals of a run with one count for each value that occurs, to be drawn from many times.
pub(crate) struct Blocks {
    values: Vec<u64>,
    counts: Vec<Vec<u64>>,
}

impl Blocks {
    /// The values of one metric in some intervals.
    pub(crate) fn new(blocks: &[Interval], metric: Metric) -> Self {
        let mut order = BTreeMap::new();
        for (value, _) in blocks.iter().flat_map(|block| block.counts(metric)) {
            order.insert(*value, 0);
        }
        let values: Vec<u64> = order.keys().copied().collect();
        for (index, place) in order.values_mut().enumerate() {
            *place = index;
        }
        let dense = |block: &Interval| {
            let mut counts = vec![0; values.len()];
            for (value, count) in block.counts(metric) {
                counts[order[value]] += *count;
            }
            counts
        };
        let counts = blocks.iter().map(dense).collect();
        Blocks { values, counts }
    }

    /// With fewer than ten blocks a bootstrap says nothing.
    fn are_enough(&self) -> bool {
        self.counts.len() >= 10
    }

    /// As many blocks as there are, drawn with repetition and added up.
    fn resample(&self, rng: &mut Rng) -> Vec<u64> {
        let mut sum = vec![0; self.values.len()];
        for _ in 0..self.counts.len() {
            let drawn = &self.counts[rng.below(self.counts.len() as u64) as usize];
            sum.iter_mut().zip(drawn).for_each(|(total, count)| *total += count);
        }
        sum
    }

    /// A percentile of a resample.
    fn percentile(&self, percentile: f64, rng: &mut Rng) -> Option<u64> {
        percentile_of(&self.values, &self.resample(rng), percentile)
    }

    /// The 95 % interval of the logarithm of `b` divided by `a`: of a percentile, or of the requests
    /// in a block. `None` if one of the two has too few blocks.
    pub(crate) fn ratio_interval(
        a: &Blocks,
        b: &Blocks,
        percentile: Option<f64>,
        seed: u64,
    ) -> Option<(f64, f64)> {
        if !a.are_enough() || !b.are_enough() {
            return None;
        }
        let mut rng = Rng::new(seed);
        let mut value = |blocks: &Blocks| match percentile {
            Some(percentile) => blocks.percentile(percentile, &mut rng).map(|ns| ns as f64),
            None => {
                let all: u64 = blocks.resample(&mut rng).iter().sum();
                Some(all as f64 / blocks.counts.len() as f64)
            }
        };
        let ratios = (0..RESAMPLES).filter_map(|_| Some((value(b)? / value(a)?).ln()));
        ends_of(ratios.collect())
    }
}

fn percentile_of(values: &[u64], counts: &[u64], percentile: f64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = ((percentile / 100.0 * total as f64).ceil() as u64).max(1);
    let mut seen = 0;
    values
        .iter()
        .zip(counts)
        .find(|(_, count)| {
            seen += **count;
            seen >= rank
        })
        .map(|(value, _)| *value)
}

/// The change of a percentile from the first half of the intervals to the second, in percent.
pub(crate) fn drift_percent(blocks: &[Interval], metric: Metric, percentile: f64) -> Option<f64> {
    let (first, second) = blocks.split_at(blocks.len() / 2);
    let halves = [first, second].map(|half| crate::record::histogram_of(half, metric));
    if halves.iter().any(|half| half.len() < min_samples(percentile)) {
        return None;
    }
    let [first, second] = halves.map(|half| half.value_at_percentile(percentile) as f64);
    Some((second / first - 1.0) * 100.0)
}

/// The median of some numbers, which are sorted for it; `None` of none.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests;
