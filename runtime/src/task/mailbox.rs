//! Wakes from other threads: one mailbox a loop, never freed, handed from loop to loop.
//!
//! ```text
//!  other thread                              home thread
//!  post(slot): bit 0 → 1? push slot ───────▶ drain: pop slot, bit 1 → 0, then poll its task
//!              fence, asleep? unpark          asleep → fence → look here again → sleep
//! ```
//!
//! The bit keeps a slot in the queue at most once, so that a thread that wakes a stalled loop for ever
//! does not grow it. The queue names slots and not tasks: were a stale wake to keep its number, it could
//! stand in the way of a fresh one for the slot's next tenant. So a late wake may cost that tenant a poll
//! for nothing; it can never cost a wake-up.
//!
//! A mailbox outlives its loop. It then has no unparker, and its flag never says asleep, so a late wake is
//! a number in a queue that the next loop of this id throws away.

use std::sync::OnceLock;

use crate::util::atomic::{AtomicBool, AtomicU64, Mutex, Ordering};
use crate::util::queue::Queue;
use crate::util::unpark::{SleepFlag, Unparker};

#[cfg(test)]
mod tests;

/// Slots a chunk of bits covers: 8 KiB of memory for 65,536 tasks.
const CHUNK_SLOTS: u32 = 1 << 16;
const CHUNK_COUNT: usize = 1 << 8;

/// What other threads may touch of a loop.
pub(crate) struct Mailbox {
    slots: Queue<u32>,
    /// One "in the queue" bit a slot, in chunks that never move once they are there.
    bits: Box<[OnceLock<Box<[AtomicU64]>>]>,
    chunk_slots: u32,
    /// Whether there is mail, here or in the loop's inbox: what a busy loop looks at once a turn.
    mail: AtomicBool,
    flag: SleepFlag,
    unparker: Mutex<Option<Unparker>>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self::with_slots(CHUNK_SLOTS)
    }

    /// With chunks of another size: a model has no room for thousands of atomics.
    fn with_slots(chunk_slots: u32) -> Self {
        Self {
            slots: Queue::new(),
            bits: (0..CHUNK_COUNT).map(|_| OnceLock::new()).collect(),
            chunk_slots,
            mail: AtomicBool::new(false),
            flag: SleepFlag::new(),
            unparker: Mutex::new(None),
        }
    }

    /// Gives the mailbox to a loop that begins: what is left of the one before is thrown away.
    pub(crate) fn open(&self, unparker: Unparker) {
        self.drain(usize::MAX, |_| {});
        *self.unparker.lock() = Some(unparker);
    }

    /// Takes the mailbox from a loop that ends. Later posts find nobody to wake.
    pub(crate) fn close(&self) {
        self.flag.wake_up();
        *self.unparker.lock() = None;
    }

    /// Posts a wake for the tenant of `slot`, from any thread. Never blocks on the loop: the lock is held
    /// only for the length of one `unpark`, and taken only when the loop sleeps.
    pub(crate) fn post(&self, slot: u32) {
        let (word, mask) = self.bit(slot);
        // Release: what the waker's thread wrote before the wake is seen by the poll that it causes; the
        // partner is the `fetch_and` in `drain`, also when this finds the bit set, as a read-modify-write
        // continues the release sequence of the post before.
        if word.fetch_or(mask, Ordering::AcqRel) & mask != 0 {
            return;
        }
        self.slots.push(slot);
        self.notify();
    }

    /// Says that there is mail, and ends the loop's sleep if it sleeps. Call it after the message is where
    /// the loop looks for it.
    pub(crate) fn notify(&self) {
        // Release: whoever sees it true sees the message; the partner is the swap in `take_mail`. The flag's
        // fence orders it before the look at the flag.
        self.mail.store(true, Ordering::Release);
        self.unpark_sleeper();
    }

    /// Ends the loop's sleep, if it sleeps; true if it did and this was the call that did it.
    pub(crate) fn unpark_sleeper(&self) -> bool {
        if !self.flag.must_unpark() {
            return false;
        }
        let unparker = self.unparker.lock().clone();
        if let Some(unparker) = unparker {
            unparker.unpark();
        }
        true
    }

    /// Whether there is mail. Home thread only; look, then [`take_mail`](Self::take_mail), then take it all.
    pub(crate) fn has_mail(&self) -> bool {
        self.mail.load(Ordering::Relaxed)
    }

    /// Says that the loop is about to look: what is posted from here on raises the mark again.
    pub(crate) fn take_mail(&self) -> bool {
        // Acquire: pairs with the store in `notify`. A plain look comes first, as nearly always there is none.
        self.has_mail() && self.mail.swap(false, Ordering::AcqRel)
    }

    /// Puts the mark back, when a budget ended before the mail did.
    pub(crate) fn leave_mail(&self) {
        self.mail.store(true, Ordering::Relaxed);
    }

    /// Takes at most `budget` slots and tells `wake` of each. Home thread only. True if it took all.
    pub(crate) fn drain(&self, budget: usize, mut wake: impl FnMut(u32)) -> bool {
        for _ in 0..budget {
            let Some(slot) = self.slots.pop() else { return true };
            let (word, mask) = self.bit(slot);
            // Acquire: pairs with the `fetch_or` in `post`. Cleared before the poll: a wake that comes
            // during the poll must be queued again.
            word.fetch_and(!mask, Ordering::AcqRel);
            wake(slot);
        }
        false
    }

    pub(crate) fn flag(&self) -> &SleepFlag {
        &self.flag
    }

    fn bit(&self, slot: u32) -> (&AtomicU64, u64) {
        let chunk = self.bits[(slot / self.chunk_slots) as usize]
            .get_or_init(|| (0..self.chunk_slots / u64::BITS).map(|_| AtomicU64::new(0)).collect());
        let index = slot % self.chunk_slots;
        (&chunk[(index / u64::BITS) as usize], 1 << (index % u64::BITS))
    }
}
