//! Timers: a 4-ary heap of deadlines, beside the wakers that they are for.
//!
//! ```text
//!  insert ─▶ Waiting ──due──▶ Queued ──run──▶ gone, its waker is woken
//!               └─cancel─▶ gone  └─cancel─▶ Dead ──run──▶ gone
//! ```
//!
//! Most timers are time-outs that never fire. So to cancel one empties its slot, and leaves its node in the
//! heap, which is stale then. One that has come to the front is dropped when the loop is about to sleep, and when
//! most are stale the heap is swept: there are never more of them than timers, and a few.
//!
//! And most time-outs are followed by the next of the same length: the slot's next timer takes the stale node over,
//! if it is due no earlier. Such a node comes to the front too early, and is put where it belongs then. So a deadline
//! that moves away with each request costs the heap nothing.
//!
//! A due timer is an entry of the ready queue, so its slot stays taken until that entry has run: were it
//! given away before, the entry would fire the next tenant too early.
//!
//! Equal deadlines fire in the order of creation (rule G7): the heap's key is the deadline and a running
//! number. The heap is told the time and never asks.

use std::task::Waker;

use crate::task::MAX_SLOTS;
use crate::util::instant::Instant;

#[cfg(test)]
mod tests;

/// Children of one node. Four make the tree half as deep as two, and lie in one or two cache lines.
const ARITY: usize = 4;
/// Levels of the heap in which neighbours of the first timer are looked for: 84 are enough to share a wake.
const LEVELS_SEARCHED: u32 = 3;
/// So many stale nodes are borne however few timers there are.
const STALE_BORNE: usize = 64;

/// Names a timer. A stale one finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey {
    slot: u32,
    /// The lower half of its number.
    number: u32,
}

impl TimerKey {
    /// The timer's place, which is nobody else's until it has fired or was cancelled.
    pub(super) fn slot(self) -> u32 {
        self.slot
    }
}

/// All timers of a loop.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Node>,
    /// Nodes of timers that were cancelled.
    stale: usize,
    slots: Vec<Slot>,
    empty: Vec<u32>,
    created: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    deadline: Instant,
    number: u64,
    slot: u32,
}

struct Slot {
    /// Of the timer, counted from 1; 0 while the slot is empty.
    number: u64,
    /// The number of its node in the heap, which may be that of an earlier timer; 0 if it has none.
    node: u64,
    /// No earlier than that of the node.
    deadline: Instant,
    state: State,
}

enum State {
    Empty,
    Waiting(Waker),
    Queued(Waker),
    Dead,
}

impl Timers {
    /// Adds a timer that wakes `waker` at `deadline`.
    ///
    /// # Panics
    /// With 16,777,216 timers: an entry of the ready queue has no room for more.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Waker) -> TimerKey {
        let full = self.empty.is_empty() && self.slots.len() >= MAX_SLOTS as usize;
        assert!(!full, "a loop holds 16,777,216 timers at most");
        self.created += 1;
        let number = self.created;
        let state = State::Waiting(waker);
        let slot = match self.empty.pop() {
            Some(empty) => {
                let slot = &mut self.slots[empty as usize];
                let has_node = slot.node != 0 && slot.deadline <= deadline;
                let node = if has_node { slot.node } else { number };
                *slot = Slot { number, node, deadline, state };
                if has_node {
                    self.stale -= 1;
                    return TimerKey { slot: empty, number: number as u32 };
                }
                empty
            }
            None => {
                self.slots.push(Slot { number, node: number, deadline, state });
                (self.slots.len() - 1) as u32
            }
        };
        self.heap.push(Node { deadline, number, slot });
        self.sift_up(self.heap.len() - 1);
        TimerKey { slot, number: number as u32 }
    }

    /// Takes a timer out. Its waker comes back, for the caller to drop.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<Waker> {
        let slot = self.live(key)?;
        match std::mem::replace(&mut slot.state, State::Dead) {
            State::Waiting(waker) => {
                // Its node stays, for the next timer of the slot.
                (slot.number, slot.state) = (0, State::Empty);
                self.empty.push(key.slot);
                self.stale += 1;
                if self.stale > STALE_BORNE.max(self.heap.len() / 2) {
                    self.sweep();
                }
                Some(waker)
            }
            State::Queued(waker) => Some(waker),
            state @ (State::Empty | State::Dead) => {
                slot.state = state;
                None
            }
        }
    }

    /// Who is to be woken by the timers that have not come due, and when; in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Instant, &Waker)> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Waiting(waker) => Some((slot.deadline, waker)),
            State::Empty | State::Queued(_) | State::Dead => None,
        })
    }

    /// Whether the timer has still to fire, and whether for `waker`.
    pub(crate) fn look(&self, key: TimerKey, waker: &Waker) -> Look {
        let slot = self.slots.get(key.slot as usize);
        match slot.filter(|slot| slot.number as u32 == key.number).map(|slot| &slot.state) {
            Some(State::Waiting(old) | State::Queued(old)) => {
                if old.will_wake(waker) {
                    Look::Waiting
                } else {
                    Look::ForAnother
                }
            }
            Some(State::Empty | State::Dead) | None => Look::Fired,
        }
    }

    /// Has the timer wake `waker` from now on. The one that does not belong here any more comes back.
    pub(crate) fn renew(&mut self, key: TimerKey, waker: Waker) -> Waker {
        match self.live(key).map(|slot| &mut slot.state) {
            Some(State::Waiting(old) | State::Queued(old)) => std::mem::replace(old, waker),
            Some(State::Empty | State::Dead) | None => waker,
        }
    }

    /// No timer comes due before this; `None` if there is none. For who looks often: it may be the deadline of a
    /// timer that was cancelled.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        let first = self.heap.first()?;
        (self.heap.len() > self.stale).then_some(first.deadline)
    }

    /// When to look again: no timer comes due before this, and at this moment none may be due yet. For who sleeps on a
    /// clock that goes on by itself: that a deadline has been put off costs nothing until the old one has come.
    pub(crate) fn next_look(&mut self) -> Option<Instant> {
        while let Some(first) = self.heap.first().copied() {
            if self.due(&first).is_some() {
                return Some(first.deadline);
            }
            self.settle_one(first);
        }
        None
    }

    /// The next deadline.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        self.settle_first();
        self.heap.first().map(|node| node.deadline)
    }

    /// A deadline no later than `limit`, and the last such one if they are few; for use after
    /// [`next`](Self::next), with a `limit` no earlier.
    pub(crate) fn last_until(&self, limit: Instant) -> Instant {
        let mut last = self.heap.first().map_or(limit, |first| first.deadline);
        let (mut start, mut width) = (1, ARITY);
        for _ in 0..LEVELS_SEARCHED {
            let end = (start + width).min(self.heap.len());
            let level = self.heap.get(start..end).unwrap_or_default();
            let mut near = level.iter().filter(|node| node.deadline <= limit).peekable();
            if near.peek().is_none() {
                // What lies below is later still.
                break;
            }
            let due = near.filter_map(|node| self.due(node)).filter(|deadline| *deadline <= limit);
            let found = due.max();
            last = found.map_or(last, |found| found.max(last));
            (start, width) = (end, width * ARITY);
        }
        last
    }

    /// Takes the next timer that is due at `now` off the heap; its slot goes into the ready queue.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        if self.heap.first()?.deadline > now {
            return None;
        }
        self.settle_first();
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        self.remove_first();
        let slot = &mut self.slots[first.slot as usize];
        slot.node = 0;
        if let State::Waiting(waker) = std::mem::replace(&mut slot.state, State::Dead) {
            slot.state = State::Queued(waker);
        }
        Some(first.slot)
    }

    /// Runs the entry of a due timer: whom to wake, unless it was cancelled since.
    pub(crate) fn fire(&mut self, slot: u32) -> Option<Waker> {
        let fired = &mut self.slots[slot as usize];
        let state = std::mem::replace(&mut fired.state, State::Empty);
        fired.number = 0;
        self.empty.push(slot);
        match state {
            State::Queued(waker) => Some(waker),
            State::Empty | State::Waiting(_) | State::Dead => None,
        }
    }

    /// Timers that have not come due.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len() - self.stale
    }

    fn live(&mut self, key: TimerKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.number as u32 == key.number)
    }

    /// Whether it is that of the timer in its slot, and where it belongs.
    fn is_exact(&self, node: &Node) -> bool {
        self.slots[node.slot as usize].number == node.number
    }

    /// When the timer that it stands for is due; `None` if it is stale.
    fn due(&self, node: &Node) -> Option<Instant> {
        let slot = &self.slots[node.slot as usize];
        (slot.node == node.number && slot.number != 0).then_some(slot.deadline)
    }

    /// Drops all stale nodes, and puts the others where they belong.
    fn sweep(&mut self) {
        let Self { heap, slots, .. } = self;
        heap.retain_mut(|node| match slots[node.slot as usize].settle(node) {
            Settled::Exact => true,
            Settled::Late(later) => {
                *node = later;
                true
            }
            Settled::Stale => false,
        });
        self.stale = 0;
        for place in (0..self.heap.len().div_ceil(ARITY)).rev() {
            self.sift_down(place);
        }
    }

    /// Drops stale nodes at the front, and puts others where they belong, until the first is that of the next timer.
    /// With many stale ones it drops all, which is cheaper for each.
    fn settle_first(&mut self) {
        while let Some(first) = self.heap.first().copied().filter(|first| !self.is_exact(first)) {
            self.settle_one(first);
        }
    }

    fn settle_one(&mut self, first: Node) {
        match self.slots[first.slot as usize].settle(&first) {
            Settled::Exact => {}
            Settled::Late(later) => {
                self.heap[0] = later;
                self.sift_down(0);
            }
            Settled::Stale if self.stale >= self.heap.len() / 2 => self.sweep(),
            Settled::Stale => {
                self.remove_first();
                self.stale -= 1;
            }
        }
    }

    fn remove_first(&mut self) {
        let last = self.heap.pop().expect("a node that is in the heap");
        if let Some(first) = self.heap.first_mut() {
            *first = last;
            self.sift_down(0);
        }
    }

    fn sift_up(&mut self, mut place: usize) {
        let node = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent] <= node {
                break;
            }
            self.heap[place] = self.heap[parent];
            place = parent;
        }
        self.heap[place] = node;
    }

    fn sift_down(&mut self, mut place: usize) {
        let node = self.heap[place];
        loop {
            let first = place * ARITY + 1;
            let children = first..(first + ARITY).min(self.heap.len());
            let Some(least) = children.min_by_key(|&child| self.heap[child]) else { break };
            if node <= self.heap[least] {
                break;
            }
            self.heap[place] = self.heap[least];
            place = least;
        }
        self.heap[place] = node;
    }
}

/// What becomes of a node.
enum Settled {
    Exact,
    /// It is due later, and now known to be there.
    Late(Node),
    /// It is to be dropped.
    Stale,
}

impl Slot {
    /// What becomes of a `node` that names this slot.
    fn settle(&mut self, node: &Node) -> Settled {
        if self.number == node.number {
            return Settled::Exact;
        }
        if self.node != node.number {
            return Settled::Stale;
        }
        // Zero in an empty slot, whose node goes.
        self.node = self.number;
        match self.number {
            0 => Settled::Stale,
            number => Settled::Late(Node { deadline: self.deadline, number, ..*node }),
        }
    }
}

/// What [`Timers::look`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It fired, or was cancelled.
    Fired,
    Waiting,
    /// It waits for a waker that is not the one that was asked about.
    ForAnother,
}
