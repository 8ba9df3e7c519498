//! Items from many senders to one receiver, no more at a time than there is room for.
//!
//! ```text
//!  send: room, and nobody in line ──▶ items ──▶ recv
//!    └ else: in line ── room is granted, in order ──▶ items
//!                          └ the future is dropped ──▶ granted to the next
//! ```
//!
//! Room that a `recv` makes is granted to the first in line before anybody else can take it, and goes
//! on to the next if that one has given up: none is lost and nobody is overtaken. Wakers are called,
//! and foreign values dropped, when the lock is free again.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use corelane::Result;
use futures_core::stream::Stream;

use super::block::block_on;
use crate::atomic::{Mutex, lock};
use crate::foreign::{drop_quietly, wake_all};

/// Makes the two ends of a channel that holds `capacity` items, at least one.
///
/// # Panics
/// If `capacity` is 0.
#[must_use]
pub fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel must have room for at least one item");
    let state = State {
        items: VecDeque::new(),
        capacity,
        line: BTreeMap::new(),
        granted: BTreeSet::new(),
        next_place: 0,
        receiver: None,
        sender_count: 1,
        is_receiver_gone: false,
    };
    let shared = Arc::new(Mutex::new(state));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    /// Senders that wait for room, by their places.
    line: BTreeMap<u64, Waker>,
    /// Those that were in line and have been given room, which they have not used.
    granted: BTreeSet<u64>,
    next_place: u64,
    receiver: Option<Waker>,
    sender_count: usize,
    is_receiver_gone: bool,
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        self.items.len() + self.granted.len() < self.capacity
    }

    /// Gives room that is free to the first in line, who is to be woken.
    fn grant(&mut self) -> Option<Waker> {
        if !self.has_room() {
            return None;
        }
        let (place, waker) = self.line.pop_first()?;
        self.granted.insert(place);
        Some(waker)
    }

    /// Puts an item in; the receiver is to be woken.
    fn put(&mut self, item: T) -> Option<Waker> {
        self.items.push_back(item);
        self.receiver.take()
    }
}

/// The end that sends. A clone sends into the same channel.
pub struct Sender<T>(Arc<Mutex<State<T>>>);

/// The end that receives; dropped, it takes the unread items along.
pub struct Receiver<T>(Arc<Mutex<State<T>>>);

/// An item that nobody will receive comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The receiver is gone.
    Closed(T),
    /// [`Sender::send_blocking`] would have stopped a shard, or another loop: await
    /// [`send`](Sender::send) there.
    WouldBlockLoop(T),
}

/// An item that was not taken comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// There is no room now.
    Full(T),
    /// The receiver is gone.
    Closed(T),
}

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// None now.
    Empty,
    /// All senders are gone and everything was received.
    Closed,
}

impl<T> Sender<T> {
    /// Sends an item when there is room, after those who came before.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the item, if the receiver is gone.
    ///
    /// # Cancel safety
    /// Dropping the future sends nothing and drops the item; its place in line, or the room that it was
    /// given, goes to the next.
    pub fn send(&self, item: T) -> Sending<'_, T> {
        Sending { sender: self, item: Some(item), place: None }
    }

    /// Sends an item if there is room and nobody in line for it.
    ///
    /// # Errors
    /// The item comes back: there is no room, or the receiver is gone.
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut state = lock(&self.0);
        if state.is_receiver_gone {
            return Err(TrySendError::Closed(item));
        }
        // Whoever is in line has been passed over only while there was no room.
        if !state.has_room() {
            return Err(TrySendError::Full(item));
        }
        let waker = state.put(item);
        drop(state);
        wake_all(waker);
        Ok(())
    }

    /// Sends an item and blocks this thread while there is no room.
    ///
    /// # Errors
    /// The item comes back if the receiver is gone, and on a thread with a shard or another loop if it
    /// would have to wait.
    pub fn send_blocking(&self, item: T) -> Result<(), SendError<T>> {
        let mut sending = self.send(item);
        match block_on(&mut sending) {
            Ok(sent) => sent,
            Err(_) => match sending.item.take() {
                Some(item) => Err(SendError::WouldBlockLoop(item)),
                None => Ok(()),
            },
        }
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.0).is_receiver_gone
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sending<'a, T> {
    sender: &'a Sender<T>,
    /// Until it is sent.
    item: Option<T>,
    /// In line, or room that was granted.
    place: Option<u64>,
}

impl<T> Unpin for Sending<'_, T> {}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Cloning a waker may be another executor's code: without the lock.
        let own_waker = context.waker().clone();
        let item = this.item.take().expect("a send is not polled again after it was ready");
        let mut state = lock(&this.sender.0);
        if state.is_receiver_gone {
            this.place = None;
            return Poll::Ready(Err(SendError::Closed(item)));
        }
        let may_put = match this.place {
            Some(place) => state.granted.remove(&place),
            None => state.has_room(),
        };
        if may_put {
            this.place = None;
            let waker = state.put(item);
            drop(state);
            wake_all(waker);
            return Poll::Ready(Ok(()));
        }
        let place = this.place.unwrap_or(state.next_place);
        if this.place.is_none() {
            state.next_place += 1;
        }
        let known = state.line.insert(place, own_waker);
        drop(state);
        (this.place, this.item) = (Some(place), Some(item));
        drop_quietly(known);
        Poll::Pending
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = lock(&self.sender.0);
        let known = state.line.remove(&place);
        let next = if state.granted.remove(&place) { state.grant() } else { None };
        drop(state);
        drop_quietly(known);
        wake_all(next);
    }
}

impl<T> Receiver<T> {
    /// Receives the next item; `None` when all senders are gone and everything was received.
    ///
    /// # Cancel safety
    /// Safe: an item is taken only when it is given.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// Receives an item if there is one.
    ///
    /// # Errors
    /// There is none now, or never will be.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut state = lock(&self.0);
        let Some(item) = state.items.pop_front() else {
            return Err(if state.sender_count == 0 {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            });
        };
        let next = state.grant();
        drop(state);
        wake_all(next);
        Ok(item)
    }

    /// Receives the next item and blocks this thread until it is here.
    ///
    /// # Errors
    /// Runtime, on a thread with a shard or another loop, if it would have to wait: await
    /// [`recv`](Self::recv) there.
    pub fn recv_blocking(&mut self) -> Result<Option<T>> {
        block_on(self.recv())
    }

    /// How many items are unread.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).items.len()
    }

    /// Whether nothing is unread.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        match self.try_recv() {
            Ok(item) => return Poll::Ready(Some(item)),
            Err(TryRecvError::Closed) => return Poll::Ready(None),
            Err(TryRecvError::Empty) => {}
        }
        let own_waker = context.waker().clone();
        let mut state = lock(&self.0);
        if !state.items.is_empty() || state.sender_count == 0 {
            // Since the look it has come, or all have gone.
            drop(state);
            drop_quietly(own_waker);
            return self.try_recv().map_or(Poll::Ready(None), |item| Poll::Ready(Some(item)));
        }
        let known = state.receiver.replace(own_waker);
        drop(state);
        drop_quietly(known);
        Poll::Pending
    }
}

impl<T> Stream for Receiver<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll_recv(context)
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).sender_count += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.sender_count -= 1;
        let waker = if state.sender_count == 0 { state.receiver.take() } else { None };
        drop(state);
        wake_all(waker);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.is_receiver_gone = true;
        let items = std::mem::take(&mut state.items);
        let line = std::mem::take(&mut state.line);
        let known = state.receiver.take();
        drop(state);
        wake_all(line.into_values());
        for item in items {
            drop_quietly(item);
        }
        drop_quietly(known);
    }
}

impl<T> SendError<T> {
    /// The item that was not sent.
    #[must_use]
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item) | Self::WouldBlockLoop(item) => item,
        }
    }
}

impl<T> TrySendError<T> {
    /// The item that was not sent.
    #[must_use]
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) => item,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "the receiver is gone",
            Self::WouldBlockLoop(_) => "a blocking send would stop this loop: await `send` instead",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Closed(_) => "the receiver is gone",
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Closed => "all senders are gone",
        })
    }
}

// The item need not say anything of itself.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(_) => "Closed",
            Self::WouldBlockLoop(_) => "WouldBlockLoop",
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        })
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl Error for TryRecvError {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("unread", &self.len()).finish()
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}
