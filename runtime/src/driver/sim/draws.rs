//! The generator of a world, and what it has drawn.

use std::array;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::settings::Settings;
use crate::util::chance::Chance;

/// How many of the last draws are kept, to be shown when a run fails.
const KEPT_COUNT: u64 = 32;

/// All chance of one world, and the trace of what has happened in it.
pub(crate) struct Draws {
    generator: RefCell<fastrand::Rng>,
    trace: Cell<u64>,
    count: Cell<u64>,
    /// The draw of a number is at the place of that number, by the count.
    last: [Cell<Draw>; KEPT_COUNT as usize],
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
            trace: Cell::new(GOLDEN),
            count: Cell::new(0),
            last: array::from_fn(|_| Cell::new(Draw { what: "", bound: 0, value: 0 })),
            shuffles: settings.shuffles,
            parts: settings.short,
            spurious_wakes: settings.spurious_wakes,
        }
    }

    /// Takes note of bytes.
    pub(super) fn note_bytes(&self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut trace = fold(self.trace.get(), bytes.len() as u64);
        for word in words {
            trace = fold(trace, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.trace.set(fold(trace, u64::from_le_bytes(last)));
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
        let count = self.count.get();
        let place = |number: u64| (number % KEPT_COUNT) as usize;
        let numbers = count.saturating_sub(KEPT_COUNT)..count;
        numbers.map(|number| self.last[place(number)].get()).collect()
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
        let count = self.count.replace(self.count.get() + 1);
        self.last[(count % KEPT_COUNT) as usize].set(Draw { what, bound, value });
        value
    }

    fn note(&self, value: u64) {
        self.trace.set(fold(self.trace.get(), value));
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

/// The fractional part of the golden ratio, made odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes a number into the trace. Whatever it does can be undone, so two traces that differ go on to differ as long as
/// the same comes after. Nobody tries to make two runs look alike, so it need not withstand more.
fn fold(trace: u64, value: u64) -> u64 {
    (trace.rotate_left(23) ^ value).wrapping_mul(GOLDEN)
}

#[cfg(test)]
mod tests;
