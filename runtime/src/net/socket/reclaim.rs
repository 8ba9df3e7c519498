//! From a reader and a writer back to the socket that they were made of.

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;

use crate::driver::SourceId;
use crate::executor::IoHandle;
use crate::io::stream::{InUse, Stream};
use crate::io::{StreamReader, StreamWriter};

/// A reader and a writer that did not become a socket, given back:
/// [`TcpStream::from_streams`](crate::TcpStream::from_streams).
///
/// Made into an [`io::Error`], which is `ResourceBusy` where a later try may succeed, it drops both, and that closes
/// the connection.
#[derive(Debug)]
pub struct StreamsInUse {
    /// The reader, as it was.
    pub reader: StreamReader,
    /// The writer, as it was.
    pub writer: StreamWriter,
    /// What is in the way.
    pub reason: InUse,
}

impl fmt::Display for StreamsInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            InUse::Unrelated => "the reader and the writer are not those of one such connection",
            InUse::Closed => "the connection is closed",
            InUse::Encrypted => "the connection speaks TLS",
            InUse::Shared => "somebody else writes to the connection",
            InUse::Unread => "bytes have come that were not read",
            InUse::Unsent => "bytes were written that are not sent",
        })
    }
}

impl Error for StreamsInUse {}

impl From<StreamsInUse> for io::Error {
    fn from(error: StreamsInUse) -> Self {
        let kind = match error.reason {
            InUse::Unrelated | InUse::Encrypted => io::ErrorKind::InvalidInput,
            InUse::Closed => io::ErrorKind::NotConnected,
            InUse::Shared | InUse::Unread | InUse::Unsent => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, error.to_string())
    }
}

/// The source of both, if it is one for which `is_of_kind` and nothing is in the way.
pub(super) fn reclaim(
    reader: StreamReader,
    writer: StreamWriter,
    is_of_kind: impl FnOnce(&Stream) -> bool,
) -> Result<(IoHandle, SourceId), StreamsInUse> {
    let stream = writer.stream();
    let is_one = reader.stream().is_some_and(|other| Rc::ptr_eq(other, stream));
    // Of a closed connection nobody knows of what kind it was.
    let detached = match is_one && (stream.is_closing() || is_of_kind(stream)) {
        true => stream.detach(),
        false => Err(InUse::Unrelated),
    };
    detached.map_err(|reason| StreamsInUse { reader, writer, reason })
}
