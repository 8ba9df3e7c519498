//! The one room that reads clocks.
//!
//! A measuring program needs the real ones. Everything here is nanoseconds: [`now_ns`] counts on
//! `CLOCK_MONOTONIC`, which every process of the machine shares, so that times taken in the server
//! and in the generator compare without any synchronisation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

fn to_ns(time: Timespec) -> u64 {
    // Neither clock is negative, and 2^64 ns last 584 years.
    time.tv_sec.unsigned_abs() * SECOND_NS + time.tv_nsec.unsigned_abs()
}

/// Nanoseconds on the monotonic clock.
#[inline]
pub(crate) fn now_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Monotonic))
}

/// Nanoseconds since 1970, for file names and log headers only.
pub(crate) fn unix_ns() -> u64 {
    to_ns(clock_gettime(ClockId::Realtime))
}

/// Nanoseconds of CPU that the calling thread has used.
pub(crate) fn thread_cpu_ns() -> u64 {
    to_ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// Nanoseconds of CPU that all threads of this process have used.
pub(crate) fn process_cpu_ns() -> u64 {
    to_ns(clock_gettime(ClockId::ProcessCPUTime))
}

/// A wall-clock instant as the type that log writers take.
pub(crate) fn system_time(unix_ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(unix_ns)
}

/// Nanoseconds of a duration, saturating after 584 years.
pub(crate) fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What one read of the monotonic clock costs here: the median of several batches.
pub(crate) fn read_cost_ns() -> f64 {
    const READS: u64 = 1_000;
    let mut costs: Vec<u64> = (0..9)
        .map(|_| {
            let begin = now_ns();
            for _ in 0..READS {
                std::hint::black_box(now_ns());
            }
            now_ns() - begin
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2] as f64 / READS as f64
}

/// The UTC date and time as `20261122T174500Z`, for the names of run directories.
pub(crate) fn utc_stamp(unix_ns: u64) -> String {
    let seconds = unix_ns / SECOND_NS;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a count of days since 1970-01-01 in the Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    let mut left = days;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in (1..).zip(months) {
        if left < length {
            return (year, month, left + 1);
        }
        left -= length;
    }
    unreachable!("the months of a year hold all of its days")
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_utc_date_and_time() {
        assert_eq!(utc_stamp(0), "19700101T000000Z");
        assert_eq!(utc_stamp(951_782_399 * SECOND_NS), "20000228T235959Z");
        assert_eq!(utc_stamp(951_782_400 * SECOND_NS), "20000229T000000Z");
        assert_eq!(utc_stamp(1_795_369_500 * SECOND_NS), "20261122T174500Z");
    }

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let mut last = now_ns();
        for _ in 0..10_000 {
            let now = now_ns();
            assert!(now >= last);
            last = now;
        }
    }
}
