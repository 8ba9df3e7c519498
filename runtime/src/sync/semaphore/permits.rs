//! The counting part of a semaphore, without handles and guards.
//!
//! ```text
//!  free ──acquire──▶ held ──release──▶ free
//!   │ hand over, to the first live waiter        ▲
//!   └──▶ promised ──its turn──▶ held             │
//!           └── its future is dropped ───────────┘
//! ```
//!
//! Permits are taken out of the free ones when their waiter is woken, so nobody who runs first can
//! have them. The first in line is never overtaken, however much it wants; each release, each waiter
//! that gets its turn and each one that leaves looks whether somebody can go on now.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::super::wait_list::{Key, Place, Standing, WaitList, renew};
use super::{SemaphoreClosed, TryAcquireError};
use crate::util::wait_kind::WaitKind;

#[derive(Debug)]
pub(in crate::sync) struct Permits {
    free: Cell<usize>,
    /// No release may bring the free ones above this.
    bound: usize,
    /// Waiters that were handed their permits and have not run yet.
    promised: Cell<usize>,
    /// Once closed: waiters from this key on were woken to be refused.
    closed: Cell<Option<Key>>,
    line: RefCell<WaitList<usize>>,
}

/// A release that would make more permits than there may be.
#[derive(Debug)]
pub(super) struct TooMany;

impl Permits {
    pub(in crate::sync) const fn new(free: usize, bound: usize, kind: WaitKind) -> Self {
        Self {
            free: Cell::new(free),
            bound,
            promised: Cell::new(0),
            closed: Cell::new(None),
            line: RefCell::new(WaitList::new(kind)),
        }
    }

    pub(in crate::sync) fn free(&self) -> usize {
        self.free.get()
    }

    pub(in crate::sync) fn waiters(&self) -> usize {
        self.line.borrow().len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    /// Whether an acquire of one would have to wait (L47).
    pub(super) fn locked(&self) -> bool {
        self.free.get() == 0 || self.contested()
    }

    /// Whether a live waiter, woken or not, comes before any newcomer.
    #[inline]
    fn contested(&self) -> bool {
        self.promised.get() > 0 || {
            let mut line = self.line.borrow_mut();
            line.len() > 0 && line.front().is_some()
        }
    }

    #[inline]
    pub(in crate::sync) fn try_acquire(&self, wanted: usize) -> Result<(), TryAcquireError> {
        if self.is_closed() {
            return Err(SemaphoreClosed.into());
        }
        match self.free.get().checked_sub(wanted) {
            Some(rest) if !self.contested() => {
                self.free.set(rest);
                Ok(())
            }
            _ => Err(TryAcquireError::NoPermits),
        }
    }

    /// Adds permits and hands them over. Nothing changes if the bound forbids it.
    #[inline]
    pub(super) fn release(&self, count: usize) -> Result<(), TooMany> {
        match self.free.get().checked_add(count) {
            Some(free) if free <= self.bound => {
                self.free.set(free);
                self.hand_over();
                Ok(())
            }
            _ => Err(TooMany),
        }
    }

    /// Takes a guard's permits back. If raw releases have brought back some of them before, they are
    /// not counted twice.
    #[inline]
    pub(in crate::sync) fn give_back(&self, count: usize) {
        self.free.set(self.free.get().saturating_add(count).min(self.bound));
        self.hand_over();
    }

    /// Wakes from the front all for whom there is enough.
    #[inline]
    fn hand_over(&self) {
        if self.line.borrow().len() > 0 {
            while self.hand_to_first() {}
        }
    }

    #[inline]
    fn hand_to_first(&self) -> bool {
        let taken = {
            let mut line = self.line.borrow_mut();
            let rest = line.front().and_then(|wanted| self.free.get().checked_sub(wanted));
            let Some(rest) = rest else { return false };
            self.free.set(rest);
            self.promised.set(self.promised.get() + 1);
            line.take_first()
        };
        if let Some((_, waker)) = taken {
            waker.wake();
        }
        true
    }

    /// Waits for permits.
    pub(in crate::sync) fn acquire(&self, wanted: usize) -> Acquiring<'_> {
        Acquiring { permits: self, wanted, place: Place::New }
    }

    #[inline]
    fn poll_acquire(
        &self,
        wanted: usize,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SemaphoreClosed>> {
        match *place {
            Place::New => {}
            Place::Waiting(key) => match renew(&self.line, |line| line, key, cx.waker()) {
                Standing::Waiting => return Poll::Pending,
                Standing::Woken => {
                    *place = Place::Done;
                    return Poll::Ready(self.take_promised(key));
                }
                Standing::PassedOver => *place = Place::New,
            },
            Place::Done => panic!("an acquire was polled after it had returned"),
        }
        match self.try_acquire(wanted) {
            Ok(()) => *place = Place::Done,
            Err(TryAcquireError::Closed(closed)) => {
                *place = Place::Done;
                return Poll::Ready(Err(closed));
            }
            Err(TryAcquireError::NoPermits) => return self.join(wanted, place, cx),
        }
        Poll::Ready(Ok(()))
    }

    /// There are not enough now.
    fn join(
        &self,
        wanted: usize,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SemaphoreClosed>> {
        // The clone may be foreign code: nothing is borrowed, and it may release what is wanted.
        let waker = cx.waker().clone();
        let acquired = match self.try_acquire(wanted) {
            Ok(()) => Ok(()),
            Err(TryAcquireError::Closed(closed)) => Err(closed),
            Err(TryAcquireError::NoPermits) => {
                *place = Place::Waiting(self.line.borrow_mut().join_with(waker, wanted));
                return Poll::Pending;
            }
        };
        *place = Place::Done;
        Poll::Ready(acquired)
    }

    /// A woken waiter has its turn.
    fn take_promised(&self, key: Key) -> Result<(), SemaphoreClosed> {
        if self.refused(key) {
            return Err(SemaphoreClosed);
        }
        self.promised.set(self.promised.get() - 1);
        // Those who came while a permit was free and this waiter had not run yet.
        self.hand_over();
        Ok(())
    }

    /// An acquire is dropped before it returned: nothing may be lost by it.
    #[inline(never)]
    fn abandon(&self, wanted: usize, key: Key) {
        let left = self.line.borrow_mut().leave(key);
        if left.is_some() {
            // It may have wanted more than there is, and kept others waiting behind it.
            self.hand_over();
        } else if !self.refused(key) {
            self.promised.set(self.promised.get() - 1);
            self.give_back(wanted);
        }
    }

    /// Refuses all who wait, and all who come.
    pub(super) fn close(&self) {
        if self.is_closed() {
            return;
        }
        self.closed.set(Some(self.line.borrow().horizon()));
        loop {
            let taken = self.line.borrow_mut().take_first();
            let Some((_, waker)) = taken else { return };
            waker.wake();
        }
    }

    fn refused(&self, key: Key) -> bool {
        self.closed.get().is_some_and(|from| key >= from)
    }
}

/// The future of [`Permits::acquire`].
#[derive(Debug)]
pub(in crate::sync) struct Acquiring<'a> {
    permits: &'a Permits,
    wanted: usize,
    place: Place,
}

impl Future for Acquiring<'_> {
    type Output = Result<(), SemaphoreClosed>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.permits.poll_acquire(this.wanted, &mut this.place, cx)
    }
}

impl Drop for Acquiring<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            self.permits.abandon(self.wanted, key);
        }
    }
}
