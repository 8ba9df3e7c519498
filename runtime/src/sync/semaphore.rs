//! Counted permission to do something (rules L45 to L61).

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::ValueError;
use crate::util::wait_kind::WaitKind;

mod permits;

use permits::Acquiring;
pub(super) use permits::Permits;

/// A number of permits, and a line of tasks that wait for one or more.
///
/// Permits are handed over in the order of waiting: a task that wants many is not overtaken by one
/// that wants few, and a task that releases and acquires again goes to the end of the line. A
/// [`Permit`] gives back what it holds when it is dropped. A clone is the same semaphore.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Semaphore;
///
/// corelane::run(async || {
///     let slots = Semaphore::new(2);
///     let first = slots.acquire().await?;
///     let second = slots.acquire().await?;
///     assert!(slots.locked());
///     // A permit may move into a task, which gives it back when it ends.
///     let holder = corelane::spawn(async move { drop(first) });
///     let third = slots.acquire().await?;
///     drop((second, third));
///     assert_eq!(slots.available(), 2);
///     holder.await
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Semaphore {
    permits: Rc<Permits>,
}

impl Semaphore {
    /// Makes a semaphore with this many permits.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self { permits: Rc::new(Permits::new(permits, usize::MAX, WaitKind::Semaphore)) }
    }

    /// Waits for a permit; gets it without suspending if one is free and nobody waits.
    ///
    /// # Errors
    /// If the semaphore is closed, or is closed before the permit was there.
    ///
    /// # Cancel safety
    /// Safe: a dropped acquire leaves the line, and a permit it was handed already goes to the next
    /// waiter. The place in line is lost.
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        self.acquire_many(1)
    }

    /// Waits for several permits, all at once. Nobody behind gets any meanwhile.
    ///
    /// # Errors
    /// If the semaphore is closed, or is closed before the permits were there.
    ///
    /// # Cancel safety
    /// As [`acquire`](Self::acquire): all or nothing.
    pub fn acquire_many(&self, count: usize) -> SemaphoreAcquire<'_> {
        SemaphoreAcquire {
            permits: &self.permits,
            wanted: count,
            acquiring: self.permits.acquire(count),
        }
    }

    /// Takes a permit if [`acquire`](Self::acquire) would get it without suspending.
    ///
    /// # Errors
    /// If there is none, somebody waits, or the semaphore is closed.
    pub fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes several permits if [`acquire_many`](Self::acquire_many) would get them without
    /// suspending.
    ///
    /// # Errors
    /// If there are not enough, somebody waits, or the semaphore is closed.
    pub fn try_acquire_many(&self, count: usize) -> Result<Permit, TryAcquireError> {
        self.permits.try_acquire(count).map(|()| Permit::of(&self.permits, count))
    }

    /// Adds a permit, which may make more than there were at the beginning. This is for permits
    /// that were [forgotten](Permit::forget), and for counting up what tasks wait for.
    ///
    /// # Panics
    /// As [`release_many`](Self::release_many).
    pub fn release(&self) {
        self.release_many(1);
    }

    /// Adds several permits.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` permits.
    pub fn release_many(&self, count: usize) {
        let released = self.permits.release(count);
        released.expect("a semaphore holds no more than usize::MAX permits");
    }

    /// Whether [`acquire`](Self::acquire) would suspend: no permit is free, or somebody comes
    /// first.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.permits.locked()
    }

    /// Number of permits that are free. Those handed to a waiter that has not run yet are not.
    #[must_use]
    pub fn available(&self) -> usize {
        self.permits.free()
    }

    /// Refuses all who wait for permits and all who ask for them later. Permits that were handed
    /// over stay valid. Closing again changes nothing.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether the semaphore was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }
}

/// A [`Semaphore`] that refuses a release beyond the number of permits it began with (rule L60): it
/// finds a release too many, where the other one would let too many in.
///
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::BoundedSemaphore;
///
/// corelane::run(async || {
///     let slots = BoundedSemaphore::new(1);
///     slots.acquire().await?.forget();
///     slots.release()?;
///     assert!(slots.release().is_err());
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct BoundedSemaphore {
    inner: Semaphore,
}

impl BoundedSemaphore {
    /// Makes a semaphore with this many permits, and never more.
    #[must_use]
    pub fn new(permits: usize) -> Self {
        Self {
            inner: Semaphore {
                permits: Rc::new(Permits::new(permits, permits, WaitKind::Semaphore)),
            },
        }
    }

    /// As [`Semaphore::acquire`].
    ///
    /// # Errors
    /// If the semaphore is closed, or is closed before the permit was there.
    ///
    /// # Cancel safety
    /// Safe: a permit that was handed over already goes to the next waiter.
    pub fn acquire(&self) -> SemaphoreAcquire<'_> {
        self.inner.acquire()
    }

    /// As [`Semaphore::acquire_many`]. Asking for more than there ever are waits until the
    /// semaphore is closed.
    ///
    /// # Errors
    /// If the semaphore is closed, or is closed before the permits were there.
    ///
    /// # Cancel safety
    /// Safe: all or nothing.
    pub fn acquire_many(&self, count: usize) -> SemaphoreAcquire<'_> {
        self.inner.acquire_many(count)
    }

    /// As [`Semaphore::try_acquire`].
    ///
    /// # Errors
    /// If there is none, somebody waits, or the semaphore is closed.
    pub fn try_acquire(&self) -> Result<Permit, TryAcquireError> {
        self.inner.try_acquire()
    }

    /// As [`Semaphore::try_acquire_many`].
    ///
    /// # Errors
    /// If there are not enough, somebody waits, or the semaphore is closed.
    pub fn try_acquire_many(&self, count: usize) -> Result<Permit, TryAcquireError> {
        self.inner.try_acquire_many(count)
    }

    /// Adds a permit that was [forgotten](Permit::forget).
    ///
    /// # Errors
    /// If more would be free than there were at the beginning; nothing changes.
    pub fn release(&self) -> Result<(), ValueError> {
        self.release_many(1)
    }

    /// Adds several permits that were forgotten.
    ///
    /// # Errors
    /// If more would be free than there were at the beginning; nothing changes.
    pub fn release_many(&self, count: usize) -> Result<(), ValueError> {
        let released = self.inner.permits.release(count);
        released.map_err(|_| ValueError("a bounded semaphore was released too many times"))
    }

    /// As [`Semaphore::locked`].
    #[must_use]
    pub fn locked(&self) -> bool {
        self.inner.locked()
    }

    /// As [`Semaphore::available`].
    #[must_use]
    pub fn available(&self) -> usize {
        self.inner.available()
    }

    /// As [`Semaphore::close`].
    pub fn close(&self) {
        self.inner.close();
    }

    /// As [`Semaphore::is_closed`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }
}

/// The future of [`Semaphore::acquire`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct SemaphoreAcquire<'a> {
    permits: &'a Rc<Permits>,
    wanted: usize,
    acquiring: Acquiring<'a>,
}

impl Future for SemaphoreAcquire<'_> {
    type Output = Result<Permit, SemaphoreClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (permits, wanted) = (self.permits, self.wanted);
        Pin::new(&mut self.acquiring).poll(cx).map_ok(|()| Permit::of(permits, wanted))
    }
}

/// One or more permits of a semaphore. Dropping it gives them back. It borrows nothing, so it can
/// move into a task.
#[must_use = "dropping a permit gives it back at once"]
pub struct Permit {
    permits: Rc<Permits>,
    count: usize,
}

impl Permit {
    fn of(permits: &Rc<Permits>, count: usize) -> Self {
        Self { permits: Rc::clone(permits), count }
    }

    /// Number of permits that this guard holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Lets the permits stay taken without a guard, until somebody calls
    /// [`release`](Semaphore::release), or for ever.
    pub fn forget(mut self) {
        self.count = 0;
    }

    /// Splits some of the permits off into a guard of their own; nothing happens if there are fewer.
    #[must_use]
    pub fn split(&mut self, count: usize) -> Option<Self> {
        self.count = self.count.checked_sub(count)?;
        Some(Self::of(&self.permits, count))
    }

    /// Adds the permits of another guard.
    ///
    /// # Panics
    /// If the other guard is of another semaphore.
    pub fn merge(&mut self, other: Self) {
        assert!(Rc::ptr_eq(&self.permits, &other.permits), "permits of two semaphores were merged");
        self.count += other.count;
        other.forget();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.count > 0 {
            self.permits.give_back(self.count);
        }
    }
}

/// The semaphore was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreClosed;

/// Why [`Semaphore::try_acquire`] took no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryAcquireError {
    /// There are not enough, or somebody who waits comes first.
    NoPermits,
    /// Nobody will get one any more.
    Closed(SemaphoreClosed),
}

impl From<SemaphoreClosed> for TryAcquireError {
    fn from(error: SemaphoreClosed) -> Self {
        Self::Closed(error)
    }
}

impl fmt::Display for SemaphoreClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the semaphore is closed")
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPermits => f.write_str("no permit is free"),
            Self::Closed(error) => error.fmt(f),
        }
    }
}

impl Error for SemaphoreClosed {}
impl Error for TryAcquireError {}

impl Semaphore {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .field("waiters", &self.permits.waiters())
            .finish()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe("Semaphore", f)
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.describe("BoundedSemaphore", f)
    }
}

impl fmt::Debug for SemaphoreAcquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreAcquire").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
