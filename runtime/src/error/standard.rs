//! The way into standard errors and back.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::{
    CancelledError, Error, InterruptedError, InvalidStateError, Repr, RuntimeError, TimeoutError,
    ValueError,
};

/// An [`Error`] as a standard error: for `?` into an `anyhow::Error`, and for whatever else takes only those. Made an
/// [`Error`] again, by `?` as well, it is the one that it was.
#[derive(Clone)]
pub struct StandardError(Error);

impl StandardError {
    /// The error in it.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0
    }
}

impl From<Error> for StandardError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

type Boxed = Box<dyn StdError + Send + Sync>;

/// Takes out of its box what has a meaning of its own.
pub(super) fn unboxed(error: Boxed) -> Error {
    fn out<E: StdError + Send + Sync + 'static>(error: Boxed) -> Result<Error, Boxed> {
        error.downcast::<E>().map(|error| Error::from(*error))
    }
    out::<StandardError>(error)
        .or_else(out::<io::Error>)
        .or_else(out::<CancelledError>)
        .or_else(out::<TimeoutError>)
        .or_else(out::<InterruptedError>)
        .or_else(out::<RuntimeError>)
        .or_else(out::<ValueError>)
        .or_else(out::<InvalidStateError>)
        .unwrap_or_else(|error| Error(Arc::new(Repr::Other(error))))
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let mut error = Some(error);
        let any: &mut dyn Any = &mut error;
        // Known kinds keep their meaning; each arm moves the value out through its own `Option`.
        if let Some(io) = any.downcast_mut::<Option<io::Error>>().and_then(Option::take) {
            return Self::from_io(io);
        }
        if let Some(standard) = any.downcast_mut::<Option<StandardError>>().and_then(Option::take) {
            return standard.0;
        }
        if let Some(cancelled) = any.downcast_mut::<Option<CancelledError>>().and_then(Option::take)
        {
            return Self(Arc::new(Repr::Cancelled(cancelled)));
        }
        if let Some(timeout) = any.downcast_ref::<Option<TimeoutError>>().copied().flatten() {
            return Self(Arc::new(Repr::TimedOut(timeout)));
        }
        if any.is::<Option<InterruptedError>>() {
            return Self::interrupted();
        }
        if let Some(runtime) = any.downcast_ref::<Option<RuntimeError>>().copied().flatten() {
            return Self(Arc::new(Repr::Runtime(runtime)));
        }
        if let Some(value) = any.downcast_ref::<Option<ValueError>>().copied().flatten() {
            return Self(Arc::new(Repr::Value(value)));
        }
        if let Some(state) = any.downcast_ref::<Option<InvalidStateError>>().copied().flatten() {
            return Self(Arc::new(Repr::InvalidState(state)));
        }
        let error = error.expect("no arm above matched, so none took it");
        Self(Arc::new(Repr::Other(Box::new(error))))
    }
}

impl Error {
    /// Unpacks an error of ours that travelled inside an `io::Error`.
    fn from_io(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<StandardError>()) {
            Some(standard) => standard.0.clone(),
            None => Self(Arc::new(Repr::Io(error))),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = error.io_kind().unwrap_or(io::ErrorKind::Other);
        Self::new(kind, StandardError(error))
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync> {
    fn from(error: Error) -> Self {
        Box::new(StandardError(error))
    }
}

impl From<Error> for Box<dyn StdError> {
    fn from(error: Error) -> Self {
        Box::new(StandardError(error))
    }
}

impl fmt::Display for StandardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for StandardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for StandardError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
