//! The error of a deadline.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A deadline passed (rule E2). Converts into `io::ErrorKind::TimedOut`.
///
/// Its text has the time that there was, where that is known: "timed out after 1.5s".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeoutError {
    duration: Option<Duration>,
}

impl TimeoutError {
    /// One that says how long there was time.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self { duration: Some(duration) }
    }

    /// How long there was time, where that is known.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.duration {
            Some(duration) => write!(f, "timed out after {duration:?}"),
            None => f.write_str("timed out"),
        }
    }
}

impl StdError for TimeoutError {}
