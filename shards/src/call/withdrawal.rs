//! Which calls in flight are no longer wanted.

#[cfg(test)]
#[cfg(loom)]
mod models;

use std::sync::OnceLock;

use crate::atomic::{AtomicU64, Ordering};

/// One bit for each permit of a lane. The caller sets it when it gives a call up; the peer looks
/// before it runs the call. A number is reused only after its answer came home, so a bit never
/// speaks of another call. Who never gives a call up pays for no bits.
#[derive(Debug)]
pub(super) struct Withdrawals {
    permit_limit: u32,
    words: OnceLock<Box<[AtomicU64]>>,
}

impl Withdrawals {
    pub(super) fn new(permit_limit: u32) -> Self {
        Self { permit_limit, words: OnceLock::new() }
    }

    // A bit carries no data, and a call that is run all the same does no harm: Relaxed will do.
    // That a cleared bit is seen by who gets the number's next call is seen to by the lane that
    // brings it.

    pub(super) fn set(&self, permit: u32) {
        self.word(permit).fetch_or(1 << (permit % 64), Ordering::Relaxed);
    }

    pub(super) fn clear(&self, permit: u32) {
        self.word(permit).fetch_and(!(1 << (permit % 64)), Ordering::Relaxed);
    }

    pub(super) fn contains(&self, permit: u32) -> bool {
        let Some(words) = self.words.get() else { return false };
        words[permit as usize / 64].load(Ordering::Relaxed) & (1 << (permit % 64)) != 0
    }

    fn word(&self, permit: u32) -> &AtomicU64 {
        let count = self.permit_limit.div_ceil(64);
        let words = self.words.get_or_init(|| (0..count).map(|_| AtomicU64::new(0)).collect());
        &words[permit as usize / 64]
    }
}
