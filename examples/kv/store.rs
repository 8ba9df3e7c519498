//! The data of one shard: strings under keys, some with a deadline.
//!
//! A key whose deadline has passed is gone: whoever looks at it removes it, and the sweeper of the
//! shard removes the rest, a bounded number at a time ([`Store::sweep`]), in the order of their
//! deadlines. Time is told ([`Store::set_now`]), never asked for.

use std::collections::BTreeSet;

use super::keymap::{Entry, KeyMap, Place};

/// What a key holds, and when that ends.
#[derive(Debug)]
pub(crate) struct Store {
    map: KeyMap,
    /// All keys with a deadline: the earliest comes first.
    deadlines: BTreeSet<(i64, Place)>,
    /// Maps that were flushed, to be freed a bit at a time.
    discarded: Vec<KeyMap>,
    now_ms: i64,
    expired_count: u64,
    hit_count: u64,
    miss_count: u64,
}

/// Whether a new value keeps the deadline that its key had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// The value stays until it is removed.
    Never,
    /// The value stays until this time of the store's clock, in milliseconds.
    At(i64),
    /// The value stays as long as the one before it would have.
    Keep,
}

impl Store {
    /// An empty store at time 0; `seed` keys its hashes.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            map: KeyMap::new(seed),
            deadlines: BTreeSet::new(),
            discarded: Vec::new(),
            now_ms: 0,
            expired_count: 0,
            hit_count: 0,
            miss_count: 0,
        }
    }

    /// Tells the time, in milliseconds. It never goes back.
    pub(crate) fn set_now(&mut self, now_ms: i64) {
        debug_assert!(now_ms >= self.now_ms, "time does not go back");
        self.now_ms = now_ms;
    }

    /// The time that was told last, in milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The value of `key`.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let Some(place) = self.live(key) else {
            self.miss_count += 1;
            return None;
        };
        self.hit_count += 1;
        Some(&self.map.entry(place).value)
    }

    /// The value of `key`, to be changed in place. Its deadline stays.
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Vec<u8>> {
        let place = self.live(key)?;
        Some(&mut self.map.entry_mut(place).value)
    }

    /// Says whether `key` is there.
    pub(crate) fn contains(&mut self, key: &[u8]) -> bool {
        self.live(key).is_some()
    }

    /// Stores `value` under `key`.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], deadline: Deadline) {
        let Some(place) = self.live(key) else {
            let deadline_ms = match deadline {
                Deadline::At(time) => time,
                Deadline::Never | Deadline::Keep => Entry::NEVER,
            };
            let place = self.map.insert(key, value.to_vec(), deadline_ms);
            self.enlist(place, deadline_ms);
            return;
        };
        let held = &mut self.map.entry_mut(place).value;
        if value.len() <= held.capacity() && held.capacity() <= 2 * value.len() + 64 {
            // A value of about the same size goes where the old one was.
            held.clear();
            held.extend_from_slice(value);
        } else {
            *held = value.to_vec();
        }
        match deadline {
            Deadline::Never => self.set_deadline(place, Entry::NEVER),
            Deadline::At(time) => self.set_deadline(place, time),
            Deadline::Keep => {}
        }
    }

    /// Removes `key` and returns what it held.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let place = self.live(key)?;
        Some(self.take(place).value)
    }

    /// When `key` expires ([`Entry::NEVER`] if it does not), or `None` if it is not there.
    pub(crate) fn deadline_of(&mut self, key: &[u8]) -> Option<i64> {
        let place = self.live(key)?;
        Some(self.map.entry(place).deadline_ms)
    }

    /// Gives `key` another deadline; [`Entry::NEVER`] takes it away. Says whether the key is there.
    pub(crate) fn expire_at(&mut self, key: &[u8], deadline_ms: i64) -> bool {
        let Some(place) = self.live(key) else { return false };
        self.set_deadline(place, deadline_ms);
        true
    }

    /// Removes every key. The memory comes back as the sweeper runs.
    pub(crate) fn clear(&mut self) {
        let empty = KeyMap::new(self.map.seed());
        self.discarded.push(std::mem::replace(&mut self.map, empty));
        self.deadlines.clear();
    }

    /// Removes expired keys and frees flushed ones, no more than `budget` of them. Says whether
    /// more is left to do now.
    pub(crate) fn sweep(&mut self, budget: usize) -> bool {
        for _ in 0..budget {
            if let Some(map) = self.discarded.last_mut() {
                if map.pop().is_none() {
                    self.discarded.pop();
                }
                continue;
            }
            match self.deadlines.first() {
                Some(&(deadline_ms, place)) if deadline_ms < self.now_ms => {
                    self.take(place);
                    self.expired_count += 1;
                }
                _ => return false,
            }
        }
        true
    }

    /// Visits a few keys from `cursor` on and returns the cursor of the next ones; see
    /// [`KeyMap::scan`]. Expired keys are left out.
    pub(crate) fn scan(&self, cursor: u32, mut visit: impl FnMut(&[u8])) -> Option<u32> {
        self.map.scan(cursor, |entry| {
            if entry.deadline_ms >= self.now_ms {
                visit(entry.key());
            }
        })
    }

    /// All keys that have not expired.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let live = self.map.iter().filter(|entry| entry.deadline_ms >= self.now_ms);
        live.map(Entry::key)
    }

    /// How many keys there are, those included that have expired and were not found out yet.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many keys have a deadline.
    pub(crate) fn deadline_count(&self) -> usize {
        self.deadlines.len()
    }

    /// How many keys were removed because their deadline had passed.
    pub(crate) fn expired_count(&self) -> u64 {
        self.expired_count
    }

    /// How many values were asked for that were there, and how many that were not.
    pub(crate) fn lookup_counts(&self) -> (u64, u64) {
        (self.hit_count, self.miss_count)
    }

    /// Says whether the sweeper has, or will have, something to do.
    pub(crate) fn wants_sweep(&self) -> bool {
        !self.deadlines.is_empty() || !self.discarded.is_empty()
    }

    /// Finds `key`, and removes it if its deadline has passed. Like Redis: the deadline itself is
    /// not past.
    fn live(&mut self, key: &[u8]) -> Option<Place> {
        let place = self.map.find(key)?;
        if self.map.entry(place).deadline_ms >= self.now_ms {
            return Some(place);
        }
        self.take(place);
        self.expired_count += 1;
        None
    }

    fn take(&mut self, place: Place) -> Entry {
        let removed = self.map.remove(place);
        if removed.entry.deadline_ms != Entry::NEVER {
            self.deadlines.remove(&(removed.entry.deadline_ms, place));
        }
        if let Some(from) = removed.moved_from {
            let deadline_ms = self.map.entry(place).deadline_ms;
            if deadline_ms != Entry::NEVER {
                self.deadlines.remove(&(deadline_ms, from));
                self.deadlines.insert((deadline_ms, place));
            }
        }
        removed.entry
    }

    fn set_deadline(&mut self, place: Place, deadline_ms: i64) {
        let entry = self.map.entry_mut(place);
        let before = std::mem::replace(&mut entry.deadline_ms, deadline_ms);
        if before != Entry::NEVER {
            self.deadlines.remove(&(before, place));
        }
        self.enlist(place, deadline_ms);
    }

    fn enlist(&mut self, place: Place, deadline_ms: i64) {
        if deadline_ms != Entry::NEVER {
            self.deadlines.insert((deadline_ms, place));
        }
    }
}

#[cfg(test)]
mod tests;
