//! Errors: one type that every task result carries.
//!
//! [`Error`] is a cheap shared handle (`Clone + Send + Sync`), because one failed task may be awaited by many.
//! It keeps what it was made from: an `io::Error` with its kind and source, a panic with its message, or the
//! application's own error, which [`Error::downcast_ref`] gives back.
//!
//! Like `anyhow::Error` it does not implement `std::error::Error`, so that `?` converts every error that
//! does. Where a standard error is asked for, there is [`StandardError`], which finds its way back.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::util::cancel::{self, Message, Request};

pub use self::group::ExceptionGroup;
use self::panics::Panic;
pub use self::panics::PanicWatch;
pub(crate) use self::panics::drop_quietly;
pub use self::standard::StandardError;
pub use self::timeout::TimeoutError;

mod find;
mod group;
mod panics;
mod standard;
#[cfg(test)]
mod tests;
mod timeout;

/// What a task, a scope or `run` ends with: a value or an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task ended without a value. Cloning shares it.
///
/// `?` makes one of every standard error. Therefore it is none itself: where one is asked for,
/// [`into_standard`](Self::into_standard) gives a [`StandardError`], and what is no standard error either, such as
/// an `anyhow::Error` or a `Box<dyn Error>`, comes in by [`from_boxed`](Self::from_boxed):
///
/// ```
/// # use corelane::Error;
/// type Boxed = Box<dyn std::error::Error + Send + Sync>; // or anyhow::Error
///
/// async fn answer() -> Result<u32, Boxed> {
///     let task = corelane::spawn(async { 40 });
///     Ok(task.await.map_err(Error::into_standard)? + "2".parse::<u32>()?)
/// }
///
/// corelane::run(async || {
///     let answer = answer().await.map_err(Error::from_boxed)?;
///     assert_eq!(answer, 42);
///     Ok(())
/// })?;
/// # Ok::<(), Error>(())
/// ```
///
/// An error type of one's own takes one up by a `From` of its own:
///
/// ```
/// # use std::{fmt, time::Duration};
/// #[derive(Debug)]
/// enum CrawlError {
///     BadStatus(u16),
///     Other(corelane::Error),
/// }
///
/// impl From<corelane::Error> for CrawlError {
///     fn from(error: corelane::Error) -> Self {
///         Self::Other(error)
///     }
/// }
/// # impl fmt::Display for CrawlError {
/// #     fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { fmt::Debug::fmt(self, f) }
/// # }
/// # impl std::error::Error for CrawlError {}
///
/// async fn fetch() -> Result<u16, CrawlError> {
///     let slow = async |_: &_| Ok(corelane::sleep(Duration::from_secs(60)).await);
///     corelane::timeout(Duration::from_secs(1), slow).await?;
///     Err(CrawlError::BadStatus(500))
/// }
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// assert!(matches!(fetch().await, Err(CrawlError::Other(error)) if error.is_timeout()));
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// With `thiserror`, whose `#[from]` takes standard errors only, the variant holds a [`StandardError`], and
/// [`into_standard`](Self::into_standard) stands before the `?`:
///
/// ```text
/// #[derive(Debug, thiserror::Error)]
/// enum CrawlError {
///     #[error("status {0}")]
///     BadStatus(u16),
///     #[error(transparent)]
///     Other(#[from] corelane::StandardError),
/// }
///
/// corelane::wait_for(fetch(), limit).await.map_err(corelane::Error::into_standard)?; // in a fn that gives a CrawlError
/// ```
///
/// With `anyhow` it is the same word on the way out, and [`from_boxed`](Self::from_boxed) on the way in:
///
/// ```text
/// task.await.map_err(corelane::Error::into_standard)?;      // in a fn that gives an anyhow::Result
/// parse(text).map_err(corelane::Error::from_boxed)?;        // of an anyhow::Result, in a corelane::Result
/// ```
///
/// A cancellation that is inside of another error is a failure, as it is in asyncio: a task that ends with such an
/// error has failed. Who wants it to have been cancelled hands on the error itself.
#[derive(Clone)]
pub struct Error(Arc<Repr>);

enum Repr {
    Cancelled(CancelledError),
    TimedOut(TimeoutError),
    Interrupted(InterruptedError),
    Runtime(RuntimeError),
    Value(ValueError),
    InvalidState(InvalidStateError),
    Panic(Panic),
    Io(io::Error),
    Other(Box<dyn StdError + Send + Sync>),
}

/// The task was cancelled (rule E1): not an ordinary error, `?` passes it on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CancelledError {
    message: Option<Arc<str>>,
}

/// SIGINT ended a `run` (rules T18, T19): asyncio's KeyboardInterrupt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InterruptedError;

/// A call that is wrong in the present state, such as `run` inside a running loop (rule E9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeError(pub &'static str);

/// An argument that no state would accept (rule E9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValueError(pub &'static str);

/// A question that has no answer yet, or an answer to what has one already (rule E3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidStateError(pub &'static str);

/// An application error made from a text.
#[derive(Debug)]
struct Text(String);

impl Error {
    /// Wraps any standard error; the same as `Error::from`.
    pub fn new(error: impl StdError + Send + Sync + 'static) -> Self {
        Self::from(error)
    }

    /// Wraps what converts into a boxed standard error: the box itself, an `anyhow::Error`. A [`StandardError`] and
    /// the kinds that [`downcast_ref`](Self::downcast_ref) names are taken out of the box.
    pub fn from_boxed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        standard::unboxed(error.into())
    }

    /// The same error as a standard one, for `?` into what takes only those.
    #[must_use]
    pub fn into_standard(self) -> StandardError {
        StandardError::from(self)
    }

    /// Makes an application error from a text.
    pub fn msg(text: impl Into<String>) -> Self {
        Self(Arc::new(Repr::Other(Box::new(Text(text.into())))))
    }

    /// A call that is wrong in the present state.
    pub fn runtime(text: &'static str) -> Self {
        Self(Arc::new(Repr::Runtime(RuntimeError(text))))
    }

    /// An argument that no state would accept.
    pub fn value(text: &'static str) -> Self {
        Self(Arc::new(Repr::Value(ValueError(text))))
    }

    /// A question without an answer yet, or an answer to what has one already.
    pub fn invalid_state(text: &'static str) -> Self {
        Self(Arc::new(Repr::InvalidState(InvalidStateError(text))))
    }

    /// The carrier of cancellation inside a `Result` (rule G29).
    #[must_use]
    pub fn cancelled() -> Self {
        Self::from(CancelledError::default())
    }

    /// A deadline that passed.
    #[must_use]
    pub fn timed_out() -> Self {
        TimeoutError::default().into()
    }

    /// What `run` ends with after a SIGINT.
    pub(crate) fn interrupted() -> Self {
        Self(Arc::new(Repr::Interrupted(InterruptedError)))
    }

    /// Keeps a caught panic: its message for ever, its payload until somebody takes it.
    #[must_use]
    pub fn panicked(payload: Box<dyn Any + Send>) -> Self {
        Self(Arc::new(Repr::Panic(Panic::caught(payload))))
    }

    /// Whether the task was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(*self.0, Repr::Cancelled(_))
    }

    /// Whether a deadline passed; also true for the operating system's `ETIMEDOUT` (rule E2).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &*self.0 {
            Repr::TimedOut(_) => true,
            Repr::Io(error) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether SIGINT ended the `run` that gave this (rules T18, T19).
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(*self.0, Repr::Interrupted(_))
    }

    /// Whether the body panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(*self.0, Repr::Panic(_))
    }

    /// Whether a call was wrong in the state it was made in: a [`RuntimeError`], or an error that names
    /// one as its source, as that of a broken barrier does (rule E6).
    #[must_use]
    pub fn is_runtime(&self) -> bool {
        match &*self.0 {
            Repr::Runtime(_) => true,
            Repr::Other(error) => error.source().is_some_and(|source| source.is::<RuntimeError>()),
            _ => false,
        }
    }

    /// Whether an argument was refused.
    #[must_use]
    pub fn is_value(&self) -> bool {
        matches!(*self.0, Repr::Value(_))
    }

    /// Whether something was asked for that is not there yet, or was set twice.
    #[must_use]
    pub fn is_invalid_state(&self) -> bool {
        matches!(*self.0, Repr::InvalidState(_))
    }

    /// The message of a panic, if this is one.
    #[must_use]
    pub fn panic_message(&self) -> Option<&str> {
        match &*self.0 {
            Repr::Panic(panic) => Some(&panic.message),
            _ => None,
        }
    }

    /// Takes the payload of a panic, for `std::panic::resume_unwind`. The first call gets it, later ones
    /// (on any clone) get nothing; the message stays.
    #[must_use]
    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        match &*self.0 {
            Repr::Panic(panic) => panic.take_payload(),
            _ => None,
        }
    }

    /// The kind of the `io::Error` that this was made from, or that is among its sources; `TimedOut` for a
    /// passed deadline.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        if let Repr::TimedOut(_) = *self.0 {
            return Some(io::ErrorKind::TimedOut);
        }
        let mut error = self.as_standard();
        while let Some(candidate) = error {
            if let Some(io) = candidate.downcast_ref::<io::Error>() {
                return Some(io.kind());
            }
            error = candidate.source();
        }
        None
    }

    /// The error as the type that it was made from: the application's own, `io::Error`,
    /// [`CancelledError`], [`TimeoutError`], [`InterruptedError`], [`RuntimeError`], [`ValueError`] or
    /// [`InvalidStateError`].
    ///
    /// ```
    /// # use corelane::Error;
    /// #[derive(Debug)]
    /// struct OutOfStock(u32);
    /// # impl std::fmt::Display for OutOfStock {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { write!(f, "{}", self.0) }
    /// # }
    /// impl std::error::Error for OutOfStock {}
    ///
    /// let error = Error::from(OutOfStock(7));
    /// assert_eq!(error.downcast_ref::<OutOfStock>().map(|e| e.0), Some(7));
    /// ```
    #[must_use]
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.as_standard()?.downcast_ref()
    }

    /// What a standard error would answer to `source`.
    #[must_use]
    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.as_standard()?.source()
    }

    fn as_standard(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Repr::Cancelled(error) => Some(error),
            Repr::TimedOut(error) => Some(error),
            Repr::Interrupted(error) => Some(error),
            Repr::Runtime(error) => Some(error),
            Repr::Value(error) => Some(error),
            Repr::InvalidState(error) => Some(error),
            Repr::Io(error) => Some(error),
            Repr::Other(error) => Some(&**error),
            Repr::Panic(_) => None,
        }
    }
}

impl CancelledError {
    /// Makes one with a message (rule G28).
    #[must_use]
    pub fn with_message(message: &str) -> Self {
        Self { message: Some(message.into()) }
    }

    /// Continues the unwinding: the next frame out, or the task's end, sees it in the same step (rule G24),
    /// and whatever is inside that frame is dropped where it waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// # corelane::Runner::builder().virtual_clock().build().run(async || {
    /// let task = corelane::spawn(async {
    ///     let slept = corelane::catch_cancel_plain(corelane::sleep(Duration::from_secs(60))).await;
    ///     if let Err(cancelled) = slept {
    ///         corelane::sleep(Duration::from_secs(1)).await; // clean-up may wait
    ///         cancelled.resume().await;
    ///     }
    /// });
    /// corelane::yield_now().await;
    /// task.cancel();
    /// assert!(task.await.is_err_and(|error| error.is_cancelled()));
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Panics
    /// When it is polled outside any task of a corelane loop: nobody is there to unwind.
    pub async fn resume(self) -> ! {
        let mut words = Some(self.message);
        std::future::poll_fn(|_| {
            if let Some(message) = words.take() {
                let inside = cancel::unwind(Request { message });
                assert!(
                    inside,
                    "a cancellation can be resumed only inside a task of a corelane loop"
                );
            }
            std::task::Poll::<std::convert::Infallible>::Pending
        })
        .await;
        unreachable!("a cancellation that was resumed does not come back")
    }

    /// Makes one with the words of a request.
    pub(crate) fn with_words(message: Message) -> Self {
        Self { message }
    }

    /// The message of the request, if it had one.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.0, self.as_standard()) {
            (Repr::Panic(panic), _) => write!(f, "panicked: {}", panic.message),
            (_, Some(error)) => fmt::Display::fmt(error, f),
            (_, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    /// Prints the message and its sources, so that `fn main() -> corelane::Result<()>` ends readably.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        let mut source = self.source();
        while let Some(error) = source {
            write!(f, "\ncaused by: {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl fmt::Display for InterruptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted by SIGINT")
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for InvalidStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for CancelledError {}
impl StdError for InterruptedError {}
impl StdError for RuntimeError {}
impl StdError for ValueError {}
impl StdError for InvalidStateError {}
impl StdError for Text {}
