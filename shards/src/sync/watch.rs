//! The latest value of something, for whoever wants to see it on any shard or thread.
//!
//! The sender puts a new value in the place of the old one. A receiver sees the latest, and can wait
//! for one that it has not seen; values in between it may miss.
//!
//! ```
//! use corelane_shards::{Placement, ShardId, Shards, sync::watch};
//!
//! Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
//!     if shard.id() == ShardId::new(0) {
//!         let (sender, receiver) = watch::channel("starting");
//!         let mut there = receiver.clone();
//!         let seen = shard.call(ShardId::new(1), move || async move { Ok(*there.changed().await?) });
//!         sender.send("up");
//!         assert_eq!(seen.await?, "up");
//!         assert_eq!(*receiver.latest(), "up");
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corelane::Result;

use super::block::block_on;
use crate::atomic::{Mutex, lock};
use crate::foreign::{drop_quietly, wake_all};

/// Makes the two ends, with a value that no receiver counts as a change.
#[must_use]
pub fn channel<T: Send + Sync>(initial: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State {
        value: Arc::new(initial),
        version: 0,
        waiting: BTreeMap::new(),
        next_place: 0,
        is_sender_gone: false,
        receiver_count: 1,
    }));
    (Sender(Arc::clone(&shared)), Receiver { shared, seen: 0 })
}

struct State<T> {
    /// Counted, so that it is looked at and dropped when the lock is free.
    value: Arc<T>,
    version: u64,
    waiting: BTreeMap<u64, Waker>,
    next_place: u64,
    is_sender_gone: bool,
    receiver_count: usize,
}

/// The end that sends.
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// An end that sees. A clone has seen what this one has.
pub struct Receiver<T> {
    shared: Arc<Mutex<State<T>>>,
    /// The version that was seen last.
    seen: u64,
}

/// The sender is gone: the value that is there will not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderGone;

impl<T> Sender<T> {
    /// Puts `value` in the place of the last one, and wakes who waits for a change. Gives the one before
    /// back.
    pub fn send(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut state = lock(&self.0);
        let before = mem::replace(&mut state.value, value);
        state.version += 1;
        let woken = mem::take(&mut state.waiting);
        drop(state);
        wake_all(woken.into_values());
        before
    }

    /// The value that is there.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&lock(&self.0).value)
    }

    /// One more receiver, which has seen the value that is there.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let mut state = lock(&self.0);
        state.receiver_count += 1;
        Receiver { shared: Arc::clone(&self.0), seen: state.version }
    }

    /// How many receivers there are.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        lock(&self.0).receiver_count
    }
}

impl<T> Receiver<T> {
    /// The value that is there, which does not count as seen.
    #[must_use]
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&lock(&self.shared).value)
    }

    /// Whether there is a value that this receiver has not seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        lock(&self.shared).version != self.seen
    }

    /// Waits for a value that this receiver has not seen, and sees it.
    ///
    /// # Errors
    /// [`SenderGone`], once the last value was seen.
    ///
    /// # Cancel safety
    /// Safe: a value is seen only when it is given.
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed { receiver: self, place: None }
    }

    /// The same, and blocks this thread until then.
    ///
    /// # Errors
    /// [`SenderGone`], by `downcast_ref`; Runtime, on a thread with a shard or another loop, if it would
    /// have to wait: await [`changed`](Self::changed) there.
    pub fn changed_blocking(&mut self) -> Result<Arc<T>> {
        Ok(block_on(self.changed())??)
    }
}

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Changed<'a, T> {
    receiver: &'a mut Receiver<T>,
    place: Option<u64>,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<Arc<T>, SenderGone>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Cloning a waker may be another executor's code: without the lock.
        let own_waker = context.waker().clone();
        let mut state = lock(&this.receiver.shared);
        if state.version != this.receiver.seen {
            this.receiver.seen = state.version;
            return Poll::Ready(Ok(Arc::clone(&state.value)));
        }
        if state.is_sender_gone {
            return Poll::Ready(Err(SenderGone));
        }
        let place = this.place.unwrap_or(state.next_place);
        if this.place.is_none() {
            state.next_place += 1;
            this.place = Some(place);
        }
        let known = state.waiting.insert(place, own_waker);
        drop(state);
        drop_quietly(known);
        Poll::Pending
    }
}

impl<T> Drop for Changed<'_, T> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let known = lock(&self.receiver.shared).waiting.remove(&place);
            drop_quietly(known);
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        lock(&self.shared).receiver_count += 1;
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        lock(&self.shared).receiver_count -= 1;
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_sender_gone = true;
        let woken = mem::take(&mut state.waiting);
        drop(state);
        wake_all(woken.into_values());
    }
}

impl fmt::Display for SenderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender is gone")
    }
}

impl Error for SenderGone {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receiver_count", &self.receiver_count()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("has_changed", &self.has_changed()).finish()
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}
