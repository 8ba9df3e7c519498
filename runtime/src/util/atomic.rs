//! The atomics of what two threads touch: loom's under `cfg(loom)`, the standard library's otherwise.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// A full fence, the one that a Dekker handshake needs between its store and its load.
///
/// ThreadSanitizer does not model fences, so the `tsan` feature puts a read-modify-write of one shared
/// cell in its place. That is at least as strong here: of two such writes one reads the other, so what
/// was stored before the first is seen after the second.
pub(crate) fn full_fence() {
    #[cfg(all(loom, not(feature = "tsan")))]
    loom::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(all(not(loom), not(feature = "tsan")))]
    std::sync::atomic::fence(Ordering::SeqCst);
    #[cfg(feature = "tsan")]
    {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static FENCE: AtomicUsize = AtomicUsize::new(0);
        FENCE.fetch_add(1, Ordering::SeqCst);
    }
}

/// A lock that a panic does not poison: what it guards here is always whole.
pub(crate) struct Mutex<T>(
    #[cfg(not(loom))] std::sync::Mutex<T>,
    #[cfg(loom)] loom::sync::Mutex<T>,
);

#[cfg(not(loom))]
type Guard<'a, T> = std::sync::MutexGuard<'a, T>;
#[cfg(loom)]
type Guard<'a, T> = loom::sync::MutexGuard<'a, T>;

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(not(loom))]
        return Self(std::sync::Mutex::new(value));
        #[cfg(loom)]
        return Self(loom::sync::Mutex::new(value));
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        #[cfg(not(loom))]
        return lock(&self.0);
        #[cfg(loom)]
        return self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    }
}

/// Locks what a panic cannot have left in pieces.
///
/// Under the `tsan` feature it tries until it succeeds: waiting happens inside the standard library, which
/// is not instrumented, so that ThreadSanitizer would not see that the lock was taken.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    #[cfg(not(feature = "tsan"))]
    return mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(feature = "tsan")]
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}
