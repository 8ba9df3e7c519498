//! Many readers or one writer.
//!
//! A reader takes one permit of a semaphore, a writer takes all of them. So what holds for permits
//! holds here: first come, first served, and nobody overtakes. A reader that comes while a writer
//! waits queues behind it, so writers do not starve.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::semaphore::Permits;
use crate::util::wait_kind::WaitKind;

/// As many readers as a `RefCell` can count.
const ALL: usize = isize::MAX.unsigned_abs();

/// A value that several tasks may read, or one may write, across an `await`. A clone is the same
/// lock.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::RwLock;
///
/// corelane::run(async || {
///     let table = RwLock::new(vec![1, 2]);
///     let (first, second) = (table.read().await, table.read().await);
///     assert_eq!(first.len() + second.len(), 4);
///     drop((first, second));
///     table.write().await.push(3);
///     assert_eq!(*table.read().await, [1, 2, 3]);
///     Ok(())
/// })
/// # }
/// ```
pub struct RwLock<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    permits: Permits,
    value: RefCell<T>,
}

impl<T> RwLock<T> {
    /// Makes a free lock around a value.
    #[must_use]
    pub fn new(value: T) -> Self {
        let permits = Permits::new(ALL, ALL, WaitKind::RwLock);
        Self { inner: Rc::new(Inner { permits, value: RefCell::new(value) }) }
    }

    /// Waits until no writer holds the lock and none waits longer than this reader.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves the line, and hands on what it was handed. The place in line is
    /// lost.
    pub async fn read(&self) -> RwLockReadGuard<'_, T> {
        self.hold(1).await;
        RwLockReadGuard::of(&self.inner)
    }

    /// Waits until nobody holds the lock and nobody waits longer than this writer.
    ///
    /// # Cancel safety
    /// Safe, as [`read`](Self::read).
    pub async fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.hold(ALL).await;
        RwLockWriteGuard::of(&self.inner)
    }

    /// Takes the lock for reading if [`read`](Self::read) would get it without suspending.
    #[must_use]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.inner.permits.try_acquire(1).ok().map(|()| RwLockReadGuard::of(&self.inner))
    }

    /// Takes the lock for writing if [`write`](Self::write) would get it without suspending.
    #[must_use]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.inner.permits.try_acquire(ALL).ok().map(|()| RwLockWriteGuard::of(&self.inner))
    }

    async fn hold(&self, permits: usize) {
        let held = self.inner.permits.acquire(permits).await;
        held.expect("the permits of a lock are never closed");
    }
}

impl<T> Clone for RwLock<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = ALL - self.inner.permits.free();
        f.debug_struct("RwLock")
            .field("readers", &if held == ALL { 0 } else { held })
            .field("writer", &(held == ALL))
            .field("waiters", &self.inner.permits.waiters())
            .field("value", &self.inner.value)
            .finish()
    }
}

/// Gives permits back when dropped.
struct Hold<'a> {
    permits: &'a Permits,
    count: usize,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.permits.give_back(self.count);
    }
}

/// Holds a [`RwLock`] for reading. Dropping it releases the lock.
#[must_use = "dropping a guard releases its lock at once"]
pub struct RwLockReadGuard<'a, T> {
    // The order of the fields is that of their drop: whoever is woken by the release may borrow.
    value: Ref<'a, T>,
    _hold: Hold<'a>,
}

/// Holds a [`RwLock`] for writing. Dropping it releases the lock.
#[must_use = "dropping a guard releases its lock at once"]
pub struct RwLockWriteGuard<'a, T> {
    value: RefMut<'a, T>,
    hold: Hold<'a>,
    lock: &'a Inner<T>,
}

impl<'a, T> RwLockReadGuard<'a, T> {
    fn of(lock: &'a Inner<T>) -> Self {
        let hold = Hold { permits: &lock.permits, count: 1 };
        Self { value: lock.value.borrow(), _hold: hold }
    }
}

impl<'a, T> RwLockWriteGuard<'a, T> {
    fn of(lock: &'a Inner<T>) -> Self {
        let hold = Hold { permits: &lock.permits, count: ALL };
        Self { value: lock.value.borrow_mut(), hold, lock }
    }

    /// Goes on as a reader, without letting another writer in between.
    pub fn downgrade(guard: Self) -> RwLockReadGuard<'a, T> {
        let Self { value, mut hold, lock } = guard;
        drop(value);
        let reader = RwLockReadGuard::of(lock);
        // The reader has one of the permits; the others go when this returns.
        hold.count = ALL - 1;
        reader
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockReadGuard").field(&*self.value).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockWriteGuard").field(&*self.value).finish()
    }
}

#[cfg(test)]
mod tests;
