//! Timers: a 4-ary heap that knows where each timer lies, so that one can leave from the middle.
//!
//! ```text
//!  insert ─▶ Waiting ──due──▶ Queued ──run──▶ gone, its waker is woken
//!               └─cancel─▶ gone  └─cancel─▶ Dead ──run──▶ gone
//! ```
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

/// Names a timer. A stale one finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

/// All timers of a loop.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Node>,
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
    generation: u32,
    state: State,
}

enum State {
    Empty,
    Waiting { place: u32, waker: Waker },
    Queued { waker: Waker },
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
        let place = self.heap.len();
        let state = State::Waiting { place: place as u32, waker };
        let slot = match self.empty.pop() {
            Some(slot) => {
                self.slots[slot as usize].state = state;
                slot
            }
            None => {
                self.slots.push(Slot { generation: 0, state });
                (self.slots.len() - 1) as u32
            }
        };
        self.created += 1;
        self.heap.push(Node { deadline, number: self.created, slot });
        self.sift_up(place);
        TimerKey { slot, generation: self.slots[slot as usize].generation }
    }

    /// Takes a timer out. Its waker comes back, for the caller to drop.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<Waker> {
        let slot = self.live(key)?;
        match std::mem::replace(&mut slot.state, State::Dead) {
            State::Waiting { place, waker } => {
                self.release(key.slot);
                self.remove_node(place as usize);
                Some(waker)
            }
            State::Queued { waker } => Some(waker),
            state @ (State::Empty | State::Dead) => {
                slot.state = state;
                None
            }
        }
    }

    /// Who is to be woken by the timers that have not come due, and when; in no order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Instant, &Waker)> {
        self.heap.iter().filter_map(|node| match &self.slots[node.slot as usize].state {
            State::Waiting { waker, .. } => Some((node.deadline, waker)),
            _ => None,
        })
    }

    /// Whether the timer has still to fire, and whether for `waker`.
    pub(crate) fn look(&self, key: TimerKey, waker: &Waker) -> Look {
        let slot = self.slots.get(key.slot as usize);
        match slot.filter(|slot| slot.generation == key.generation).map(|slot| &slot.state) {
            Some(State::Waiting { waker: old, .. } | State::Queued { waker: old }) => {
                if old.will_wake(waker) { Look::Waiting } else { Look::ForAnother }
            }
            Some(State::Empty | State::Dead) | None => Look::Fired,
        }
    }

    /// Has the timer wake `waker` from now on. The one that does not belong here any more comes back.
    pub(crate) fn renew(&mut self, key: TimerKey, waker: Waker) -> Waker {
        match self.live(key).map(|slot| &mut slot.state) {
            Some(State::Waiting { waker: old, .. } | State::Queued { waker: old }) => {
                std::mem::replace(old, waker)
            }
            Some(State::Empty | State::Dead) | None => waker,
        }
    }

    /// The next deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|node| node.deadline)
    }

    /// Takes the next timer that is due at `now` off the heap; its slot goes into the ready queue.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        self.remove_node(0);
        let slot = &mut self.slots[first.slot as usize];
        if let State::Waiting { waker, .. } = std::mem::replace(&mut slot.state, State::Dead) {
            slot.state = State::Queued { waker };
        }
        Some(first.slot)
    }

    /// Runs the entry of a due timer: whom to wake, unless it was cancelled since.
    pub(crate) fn fire(&mut self, slot: u32) -> Option<Waker> {
        let state = std::mem::replace(&mut self.slots[slot as usize].state, State::Dead);
        self.release(slot);
        match state {
            State::Queued { waker } => Some(waker),
            State::Empty | State::Waiting { .. } | State::Dead => None,
        }
    }

    /// Timers that have not come due.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len()
    }

    fn live(&mut self, key: TimerKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.slot as usize).filter(|slot| slot.generation == key.generation)
    }

    fn release(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        place.state = State::Empty;
        place.generation = place.generation.wrapping_add(1);
        self.empty.push(slot);
    }

    fn remove_node(&mut self, place: usize) {
        let last = self.heap.pop().expect("a node that is in the heap");
        if place == self.heap.len() {
            return;
        }
        self.heap[place] = last;
        self.sift_up(place);
        let place = self.place_of(last.slot);
        self.sift_down(place);
    }

    fn sift_up(&mut self, mut place: usize) {
        let node = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.heap[parent] <= node {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, node);
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
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, node);
    }

    fn put(&mut self, place: usize, node: Node) {
        self.heap[place] = node;
        if let State::Waiting { place: known, .. } = &mut self.slots[node.slot as usize].state {
            *known = place as u32;
        }
    }

    fn place_of(&self, slot: u32) -> usize {
        match self.slots[slot as usize].state {
            State::Waiting { place, .. } => place as usize,
            State::Empty | State::Queued { .. } | State::Dead => {
                unreachable!("a node of the heap belongs to a waiting timer")
            }
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
