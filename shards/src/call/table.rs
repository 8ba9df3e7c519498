//! The calls and posts that one shard has under way to one peer.
//!
//! ```text
//!            permit free                   answer
//!  admit ─────────────────▶ Flying ──────────────────▶ Home ── poll ──▶ Free
//!    └──▶ Waiting ────────────▲ │ abandon                └── abandon ──▶ Free
//!           │  permit returned  └──▶ Abandoned ── answer ──▶ Free
//!           └ abandon ──▶ Withdrawn ── its turn in the queue ──▶ Free
//!
//!  queue_post ──▶ Posting ── permit returned ──▶ Sent ── poll, abandon ──▶ Free
//!                    └ abandon ──▶ Withdrawn
//! ```
//!
//! A permit is held from departure to answer, and every departure is answered, so permits bound
//! what a peer can be sent. Those of calls are numbered: a number names one call in flight, to the
//! peer as well. Those of posts are only counted, and come back by the number. Who waits is served in order, and by the table itself: a returned permit takes the first
//! waiting one with it, so none is lost on the way to a future that is being dropped. Nothing here
//! runs foreign code; what it gives back is to be woken or dropped by the caller, when nothing is
//! borrowed.

use std::collections::VecDeque;
use std::task::Waker;

use super::ambient::Priority;
use super::peer::GROUP_COUNT;

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

// The permits are counted here, on the shard whose calls hold them, and nowhere else: no two threads touch a count.

/// What travels with a call so that its answer finds home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Where the call is kept at home.
    slot: u32,
    /// The number of the permit that it holds; for a call, with its depth above it.
    permit: u32,
}

/// Where the depth of a call stands in a ticket.
const DEPTH_SHIFT: u32 = 24;

/// The most permits a lane may have for one kind of calls from one scheduling group.
pub(crate) const MAX_PERMIT_COUNT: u32 = 1 << 20;

const _: () = assert!(
    MAX_PERMIT_COUNT * GROUP_COUNT as u32 <= 1 << DEPTH_SHIFT,
    "the numbers of all groups leave room for the depth"
);

impl Ticket {
    /// The ticket of a call of this depth.
    pub(super) fn at_depth(self, depth: u8) -> Self {
        Self { permit: self.permit | u32::from(depth) << DEPTH_SHIFT, ..self }
    }

    /// A ticket that says no more than which permit of which depth.
    pub(super) fn of_permit(number: u32, depth: u8) -> Self {
        Self { slot: 0, permit: number }.at_depth(depth)
    }

    /// Which of its depth's permits it is for.
    pub(super) fn number(self) -> u32 {
        self.permit & ((1 << DEPTH_SHIFT) - 1)
    }

    /// The depth of a call.
    pub(super) fn depth(self) -> u8 {
        (self.permit >> DEPTH_SHIFT) as u8
    }
}

/// Calls to one peer; `E` is what travels.
#[derive(Debug)]
pub(super) struct CallTable<E> {
    slots: Vec<Slot<E>>,
    free_slots: Vec<u32>,
    /// Numbers of permits that calls had and have given back.
    free_numbers: Vec<u32>,
    /// Numbers below this one have been used; those above are free as well.
    used_numbers: u32,
    /// Permits that are held, by calls and by posts. Below the limit nobody waits.
    held_permits: u32,
    permit_limit: u32,
    /// Slots in the order of their calls and posts: Waiting, Posting or Withdrawn. One for each priority, the lowest first.
    queues: [VecDeque<u32>; Priority::COUNT],
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
    /// Of Waiting and Posting: what has still to leave. Of Home: the answer.
    errand: Option<E>,
    /// Of Waiting, Posting and Flying.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Posting,
    Withdrawn,
    Flying,
    Abandoned,
    Home,
    Sent,
    Gone,
}

impl<E> Slot<E> {
    fn is_pending(&self) -> bool {
        matches!(self.state, State::Waiting | State::Posting | State::Flying)
    }
}

/// A call or a post that may leave now.
#[derive(Debug)]
pub(super) struct Departure<E> {
    pub(super) errand: E,
    /// Means nothing for a post.
    pub(super) ticket: Ticket,
    /// Who waits for a post to leave.
    pub(super) waker: Option<Waker>,
}

/// What an answer sets off.
#[derive(Debug)]
pub(super) struct Landing<E> {
    /// Who waits for the answer.
    pub(super) waker: Option<Waker>,
    /// The answer, if nobody waits for it any more; its cancellation mark is to be taken down.
    pub(super) unwanted: Option<E>,
    /// The call or post that the permit was passed on to.
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
    /// A post has left.
    Sent,
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
    /// A table for at most `permit_limit` calls and posts in flight.
    pub(super) fn new(permit_limit: u32) -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            free_numbers: Vec::new(),
            used_numbers: 0,
            held_permits: 0,
            permit_limit,
            queues: Default::default(),
            withdrawn_count: 0,
            wait_count: 0,
        }
    }

    /// Has its permits numbered from `first` on.
    pub(super) fn numbered_from(self, first: u32) -> Self {
        Self { used_numbers: first, ..self }
    }

    /// How many calls and posts had to wait for a permit so far.
    pub(super) fn wait_count(&self) -> u64 {
        self.wait_count
    }

    /// Takes a call in. It departs at once if there is a permit, and else in its turn.
    pub(super) fn admit(&mut self, errand: E, priority: Priority) -> (u32, Option<Departure<E>>) {
        let slot = self.take_slot();
        if !self.try_take_permit() {
            self.enqueue(slot, State::Waiting, errand, priority);
            return (slot, None);
        }
        let permit = self.take_number();
        let entry = &mut self.slots[slot as usize];
        (entry.state, entry.permit) = (State::Flying, permit);
        (slot, Some(Departure { errand, ticket: Ticket { slot, permit }, waker: None }))
    }

    /// How many hold a permit or wait for one.
    pub(super) fn unanswered(&self) -> usize {
        self.held_permits as usize + self.waiting_count() - self.withdrawn_count
    }

    /// Slots in the queues, withdrawn ones too.
    fn waiting_count(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Takes a permit if there is one, for a post that leaves at once.
    pub(super) fn try_take_permit(&mut self) -> bool {
        let free = self.held_permits < self.permit_limit;
        self.held_permits += u32::from(free);
        free
    }

    /// Takes in a post that found no permit. It departs in its turn.
    pub(super) fn queue_post(&mut self, errand: E, priority: Priority) -> u32 {
        let slot = self.take_slot();
        self.enqueue(slot, State::Posting, errand, priority);
        slot
    }

    /// Takes back the permits of `count` posts. Whoever may leave now is to be asked for until there
    /// is nobody.
    pub(super) fn release(&mut self, count: u32) {
        self.held_permits -= count;
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
        self.free_numbers.push(ticket.number());
        self.held_permits -= 1;
        Landing { waker, unwanted, next: self.next_departure() }
    }

    /// Asks for the answer, which `waker` waits for. After `Home`, `Sent` and `Gone` the slot is no
    /// longer the caller's.
    pub(super) fn poll(&mut self, slot: u32, waker: &Waker) -> Polled<E> {
        let entry = &mut self.slots[slot as usize];
        if entry.is_pending() {
            // A clone of ours is a number; a foreign one may be dear, so an equal one is kept.
            return match &entry.waker {
                Some(known) if known.will_wake(waker) => Polled::Pending,
                _ => Polled::NewWaker,
            };
        }
        let sent = entry.state == State::Sent;
        entry.state = State::Free;
        self.free_slots.push(slot);
        match entry.errand.take() {
            Some(answer) => Polled::Home(answer),
            None if sent => Polled::Sent,
            None => Polled::Gone,
        }
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
            State::Waiting | State::Posting => {
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
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.withdrawn_count = 0;
        let (mut wakers, mut errands) = (Vec::new(), Vec::new());
        for (index, entry) in self.slots.iter_mut().enumerate() {
            match entry.state {
                State::Waiting | State::Posting | State::Flying => {
                    entry.state = State::Gone;
                    errands.extend(entry.errand.take());
                    wakers.extend(entry.waker.take());
                }
                State::Withdrawn | State::Abandoned => {
                    entry.state = State::Free;
                    self.free_slots.push(index as u32);
                }
                State::Free | State::Home | State::Sent | State::Gone => {}
            }
        }
        (wakers, errands)
    }

    /// The first that waits, if there is a permit for it.
    pub(super) fn next_departure(&mut self) -> Option<Departure<E>> {
        while self.held_permits < self.permit_limit {
            let slot = self.queues.iter_mut().rev().find_map(VecDeque::pop_front)?;
            let entry = &mut self.slots[slot as usize];
            let Some(errand) = entry.errand.take() else {
                self.withdrawn_count -= 1;
                entry.state = State::Free;
                self.free_slots.push(slot);
                continue;
            };
            self.held_permits += 1;
            if entry.state == State::Posting {
                entry.state = State::Sent;
                let waker = entry.waker.take();
                return Some(Departure { errand, ticket: Ticket::default(), waker });
            }
            let permit = self.take_number();
            let entry = &mut self.slots[slot as usize];
            (entry.state, entry.permit) = (State::Flying, permit);
            return Some(Departure { errand, ticket: Ticket { slot, permit }, waker: None });
        }
        None
    }

    fn take_slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(Slot { state: State::Free, permit: 0, errand: None, waker: None });
            (self.slots.len() - 1) as u32
        })
    }

    fn enqueue(&mut self, slot: u32, state: State, errand: E, priority: Priority) {
        let entry = &mut self.slots[slot as usize];
        (entry.state, entry.errand) = (state, Some(errand));
        self.queues[priority as usize].push_back(slot);
        self.wait_count += 1;
    }

    /// A number for a call that holds a permit: no more are in use than permits are held.
    fn take_number(&mut self) -> u32 {
        self.free_numbers.pop().unwrap_or_else(|| {
            self.used_numbers += 1;
            self.used_numbers - 1
        })
    }

    /// Forgets the withdrawn once they are the greater part of the queue, so that calls that are
    /// made and dropped while the peer does not answer take no more room than those that wait.
    fn tidy_queue(&mut self) {
        if self.withdrawn_count * 2 <= self.waiting_count() {
            return;
        }
        let (slots, free_slots) = (&mut self.slots, &mut self.free_slots);
        let mut keeps = |&slot: &u32| {
            let entry = &mut slots[slot as usize];
            let keep = entry.state != State::Withdrawn;
            if !keep {
                entry.state = State::Free;
                free_slots.push(slot);
            }
            keep
        };
        self.queues.iter_mut().for_each(|queue| queue.retain(&mut keeps));
        self.withdrawn_count = 0;
    }
}
