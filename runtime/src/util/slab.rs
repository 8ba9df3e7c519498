//! Values in numbered slots, found in constant time.
//!
//! A [`Key`] names a slot and its generation. Each removal ends a generation, so a key that is kept
//! too long finds nothing, and never the slot's next tenant. A slot whose generations are used up
//! is retired rather than begun anew.

/// Names one value of a [`Slab`] for as long as the value is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// A key that never finds anything.
    pub(crate) const NOWHERE: Self = Self { index: END, generation: 0 };

    /// The slot's number, for use as a position: small, and reused after a removal.
    #[cfg(test)]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// The key as one number: generation in the upper half, slot in the lower one.
    pub(crate) const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The key that [`to_bits`](Self::to_bits) was asked of.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A growing table of values with a free list. It never shrinks: slots are reused, last freed
/// first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// Head of the free list, [`END`] if there is no free slot.
    free: u32,
    len: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// While it is free: the next free slot, or [`END`].
    next: u32,
    value: Option<T>,
}

/// No slot: the number that no slot has.
const END: u32 = u32::MAX;

impl<T> Slab<T> {
    /// An empty slab that has not allocated.
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: END, len: 0 }
    }

    /// Puts a value into a free slot.
    ///
    /// # Panics
    /// With 2^32 - 1 slots in use, which no memory of today holds.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.insert_with(|_| value)
    }

    /// Puts a value that has to know its own key into a free slot.
    ///
    /// # Panics
    /// As [`insert`](Self::insert). If `make` panics, the slab is unchanged.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Key) -> T) -> Key {
        if self.free == END {
            assert!(self.slots.len() < END as usize, "a slab holds at most 2^32 - 1 values");
            let key = Key { index: self.slots.len() as u32, generation: 0 };
            let value = make(key);
            self.slots.push(Slot { generation: 0, next: END, value: Some(value) });
            self.len += 1;
            return key;
        }
        let slot = &mut self.slots[self.free as usize];
        debug_assert!(slot.value.is_none(), "the free list holds free slots only");
        let key = Key { index: self.free, generation: slot.generation };
        slot.value = Some(make(key));
        self.free = slot.next;
        self.len += 1;
        key
    }

    /// Takes a value out; `None` if the key is stale.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        // A retired slot keeps its last generation, is on no list, and so is never taken again.
        if slot.generation < u32::MAX {
            slot.generation += 1;
            slot.next = self.free;
            self.free = key.index;
        }
        self.len -= 1;
        Some(value)
    }

    /// The value of a key; `None` if the key is stale.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// The value of a key; `None` if the key is stale.
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// Number of values.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no value.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values with their keys, in the order of slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation };
            slot.value.as_ref().map(|value| (key, value))
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
