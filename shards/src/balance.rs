//! How evenly connections and load are spread.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::fmt;
use std::time::Duration;

use corelane::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::shard::Shard;

/// How something is spread over shards, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    shares: Vec<f64>,
}

impl Balance {
    pub(crate) fn new(shares: Vec<f64>) -> Self {
        Self { shares }
    }

    /// What each shard has.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The largest share in terms of the mean: 1 if all have the same, as many as there are shards if one
    /// has everything. 1 also if there is nothing to be shared.
    #[must_use]
    pub fn max_over_mean(&self) -> f64 {
        let total: f64 = self.shares.iter().sum();
        let max = self.shares.iter().copied().fold(0.0, f64::max);
        if total > 0.0 { max * self.shares.len() as f64 / total } else { 1.0 }
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, share) in self.shares.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{share:.2}")?;
        }
        write!(f, " (max/mean {:.2})", self.max_over_mean())
    }
}

/// Measures how busy the shards are, from one reading to the next.
///
/// It goes by the CPU time of their threads, so a shard that spins is busy: with
/// [`Idle::Spin`](corelane::Idle::Spin) all are, always.
///
/// ```
/// use corelane_shards::{Placement, Shards};
///
/// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
///     let mut meter = shard.load_meter().await?;
///     corelane::yield_now().await;
///     let load = meter.read().await?;
///     println!("cores' worth of time on each shard: {load}");
///     assert_eq!(load.shares().len(), 2);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Debug)]
pub struct LoadMeter {
    shard: Shard,
    last: Vec<Reading>,
}

/// What one shard's thread has used by a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    used: Duration,
    moment: Duration,
}

impl Shard {
    /// Begins to measure how busy all shards are.
    ///
    /// # Errors
    /// [`CallError`](crate::CallError), by `downcast_ref`: a shard has ended.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn load_meter(&self) -> Result<LoadMeter> {
        Ok(LoadMeter { shard: self.clone(), last: self.broadcast(Reading::now).await? })
    }
}

impl LoadMeter {
    /// How many cores' worth of time each shard has used since the last reading, or since the beginning:
    /// 1 is a core's whole.
    ///
    /// # Errors
    /// [`CallError`](crate::CallError), by `downcast_ref`: a shard has ended.
    ///
    /// # Cancel safety
    /// Safe: the next reading goes on from the last that was completed.
    pub async fn read(&mut self) -> Result<Balance> {
        let now = self.shard.broadcast(Reading::now).await?;
        let shares = now.iter().zip(&self.last).map(|(now, last)| now.share_since(last)).collect();
        self.last = now;
        Ok(Balance::new(shares))
    }
}

impl Reading {
    /// That of the calling thread.
    fn now() -> Self {
        let clock = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
        Self { used: clock(ClockId::ThreadCPUTime), moment: clock(ClockId::Monotonic) }
    }

    fn share_since(&self, last: &Self) -> f64 {
        let passed = self.moment.saturating_sub(last.moment).as_secs_f64();
        let used = self.used.saturating_sub(last.used).as_secs_f64();
        if passed > 0.0 { used / passed } else { 0.0 }
    }
}
