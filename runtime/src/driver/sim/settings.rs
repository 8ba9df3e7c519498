//! What a world is made with.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What a world is made with. Rates are "once in so many times", and 0 for never.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the generator begins.
    pub(crate) seed: u64,
    /// Whether the tasks of a batch run in a drawn order.
    pub(crate) shuffles: bool,
    /// How long a message is on its way between two hosts.
    pub(crate) latency: RangeInclusive<Duration>,
    /// How long a turn of a loop takes: some time, or one that is never idle would stop the clock.
    pub(crate) turn_time: RangeInclusive<Duration>,
    /// What a connection holds in one direction that the receiver has not read.
    pub(crate) buffer_bytes: usize,
    /// How often less is received, sent or delivered at a time than could be.
    pub(crate) short: u64,
    /// How often an op waits that need not.
    pub(crate) parks: u64,
    /// How often a driver's turn ends early and with nothing.
    pub(crate) early_turns: u64,
    /// How often a task is woken for nothing.
    pub(crate) spurious_wakes: u64,
}

impl Settings {
    /// Everything that may happen does at times.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            seed,
            shuffles: true,
            latency: Duration::from_micros(20)..=Duration::from_millis(2),
            turn_time: Duration::from_nanos(100)..=Duration::from_micros(5),
            buffer_bytes: 64 * 1024,
            short: 4,
            parks: 4,
            early_turns: 8,
            spurious_wakes: 8,
        }
    }

    /// Nothing happens that need not: messages take a fixed time, tasks run in their order.
    pub(crate) fn calm(seed: u64) -> Self {
        let (latency, turn) = (Duration::from_micros(50), Duration::from_micros(1));
        Self {
            shuffles: false,
            latency: latency..=latency,
            turn_time: turn..=turn,
            short: 0,
            parks: 0,
            early_turns: 0,
            spurious_wakes: 0,
            ..Self::seeded(seed)
        }
    }
}
