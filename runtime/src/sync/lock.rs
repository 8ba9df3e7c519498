//! Mutual exclusion between the tasks of one thread (rules L1 to L9).
//!
//! ```text
//!           acquire                 release, nobody in line
//!  Free ──────────────▶ Held ─────────────────────────────────▶ Free
//!                       ▲  │ release: to the first live waiter
//!              its turn │  ▼
//!                      Handed ── its future is dropped: as a release
//! ```
//!
//! Between a release and the turn of the waiter it woke the lock is handed, not held: `locked()` is
//! false (L7), and yet a newcomer queues (L3).

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::wait_list::{Key, Place, Standing, WaitList, renew};
use crate::error::RuntimeError;
use crate::util::wait_kind::WaitKind;

/// A lock around a value, for critical sections that contain an `await`. Without one a `RefCell` or
/// a `Cell` will do, since nothing else runs on the thread.
///
/// Waiters get the lock in the order in which they began to wait, and nobody overtakes them. It is
/// not re-entrant: a task that acquires a lock it holds waits for itself. A panic while it is held
/// releases it; the value then is what the panic left. A clone is the same lock.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Lock;
///
/// corelane::run(async || {
///     let total = Lock::new(0);
///     let shared = total.clone();
///     let adder = corelane::spawn(async move {
///         let mut sum = shared.acquire().await;
///         corelane::yield_now().await; // nobody else gets in between
///         *sum += 1;
///     });
///     adder.await?;
///     assert_eq!(*total.acquire().await, 1);
///     Ok(())
/// })
/// # }
/// ```
pub struct Lock<T = ()> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    gate: Gate,
    /// Borrowed by the guard, and only while the gate is held.
    value: RefCell<T>,
}

/// The part that knows nothing of the value.
struct Gate {
    state: Cell<State>,
    line: RefCell<WaitList>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// The waiter with this key was woken; the lock is its own as soon as it runs.
    Handed(Key),
    /// By a guard.
    Held,
    /// By nobody's guard: until [`Lock::release_raw`].
    HeldRaw,
}

impl<T> Lock<T> {
    /// Makes a free lock around a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        let gate = Gate {
            state: Cell::new(State::Free),
            line: RefCell::new(WaitList::new(WaitKind::Lock)),
        };
        Self { inner: Rc::new(Inner { gate, value: RefCell::new(value) }) }
    }

    /// Waits for the lock; gets it without suspending if it is free and nobody was promised it.
    ///
    /// # Cancel safety
    /// Safe: a dropped acquire leaves the line, and a lock it was handed already goes to the next
    /// waiter. The place in line is lost.
    pub fn acquire(&self) -> LockAcquire<'_, T> {
        LockAcquire { lock: &self.inner, place: Place::New }
    }

    /// Takes the lock if [`acquire`](Self::acquire) would get it without suspending.
    #[must_use]
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        self.inner.gate.try_acquire().then(|| LockGuard::of(&self.inner))
    }

    /// Whether somebody holds the lock. While a woken waiter has not run yet, nobody does.
    #[must_use]
    pub fn locked(&self) -> bool {
        matches!(self.inner.gate.state.get(), State::Held | State::HeldRaw)
    }

    /// Releases a lock whose guard was given to [`LockGuard::forget`]. Any task may do it.
    ///
    /// # Errors
    /// If the lock is free, or held by a guard.
    pub fn release_raw(&self) -> Result<(), RuntimeError> {
        match self.inner.gate.state.get() {
            State::HeldRaw => {
                self.inner.gate.release();
                Ok(())
            }
            State::Held => Err(RuntimeError("the lock is held by a guard")),
            State::Free | State::Handed(_) => Err(RuntimeError("the lock is not held")),
        }
    }
}

impl<T> Clone for Lock<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("locked", &self.locked())
            .field("waiters", &self.inner.gate.line.borrow().len())
            .field("value", &self.inner.value)
            .finish()
    }
}

impl Gate {
    fn try_acquire(&self) -> bool {
        let free = self.state.get() == State::Free;
        if free {
            self.state.set(State::Held);
        }
        free
    }

    /// Hands the lock to the first live waiter, or frees it.
    fn release(&self) {
        let first = self.line.borrow_mut().take_first();
        match first {
            Some((key, waker)) => {
                self.state.set(State::Handed(key));
                waker.wake();
            }
            // Those who are still in line were cancelled: they do not bar a newcomer (L3).
            None => self.state.set(State::Free),
        }
    }

    fn poll_acquire(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<()> {
        match *place {
            Place::New => {}
            Place::Waiting(key) => {
                let is_handed = || self.state.get() == State::Handed(key);
                if !is_handed()
                    && renew(&self.line, |line| line, key, cx.waker()) == Standing::Waiting
                {
                    return Poll::Pending;
                }
                // Asked again, as the new waker's code may have released the lock.
                if is_handed() {
                    self.state.set(State::Held);
                    *place = Place::Done;
                    return Poll::Ready(());
                }
            }
            Place::Done => panic!("a lock's acquire was polled after it had returned"),
        }
        if self.try_acquire() {
            *place = Place::Done;
            return Poll::Ready(());
        }
        // The clone may be foreign code: nothing is borrowed, and it may release the lock.
        let waker = cx.waker().clone();
        if self.try_acquire() {
            *place = Place::Done;
            return Poll::Ready(());
        }
        *place = Place::Waiting(self.line.borrow_mut().join(waker));
        Poll::Pending
    }

    /// An acquire is dropped before it returned: nothing may be lost by it.
    fn abandon(&self, key: Key) {
        if self.state.get() == State::Handed(key) {
            self.release();
        } else {
            // The waker is dropped at the end of the block, after the borrow.
            let _left = self.line.borrow_mut().leave(key);
        }
    }
}

/// The future of [`Lock::acquire`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct LockAcquire<'a, T = ()> {
    lock: &'a Inner<T>,
    place: Place,
}

impl<'a, T> Future for LockAcquire<'a, T> {
    type Output = LockGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        lock.gate.poll_acquire(&mut self.place, cx).map(|()| LockGuard::of(lock))
    }
}

impl<T> Drop for LockAcquire<'_, T> {
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            self.lock.gate.abandon(key);
        }
    }
}

impl<T> fmt::Debug for LockAcquire<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockAcquire").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Holds a [`Lock`] and gives access to its value. Dropping it releases the lock.
#[must_use = "dropping a guard releases its lock at once"]
pub struct LockGuard<'a, T = ()> {
    // The order of the fields is that of their drop: whoever is woken by the release may borrow.
    value: RefMut<'a, T>,
    hold: Hold<'a>,
}

/// Releases the gate when dropped.
struct Hold<'a> {
    gate: &'a Gate,
}

impl<'a, T> LockGuard<'a, T> {
    fn of(lock: &'a Inner<T>) -> Self {
        Self { value: lock.value.borrow_mut(), hold: Hold { gate: &lock.gate } }
    }

    /// Whether this is a guard of that lock.
    pub(super) fn is_of(&self, lock: &Lock<T>) -> bool {
        std::ptr::eq(self.hold.gate, &raw const lock.inner.gate)
    }

    /// Keeps the lock held without a guard, until [`Lock::release_raw`]. This is for a lock that
    /// one task acquires and another one releases.
    pub fn forget(guard: Self) {
        guard.hold.gate.state.set(State::HeldRaw);
        std::mem::forget(guard.hold);
    }
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.gate.release();
    }
}

impl<T: fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&*self.value).finish()
    }
}

#[cfg(test)]
mod tests;
