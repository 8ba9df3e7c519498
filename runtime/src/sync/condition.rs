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
//! A wait that is cancelled takes part in this to the end: it has a cancel frame of its own, which takes
//! the request, leaves its line and waits for the lock like everybody else. Only then the unwinding goes
//! on, or the guard and the [`CancelledError`] come back together. Requests that come meanwhile are
//! absorbed into that one.
//!
//! A wait that is simply dropped leaves whatever line it is in and holds nothing. In either case a
//! notification that it had received goes to the next one who waits, which then may wake for nothing
//! it can use.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::lock::{Lock, LockAcquire, LockGuard};
use super::wait_list::{Key, Standing, WaitList, renew, wake_all};
use crate::error::CancelledError;
use crate::util::cancel::{self, Frame, Request};
use crate::util::wait_kind::WaitKind;

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
        Self {
            inner: Rc::new(Inner { lock, line: RefCell::new(WaitList::new(WaitKind::Condition)) }),
        }
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
    /// If its task is cancelled meanwhile, it waits for the lock before the unwinding goes on, so
    /// that guards further out find the lock held as they left it (rule L27).
    ///
    /// # Panics
    /// If the guard is of another lock.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves its line and does not hold the lock; a notification that it had
    /// received goes to the next one who waits.
    pub fn wait<'a>(&'a self, guard: LockGuard<'a, T>) -> ConditionWait<'a, T> {
        ConditionWait { caught: self.wait_caught(guard), unwinding: None }
    }

    /// As [`wait`](Self::wait), for those who have something to do under the lock when their task is
    /// cancelled: they get its guard back with the [`CancelledError`] (rule L32), and may
    /// [`resume`](CancelledError::resume) the unwinding then.
    ///
    /// # Panics
    /// If the guard is of another lock.
    ///
    /// # Cancel safety
    /// Safe, as [`wait`](Self::wait).
    pub fn wait_caught<'a>(&'a self, guard: LockGuard<'a, T>) -> ConditionWaitCaught<'a, T> {
        self.check(&guard);
        ConditionWaitCaught {
            condition: &self.inner,
            stage: Stage::Holding(guard),
            was_notified: false,
            cancelled: None,
            frame: Frame::new(),
        }
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
    fn join(&self, cx: &Context<'_>) -> Key {
        // The clone may be foreign code: nothing is borrowed.
        let waker = cx.waker().clone();
        self.line.borrow_mut().join(waker)
    }

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
    caught: ConditionWaitCaught<'a, T>,
    /// Kept while the unwinding passes by, which drops it.
    unwinding: Option<LockGuard<'a, T>>,
}

/// The future of [`Condition::wait_caught`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct ConditionWaitCaught<'a, T = ()> {
    condition: &'a Inner<T>,
    stage: Stage<'a, T>,
    /// A notification was received, and is used up only by a return that is no cancellation.
    was_notified: bool,
    cancelled: Option<Request>,
    frame: Frame,
}

enum Stage<'a, T> {
    /// It was not polled yet.
    #[expect(dead_code, reason = "the guard is there to be dropped")]
    Holding(LockGuard<'a, T>),
    /// In the condition's line, or notified and not run yet.
    Waiting(Key),
    /// Notified or cancelled, and in the lock's line.
    Acquiring(LockAcquire<'a, T>),
    Done,
}

impl<'a, T> ConditionWaitCaught<'a, T> {
    /// Releases the lock, once in line.
    fn begin(&mut self, cx: &Context<'_>) {
        let key = self.condition.join(cx);
        // The guard is dropped when everything is in order, because that may run anything.
        drop(std::mem::replace(&mut self.stage, Stage::Waiting(key)));
    }

    /// Whether it is still in line.
    fn still_waits(&mut self, key: Key, cx: &Context<'_>) -> bool {
        match renew(&self.condition.line, |line| line, key, cx.waker()) {
            Standing::Waiting => true,
            Standing::Woken => false,
            Standing::PassedOver => {
                self.stage = Stage::Waiting(self.condition.join(cx));
                true
            }
        }
    }

    fn poll_inside(&mut self, cx: &mut Context<'_>) -> Poll<LockGuard<'a, T>> {
        match self.stage {
            Stage::Holding(_) => {
                self.begin(cx);
                return Poll::Pending;
            }
            Stage::Waiting(key) => {
                if self.still_waits(key, cx) {
                    return Poll::Pending;
                }
                self.was_notified = true;
                self.stage = Stage::Acquiring(self.condition.lock.acquire());
            }
            Stage::Acquiring(_) => {}
            Stage::Done => panic!("a condition's wait was polled after it had returned"),
        }
        let Stage::Acquiring(acquire) = &mut self.stage else { return Poll::Pending };
        let polled = Pin::new(acquire).poll(cx);
        if polled.is_ready() {
            self.stage = Stage::Done;
        }
        polled
    }

    /// Out of whatever line it is in.
    fn leave(&mut self) {
        if let Stage::Waiting(key) = self.stage {
            let left = self.condition.line.borrow_mut().leave(key);
            self.was_notified |= left.is_none();
        }
        // A lock that was handed over goes to the next in its line.
        self.stage = Stage::Done;
    }

    /// Hands a notification on that is not used.
    fn pass_on(&mut self) {
        if std::mem::take(&mut self.was_notified) {
            self.condition.notify_one();
        }
    }
}

impl<'a, T> ConditionWaitCaught<'a, T> {
    /// Gives the guard, and the request if there was one.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<(LockGuard<'a, T>, Option<Request>)> {
        if let Some(request) = self.frame.take_request() {
            // The latest one counts: those before are absorbed.
            self.cancelled = Some(request);
            self.leave();
            self.stage = Stage::Acquiring(self.condition.lock.acquire());
        }
        // Out of `self` for as long as it is entered.
        let frame = std::mem::replace(&mut self.frame, Frame::new());
        let polled = frame.enter(cx, |cx| self.poll_inside(cx));
        self.frame = frame;
        polled.map(|guard| {
            self.frame.leave();
            let request = self.cancelled.take();
            if request.is_some() {
                self.pass_on();
            }
            self.was_notified = false;
            (guard, request)
        })
    }
}

impl<'a, T> Future for ConditionWaitCaught<'a, T> {
    type Output = Result<LockGuard<'a, T>, (LockGuard<'a, T>, CancelledError)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_wait(cx).map(|(guard, request)| match request {
            None => Ok(guard),
            Some(Request { message }) => Err((guard, CancelledError::with_words(message))),
        })
    }
}

impl<T> Drop for ConditionWaitCaught<'_, T> {
    fn drop(&mut self) {
        // First out of the lock's line, so that whoever is notified does not find us there.
        self.leave();
        self.pass_on();
    }
}

impl<'a, T> Future for ConditionWait<'a, T> {
    type Output = LockGuard<'a, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.unwinding.is_some() {
            return Poll::Pending;
        }
        match self.caught.poll_wait(cx) {
            Poll::Ready((guard, None)) => Poll::Ready(guard),
            Poll::Ready((guard, Some(request))) => {
                self.unwinding = Some(guard);
                let inside = cancel::unwind(request);
                debug_assert!(inside, "a request came from a loop, and its poll is going on");
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> fmt::Debug for ConditionWaitCaught<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Holding(_) => "holding",
            Stage::Waiting(_) => "waiting",
            Stage::Acquiring(_) => "acquiring",
            Stage::Done => "done",
        };
        f.debug_struct("ConditionWaitCaught")
            .field("stage", &stage)
            .field("cancelled", &self.cancelled.is_some())
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ConditionWait<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConditionWait").field(&self.caught).finish()
    }
}

#[cfg(test)]
mod tests;
