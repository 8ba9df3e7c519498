//! One value to whoever waits for it, on another shard or thread.
//!
//! ```
//! use corelane_shards::{Placement, ShardId, Shards, sync::oneshot};
//!
//! Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
//!     if shard.id() == ShardId::new(0) {
//!         let (sender, receiver) = oneshot::channel();
//!         shard.post(ShardId::new(1), move || _ = sender.send(7)).await?;
//!         assert_eq!(receiver.await?, 7);
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use corelane::Result;
use futures_core::stream::Stream;

use super::block::block_on;
use super::channel;

/// Makes the two ends of a channel for one value.
pub fn channel<T: Send>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel::bounded(1);
    (Sender(sender), Receiver(receiver))
}

/// The end that sends.
pub struct Sender<T>(channel::Sender<T>);

/// The end that receives: a future of the value. It may be awaited by reference, and again after such
/// a wait was dropped.
///
/// # Cancel safety
/// Awaiting `&mut receiver` is safe: the value is taken only when it is given.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T>(channel::Receiver<T>);

/// The sender has gone without sending, or the value was taken already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingSent;

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// # Errors
    /// The value comes back if the receiver is gone.
    pub fn send(self, value: T) -> Result<(), T> {
        self.0.try_send(value).map_err(channel::TrySendError::into_item)
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl<T> Receiver<T> {
    /// Blocks this thread until the value is here.
    ///
    /// # Errors
    /// [`NothingSent`], by `downcast_ref`; Runtime, on a thread with a shard or another loop, if it would
    /// have to wait: await the receiver there.
    pub fn wait(mut self) -> Result<T> {
        Ok(block_on(&mut self)??)
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, NothingSent>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll_next(context).map(|value| value.ok_or(NothingSent))
    }
}

impl fmt::Display for NothingSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender has gone without sending")
    }
}

impl Error for NothingSent {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
