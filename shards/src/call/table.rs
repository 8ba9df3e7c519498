//! The calls that one shard has under way to one peer.
//!
//! ```text
//!            permit free                   answer
//!  admit ─────────────────▶ Flying ──────────────────▶ Home ── poll ──▶ Free
//!    └──▶ Waiting ────────────▲ │ abandon                └── abandon ──▶ Free
//!           │  permit returned  └──▶ Abandoned ── answer ──▶ Free
//!           └ abandon ──▶ Withdrawn ── its turn in the queue ──▶ Free
//! ```
//!
//! A permit is held from departure to answer, and every departure is answered, so permits bound
//! what a peer can be sent. They are numbered: a number names one call in flight, to the peer as
//! well. Who waits is served in order, and by the table itself: a returned permit takes the first
//! waiting call with it, so none is lost on the way to a future that is being dropped. Nothing here
//! runs foreign code; what it gives back is to be woken or dropped by the caller, when nothing is
//! borrowed.

use std::collections::VecDeque;
use std::task::Waker;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

/// What travels with a call so that its answer finds home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Where the call is kept at home.
    slot: u32,
    /// The permit that it holds.
    pub(super) permit: u32,
}

/// Calls to one peer; `E` is what travels.
#[derive(Debug)]
pub(super) struct CallTable<E> {
    slots: Vec<Slot<E>>,
    free_slots: Vec<u32>,
    free_permits: Vec<u32>,
    /// Permits below this number have been used; those above are free as well.
    used_permits: u32,
    permit_limit: u32,
    /// Slots in the order of their calls: Waiting or Withdrawn.
    queue: VecDeque<u32>,
    withdrawn_count: usize,
    wait_count: u64,
}

/// Fields beside a tag, and not an enum with them inside: to take a variant out of an enum copies all
/// of it, and reading a field back from the fresh copy stalls.
#[derive(Debug)]
struct Slot<E> {
    state: State,
    /// Of Flying.
    permit: u32,
    /// Of Waiting: what has still to leave. Of Home: the answer.
    errand: Option<E>,
    /// Of Waiting and Flying.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Withdrawn,
    Flying,
    Abandoned,
    Home,
    Gone,
}

impl<E> Slot<E> {
    fn is_pending(&self) -> bool {
        matches!(self.state, State::Waiting | State::Flying)
    }
}

/// A call that may leave now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Departure<E> {
    pub(super) errand: E,
    pub(super) ticket: Ticket,
}

/// What an answer sets off.
#[derive(Debug)]
pub(super) struct Landing<E> {
    /// Who waits for the answer.
    pub(super) waker: Option<Waker>,
    /// The answer, if nobody waits for it any more; its cancellation mark is to be taken down.
    pub(super) unwanted: Option<E>,
    /// The call that the permit was passed on to.
    pub(super) next: Option<Departure<E>>,
}

/// What a future finds in its slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Polled<E> {
    /// Nothing yet; the waker that was shown is the one that is known.
    Pending,
    /// Nothing yet, and the waker is another: a clone of it is to be left.
    NewWaker,
    Home(E),
    Gone,
}

/// What a dropped future leaves behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left<E> {
    Nothing,
    /// Never sent, or an answer that was not taken.
    Errand(E),
    /// On its way or over there, under this permit.
    Flying(u32),
}

impl<E> CallTable<E> {
    /// A table for at most `permit_limit` calls in flight.
    pub(super) fn new(permit_limit: u32) -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            free_permits: Vec::new(),
            used_permits: 0,
            permit_limit,
            queue: VecDeque::new(),
            withdrawn_count: 0,
            wait_count: 0,
        }
    }

    /// How many calls had to wait for a permit so far.
    pub(super) fn wait_count(&self) -> u64 {
        self.wait_count
    }

    /// Takes a call in. It departs at once if there is a permit, and else in its turn.
    pub(super) fn admit(&mut self, errand: E) -> (u32, Option<Departure<E>>) {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot { state: State::Free, permit: 0, errand: None, waker: None });
            (self.slots.len() - 1) as u32
        });
        let permit = self.take_permit();
        let entry = &mut self.slots[slot as usize];
        match permit {
            Some(permit) => {
                (entry.state, entry.permit) = (State::Flying, permit);
                (slot, Some(Departure { errand, ticket: Ticket { slot, permit } }))
            }
            None => {
                (entry.state, entry.errand) = (State::Waiting, Some(errand));
                self.queue.push_back(slot);
                self.wait_count += 1;
                (slot, None)
            }
        }
    }

    /// Takes an answer in and passes its permit on.
    pub(super) fn land(&mut self, ticket: Ticket, answer: E) -> Landing<E> {
        let entry = &mut self.slots[ticket.slot as usize];
        let (waker, unwanted) = if entry.state == State::Flying {
            (entry.state, entry.errand) = (State::Home, Some(answer));
            (entry.waker.take(), None)
        } else {
            entry.state = State::Free;
            self.free_slots.push(ticket.slot);
            (None, Some(answer))
        };
        Landing { waker, unwanted, next: self.pass_permit(ticket.permit) }
    }

    /// Asks for the answer, which `waker` waits for. After `Home` and `Gone` the slot is no longer
    /// the caller's.
    pub(super) fn poll(&mut self, slot: u32, waker: &Waker) -> Polled<E> {
        let entry = &mut self.slots[slot as usize];
        if entry.is_pending() {
            // A clone of ours is a number; a foreign one may be dear, so an equal one is kept.
            return match &entry.waker {
                Some(known) if known.will_wake(waker) => Polled::Pending,
                _ => Polled::NewWaker,
            };
        }
        entry.state = State::Free;
        self.free_slots.push(slot);
        entry.errand.take().map_or(Polled::Gone, Polled::Home)
    }

    /// Leaves the waker of a call whose answer is not here yet; gives back the one before it.
    pub(super) fn leave_waker(&mut self, slot: u32, waker: Waker) -> Option<Waker> {
        let entry = &mut self.slots[slot as usize];
        if entry.is_pending() { entry.waker.replace(waker) } else { Some(waker) }
    }

    /// The future that owned the slot is dropped. Its waker comes back as well.
    pub(super) fn abandon(&mut self, slot: u32) -> (Left<E>, Option<Waker>) {
        let entry = &mut self.slots[slot as usize];
        let waker = entry.waker.take();
        let errand = entry.errand.take();
        let left = errand.map_or(Left::Nothing, Left::Errand);
        match entry.state {
            State::Flying => {
                entry.state = State::Abandoned;
                return (Left::Flying(entry.permit), waker);
            }
            State::Waiting => {
                entry.state = State::Withdrawn;
                self.withdrawn_count += 1;
                self.tidy_queue();
            }
            _ => {
                entry.state = State::Free;
                self.free_slots.push(slot);
            }
        }
        (left, waker)
    }

    /// The peer has ended: no call will be answered any more. Gives back who is to be woken, and
    /// what never left.
    pub(super) fn fail_all(&mut self) -> (Vec<Waker>, Vec<E>) {
        self.queue.clear();
        self.withdrawn_count = 0;
        let (mut wakers, mut errands) = (Vec::new(), Vec::new());
        for (index, entry) in self.slots.iter_mut().enumerate() {
            match entry.state {
                State::Waiting | State::Flying => {
                    entry.state = State::Gone;
                    errands.extend(entry.errand.take());
                    wakers.extend(entry.waker.take());
                }
                State::Withdrawn | State::Abandoned => {
                    entry.state = State::Free;
                    self.free_slots.push(index as u32);
                }
                State::Free | State::Home | State::Gone => {}
            }
        }
        (wakers, errands)
    }

    fn take_permit(&mut self) -> Option<u32> {
        if let Some(permit) = self.free_permits.pop() {
            return Some(permit);
        }
        let fresh = self.used_permits;
        (fresh < self.permit_limit).then(|| {
            self.used_permits += 1;
            fresh
        })
    }

    /// Gives a returned permit to the first call that waits, or keeps it.
    fn pass_permit(&mut self, permit: u32) -> Option<Departure<E>> {
        while let Some(slot) = self.queue.pop_front() {
            let entry = &mut self.slots[slot as usize];
            if let Some(errand) = entry.errand.take() {
                (entry.state, entry.permit) = (State::Flying, permit);
                return Some(Departure { errand, ticket: Ticket { slot, permit } });
            }
            self.withdrawn_count -= 1;
            entry.state = State::Free;
            self.free_slots.push(slot);
        }
        self.free_permits.push(permit);
        None
    }

    /// Forgets the withdrawn once they are the greater part of the queue, so that calls that are
    /// made and dropped while the peer does not answer take no more room than those that wait.
    fn tidy_queue(&mut self) {
        if self.withdrawn_count * 2 <= self.queue.len() {
            return;
        }
        let (slots, free_slots) = (&mut self.slots, &mut self.free_slots);
        self.queue.retain(|&slot| {
            let entry = &mut slots[slot as usize];
            let keep = entry.state != State::Withdrawn;
            if !keep {
                entry.state = State::Free;
                free_slots.push(slot);
            }
            keep
        });
        self.withdrawn_count = 0;
    }
}
