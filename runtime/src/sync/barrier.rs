//! A point where tasks wait for each other (rules L65 to L74).
//!
//! ```text
//!           the last one arrives              all of the round have left
//!  Filling ──────────────────────▶ Draining ─────────────────────────────▶ Filling
//!     │ reset, with waiters            │ reset
//!     └──────────────▶ Resetting ◀─────┘     ── all have left ──▶ Filling
//!  any ── abort ──▶ Broken ── reset ──▶ Resetting, or Filling if nobody is left
//! ```
//!
//! A task is *in* from its arrival until it has run again. Who comes while a round drains or is
//! reset waits at the entrance.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::wait_list::{Key, Standing, WaitList, renew, wake_all};
use crate::error::{RuntimeError, ValueError};
use crate::util::wait_kind::WaitKind;

/// Lets tasks go on in rounds: each waits until as many as there are parties have come.
///
/// Each task of a round gets an index of its own, in the order of arrival. A waiter that is
/// cancelled or dropped leaves its round, which then needs one more. A clone is the same barrier.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Barrier;
///
/// corelane::run(async || {
///     let barrier = Barrier::new(2)?;
///     let other = barrier.clone();
///     let peer = corelane::create_task(async move { Ok(other.wait().await?) });
///     let mut indices = [barrier.wait().await?, peer.await?];
///     indices.sort();
///     assert_eq!(indices, [0, 1]);
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Barrier {
    inner: Rc<Inner>,
}

struct Inner {
    parties: usize,
    state: Cell<State>,
    /// Woken out of the round, and not run yet.
    leaving: Cell<usize>,
    /// Those in a round that fills.
    line: RefCell<WaitList>,
    /// Those who came when no round was filling.
    entrance: RefCell<WaitList>,
    /// The keys of those who were let go together, in the order of arrival.
    round: RefCell<Vec<Key>>,
    /// Those of them whose waker is still to be called.
    to_wake: RefCell<VecDeque<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Filling,
    Draining,
    Resetting,
    Broken,
}

impl Barrier {
    /// Makes a barrier for this many tasks.
    ///
    /// # Errors
    /// If it is for none.
    pub fn new(parties: usize) -> Result<Self, ValueError> {
        if parties == 0 {
            return Err(ValueError("a barrier is for one party at least"));
        }
        let inner = Inner {
            parties,
            state: Cell::new(State::Filling),
            leaving: Cell::new(0),
            line: RefCell::new(WaitList::new(WaitKind::Barrier)),
            entrance: RefCell::new(WaitList::new(WaitKind::Barrier)),
            round: RefCell::default(),
            to_wake: RefCell::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Waits until as many tasks as there are parties wait, and returns this one's index in the
    /// round. The last one to come does not suspend. While an earlier round has not left yet, a
    /// newcomer waits for that first.
    ///
    /// # Errors
    /// If the barrier is broken, or is aborted or reset before this task has run again.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait takes its task out of the round. If the round was complete already, the
    /// others are let go all the same.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { barrier: &self.inner, stage: Stage::New }
    }

    /// Breaks the barrier: all who wait, and all who come, fail until it is [reset](Self::reset).
    pub fn abort(&self) {
        self.inner.state.set(State::Broken);
        self.inner.let_go(usize::MAX);
        self.inner.open_entrance();
    }

    /// Begins anew: all who wait fail, and those who come wait until these have left. A broken
    /// barrier works again.
    pub fn reset(&self) {
        self.inner.let_go(usize::MAX);
        let nobody_in = self.inner.leaving.get() == 0;
        self.inner.state.set(if nobody_in { State::Filling } else { State::Resetting });
        if nobody_in {
            self.inner.open_entrance();
        }
    }

    /// How many tasks make a round.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.inner.parties
    }

    /// How many tasks wait for a round to be complete; none while one drains.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.inner.line.borrow().live()
    }

    /// Whether the barrier is broken.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.inner.state.get() == State::Broken
    }
}

impl Inner {
    /// Wakes who is in the round that fills, and notes who they are.
    fn let_go(&self, most: usize) {
        {
            let mut round = self.round.borrow_mut();
            // Who was let go before and is still to leave looks itself up only if its round stands.
            round.clear();
            let mut line = self.line.borrow_mut();
            for (key, waker) in std::iter::from_fn(|| line.take_first()).take(most) {
                round.push(key);
                self.to_wake.borrow_mut().push_back(waker);
            }
            self.leaving.set(self.leaving.get() + round.len());
        }
        // A wake may run anything, also this: then the rest are woken in there.
        loop {
            let next = self.to_wake.borrow_mut().pop_front();
            let Some(waker) = next else { return };
            waker.wake();
        }
    }

    fn open_entrance(&self) {
        wake_all(&self.entrance, |line| line);
    }

    /// One who was let go has run, or was dropped.
    fn leave(&self) {
        let rest = self.leaving.get() - 1;
        self.leaving.set(rest);
        if rest == 0 {
            self.empty();
        }
    }

    /// Nobody is in any more.
    fn empty(&self) {
        if self.state.get() != State::Broken {
            self.state.set(State::Filling);
            self.open_entrance();
        }
    }

    /// The arrival of a task, at the place where it finds the barrier filling.
    fn arrive(&self, waker: Waker) -> Stage {
        let before = {
            let line = self.line.borrow();
            // The dead count until their turn comes only where it does not matter.
            if line.len() + 1 < self.parties { line.len() } else { line.live() }
        };
        if before + 1 < self.parties {
            return Stage::Waiting(self.line.borrow_mut().join(waker));
        }
        self.state.set(State::Draining);
        self.let_go(self.parties - 1);
        if self.leaving.get() == 0 {
            self.empty();
        }
        Stage::Done
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("state", &self.inner.state.get())
            .field("parties", &self.inner.parties)
            .field("waiters", &self.inner.line.borrow().len())
            .field("leaving", &self.inner.leaving.get())
            .field("at_entrance", &self.inner.entrance.borrow().len())
            .finish()
    }
}

/// The barrier was broken, or reset while somebody waited. Converts into an
/// [`Error`](crate::Error) whose `is_runtime` is true (rule E6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrierError;

/// What a broken barrier is a case of.
static KIND: RuntimeError = RuntimeError("this barrier lets nobody wait now");

impl fmt::Display for BrokenBarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier is broken or was reset")
    }
}

impl Error for BrokenBarrierError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&KIND)
    }
}

/// The future of [`Barrier::wait`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct BarrierWait<'a> {
    barrier: &'a Inner,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    New,
    /// At the entrance.
    Outside(Key),
    /// In a round, or let go and not run yet.
    Waiting(Key),
    Done,
}

impl BarrierWait<'_> {
    /// Whether it is still where it was. If not it was woken, or begins anew.
    fn still_waits(&mut self, cx: &Context<'_>) -> bool {
        let (line, key) = match self.stage {
            Stage::Outside(key) => (&self.barrier.entrance, key),
            Stage::Waiting(key) => (&self.barrier.line, key),
            Stage::New => return false,
            Stage::Done => panic!("a barrier's wait was polled after it had returned"),
        };
        let standing = renew(line, |line| line, key, cx.waker());
        let anew = match self.stage {
            Stage::Outside(_) => standing != Standing::Waiting,
            _ => standing == Standing::PassedOver,
        };
        if anew {
            self.stage = Stage::New;
        }
        standing == Standing::Waiting
    }

    /// Let go: its index if its round still stands.
    fn depart(&mut self, key: Key) -> Result<usize, BrokenBarrierError> {
        self.stage = Stage::Done;
        let index = match self.barrier.state.get() {
            State::Draining => self.barrier.round.borrow().binary_search(&key).ok(),
            State::Filling | State::Resetting | State::Broken => None,
        };
        self.barrier.leave();
        index.ok_or(BrokenBarrierError)
    }
}

impl Future for BarrierWait<'_> {
    type Output = Result<usize, BrokenBarrierError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.still_waits(cx) {
            return Poll::Pending;
        }
        if let Stage::Waiting(key) = self.stage {
            return Poll::Ready(self.depart(key));
        }
        // The clone may be foreign code: it comes before anything is looked at.
        let waker = cx.waker().clone();
        match self.barrier.state.get() {
            State::Filling => self.stage = self.barrier.arrive(waker),
            State::Draining | State::Resetting => {
                self.stage = Stage::Outside(self.barrier.entrance.borrow_mut().join(waker));
            }
            State::Broken => {
                self.stage = Stage::Done;
                return Poll::Ready(Err(BrokenBarrierError));
            }
        }
        match self.stage {
            // Who completes a round is the last of it.
            Stage::Done => Poll::Ready(Ok(self.barrier.parties - 1)),
            _ => Poll::Pending,
        }
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        let (line, key) = match self.stage {
            Stage::Outside(key) => (&self.barrier.entrance, key),
            Stage::Waiting(key) => (&self.barrier.line, key),
            Stage::New | Stage::Done => return,
        };
        let left = line.borrow_mut().leave(key);
        if left.is_none() && matches!(self.stage, Stage::Waiting(_)) {
            self.barrier.leave();
        }
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
