//! Every message to every receiver.
//!
//! ```
//! # fn main() -> corelane::Result<()> {
//! use corelane::sync::broadcast;
//!
//! corelane::run(async || {
//!     let (sender, mut first) = broadcast::channel(16)?;
//!     let mut second = sender.subscribe();
//!     sender.send("hello")?;
//!     assert_eq!((*first.recv().await?, *second.recv().await?), ("hello", "hello"));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! The channel keeps the latest messages, as many as its capacity, and each only until everybody has
//! received it. Sending never waits: a receiver that is slower than that misses the oldest ones and
//! is told how many. Messages are shared, not copied.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use super::signal::Signal;
use crate::error::ValueError;
use crate::util::wait_kind::WaitKind;

struct Shared<T> {
    capacity: usize,
    kept: RefCell<Kept<T>>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// Receivers wait here for a message, or for the end of the last sender.
    arrival: Signal,
}

struct Kept<T> {
    messages: VecDeque<Message<T>>,
    /// The number of the first of them.
    first: u64,
}

struct Message<T> {
    value: Rc<T>,
    /// How many have not received it. Never more than for the message after it.
    unread: usize,
}

/// Makes a channel that keeps up to `capacity` messages for slow receivers.
///
/// # Errors
/// If it would keep none.
pub fn channel<T>(capacity: usize) -> Result<(Sender<T>, Receiver<T>), ValueError> {
    if capacity == 0 {
        return Err(ValueError("a broadcast channel keeps one message at least"));
    }
    let shared = Rc::new(Shared {
        capacity,
        kept: RefCell::new(Kept { messages: VecDeque::new(), first: 0 }),
        senders: Cell::new(1),
        receivers: Cell::new(0),
        arrival: Signal::new(WaitKind::Broadcast),
    });
    let sender = Sender { shared };
    let receiver = sender.subscribe();
    Ok((sender, receiver))
}

/// An end that sends. There may be several.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// An end that receives what is sent after it was made. A clone receives what this one would.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the next message.
    next: u64,
}

impl<T> Sender<T> {
    /// Sends a message to all receivers, and tells how many there are. It does not wait: if as many
    /// messages are kept as may be, the oldest one goes.
    ///
    /// # Errors
    /// The message comes back if nobody receives.
    pub fn send(&self, message: T) -> Result<usize, NoReceivers<T>> {
        let receivers = self.receiver_count();
        if receivers == 0 {
            return Err(NoReceivers(message));
        }
        let value = Rc::new(message);
        let dropped = {
            let mut kept = self.shared.kept.borrow_mut();
            let full = kept.messages.len() == self.shared.capacity;
            let dropped = if full { kept.pop() } else { None };
            kept.messages.push_back(Message { value, unread: receivers });
            dropped
        };
        self.shared.arrival.wake_all();
        drop(dropped);
        Ok(receivers)
    }

    /// Makes a receiver of what is sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.receivers.set(self.receiver_count() + 1);
        let next = self.shared.kept.borrow().end();
        Receiver { shared: Rc::clone(&self.shared), next }
    }

    /// How many receive.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.get()
    }
}

impl<T> Receiver<T> {
    /// Waits for the next message.
    ///
    /// # Errors
    /// If messages were missed, with their number; the next call goes on with the oldest one that is
    /// kept. If there is none and all senders are gone.
    ///
    /// # Cancel safety
    /// Safe: a dropped receive has received nothing.
    pub async fn recv(&mut self) -> Result<Rc<T>, RecvError> {
        let Self { shared, next } = self;
        shared.arrival.until(|| shared.look(next)).await
    }

    /// The next message if there is one, `None` if not yet.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Rc<T>>, RecvError> {
        self.shared.look(&mut self.next).transpose()
    }
}

impl<T> Shared<T> {
    fn look(&self, next: &mut u64) -> Option<Result<Rc<T>, RecvError>> {
        let mut kept = self.kept.borrow_mut();
        let missed = kept.first.saturating_sub(*next);
        if missed > 0 {
            *next = kept.first;
            return Some(Err(RecvError::Lagged(missed)));
        }
        let Some(message) = kept.at(*next) else {
            return (self.senders.get() == 0).then_some(Err(RecvError::Closed));
        };
        *next += 1;
        message.unread -= 1;
        if message.unread > 0 {
            return Some(Ok(Rc::clone(&message.value)));
        }
        // Everybody has it, and so everything before it, too.
        kept.pop().map(Ok)
    }
}

impl<T> Kept<T> {
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    fn pop(&mut self) -> Option<Rc<T>> {
        let message = self.messages.pop_front()?;
        self.first += 1;
        Some(message.value)
    }

    fn at(&mut self, number: u64) -> Option<&mut Message<T>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.messages.get_mut(index)
    }

    /// Those from this number on, or from the first that is kept.
    fn since(&mut self, number: u64) -> impl Iterator<Item = &mut Message<T>> {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.messages.iter_mut().skip(skipped)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.set(self.shared.senders.get() + 1);
        Self { shared: Rc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.set(self.shared.receivers.get() + 1);
        self.shared.kept.borrow_mut().since(self.next).for_each(|message| message.unread += 1);
        Self { shared: Rc::clone(&self.shared), next: self.next }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let rest = self.shared.senders.get() - 1;
        self.shared.senders.set(rest);
        if rest == 0 {
            self.shared.arrival.wake_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.set(self.shared.receivers.get() - 1);
        self.shared.kept.borrow_mut().since(self.next).for_each(|message| message.unread -= 1);
        loop {
            let mut kept = self.shared.kept.borrow_mut();
            let all_have_it = kept.messages.front().is_some_and(|message| message.unread == 0);
            let dropped = if all_have_it { kept.pop() } else { None };
            // The message is dropped after the borrow.
            drop(kept);
            if dropped.is_none() {
                return;
            }
        }
    }
}

/// Nobody receives; the message comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoReceivers<T>(pub T);

/// Why [`Receiver::recv`] gave no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver was too slow and missed this many.
    Lagged(u64),
    /// All senders are gone.
    Closed,
}

impl<T> fmt::Display for NoReceivers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody receives")
    }
}

// By hand: the message need not be `Debug` for an `expect` on the result.
impl<T> fmt::Debug for NoReceivers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoReceivers(..)")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged(count) => write!(f, "{count} messages were missed"),
            Self::Closed => f.write_str("nobody sends a message any more"),
        }
    }
}

impl<T> Error for NoReceivers<T> {}
impl Error for RecvError {}

impl<T> Shared<T> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("capacity", &self.capacity)
            .field("kept", &self.kept.borrow().messages.len())
            .field("senders", &self.senders.get())
            .field("receivers", &self.receivers.get())
            .field("waiters", &self.arrival.waiters())
            .finish()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Sender", f)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe("Receiver", f)
    }
}

#[cfg(test)]
mod tests;
