//! What is inside of an error.

use std::error::Error as StdError;
use std::io;

use super::{Error, ExceptionGroup, StandardError};

impl Error {
    /// The first error of type `E` that is anywhere in this one: itself, then its sources, and of an
    /// [`ExceptionGroup`] each error in its order, to any depth.
    ///
    /// All that asks what an error is, `is_cancelled` and the others, [`downcast_ref`](Self::downcast_ref), goes by
    /// the error itself, as `except` does in Python: a group with a timeout in it is no timeout. This one looks
    /// inside, as does [`io_kind`](Self::io_kind), but not into groups' later errors.
    ///
    /// ```
    /// use corelane::{Error, ExceptionGroup, TimeoutError};
    ///
    /// let late = corelane::Runner::builder().virtual_clock().build().run(async || {
    ///     let never = async |_: &_| Ok(std::future::pending::<()>().await);
    ///     corelane::timeout(std::time::Duration::from_secs(1), never).await
    /// });
    /// let errors = vec![Error::msg("disk"), late.unwrap_err()];
    /// let group = Error::from(ExceptionGroup::new("backup", errors));
    /// assert!(!group.is_timeout());
    /// assert!(group.find::<TimeoutError>().is_some());
    /// ```
    #[must_use]
    pub fn find<E: StdError + 'static>(&self) -> Option<&E> {
        let mut left = vec![self];
        while let Some(error) = left.pop() {
            let mut inside = error.as_standard();
            while let Some(candidate) = inside {
                if let Some(found) = candidate.downcast_ref() {
                    return Some(found);
                }
                if let Some(group) = candidate.downcast_ref::<ExceptionGroup>() {
                    left.extend(group.errors().iter().rev());
                    break;
                }
                if let Some(wrapped) = candidate.downcast_ref::<StandardError>() {
                    left.push(wrapped.error());
                    break;
                }
                // The source of an I/O error is that of the error which it was made from.
                let io = candidate.downcast_ref::<io::Error>();
                inside = match io.and_then(io::Error::get_ref) {
                    Some(custom) => Some(custom),
                    None => candidate.source(),
                };
            }
        }
        None
    }
}
