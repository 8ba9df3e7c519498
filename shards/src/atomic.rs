//! The atomics and locks of what two shards touch: loom's under `cfg(loom)`, the standard library's
//! otherwise.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks `value`. Nothing of others runs under a lock of this crate, so none is left half changed.
///
/// Under the `tsan` feature it tries until it succeeds: waiting happens inside the standard library, which
/// is not instrumented, so that ThreadSanitizer would not see that the lock was taken.
pub(crate) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(feature = "tsan"))]
    return value.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    #[cfg(feature = "tsan")]
    loop {
        match value.try_lock() {
            Ok(guard) => return guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
}

/// A full fence, the one that a handshake of store-then-load needs on both sides.
///
/// ThreadSanitizer does not model fences, so the `tsan` feature puts a read-modify-write of one
/// shared cell in its place, which is at least as strong here: of two such writes one reads the
/// other.
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
