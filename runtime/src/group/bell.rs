//! What a callback rings to wake the one future that waits for it.

use std::cell::Cell;
use std::task::Waker;

/// Keeps one waker until it is rung.
#[derive(Default)]
pub(super) struct Bell {
    waker: Cell<Option<Waker>>,
}

impl Bell {
    /// Has the next ring wake `waker`, in place of whom it would have woken before.
    pub(super) fn listen(&self, waker: &Waker) {
        let kept = self.waker.take().filter(|kept| kept.will_wake(waker));
        let waker = kept.unwrap_or_else(|| waker.clone());
        drop(self.waker.replace(Some(waker)));
    }

    /// Wakes whoever listens. A wake may run anything: nothing may be borrowed.
    pub(super) fn ring(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
