//! A fair line of wakers: the base of every primitive in this room.
//!
//! ```text
//!  join ─▶ [ in line ] ──take_first──▶ woken: the entry is gone, its future acts at its turn
//!              │    └──judged dead──▶ passed over: still in line, but nobody offers it anything
//!              └──leave──▶ gone
//! ```
//!
//! - A future that finds its key gone was woken. If it is dropped instead of polled, its primitive
//!   passes on what it was woken for; a future that is dropped while in line just leaves.
//! - Hand-over goes in the order of joining and passes over the waiters whose scope was cancelled
//!   (rule G21). They stay in line until their future is dropped, so that this drop is not mistaken
//!   for that of a woken waiter. No hand-over looks at them twice.
//! - Whoever takes a waker must wake or drop it after letting go of the list, and whoever joins makes
//!   the copy that stays here before: each may run anything, also what changes the line. So who has
//!   found that it must wait and made the copy looks once more. Asking the judge happens inside.
//!
//! Keys are never reused. They are positions as long as nobody left from the middle, which makes
//! finding one a subtraction; otherwise it is a binary search. Entries that left are trimmed at the
//! front and squeezed out elsewhere, so a list is hardly longer than twice its waiters, and memory
//! comes back.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::Waker;

use crate::util::cancel::{self, Scope};
use crate::util::wait_kind::WaitKind;

/// Room for this many waiters is kept for good; more is given back when the line gets short.
const KEPT: usize = 32;

/// A waiter's ticket. Keys grow in the order of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

/// Where a waiting future stands between two polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was not polled yet, or has to begin anew.
    New,
    /// It joined a line, and is there or was woken.
    Waiting(Key),
    /// It gave its result.
    Done,
}

/// What [`renew`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Still in line.
    Waiting,
    /// Not in line any more, because it was woken.
    Woken,
    /// It was passed over as dead and yet is polled again. It has left with this call and begins
    /// anew.
    PassedOver,
}

/// The same while the list is borrowed.
#[derive(Debug)]
enum Look {
    Waiting,
    /// In line, with a waker that is not the poll's.
    ForAnother,
    Woken,
    /// It has left; its waker is to be dropped after the list was let go of.
    PassedOver(#[expect(dead_code, reason = "the waker is there to be dropped")] Waker),
}

/// The line itself. It is plain data: its primitive keeps it in a cell. With each waiter goes a `D`,
/// such as how much it wants.
#[derive(Debug)]
pub(crate) struct WaitList<D = ()> {
    /// Who is first, so that a lone waiter costs no allocation. Nobody is in line behind nobody.
    first: Option<(u64, Waiter<D>)>,
    /// The others by ascending key, `None` for those who were woken or left. At the front is a
    /// waiter.
    rest: VecDeque<(u64, Option<Waiter<D>>)>,
    next_key: u64,
    /// Waiters with a smaller key were offered something already: those still there are dead.
    passed: u64,
    /// How many are in line.
    waiting: usize,
    /// What they wait for.
    kind: WaitKind,
}

#[derive(Debug)]
struct Waiter<D> {
    scope: Scope,
    waker: Waker,
    data: D,
}

impl WaitList {
    /// Takes a place at the end, for the poll that is going on.
    #[inline]
    pub(crate) fn join(&mut self, waker: Waker) -> Key {
        self.join_with(waker, ())
    }
}

impl<D> WaitList<D> {
    /// An empty line that has not allocated, for who waits for this.
    pub(crate) const fn new(kind: WaitKind) -> Self {
        Self { first: None, rest: VecDeque::new(), next_key: 0, passed: 0, waiting: 0, kind }
    }

    /// Takes a place at the end, for the poll that is going on.
    #[inline]
    pub(crate) fn join_with(&mut self, waker: Waker, data: D) -> Key {
        let waiter = Waiter { scope: cancel::note_wait(self.kind), waker, data };
        let key = self.next_key;
        self.next_key += 1;
        self.waiting += 1;
        if self.first.is_none() {
            self.first = Some((key, waiter));
        } else {
            self.rest.push_back((key, Some(waiter)));
        }
        Key(key)
    }

    /// True only of a waiter who was woken, as in the usual poll; [`renew`] tells of the others.
    #[inline]
    pub(crate) fn is_past(&self, key: Key) -> bool {
        self.first.as_ref().is_none_or(|(first, _)| *first > key.0)
    }

    /// Where a waiter stands that is polled again.
    fn look(&mut self, key: Key, waker: &Waker) -> Look {
        if key.0 < self.passed {
            return self.leave(key).map_or(Look::Woken, Look::PassedOver);
        }
        let kind = self.kind;
        let Some(waiter) = self.find(key) else { return Look::Woken };
        waiter.scope = cancel::note_wait(kind);
        if waiter.waker.will_wake(waker) { Look::Waiting } else { Look::ForAnother }
    }

    /// Has another waker woken from now on. The one before comes back, to be dropped after the list
    /// was let go of; or this one, if there is no such waiter any more.
    fn exchange(&mut self, key: Key, waker: Waker) -> Result<Waker, Waker> {
        match self.find(key) {
            Some(waiter) => Ok(std::mem::replace(&mut waiter.waker, waker)),
            None => Err(waker),
        }
    }

    /// Gives up a place and returns its waker, to be dropped after the list was let go of. `None`
    /// means that the waiter had been woken: what it was woken for must go to somebody else.
    pub(crate) fn leave(&mut self, key: Key) -> Option<Waker> {
        if self.first.as_ref()?.0 == key.0 {
            return self.pop_first().map(|(_, waker)| waker);
        }
        let index = self.position(key)?;
        let waiter = self.rest[index].1.take()?;
        self.waiting -= 1;
        self.tidy();
        Some(waiter.waker)
    }

    /// Takes the first live waiter out of the line, to be woken after the list was let go of.
    #[inline(always)]
    #[must_use = "who is out of the line must be woken"]
    pub(crate) fn take_first(&mut self) -> Option<(Key, Waker)> {
        // Nearly always nobody waits: that costs a comparison.
        self.first.as_ref()?;
        self.take_first_in_line()
    }

    fn take_first_in_line(&mut self) -> Option<(Key, Waker)> {
        let (key, waiter) = self.first.as_ref()?;
        if *key < self.passed || cancel::is_dead(waiter.scope) {
            return self.take_behind_the_dead();
        }
        self.passed = key + 1;
        self.pop_first()
    }

    #[cold]
    fn take_behind_the_dead(&mut self) -> Option<(Key, Waker)> {
        self.passed = self.passed.max(self.first.as_ref()?.0 + 1);
        let mut index = self.rest.partition_point(|(key, _)| *key < self.passed);
        while let Some((key, waiter)) = self.rest.get_mut(index) {
            let key = *key;
            self.passed = key + 1;
            if let Some(live) = waiter.take_if(|waiter| !cancel::is_dead(waiter.scope)) {
                self.waiting -= 1;
                self.tidy();
                return Some((Key(key), live.waker));
            }
            index += 1;
        }
        None
    }

    /// What the first live waiter came for. The dead before it have had their chance.
    #[inline]
    pub(crate) fn front(&mut self) -> Option<D>
    where
        D: Copy,
    {
        let (key, waiter) = self.first.as_ref()?;
        if *key >= self.passed && !cancel::is_dead(waiter.scope) {
            return Some(waiter.data);
        }
        self.front_behind_the_dead()
    }

    #[cold]
    fn front_behind_the_dead(&mut self) -> Option<D>
    where
        D: Copy,
    {
        self.passed = self.passed.max(self.first.as_ref()?.0 + 1);
        let index = self.rest.partition_point(|(key, _)| *key < self.passed);
        for (key, waiter) in self.rest.range(index..) {
            match waiter {
                Some(live) if !cancel::is_dead(live.scope) => return Some(live.data),
                _ => self.passed = key + 1,
            }
        }
        None
    }

    /// How many could be woken now; takes a walk along the line.
    pub(crate) fn live(&self) -> usize {
        let first = self.first.as_ref().map(|(key, waiter)| (key, waiter));
        let rest = self.rest.iter().filter_map(|(key, waiter)| Some((key, waiter.as_ref()?)));
        let could = |(key, waiter): &(&u64, &Waiter<D>)| {
            **key >= self.passed && !cancel::is_dead(waiter.scope)
        };
        first.into_iter().chain(rest).filter(could).count()
    }

    /// Waiters with a smaller key were offered something; whoever can still be woken has this key or
    /// a greater one.
    pub(crate) const fn horizon(&self) -> Key {
        Key(self.passed)
    }

    /// Takes the first waiter out of the line, dead or alive, if it joined before `end`.
    #[must_use = "who is out of the line must be woken"]
    fn take_before(&mut self, end: u64) -> Option<Waker> {
        if self.first.as_ref()?.0 >= end {
            return None;
        }
        self.pop_first().map(|(_, waker)| waker)
    }

    #[inline]
    fn pop_first(&mut self) -> Option<(Key, Waker)> {
        let (key, waiter) = self.first.take()?;
        self.waiting -= 1;
        if !self.rest.is_empty() {
            self.close_ranks();
        }
        Some((Key(key), waiter.waker))
    }

    /// Number of waiters in line, the dead ones included until their future is dropped.
    pub(crate) const fn len(&self) -> usize {
        self.waiting
    }

    fn find(&mut self, key: Key) -> Option<&mut Waiter<D>> {
        if self.first.as_ref()?.0 == key.0 {
            return self.first.as_mut().map(|(_, waiter)| waiter);
        }
        let index = self.position(key)?;
        self.rest[index].1.as_mut()
    }

    /// Where in the rest this key is, if it is.
    fn position(&self, key: Key) -> Option<usize> {
        let front = self.rest.front()?.0;
        let guess = usize::try_from(key.0.checked_sub(front)?).ok()?;
        match self.rest.get(guess) {
            Some((found, _)) if *found == key.0 => Some(guess),
            _ => self.rest.binary_search_by_key(&key.0, |(key, _)| *key).ok(),
        }
    }

    /// The first one is out: the next in line becomes the first.
    #[inline(never)]
    fn close_ranks(&mut self) {
        self.first = match self.rest.pop_front() {
            Some((key, Some(waiter))) => Some((key, waiter)),
            _ => unreachable!("at the front of the rest is a waiter"),
        };
        self.tidy();
    }

    /// Trims the front of the rest, and squeezes the remainder once most of it has left: each time at
    /// least as many entries go as stay, so it costs a constant per waiter.
    #[inline]
    fn tidy(&mut self) {
        while matches!(self.rest.front(), Some((_, None))) {
            self.rest.pop_front();
        }
        if self.rest.len() > KEPT && self.waiting < self.rest.len() / 2 {
            self.squeeze();
        }
        give_back(&mut self.rest);
    }

    #[cold]
    fn squeeze(&mut self) {
        self.rest.retain(|(_, waiter)| waiter.is_some());
    }
}

/// Keeps a place through another poll, which may come with another waker. It lets go of the cell while
/// wakers are cloned and dropped, which may be another executor's code.
#[inline]
pub(crate) fn renew<S, D>(
    cell: &RefCell<S>,
    line: impl Fn(&mut S) -> &mut WaitList<D>,
    key: Key,
    waker: &Waker,
) -> Standing {
    if line(&mut cell.borrow_mut()).is_past(key) {
        return Standing::Woken;
    }
    renew_in_line(cell, line, key, waker)
}

fn renew_in_line<S, D>(
    cell: &RefCell<S>,
    line: impl Fn(&mut S) -> &mut WaitList<D>,
    key: Key,
    waker: &Waker,
) -> Standing {
    let look = line(&mut cell.borrow_mut()).look(key, waker);
    match look {
        Look::Waiting => Standing::Waiting,
        Look::Woken => Standing::Woken,
        Look::PassedOver(_) => Standing::PassedOver,
        Look::ForAnother => {
            let copy = waker.clone();
            let exchanged = line(&mut cell.borrow_mut()).exchange(key, copy);
            // If the making of the copy has woken it, that was the waker before.
            if exchanged.is_ok() { Standing::Waiting } else { Standing::Woken }
        }
    }
}

/// Wakes everyone who is in the line now, in order, and lets go of the cell before each.
pub(super) fn wake_all<S, D>(cell: &RefCell<S>, line: impl Fn(&mut S) -> &mut WaitList<D>) {
    let end = line(&mut cell.borrow_mut()).next_key;
    loop {
        let waker = line(&mut cell.borrow_mut()).take_before(end);
        let Some(waker) = waker else { return };
        waker.wake();
    }
}

/// Returns most of a deque's memory once a quarter of it would do, so that a crowd of the past
/// costs nothing for ever.
#[inline]
pub(super) fn give_back<T>(deque: &mut VecDeque<T>) {
    if let Some(smaller) = smaller_capacity(deque.capacity(), deque.len()) {
        shrink(deque, smaller);
    }
}

#[cold]
fn shrink<T>(deque: &mut VecDeque<T>, smaller: usize) {
    deque.shrink_to(smaller);
}

/// What a container should shrink to, if it should. As its capacity then halves at least, it costs a
/// constant per removed element.
#[inline(always)]
pub(super) fn smaller_capacity(capacity: usize, len: usize) -> Option<usize> {
    (capacity > 2 * KEPT && len < capacity / 4).then(|| KEPT.max(2 * len))
}

#[cfg(test)]
mod tests;
