//! A reader as a stream of lines.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use memchr::memchr;

use crate::io::{ReadError, StreamReader};

/// The lines of a reader, each as [`next_line`](StreamReader::next_line) gives it: with its newline, but for the
/// last one, which may have none (rule S53).
///
/// A line that is longer than the reader's limit is an error and is thrown away; the lines go on behind it.
/// After what ended the connection there are none.
#[derive(Debug)]
pub struct Lines {
    reader: StreamReader,
    /// So many of the unread bytes are no newline.
    searched_bytes: usize,
    has_failed: bool,
}

impl Lines {
    pub(in crate::io) fn new(reader: StreamReader) -> Self {
        Self { reader, searched_bytes: 0, has_failed: false }
    }

    /// The reader, with what was not given out.
    #[must_use]
    pub fn into_reader(self) -> StreamReader {
        self.reader
    }

    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        let limit_bytes = self.reader.limit_bytes();
        loop {
            let unread = self.reader.buffer();
            let newline = memchr(b'\n', &unread[self.searched_bytes..]);
            let line_bytes = newline.map_or(unread.len(), |at| self.searched_bytes + at);
            let end = newline.map_or(line_bytes, |_| line_bytes + 1);
            if newline.is_none() && self.reader.pull_chunk() {
                self.searched_bytes = end;
                continue;
            }
            if line_bytes > limit_bytes {
                self.searched_bytes = 0;
                self.reader.consume(end);
                return Poll::Ready(Err(ReadError::LineTooLong { limit_bytes }));
            }
            if newline.is_some() {
                self.searched_bytes = 0;
                return Poll::Ready(Ok(Some(self.reader.take(end))));
            }
            self.searched_bytes = end;
            if !ready!(self.reader.poll_chunk(context))? {
                self.searched_bytes = 0;
                let rest = self.reader.take(end);
                return Poll::Ready(Ok((!rest.is_empty()).then_some(rest)));
            }
        }
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let lines = self.get_mut();
        if lines.has_failed {
            return Poll::Ready(None);
        }
        let result = ready!(lines.poll_line(context));
        lines.has_failed = matches!(result, Err(ReadError::Io(_)));
        Poll::Ready(result.transpose())
    }
}
