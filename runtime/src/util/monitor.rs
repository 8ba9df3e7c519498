//! A value under a lock, and threads that wait until it has changed.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::atomic::lock;

/// A value that threads change and wait for. Nothing of others may run under its lock.
#[derive(Debug, Default)]
pub(crate) struct Monitor<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.value)
    }

    /// Wakes one of the threads that wait, if there is one.
    pub(crate) fn notify_one(&self) {
        self.changed.notify_one();
    }

    /// Wakes every thread that waits.
    pub(crate) fn notify_all(&self) {
        self.changed.notify_all();
    }

    /// Waits, without the lock, for as long as `must_wait` says so, or until `limit` has passed, if there is
    /// one. Blocks the thread.
    #[cfg(not(feature = "tsan"))]
    pub(crate) fn wait_while<'a>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        must_wait: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        use std::sync::PoisonError;
        match limit {
            None => {
                self.changed.wait_while(guard, must_wait).unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(guard, limit, must_wait);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// The same, by looking again and again: the standard library, which waits and takes the lock again, is
    /// not instrumented, so that ThreadSanitizer would not see that it was taken.
    #[cfg(feature = "tsan")]
    pub(crate) fn wait_while<'a>(
        &'a self,
        mut guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
        mut must_wait: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        const PAUSE: Duration = Duration::from_micros(200);
        let mut left = limit;
        while must_wait(&mut guard) && left != Some(Duration::ZERO) {
            drop(guard);
            #[expect(clippy::disallowed_methods, reason = "this thread is to be blocked")]
            std::thread::sleep(PAUSE);
            left = left.map(|left| left.saturating_sub(PAUSE));
            guard = self.lock();
        }
        guard
    }
}
