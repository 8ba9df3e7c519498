//! The keys of one shard: a chained hash map that grows and shrinks by one bucket at a time.
//!
//! std's map is not used, for three reasons: it stops the shard to move everything when it grows,
//! its memory does not shrink as keys go, and an iteration cannot be put down and taken up again,
//! which SCAN must.
//!
//! ```text
//!  heads    [0]  [1]  [2] … [n-1]    linear hashing: a hash's bucket is its low bits; a bucket past
//!            │         │             the end is still part of its buddy, and is split off when it
//!            ▼         ▼             is its turn, or merged back
//!  entries  (k,v)…→(k,v)  (k,v)      dense: a removed entry's place is taken by the last one
//! ```
//!
//! Both lists are made of segments, so that no growth copies more than one of them and an empty one
//! is freed.
//!
//! Hashes are keyed by a seed: who does not know the seed cannot choose keys that share a bucket.

use std::hash::{DefaultHasher, Hasher};

/// The end of a chain.
const NIL: u32 = u32::MAX;
/// Elements of a segment, a power of two.
const SEGMENT: usize = 1 << 10;
/// The map keeps this many buckets, however few the keys are.
const FEWEST_BUCKETS: usize = 16;

/// A key with its value and its deadline.
#[derive(Debug)]
pub(crate) struct Entry {
    key: Box<[u8]>,
    /// The string that is stored.
    pub(crate) value: Vec<u8>,
    /// When the key expires, in the milliseconds of the store's clock; [`Entry::NEVER`] if it does
    /// not.
    pub(crate) deadline_ms: i64,
    hash: u32,
    next: u32,
}

impl Entry {
    /// The deadline of a key that has none.
    pub(crate) const NEVER: i64 = i64::MAX;

    /// The key.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }
}

/// Where an entry is, until the next removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u32);

/// What [`KeyMap::remove`] took out.
pub(crate) struct Removed {
    /// The entry.
    pub(crate) entry: Entry,
    /// The place from which an entry was moved into the removed one's.
    pub(crate) moved_from: Option<Place>,
}

/// The keys of one shard.
#[derive(Debug)]
pub(crate) struct KeyMap {
    heads: Segments<u32>,
    entries: Segments<Entry>,
    seed: u64,
    /// A hasher that has seen the seed.
    hasher: DefaultHasher,
}

impl KeyMap {
    /// An empty map whose hashes are keyed by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut heads = Segments::new();
        for _ in 0..FEWEST_BUCKETS {
            heads.push(NIL);
        }
        // `DefaultHasher::new` is SipHash-1-3 under a fixed key; the seed before the key makes it
        // ours.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seed);
        Self { heads, entries: Segments::new(), seed, hasher }
    }

    /// Adds a key that is not there yet and says where it is.
    ///
    /// # Panics
    /// If the map holds 2^32 - 1 entries already, which take more than 240 GB by themselves.
    pub(crate) fn insert(&mut self, key: &[u8], value: Vec<u8>, deadline_ms: i64) -> Place {
        debug_assert!(self.find(key).is_none(), "insert wants a new key");
        assert!(self.entries.len() < NIL as usize, "a shard holds 2^32 - 1 keys at most");
        if self.entries.len() >= self.heads.len() {
            self.split_bucket();
        }
        let place = self.entries.len() as u32;
        let hash = self.hash(key);
        let head = self.heads.at_mut(bucket_of(hash, self.heads.len()));
        let next = std::mem::replace(head, place);
        self.entries.push(Entry { key: key.into(), value, deadline_ms, hash, next });
        Place(place)
    }

    /// Takes an entry out. Another entry may move into its place.
    pub(crate) fn remove(&mut self, place: Place) -> Removed {
        let Place(removed) = place;
        let (hash, next) = (self.entry(place).hash, self.entry(place).next);
        *self.link_to(hash, removed) = next;
        let last = (self.entries.len() - 1) as u32;
        let mut entry = self.entries.pop().expect("the removed entry is there");
        let mut moved_from = None;
        if last != removed {
            // The list stays dense: the last entry moves into the gap and its chain is told.
            *self.link_to(entry.hash, last) = removed;
            std::mem::swap(&mut entry, self.entries.at_mut(removed as usize));
            moved_from = Some(Place(last));
        }
        // Two at a time, so that the buckets go at least as fast as the keys did.
        for _ in 0..2 {
            if self.heads.len() > FEWEST_BUCKETS && self.entries.len() * 2 < self.heads.len() {
                self.merge_bucket();
            }
        }
        Removed { entry, moved_from }
    }

    /// Takes the last entry out, without keeping the map in order: for a map that is being thrown
    /// away.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.entries.pop()
    }

    /// Finds a key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Place> {
        let hash = self.hash(key);
        let mut place = *self.heads.at(bucket_of(hash, self.heads.len()));
        while place != NIL {
            let entry = self.entries.at(place as usize);
            if entry.hash == hash && *entry.key == *key {
                return Some(Place(place));
            }
            place = entry.next;
        }
        None
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, place: Place) -> &Entry {
        self.entries.at(place.0 as usize)
    }

    /// The entry at a place, to be changed.
    pub(crate) fn entry_mut(&mut self, place: Place) -> &mut Entry {
        self.entries.at_mut(place.0 as usize)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The seed of the hashes.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// All entries, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Visits the entries of one bucket and returns the cursor of the next, `None` after the last.
    ///
    /// Cursors run over the hashes with their bits reversed. A split or a merge only cuts or joins
    /// ranges of that order, so whoever is there from the first call (cursor 0) to the last is
    /// visited once, and nobody twice.
    pub(crate) fn scan(&self, cursor: u32, mut visit: impl FnMut(&Entry)) -> Option<u32> {
        let bucket = bucket_of(cursor.reverse_bits(), self.heads.len());
        let mut place = *self.heads.at(bucket);
        while place != NIL {
            let entry = self.entries.at(place as usize);
            if entry.hash.reverse_bits() >= cursor {
                visit(entry);
            }
            place = entry.next;
        }
        let depth = self.depth_of(bucket);
        let first = (bucket as u32).reverse_bits();
        first.checked_add(1u32.checked_shl(32 - depth)?)
    }

    /// How many low bits of a hash lead to `bucket`.
    fn depth_of(&self, bucket: usize) -> u32 {
        let count = self.heads.len();
        let upper = count.next_power_of_two();
        // A bucket has been split at this level if it is an upper half itself, or if its upper half
        // is there.
        let is_split = bucket >= upper / 2 || bucket + upper / 2 < count;
        upper.trailing_zeros() - u32::from(!is_split)
    }

    /// Adds a bucket: the upper half of the one with the same bits below its top bit.
    fn split_bucket(&mut self) {
        let upper = self.heads.len();
        let lower = buddy_of(upper);
        let mut place = std::mem::replace(self.heads.at_mut(lower), NIL);
        self.heads.push(NIL);
        while place != NIL {
            let bucket = bucket_of(self.entries.at(place as usize).hash, upper + 1);
            let next = std::mem::replace(self.heads.at_mut(bucket), place);
            place = std::mem::replace(&mut self.entries.at_mut(place as usize).next, next);
        }
    }

    /// Takes the last bucket away: its chain goes to the end of its buddy's.
    fn merge_bucket(&mut self) {
        let chain = self.heads.pop().expect("there are more buckets than the fewest");
        let lower = buddy_of(self.heads.len());
        *self.end_of_chain(lower) = chain;
    }

    fn end_of_chain(&mut self, bucket: usize) -> &mut u32 {
        let mut place = *self.heads.at(bucket);
        if place == NIL {
            return self.heads.at_mut(bucket);
        }
        loop {
            let next = self.entries.at(place as usize).next;
            if next == NIL {
                return &mut self.entries.at_mut(place as usize).next;
            }
            place = next;
        }
    }

    /// The link that leads to `place`, in the chain of `hash`.
    fn link_to(&mut self, hash: u32, place: u32) -> &mut u32 {
        let bucket = bucket_of(hash, self.heads.len());
        let mut at = *self.heads.at(bucket);
        if at == place {
            return self.heads.at_mut(bucket);
        }
        loop {
            debug_assert_ne!(at, NIL, "every entry is in the chain of its hash");
            let next = self.entries.at(at as usize).next;
            if next == place {
                return &mut self.entries.at_mut(at as usize).next;
            }
            at = next;
        }
    }

    fn hash(&self, key: &[u8]) -> u32 {
        let mut hasher = self.hasher.clone();
        hasher.write(key);
        hasher.finish() as u32
    }
}

/// The bucket of a hash among `count` buckets: as many low bits as lead to a bucket that is there.
fn bucket_of(hash: u32, count: usize) -> usize {
    let mask = count.next_power_of_two() - 1;
    let bucket = hash as usize & mask;
    if bucket < count { bucket } else { bucket & (mask >> 1) }
}

/// The bucket from which `bucket` is split off: the same without the top bit.
fn buddy_of(bucket: usize) -> usize {
    bucket - (1 << bucket.ilog2())
}

/// A list that grows and shrinks by segments and never moves what is in a full one.
#[derive(Debug)]
struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Segments<T> {
    fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    fn push(&mut self, item: T) {
        let segment = self.len / SEGMENT;
        if segment == self.segments.len() {
            // Only the first segment grows from nothing; a store that needs a second one will fill
            // it.
            let capacity = if segment == 0 { 0 } else { SEGMENT };
            self.segments.push(Vec::with_capacity(capacity));
        }
        self.segments[segment].push(item);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        let segment = self.len / SEGMENT;
        let item = self.segments[segment].pop();
        // One empty segment is kept, so that a list that hovers about an edge does not allocate
        // each time.
        self.segments.truncate(segment + 2);
        item
    }

    fn at(&self, index: usize) -> &T {
        &self.segments[index / SEGMENT][index % SEGMENT]
    }

    fn at_mut(&mut self, index: usize) -> &mut T {
        &mut self.segments[index / SEGMENT][index % SEGMENT]
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests;
