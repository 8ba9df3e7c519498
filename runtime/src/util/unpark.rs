//! How other threads end a loop's sleep, and how they know that they have to.
//!
//! Waking a sleeping loop is a system call, so a sender makes it only when the loop sleeps. Both sides
//! agree through a [`SleepFlag`]:
//!
//! ```text
//!              prepare_sleep              must_unpark (true for one sender)
//!  Awake ────────────────────▶ Asleep ────────────────────▶ Notified
//!    ▲                           │                              │
//!    └───────── wake_up ─────────┴──────────── wake_up ─────────┘
//!
//!  receiver                                sender
//!   prepare_sleep: Asleep, fence            push the message
//!   look at the mail once more              must_unpark: fence, look at the flag
//!   sleep unless there is some              unpark if it was Asleep
//!   wake_up: Awake
//! ```
//!
//! Each side writes, passes the fence, and then reads what the other wrote. So at least one of them sees
//! the other: the receiver its message, or the sender a sleeper. No wake-up is lost, and a busy loop
//! costs its senders a fence and a load.

use std::fmt;
use std::sync::Arc;

use crate::util::atomic::{AtomicU8, Ordering, full_fence};

/// What a driver implements so that other threads can end its sleep.
pub(crate) trait Unpark: Send + Sync {
    /// Makes the sleep that is under way, or else the next one, end at once. Never blocks.
    fn unpark(&self);
}

/// Ends the sleep of one loop, from any thread.
///
/// It stays valid, and does nothing, after its loop has ended.
#[derive(Clone)]
pub struct Unparker(Arc<dyn Unpark>);

impl Unparker {
    /// A handle on `target`.
    pub(crate) fn new(target: Arc<dyn Unpark>) -> Self {
        Self(target)
    }

    /// Makes the loop's sleep, or else its next one, end at once. Never blocks; costs a system call, so
    /// ask a [`SleepFlag`] first.
    pub fn unpark(&self) {
        self.0.unpark();
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unparker")
    }
}

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const NOTIFIED: u8 = 2;

/// Tells the senders of one receiver whether it sleeps. See the module's drawing for the protocol.
#[derive(Debug)]
pub struct SleepFlag(AtomicU8);

impl SleepFlag {
    /// The flag of a receiver that is awake.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// Receiver: says that it is about to sleep. It must look at its mail again after this call and must
    /// not sleep if there is some; either way [`wake_up`](Self::wake_up) follows.
    pub fn prepare_sleep(&self) {
        self.0.store(ASLEEP, Ordering::Relaxed);
        // Pairs with the fence in `must_unpark`: either that sender sees us asleep, or we see its message
        // when we look again.
        full_fence();
    }

    /// Receiver: says that it is awake, and so will look at its mail before it sleeps again.
    pub fn wake_up(&self) {
        // A sender that still reads `Asleep` makes one needless system call; one that reads `Awake` is
        // right, because the next `prepare_sleep` passes its fence before the mail is looked at. So no
        // partner needs more than the store.
        self.0.store(AWAKE, Ordering::Relaxed);
    }

    /// Sender: having pushed its message, asks whether it has to unpark the receiver. Of all senders
    /// that meet one sleep, one is told so.
    #[must_use = "a sleeping receiver stays asleep unless it is unparked"]
    pub fn must_unpark(&self) -> bool {
        // Pairs with the fence in `prepare_sleep`: the message was pushed before, the flag is read after.
        full_fence();
        // The load keeps the line shared among senders while the receiver is awake. The exchange only
        // picks one sender; no data travels through the flag, so neither needs more than Relaxed.
        self.0.load(Ordering::Relaxed) == ASLEEP
            && self
                .0
                .compare_exchange(ASLEEP, NOTIFIED, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Default for SleepFlag {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
