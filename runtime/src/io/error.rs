//! What a read can end with instead of bytes.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::error::ValueError;

#[cfg(test)]
mod tests;

/// Why a read of a certain length or up to a separator gave no bytes (rules E4, E5).
///
/// Converts with `?` into [`Error`](crate::Error) and into [`io::Error`].
#[derive(Debug)]
pub enum ReadError {
    /// The peer closed first. The bytes up to there are here and no longer in the reader.
    Incomplete {
        /// What came before the end.
        partial: Bytes,
        /// How many bytes were asked for, if the read had a length.
        expected: Option<usize>,
    },
    /// No separator within the reader's limit. Nothing was taken out of the reader.
    LimitOverrun {
        /// How many of the buffered bytes lie before the separator, or cannot belong to one.
        consumed: usize,
    },
    /// A line was longer than the reader's limit. It was thrown away, and reading can go on (rule S43).
    LineTooLong {
        /// That limit.
        limit_bytes: usize,
    },
    /// A line that was asked for as text is not UTF-8. It was taken out of the reader, and reading can go on.
    NotText {
        /// The line, with its newline.
        line: Bytes,
    },
    /// No read can be meant by these arguments: no separator, or an empty one.
    Invalid(ValueError),
    /// The connection failed.
    Io(io::Error),
}

/// What an incomplete read is a case of, for those who have it as an [`Error`](crate::Error).
static END: LazyLock<io::Error> = LazyLock::new(|| io::ErrorKind::UnexpectedEof.into());

impl ReadError {
    /// The kind that this error has as an [`io::Error`].
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            Self::LimitOverrun { .. } | Self::LineTooLong { .. } | Self::NotText { .. } => {
                io::ErrorKind::InvalidData
            }
            Self::Invalid(_) => io::ErrorKind::InvalidInput,
            Self::Io(error) => error.kind(),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { partial, expected: Some(expected) } => {
                write!(f, "the stream ended after {} of {expected} bytes", partial.len())
            }
            Self::Incomplete { partial, expected: None } => {
                write!(f, "the stream ended after {} bytes without a separator", partial.len())
            }
            Self::LimitOverrun { consumed } => {
                write!(
                    f,
                    "no separator within the limit, {consumed} bytes looked at; `limit_bytes` raises the limit"
                )
            }
            Self::LineTooLong { limit_bytes } => write!(
                f,
                "a line was longer than {limit_bytes} bytes; `limit_bytes` raises that limit"
            ),
            Self::NotText { line } => {
                let good_bytes =
                    str::from_utf8(line).map_or_else(|error| error.valid_up_to(), str::len);
                write!(
                    f,
                    "a line of {} bytes is not UTF-8 after its first {good_bytes}",
                    line.len()
                )
            }
            Self::Invalid(_) => f.write_str("a read that no stream could answer"),
            Self::Io(_) => f.write_str("the connection failed"),
        }
    }
}

impl StdError for ReadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Invalid(error) => Some(error),
            Self::Incomplete { .. } => Some(&*END),
            _ => None,
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ValueError> for ReadError {
    fn from(error: ValueError) -> Self {
        Self::Invalid(error)
    }
}

impl From<ReadError> for io::Error {
    /// A connection's own error comes out as it was; the others keep themselves inside.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            other => Self::new(other.kind(), other),
        }
    }
}
