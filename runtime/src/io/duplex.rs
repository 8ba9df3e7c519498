//! Both ends of a connection in one value.

use super::{StreamReader, StreamWriter};

/// A reader and a writer of one connection, for who takes both as one: a protocol of another crate that
/// wants a stream that reads and writes.
///
/// The two do not wait for each other: a writer whose peer does not read leaves its reader alone. Dropping it
/// stops reading and closes the connection when everything is sent, as dropping the two does.
///
/// ```no_run
/// # async fn example() -> corelane::Result<()> {
/// let duplex = corelane::Duplex::from(corelane::open_connection("localhost:6379").await?);
/// let (reader, writer) = duplex.into_parts();
/// # drop((reader, writer));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Duplex {
    pub(crate) reader: StreamReader,
    pub(crate) writer: StreamWriter,
}

impl Duplex {
    /// Joins a reader and a writer. Nothing asks whether they are of one connection.
    #[must_use]
    pub fn new(reader: StreamReader, writer: StreamWriter) -> Self {
        Self { reader, writer }
    }

    /// The reader.
    pub fn reader(&mut self) -> &mut StreamReader {
        &mut self.reader
    }

    /// The writer. A clone of it writes beside.
    #[must_use]
    pub fn writer(&self) -> &StreamWriter {
        &self.writer
    }

    /// Both apart again.
    #[must_use]
    pub fn into_parts(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl From<(StreamReader, StreamWriter)> for Duplex {
    fn from((reader, writer): (StreamReader, StreamWriter)) -> Self {
        Self { reader, writer }
    }
}
