//! The generator of a world, and what it has drawn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Settings;
use crate::util::chance::Chance;

/// How many of the last draws are kept, to be shown when a run fails.
const KEPT_COUNT: usize = 24;

/// All chance of one world, and the trace of what has happened in it.
pub(crate) struct Draws {
    generator: RefCell<fastrand::Rng>,
    trace: Cell<u64>,
    count: Cell<u64>,
    last: RefCell<VecDeque<Draw>>,
    shuffles: bool,
    parts: u64,
    spurious_wakes: u64,
}

/// One draw: what for, how many numbers it could be, and which it was.
#[derive(Clone, Copy)]
pub(crate) struct Draw {
    what: &'static str,
    bound: u64,
    value: u64,
}

impl Draws {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            generator: RefCell::new(fastrand::Rng::with_seed(settings.seed)),
            trace: Cell::new(FNV_BASIS),
            count: Cell::new(0),
            last: RefCell::default(),
            shuffles: settings.shuffles,
            parts: settings.short,
            spurious_wakes: settings.spurious_wakes,
        }
    }

    /// Takes note of bytes.
    pub(super) fn note_bytes(&self, bytes: &[u8]) {
        self.trace.set(fold(self.trace.get(), bytes));
    }

    /// A time in a range, both ends included.
    pub(super) fn duration(
        &self,
        what: &'static str,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        let nanos = |end: &Duration| u64::try_from(end.as_nanos()).unwrap_or(u64::MAX);
        let (low, high) = (nanos(range.start()), nanos(range.end()));
        Duration::from_nanos(low + self.below(what, (high - low).saturating_add(1)))
    }

    /// What has happened so far, in one number.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// The last draws, oldest first.
    pub(crate) fn last(&self) -> Vec<Draw> {
        self.last.borrow().iter().copied().collect()
    }

    /// How many draws were made.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }
}

impl Chance for Draws {
    fn below(&self, what: &'static str, bound: u64) -> u64 {
        if bound < 2 {
            return 0;
        }
        let value = self.generator.borrow_mut().u64(..bound);
        self.note(bound);
        self.note(value);
        self.count.set(self.count.get() + 1);
        let mut last = self.last.borrow_mut();
        if last.len() == KEPT_COUNT {
            last.pop_front();
        }
        last.push_back(Draw { what, bound, value });
        value
    }

    fn note(&self, value: u64) {
        self.note_bytes(&value.to_le_bytes());
    }

    fn parts(&self) -> u64 {
        self.parts
    }

    fn shuffles(&self) -> bool {
        self.shuffles
    }

    fn spurious_wakes(&self) -> u64 {
        self.spurious_wakes
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bound, value } = self;
        write!(f, "{what}: {value} of {bound}")
    }
}

/// FNV-1a: written down nowhere else, so it need not withstand anybody, and it is the same everywhere and in every
/// version of the standard library.
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// A number for some bytes, the same everywhere.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    fold(FNV_BASIS, bytes)
}

fn fold(trace: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(trace, |trace, byte| (trace ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests;
