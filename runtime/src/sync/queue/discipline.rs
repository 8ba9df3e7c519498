//! In which order a queue gives its items back.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use super::super::wait_list::{give_back, smaller_capacity};

/// Which item of a queue is next. There are three: [`Fifo`], [`Lifo`] and [`Smallest`].
pub trait Discipline<T>: sealed::Discipline<T> {}

/// First in, first out: [`Queue`](super::Queue).
#[derive(Clone, Copy, Debug)]
pub struct Fifo;

/// Last in, first out: [`LifoQueue`](super::LifoQueue).
#[derive(Clone, Copy, Debug)]
pub struct Lifo;

/// The smallest first: [`PriorityQueue`](super::PriorityQueue).
#[derive(Clone, Copy, Debug)]
pub struct Smallest;

impl<T> Discipline<T> for Fifo {}
impl<T> Discipline<T> for Lifo {}
impl<T: Ord> Discipline<T> for Smallest {}

pub(super) mod sealed {
    /// The hidden part, so that nobody else implements it.
    pub trait Discipline<T> {
        /// What the queue is called.
        const NAME: &'static str;
        /// Where the items are kept.
        type Items: Items<T> + Default;
    }

    /// A store of items.
    #[allow(unreachable_pub, reason = "older compilers do not see that a public trait names it")]
    pub trait Items<T> {
        fn push(&mut self, item: T);
        /// Takes the next item, and gives memory back if many have gone.
        fn pop(&mut self) -> Option<T>;
        fn len(&self) -> usize;
    }
}

pub(super) use sealed::Items;

impl<T> sealed::Discipline<T> for Fifo {
    const NAME: &'static str = "Queue";
    type Items = VecDeque<T>;
}

impl<T> sealed::Discipline<T> for Lifo {
    const NAME: &'static str = "LifoQueue";
    type Items = Stack<T>;
}

impl<T: Ord> sealed::Discipline<T> for Smallest {
    const NAME: &'static str = "PriorityQueue";
    type Items = Heap<T>;
}

impl<T> Items<T> for VecDeque<T> {
    #[inline]
    fn push(&mut self, item: T) {
        self.push_back(item);
    }

    #[inline]
    fn pop(&mut self) -> Option<T> {
        let item = self.pop_front()?;
        give_back(self);
        Some(item)
    }

    #[inline]
    fn len(&self) -> usize {
        self.len()
    }
}

/// The youngest is at the end.
#[derive(Debug)]
pub struct Stack<T>(VecDeque<T>);

impl<T> Default for Stack<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Items<T> for Stack<T> {
    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.0.pop_back()?;
        give_back(&mut self.0);
        Some(item)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// The smallest is on top, and of equal ones the oldest.
#[derive(Debug)]
pub struct Heap<T> {
    entries: BinaryHeap<Entry<T>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    number: u64,
}

impl<T: Ord> Default for Heap<T> {
    fn default() -> Self {
        Self { entries: BinaryHeap::new(), pushed: 0 }
    }
}

impl<T: Ord> Items<T> for Heap<T> {
    fn push(&mut self, item: T) {
        self.entries.push(Entry { item, number: self.pushed });
        self.pushed += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let entry = self.entries.pop();
        let (capacity, len) = (self.entries.capacity(), self.entries.len());
        if let Some(smaller) = smaller_capacity(capacity, len) {
            self.entries.shrink_to(smaller);
        }
        entry.map(|entry| entry.item)
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

// The standard heap gives the greatest: the order is turned round.
impl<T: Ord> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.item.cmp(&self.item).then(other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Entry<T> {}

#[cfg(test)]
impl<T> Stack<T> {
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

#[cfg(test)]
impl<T> Heap<T> {
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}
