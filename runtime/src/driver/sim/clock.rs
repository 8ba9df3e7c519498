//! The clock of one host, which may go ahead of the world's and at another pace.

use std::time::Duration;

use crate::util::instant::Instant;

/// What a host's clock shows. It never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When it was last set, in the world's time.
    set_at: Instant,
    /// What it showed then.
    shown: Instant,
    /// How many parts in a million it goes too fast; less than zero is too slow.
    drift_ppm: i32,
}

const MILLION: u128 = 1_000_000;

impl Clock {
    /// It shows the world's time.
    pub(super) fn new() -> Self {
        Self { set_at: Instant::ZERO, shown: Instant::ZERO, drift_ppm: 0 }
    }

    /// Its parts for a million of the world's.
    fn pace(self) -> u128 {
        // A clock that stood still would never reach a deadline.
        u128::from((MILLION as i64 + i64::from(self.drift_ppm)).max(1).unsigned_abs())
    }

    /// What it shows at a time of the world.
    pub(super) fn at(self, time: Instant) -> Instant {
        if self.drift_ppm == 0 {
            return self.shown + (time - self.set_at);
        }
        self.shown + scaled(time - self.set_at, self.pace(), MILLION, false)
    }

    /// The first time of the world at which it shows so much.
    pub(super) fn when(self, shown: Instant) -> Instant {
        if self.drift_ppm == 0 {
            return self.set_at + (shown - self.shown);
        }
        self.set_at + scaled(shown - self.shown, MILLION, self.pace(), true)
    }

    /// From now on it goes so much too fast.
    pub(super) fn set_drift(&mut self, now: Instant, drift_ppm: i32) {
        *self = Self { set_at: now, shown: self.at(now), drift_ppm };
    }

    /// It jumps.
    pub(super) fn go_ahead(&mut self, now: Instant, by: Duration) {
        *self = Self { set_at: now, shown: self.at(now) + by, ..*self };
    }
}

/// `duration` times `factor` by `divisor`, rounded.
fn scaled(duration: Duration, factor: u128, divisor: u128, rounds_up: bool) -> Duration {
    let product = duration.as_nanos() * factor;
    let nanos = if rounds_up { product.div_ceil(divisor) } else { product / divisor };
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
