//! Which loops of a world can turn now, and when the others can: known without a look at each of them.

use std::collections::BTreeSet;

use super::world::SeatId;
use crate::util::instant::Instant;

/// When each loop can have its next turn, if nothing happens before.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// A bit for each loop, by its number: those that can turn now.
    now: Vec<u64>,
    now_count: usize,
    /// The others, but those that only wait for something to happen.
    later: BTreeSet<(Instant, SeatId)>,
    planned: Vec<When>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    Now,
    At(Instant),
}

const WORD_BITS: usize = u64::BITS as usize;

impl Agenda {
    /// A loop can turn at `time`; with `None` it cannot.
    pub(super) fn plan(&mut self, seat: SeatId, time: Option<Instant>, now: Instant) {
        let when = match time {
            None => When::Never,
            Some(time) if time <= now => When::Now,
            Some(time) => When::At(time),
        };
        self.set(seat, when);
    }

    fn set(&mut self, seat: SeatId, when: When) {
        if seat.0 >= self.planned.len() {
            self.planned.resize(seat.0 + 1, When::Never);
            self.now.resize(seat.0 / WORD_BITS + 1, 0);
        }
        let before = std::mem::replace(&mut self.planned[seat.0], when);
        if before == when {
            return;
        }
        let (word, mask) = (&mut self.now[seat.0 / WORD_BITS], 1 << (seat.0 % WORD_BITS));
        match before {
            When::Never => {}
            When::Now => {
                *word &= !mask;
                self.now_count -= 1;
            }
            When::At(time) => _ = self.later.remove(&(time, seat)),
        }
        match when {
            When::Never => {}
            When::Now => {
                *word |= mask;
                self.now_count += 1;
            }
            When::At(time) => _ = self.later.insert((time, seat)),
        }
    }

    /// It is `now`: who has waited for it can turn.
    pub(super) fn come_to(&mut self, now: Instant) {
        while let Some(&(time, seat)) = self.later.first()
            && time <= now
        {
            self.set(seat, When::Now);
        }
    }

    /// How many can turn now.
    pub(super) fn now_count(&self) -> usize {
        self.now_count
    }

    /// Of those that can turn now the one that has `place` others before it, by their numbers.
    pub(super) fn nth_now(&self, mut place: usize) -> Option<SeatId> {
        for (index, &word) in self.now.iter().enumerate() {
            let count = word.count_ones() as usize;
            if place < count {
                let rest = (0..place).fold(word, |rest, _| rest & (rest - 1));
                return Some(SeatId(index * WORD_BITS + rest.trailing_zeros() as usize));
            }
            place -= count;
        }
        None
    }

    /// Whether a loop can turn now.
    #[cfg(test)]
    pub(super) fn is_now(&self, seat: SeatId) -> bool {
        self.planned[seat.0] == When::Now
    }

    /// When the first of those can that cannot now.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.first().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests;
