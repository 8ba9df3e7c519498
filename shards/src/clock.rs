//! Moments that shards agree on: each loop counts its time from its own beginning.

use std::time::{Duration, Instant as SystemInstant};

use corelane::Instant;
use rustix::time::{ClockId, clock_gettime};

use crate::seam;

/// A moment by the system's monotonic clock, which is the same for all threads: nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// This moment.
pub(crate) fn now() -> Moment {
    if let Some(passed) = seam::passed() {
        return Moment(0).after(passed);
    }
    let now = clock_gettime(ClockId::Monotonic);
    Moment(now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned())
}

/// This moment, for who waits on a channel until another.
#[expect(clippy::disallowed_methods, reason = "one time for all loops, whose clocks differ")]
pub(crate) fn instant() -> SystemInstant {
    seam::instant().unwrap_or_else(SystemInstant::now)
}

impl Moment {
    /// The moment that is `duration` later, or the far end of time.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How much later it is than `earlier`; zero if it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same moment by the clock of the current loop. One in the past is the loop's present.
    pub(crate) fn on_this_loop(self) -> Instant {
        let left = self.0.saturating_sub(now().0);
        corelane::now() + Duration::from_nanos(left)
    }
}
