//! Lengths of time, counted by size.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

#[cfg(test)]
mod tests;

/// Of a recorded length so many decimal digits are kept.
const DIGITS: u8 = 2;
/// Longer ones are recorded as this long: an hour.
const MAX_NANOS: u64 = 3_600_000_000_000;

/// Many lengths of time, counted by size: each is kept to one percent, from a nanosecond to an hour.
///
/// Takes no memory until something is recorded, then some tens of kilobytes.
#[derive(Clone, Default)]
pub struct Durations {
    counts: Option<Box<Histogram<u64>>>,
    total_nanos: u64,
}

impl Durations {
    /// Counts one more. What is longer than an hour counts as an hour.
    pub fn record(&mut self, length: Duration) {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        self.total_nanos = self.total_nanos.saturating_add(nanos);
        self.counts().saturating_record(nanos);
    }

    /// Adds what another has recorded.
    pub fn merge(&mut self, other: &Self) {
        let Some(counts) = &other.counts else { return };
        self.total_nanos = self.total_nanos.saturating_add(other.total_nanos);
        let added = self.counts().add(&**counts);
        debug_assert!(added.is_ok(), "all have the same bounds");
    }

    fn counts(&mut self) -> &mut Histogram<u64> {
        self.counts.get_or_insert_with(|| {
            let counts = Histogram::new_with_bounds(1, MAX_NANOS, DIGITS);
            Box::new(counts.expect("the bounds are in order and the digits within five"))
        })
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.as_ref().map_or(0, |counts| counts.len())
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_nanos)
    }

    /// The length that a part of them does not exceed: 0.5 for the median, 0.99 for the 99th percentile, 1 for
    /// the longest. Zero if there are none.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let found = self.counts.as_ref().map_or(0, |counts| counts.value_at_quantile(part));
        Duration::from_nanos(found)
    }

    /// The longest; zero if there are none.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.counts.as_ref().map_or(0, |counts| counts.max()))
    }

    /// How many are not longer than `limit`, to one percent.
    #[must_use]
    pub fn count_up_to(&self, limit: Duration) -> u64 {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).min(MAX_NANOS);
        self.counts.as_ref().map_or(0, |counts| counts.count_between(0, nanos))
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durations")
            .field("count", &self.count())
            .field("median", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}
