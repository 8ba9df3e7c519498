//! Time as a loop sees it.
//!
//! An [`Instant`] counts from the moment its clock began, so a virtual clock and the system's clock look
//! alike, and a run that is repeated on a virtual one prints the same numbers. Arithmetic saturates: a deadline "in
//! `Duration::MAX`" is the far end of time and not a panic.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A point in a loop's time, in nanoseconds since its clock began.
///
/// All loops of a process that are on the system's clock have one clock, which began with the first of them: an instant
/// of one may be sent to another and means the same there. A virtual clock is its loop's own and begins with it, and in
/// a simulation each host has one; only instants of one such clock can be compared with sense. All arithmetic saturates,
/// at the clock's beginning and after 584 years: an instant minus a later one is zero.
///
/// What wants a [`std::time::Instant`] gets, on the system's clock, `std::time::Instant::now() + (at - corelane::now())`.
/// A virtual clock has nothing that would be true.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment the clock began.
    pub const ZERO: Self = Self(0);

    /// The far end of time: later than any deadline that can be reached.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant that is `nanos` nanoseconds after the clock began.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock began.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `duration` later, or `None` if time does not reach that far.
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        u64::try_from(duration.as_nanos())
            .ok()
            .and_then(|nanos| self.0.checked_add(nanos))
            .map(Self)
    }
}

/// Nanoseconds of `duration`, no more than fit.
fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Duration::from_nanos(self.0), f)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant(+{self})")
    }
}

#[cfg(test)]
mod tests;
