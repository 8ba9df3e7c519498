//! One value from one task to another.
//!
//! ```
//! # fn main() -> corelane::Result<()> {
//! use corelane::sync::oneshot;
//!
//! corelane::run(async || {
//!     let (sender, receiver) = oneshot::channel();
//!     corelane::spawn(async move { sender.send(7) });
//!     assert_eq!(receiver.await?, 7);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! Neither end can be cloned. If the receiver goes away the value comes back to the sender, or is
//! dropped with the receiver if it was sent already; if the sender goes away without a value the
//! receiver is told.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::signal::Signal;
use super::wait_list::Place;
use crate::util::wait_kind::WaitKind;

struct Shared<T> {
    value: RefCell<Option<T>>,
    sender_gone: Cell<bool>,
    receiver_gone: Cell<bool>,
    /// The receiver waits here for the value.
    arrival: Signal,
    /// The sender may wait here for the end of the receiver.
    refusal: Signal,
}

/// Makes the two ends of a channel for one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(None),
        sender_gone: Cell::new(false),
        receiver_gone: Cell::new(false),
        arrival: Signal::new(WaitKind::Oneshot),
        refusal: Signal::new(WaitKind::Oneshot),
    });
    (Sender { shared: Rc::clone(&shared) }, Receiver { shared, place: Place::New })
}

/// The end that sends.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

/// The end that receives: a future of the value. It may be awaited by reference, and again after
/// such a wait was dropped. It panics when it is polled after it has returned a value.
#[must_use = "futures do nothing unless awaited"]
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    place: Place,
}

impl<T> Sender<T> {
    /// Sends the value.
    ///
    /// # Errors
    /// The value comes back if the receiver is gone or closed.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.shared.value.replace(Some(value));
        // The drop of this end wakes the receiver.
        Ok(())
    }

    /// Whether the receiver is gone or closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.receiver_gone.get()
    }

    /// Waits until the receiver is gone or closed: nobody wants the value any more.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves nothing behind.
    pub async fn closed(&self) {
        self.shared.refusal.until(|| self.is_closed().then_some(())).await;
    }
}

impl<T> Receiver<T> {
    /// The value if it is there.
    ///
    /// # Errors
    /// If it is not there yet, or never will be.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.shared.look() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(TryRecvError::Closed(error)),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Refuses a value that was not sent yet. One that was can still be received.
    pub fn close(&mut self) {
        self.shared.refuse();
    }
}

impl<T> Shared<T> {
    fn look(&self) -> Option<Result<T, SenderGone>> {
        match self.value.take() {
            Some(value) => Some(Ok(value)),
            None if self.sender_gone.get() || self.receiver_gone.get() => Some(Err(SenderGone)),
            None => None,
        }
    }

    fn refuse(&self) {
        if !self.receiver_gone.replace(true) {
            self.refusal.wake_all();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, SenderGone>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(this.place != Place::Done, "a receiver was polled after it had returned");
        let polled = this.shared.arrival.poll_until(&mut this.place, cx, || this.shared.look());
        if polled.is_ready() {
            this.place = Place::Done;
        }
        polled
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.sender_gone.set(true);
        self.shared.arrival.wake_all();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.arrival.leave(self.place);
        self.shared.refuse();
        // The value goes with the end that would have received it.
        drop(self.shared.value.take());
    }
}

/// The sender went away, or the receiver was closed, before there was a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderGone;

/// Why [`Receiver::try_recv`] returned nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is no value yet.
    Empty,
    /// There will be none, or it was received already.
    Closed(SenderGone),
}

impl fmt::Display for SenderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing was sent, and nothing will be")
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("nothing was sent yet"),
            Self::Closed(error) => error.fmt(f),
        }
    }
}

impl Error for SenderGone {}
impl Error for TryRecvError {}

impl<T> Shared<T> {
    fn describe(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("sent", &self.value.borrow().is_some())
            .field("sender_gone", &self.sender_gone.get())
            .field("receiver_gone", &self.receiver_gone.get())
            .field("waiters", &(self.arrival.waiters() + self.refusal.waiters()))
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
