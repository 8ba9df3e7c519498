//! The bounded channel that a lane runs on: a seam, because crossbeam's cannot run under loom.

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

/// A family of bounded channels whose ends never wait.
pub(crate) trait Channel: 'static {
    /// The sending end.
    type Tx<T: Send>;
    /// The receiving end.
    type Rx<T: Send>;

    /// A channel for at most `capacity` items, which is at least one.
    fn bounded<T: Send>(capacity: usize) -> (Self::Tx<T>, Self::Rx<T>);

    /// Puts `item` in, or gives it back at once.
    fn try_send<T: Send>(tx: &Self::Tx<T>, item: T) -> Result<(), Refused<T>>;

    /// Takes the oldest item, or says at once that there is none.
    fn try_recv<T: Send>(rx: &Self::Rx<T>) -> Result<T, Nothing>;
}

/// An item that a channel did not take.
pub(crate) enum Refused<T> {
    /// There is no room now.
    Full(T),
    /// The receiving end was dropped.
    Gone(T),
}

/// Why there is no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// None now.
    Empty,
    /// The sending end was dropped and everything it sent was taken.
    Gone,
}

/// The channels of production.
#[derive(Debug)]
pub(crate) enum Crossbeam {}

impl Channel for Crossbeam {
    type Tx<T: Send> = Sender<T>;
    type Rx<T: Send> = Receiver<T>;

    fn bounded<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        crossbeam_channel::bounded(capacity)
    }

    fn try_send<T: Send>(tx: &Sender<T>, item: T) -> Result<(), Refused<T>> {
        tx.try_send(item).map_err(|error| match error {
            TrySendError::Full(item) => Refused::Full(item),
            TrySendError::Disconnected(item) => Refused::Gone(item),
        })
    }

    fn try_recv<T: Send>(rx: &Receiver<T>) -> Result<T, Nothing> {
        rx.try_recv().map_err(|error| match error {
            TryRecvError::Empty => Nothing::Empty,
            TryRecvError::Disconnected => Nothing::Gone,
        })
    }
}
