//! What a queue answers when it cannot do it. Each gives back what the caller lent.

use std::error::Error;
use std::fmt;

/// The queue was full; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueFull<T>(pub T);

/// The queue was empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEmpty;

/// The queue was shut down. After a put the item comes back; after a get there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueShutDown<T = ()>(pub T);

/// Why [`Queue::put_nowait`](super::AnyQueue::put_nowait) stored nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TryPutError<T> {
    /// There was no room.
    Full(QueueFull<T>),
    /// The queue takes nothing any more.
    ShutDown(QueueShutDown<T>),
}

/// Why [`Queue::get_nowait`](super::AnyQueue::get_nowait) returned no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryGetError {
    /// There is none now.
    Empty(QueueEmpty),
    /// There is none, and none will come.
    ShutDown(QueueShutDown),
}

impl<T> QueueShutDown<T> {
    /// The error without its item: for `?`, which wants an error that is `Send + Sync + 'static`.
    pub fn without_item(self) -> QueueShutDown {
        QueueShutDown(())
    }
}

impl<T> TryPutError<T> {
    /// The item that was not stored.
    pub fn into_item(self) -> T {
        match self {
            Self::Full(QueueFull(item)) | Self::ShutDown(QueueShutDown(item)) => item,
        }
    }

    /// The error without its item: for `?`, which wants an error that is `Send + Sync + 'static`.
    pub fn without_item(self) -> TryPutError<()> {
        match self {
            Self::Full(_) => TryPutError::Full(QueueFull(())),
            Self::ShutDown(_) => TryPutError::ShutDown(QueueShutDown(())),
        }
    }
}

impl<T> From<QueueFull<T>> for TryPutError<T> {
    fn from(error: QueueFull<T>) -> Self {
        Self::Full(error)
    }
}

impl<T> From<QueueShutDown<T>> for TryPutError<T> {
    fn from(error: QueueShutDown<T>) -> Self {
        Self::ShutDown(error)
    }
}

impl From<QueueEmpty> for TryGetError {
    fn from(error: QueueEmpty) -> Self {
        Self::Empty(error)
    }
}

impl From<QueueShutDown> for TryGetError {
    fn from(error: QueueShutDown) -> Self {
        Self::ShutDown(error)
    }
}

impl<T> fmt::Display for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl fmt::Display for QueueEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is empty")
    }
}

impl<T> fmt::Display for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is shut down")
    }
}

impl<T> fmt::Display for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) => error.fmt(f),
            Self::ShutDown(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(error) => error.fmt(f),
            Self::ShutDown(error) => error.fmt(f),
        }
    }
}

// By hand: the items need not be `Debug` for an `expect` on the result.
impl<T> fmt::Debug for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueFull(..)")
    }
}

impl<T> fmt::Debug for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueShutDown(..)")
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(error) => f.debug_tuple("Full").field(error).finish(),
            Self::ShutDown(error) => f.debug_tuple("ShutDown").field(error).finish(),
        }
    }
}

impl<T> Error for QueueFull<T> {}
impl Error for QueueEmpty {}
impl<T> Error for QueueShutDown<T> {}
impl<T> Error for TryPutError<T> {}
impl Error for TryGetError {}
