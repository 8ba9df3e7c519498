//! How a shard learns that one of its lanes wants it.
//!
//! One word per shard, one bit per peer (peers 64 apart share one, which costs a look in vain and
//! loses nothing). A peer sets its bit when it has put something into the lane, when it has made
//! room in the opposite one, and when it has ended; then it rings, which is a system call only if
//! the shard sleeps. So an idle shard looks at one word, however many peers it has.

use corelane::RemoteLoop;

use crate::atomic::{AtomicU64, Ordering};

/// Ends the sleep of a shard's loop if it sleeps.
pub(crate) trait Ring: Send + Sync + 'static {
    /// Returns whether the loop had to be woken. The caller has written what it rings for.
    fn ring(&self) -> bool;
}

impl Ring for RemoteLoop {
    fn ring(&self) -> bool {
        self.notify()
    }
}

/// What peers have announced to one shard.
#[derive(Debug)]
pub(crate) struct Mailbox<R = RemoteLoop> {
    announced: AtomicU64,
    bell: R,
}

impl<R: Ring> Mailbox<R> {
    pub(crate) fn new(bell: R) -> Self {
        Self { announced: AtomicU64::new(0), bell }
    }

    /// Peer `from` says that its lanes want a look. Returns whether the shard had to be woken.
    pub(crate) fn announce(&self, from: usize) -> bool {
        // Release: what was put into the lane before is seen by the swap in `collect` that sees
        // this bit.
        self.announced.fetch_or(bit_of(from), Ordering::Release);
        self.bell.ring()
    }

    /// Whether anything was announced since the last `collect`. Between `SleepFlag::prepare_sleep`
    /// and the sleep, its fence makes this load see every bit whose sender did not see the sleeper.
    pub(crate) fn has_news(&self) -> bool {
        self.announced.load(Ordering::Relaxed) != 0
    }

    /// Takes what was announced: bit `n` stands for the peers `n`, `n + 64`, and so on.
    pub(crate) fn collect(&self) -> u64 {
        if !self.has_news() {
            return 0;
        }
        self.announced.swap(0, Ordering::Acquire)
    }
}

/// The bit that stands for `peer` in the word of its receivers.
pub(crate) fn bit_of(peer: usize) -> u64 {
    1 << (peer % 64)
}
