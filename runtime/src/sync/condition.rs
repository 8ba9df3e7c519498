//! Waiting, with a lock given up, until somebody says that something changed (rules L25 to L32).
//!
//! ```text
//!           wait: joins the line, releases
//!  holds ──────────────────────────────────▶ waits
//!    ▲                                         │ notify, by a holder
//!    │  the lock's turn                        ▼
//!    └────────── in the lock's line ◀── notified, its turn
//! ```
//!
//! A wait that is dropped leaves whatever line it is in. If it was notified, the notification goes to
//! the next one who waits, which then may wake for nothing it can use.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::lock::{Lock, LockAcquire, LockGuard};
use super::wait_list::{Key, Standing, WaitList, wake_all};

/// A condition of what a [`Lock`] protects, and a line of tasks that wait for it to change.
///
/// Only a holder of the lock can wait and notify: both take its guard. A notification wakes those
/// who wait now; it is not remembered. Several conditions may [share a lock](Self::with_lock), each
/// with a line of its own. A clone is the same condition.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Condition;
///
/// corelane::run(async || {
///     let stock = Condition::new(0);
///     let shelf = stock.clone();
///     let buyer = corelane::spawn(async move {
///         let guard = shelf.lock().await;
///         let mut guard = shelf.wait_for(guard, |count| *count >= 3).await;
///         *guard -= 3;
///     });
///     for _ in 0..3 {
///         let mut guard = stock.lock().await;
///         *guard += 1;
///         stock.notify(&guard, 1);
///         drop(guard);
///         corelane::yield_now().await;
///     }
///     buyer.await
/// })
/// # }
/// ```
pub struct Condition<T = ()> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    lock: Lock<T>,
    line: RefCell<WaitList>,
}

impl<T> Condition<T> {
    /// Makes a condition with a lock of its own around a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self::with_lock(Lock::new(value))
    }

    /// Makes a condition of what this lock protects.
    #[must_use]
    pub fn with_lock(lock: Lock<T>) -> Self {
        Self { inner: Rc::new(Inner { lock, line: RefCell::new(WaitList::new()) }) }
    }

    /// Waits for the lock.
    ///
    /// # Cancel safety
    /// Safe, as [`Lock::acquire`].
    pub fn lock(&self) -> LockAcquire<'_, T> {
        self.inner.lock.acquire()
    }

    /// Takes the lock if [`lock`](Self::lock) would get it without suspending.
    #[must_use]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        self.inner.lock.try_acquire()
    }

    /// Whether somebody holds the lock.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.inner.lock.locked()
    }

    /// The lock that this condition was made with.
    #[must_use]
    pub fn lock_handle(&self) -> &Lock<T> {
        &self.inner.lock
    }

    /// Releases the lock, waits for a notification, waits for the lock in line with all others, and
    /// returns its guard. What one hopes for need not be true then: see
    /// [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    /// If the guard is of another lock.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves its line and does not hold the lock; a notification that it had
    /// received goes to the next one who waits.
    pub fn wait<'a>(&'a self, guard: LockGuard<'a, T>) -> ConditionWait<'a, T> {
        self.check(&guard);
        ConditionWait { condition: &self.inner, stage: Stage::Holding(guard) }
    }

    /// Waits until `is_true` says so of the value, which it is asked with the lock held: at once,
    /// and after each notification. If it is true at once, this neither waits nor releases.
    ///
    /// # Panics
    /// If the guard is of another lock.
    ///
    /// # Cancel safety
    /// Safe, as [`wait`](Self::wait).
    pub async fn wait_for<'a>(
        &'a self,
        guard: LockGuard<'a, T>,
        mut is_true: impl FnMut(&mut T) -> bool,
    ) -> LockGuard<'a, T> {
        self.wait_for_some(guard, |value| is_true(value).then_some(())).await.0
    }

    /// As [`wait_for`](Self::wait_for), and returns what `find` found.
    ///
    /// # Panics
    /// If the guard is of another lock.
    ///
    /// # Cancel safety
    /// Safe, as [`wait`](Self::wait).
    pub async fn wait_for_some<'a, R>(
        &'a self,
        mut guard: LockGuard<'a, T>,
        mut find: impl FnMut(&mut T) -> Option<R>,
    ) -> (LockGuard<'a, T>, R) {
        loop {
            if let Some(found) = find(&mut guard) {
                return (guard, found);
            }
            guard = self.wait(guard).await;
        }
    }

    /// Notifies those `count` who wait the longest and were not notified yet, or all if there are
    /// fewer. They go on when the lock is released.
    ///
    /// # Panics
    /// If the guard is of another lock.
    pub fn notify(&self, guard: &LockGuard<'_, T>, count: usize) {
        self.check(guard);
        for _ in 0..count {
            if !self.inner.notify_one() {
                return;
            }
        }
    }

    /// Notifies all who wait.
    ///
    /// # Panics
    /// If the guard is of another lock.
    pub fn notify_all(&self, guard: &LockGuard<'_, T>) {
        self.check(guard);
        wake_all(&self.inner.line, |line| line);
    }

    fn check(&self, guard: &LockGuard<'_, T>) {
        assert!(guard.is_of(&self.inner.lock), "a condition was given the guard of another lock");
    }
}

impl<T> Inner<T> {
    fn notify_one(&self) -> bool {
        let first = self.line.borrow_mut().take_first();
        first.map(|(_, waker)| waker.wake()).is_some()
    }
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T: Default> Default for Condition<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("waiters", &self.inner.line.borrow().len())
            .field("lock", &self.inner.lock)
            .finish()
    }
}

/// The future of [`Condition::wait`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct ConditionWait<'a, T = ()> {
    condition: &'a Inner<T>,
    stage: Stage<'a, T>,
}

enum Stage<'a, T> {
    /// It was not polled yet.
    #[expect(dead_code, reason = "the guard is there to be dropped")]
    Holding(LockGuard<'a, T>),
    /// In the condition's line, or notified and not run yet.
    Waiting(Key),
    /// Notified, and in the lock's line.
    Acquiring(LockAcquire<'a, T>),
    Done,
}

impl<T> ConditionWait<'_, T> {
    /// Releases the lock, once in line.
    fn begin(&mut self, cx: &Context<'_>) {
        let key = self.condition.line.borrow_mut().join(cx.waker());
        // The guard is dropped when everything is in order, because that may run anything.
        drop(std::mem::replace(&mut self.stage, Stage::Waiting(key)));
    }

    /// Whether it is still in line.
    fn still_waits(&mut self, key: Key, cx: &Context<'_>) -> bool {
        // Declared before the borrow, so that it is dropped after it.
        let mut replaced = None;
        let standing = self.condition.line.borrow_mut().renew(key, cx.waker(), &mut replaced);
        match standing {
            Standing::Waiting => true,
            Standing::Woken => false,
            Standing::PassedOver => {
                let key = self.condition.line.borrow_mut().join(cx.waker());
                self.stage = Stage::Waiting(key);
                true
            }
        }
    }
}

impl<'a, T> Future for ConditionWait<'a, T> {
    type Output = LockGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.stage {
            Stage::Holding(_) => {
                this.begin(cx);
                return Poll::Pending;
            }
            Stage::Waiting(key) => {
                if this.still_waits(key, cx) {
                    return Poll::Pending;
                }
                this.stage = Stage::Acquiring(this.condition.lock.acquire());
            }
            Stage::Acquiring(_) => {}
            Stage::Done => panic!("a condition's wait was polled after it had returned"),
        }
        let Stage::Acquiring(acquire) = &mut this.stage else { return Poll::Pending };
        let polled = Pin::new(acquire).poll(cx);
        if polled.is_ready() {
            this.stage = Stage::Done;
        }
        polled
    }
}

impl<T> Drop for ConditionWait<'_, T> {
    fn drop(&mut self) {
        let was_notified = match self.stage {
            Stage::Waiting(key) => {
                let left = self.condition.line.borrow_mut().leave(key);
                left.is_none()
            }
            Stage::Acquiring(_) => true,
            Stage::Holding(_) | Stage::Done => false,
        };
        // First out of the lock's line, so that whoever is notified does not find us there.
        self.stage = Stage::Done;
        if was_notified {
            self.condition.notify_one();
        }
    }
}

impl<T> fmt::Debug for ConditionWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Holding(_) => "holding",
            Stage::Waiting(_) => "waiting",
            Stage::Acquiring(_) => "acquiring",
            Stage::Done => "done",
        };
        f.debug_struct("ConditionWait").field("stage", &stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
