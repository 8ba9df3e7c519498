//! The items of a queue as a stream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};

use super::{AnyQueue, Discipline, Fifo, Place};

/// Made by [`AnyQueue::stream`]: gives items until the queue is shut down and empty. Several streams
/// and getters may share a queue; each item goes to one of them.
///
/// A stream that was polled waits in line as a getter does. If it is not polled on, an item that it
/// was woken for stays in the queue, but nobody else is woken for it before the stream is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct QueueStream<T, D: Discipline<T> = Fifo> {
    queue: AnyQueue<T, D>,
    place: Place,
}

impl<T, D: Discipline<T>> QueueStream<T, D> {
    pub(super) fn new(queue: AnyQueue<T, D>) -> Self {
        Self { queue, place: Place::New }
    }
}

impl<T, D: Discipline<T>> Stream for QueueStream<T, D> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let polled = this.queue.inner.poll_get(&mut this.place, cx);
        if polled.is_ready() {
            this.place = Place::New;
        }
        polled.map(Result::ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.is_terminated().then_some(0))
    }
}

impl<T, D: Discipline<T>> FusedStream for QueueStream<T, D> {
    fn is_terminated(&self) -> bool {
        self.queue.inner.state.borrow().shut_down && self.queue.empty()
    }
}

impl<T, D: Discipline<T>> Drop for QueueStream<T, D> {
    fn drop(&mut self) {
        self.queue.inner.abandon_get(self.place);
    }
}

impl<T, D: Discipline<T>> fmt::Debug for QueueStream<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueStream").field("queue", &self.queue).finish_non_exhaustive()
    }
}
