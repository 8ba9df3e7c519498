//! Calls that answer with many items, one by one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use corelane::{Error, Result};
use futures_core::stream::{FusedStream, Stream};

use crate::id::ShardId;
use crate::shard::Shard;
use crate::sync::channel::{self, Receiver, Sender};

/// The items that a call answers with; see [`Shard::call_stream`].
///
/// # Cancel safety
/// Awaiting [`next`](Self::next) is safe: an item that was not taken stays. Dropping it cancels the call.
#[must_use = "dropping it cancels the call"]
pub struct ItemStream<T> {
    items: Receiver<T>,
    /// Until it has ended.
    call: Option<Pin<Box<dyn Future<Output = Result<()>>>>>,
    /// What it ended with, told after the last item.
    failure: Option<Error>,
    is_over: bool,
}

impl<T> ItemStream<T> {
    /// The next item; an error if the call has failed, after which nothing comes; `None` at the end.
    ///
    /// # Cancel safety
    /// Safe: an item that was not taken is taken the next time.
    pub async fn next(&mut self) -> Option<Result<T>> {
        poll_fn(|context| self.poll_item(context)).await
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        // On this very shard the call goes on only here.
        if let Some(call) = &mut self.call
            && let Poll::Ready(outcome) = call.as_mut().poll(context)
        {
            (self.call, self.failure) = (None, outcome.err());
        }
        match Pin::new(&mut self.items).poll_next(context) {
            Poll::Ready(Some(item)) => Poll::Ready(Some(Ok(item))),
            // All was sent; what the call ends with is still to come.
            Poll::Ready(None) if self.call.is_some() => Poll::Pending,
            Poll::Ready(None) => {
                self.is_over = true;
                Poll::Ready(self.failure.take().map(Err))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Stream for ItemStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.poll_item(context)
    }
}

impl<T> FusedStream for ItemStream<T> {
    fn is_terminated(&self) -> bool {
        self.is_over
    }
}

impl<T> Unpin for ItemStream<T> {}

impl Shard {
    /// Has `f` called on shard `to`, as by [`call`](Self::call), with an end of a channel, and gives what
    /// it sends as a stream. No more than `capacity` items are on their way: whoever sends waits for
    /// whoever reads.
    ///
    /// ```
    /// use corelane_shards::{Placement, ShardId, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     if shard.id() == ShardId::new(0) {
    ///         let mut numbers = shard.call_stream(ShardId::new(1), 8, async |numbers| {
    ///             for number in 0..100 {
    ///                 numbers.send(number).await?;
    ///             }
    ///             Ok(())
    ///         });
    ///         let mut sum = 0;
    ///         while let Some(number) = numbers.next().await {
    ///             sum += number?;
    ///         }
    ///         assert_eq!(sum, 4950);
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// As an item, the last one: what `f` fails with, and as [`call`](Self::call).
    ///
    /// # Panics
    /// If `capacity` is 0.
    pub fn call_stream<T, F>(&self, to: ShardId, capacity: usize, f: F) -> ItemStream<T>
    where
        F: AsyncFnOnce(Sender<T>) -> Result<()> + Send + 'static,
        T: Send + 'static,
    {
        let (sender, items) = channel::bounded(capacity);
        let call = self.call(to, move || async move { f(sender).await });
        ItemStream { items, call: Some(Box::pin(call)), failure: None, is_over: false }
    }
}

impl<T> fmt::Debug for ItemStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
