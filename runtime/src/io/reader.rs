//! The reading end of a connection.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::codec::{Lines, Unread};
use super::error::ReadError;
use super::origin::Origin;
use super::read_buffer::{ReadBuffer, Search};
use super::stream::Stream;

/// Reads from a connection.
///
/// The bytes belong to the reader: what a call was given up over is there for the next one, so every read
/// may be cancelled, timed out or dropped at any time (rule S47). A read takes bytes out as [`Bytes`], or
/// borrows them: [`fill_buf`](Self::fill_buf) and [`consume`](Self::consume), or, for a parser that needs a
/// whole message before it, [`buffer`](Self::buffer), [`read_more`](Self::read_more) and
/// [`take`](Self::take).
///
/// The connection is read ahead until twice the reader's limit is unread (rule S40). A failed connection
/// fails every read, even if bytes are left (rule S51); a connection whose loop has ended has failed with
/// `ConnectionAborted`. Dropping the reader stops reading and leaves the connection to its writers.
///
/// One task reads at a time (rule S48), because a read borrows the reader:
///
/// ```compile_fail,E0499
/// # async fn example(mut reader: corelane::StreamReader) -> corelane::Result<()> {
/// let (first, second) = (reader.read(1), reader.read(1));
/// first.await?;
/// second.await?;
/// # Ok(())
/// # }
/// ```
pub struct StreamReader {
    origin: Origin,
    buffer: ReadBuffer,
}

impl StreamReader {
    pub(crate) fn new(stream: Rc<Stream>) -> Self {
        Self::with_origin(Origin::Stream(stream))
    }

    /// A reader of whatever bytes come from there.
    pub(super) fn with_origin(origin: Origin) -> Self {
        Self { origin, buffer: ReadBuffer::default() }
    }

    /// Reads between 1 and `max_bytes` bytes, as soon as any are there; nothing at the end of the stream, or
    /// if `max_bytes` is 0 (rule S41).
    ///
    /// # Errors
    /// What ended the connection.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub async fn read(&mut self, max_bytes: usize) -> io::Result<Bytes> {
        if max_bytes == 0 {
            self.origin.failure()?;
            return Ok(Bytes::new());
        }
        let there_bytes = self.fill_buf().await?.len();
        Ok(self.take(there_bytes.min(max_bytes)))
    }

    /// Reads into `into` what is there, as soon as it is at least one byte, and says how many bytes that were;
    /// 0 at the end of the stream, or if `into` is empty.
    ///
    /// # Errors
    /// What ended the connection.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub async fn read_into(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            self.origin.failure()?;
            return Ok(0);
        }
        let there = self.fill_buf().await?;
        let count_bytes = there.len().min(into.len());
        into[..count_bytes].copy_from_slice(&there[..count_bytes]);
        self.consume(count_bytes);
        Ok(count_bytes)
    }

    /// Reads everything up to the end of the stream, however much it is (rule S41).
    ///
    /// # Errors
    /// What ended the connection.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub async fn read_to_end(&mut self) -> io::Result<Bytes> {
        while self.read_chunk().await? {}
        Ok(self.take(self.buffer.len()))
    }

    /// Reads exactly `count_bytes` bytes, also more than the limit (rule S42).
    ///
    /// # Errors
    /// `Incomplete`, with the bytes so far, if the stream ends first.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub async fn read_exactly(&mut self, count_bytes: usize) -> Result<Bytes, ReadError> {
        self.origin.failure()?;
        while self.buffer.len() < count_bytes {
            // Room for what is asked for, but for no more than twice what has come: the number may be a
            // stranger's claim.
            self.buffer.reserve_total(count_bytes.min(2 * self.buffer.len()));
            if !self.read_chunk().await? {
                return Err(self.incomplete(Some(count_bytes)));
            }
        }
        Ok(self.take(count_bytes))
    }

    /// Reads up to and including the first of `separators` (rules S44 to S46): the match that ends earliest,
    /// and among those the shortest. A separator may arrive in pieces.
    ///
    /// # Errors
    /// - `Incomplete`, with the bytes so far, if the stream ends first.
    /// - `LimitOverrun`, with nothing taken, if more than [`limit_bytes`](Self::limit_bytes) bytes come before
    ///   the separator.
    /// - `Invalid` without separators, or with an empty one.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader, and the next call begins with them.
    pub async fn read_until(&mut self, separators: &[&[u8]]) -> Result<Bytes, ReadError> {
        let mut search = Search::new(separators)?;
        self.origin.failure()?;
        loop {
            if let Some(found) = search.find(self.buffer.unread()) {
                if found.start > self.limit_bytes() {
                    return Err(ReadError::LimitOverrun { consumed: found.start });
                }
                return Ok(self.take(found.end));
            }
            // The limit is for what has to be waited for: bytes that are here already are looked at first.
            if self.pull_chunk() {
                continue;
            }
            let settled_bytes = search.settled_bytes();
            if settled_bytes > self.limit_bytes() {
                return Err(ReadError::LimitOverrun { consumed: settled_bytes });
            }
            if !self.read_chunk().await? {
                return Err(self.incomplete(None));
            }
        }
    }

    /// Reads a line *with* its newline, as asyncio's `readline` does; at the end of the stream what is left without
    /// one, then nothing (rule S43). [`next_text`](Self::next_text) gives lines without it.
    ///
    /// # Errors
    /// `LineTooLong` if more than [`limit_bytes`](Self::limit_bytes) bytes come before the newline. The line,
    /// as far as it is here, is thrown away, and reading can go on.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader, and the next call begins with them.
    pub async fn read_line(&mut self) -> Result<Bytes, ReadError> {
        match self.read_until(&[b"\n"]).await {
            Err(ReadError::Incomplete { partial, .. }) => Ok(partial),
            Err(ReadError::LimitOverrun { consumed }) => {
                let newline_seen = self.buffer().get(consumed) == Some(&b'\n');
                let thrown_bytes = if newline_seen { consumed + 1 } else { self.buffer.len() };
                self.consume(thrown_bytes);
                Err(ReadError::LineTooLong { limit_bytes: self.limit_bytes() })
            }
            other => other,
        }
    }

    /// The next line *with* its newline, unlike tokio's `next_line`, and `None` at the end of the stream (rule S53):
    /// what [`read_line`](Self::read_line) gives. [`next_text`](Self::next_text) gives it as a `String` without one.
    ///
    /// # Errors
    /// As [`read_line`](Self::read_line).
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader, and the next call begins with them.
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, ReadError> {
        let line = self.read_line().await?;
        Ok((!line.is_empty()).then_some(line))
    }

    /// The next line as text, without its `\n` or `\r\n`, as tokio's `next_line` gives it; `None` at the end of the
    /// stream.
    ///
    /// ```
    /// # corelane::run(async || {
    /// let (feed, mut reader) = corelane::StreamReader::fed(65_536)?;
    /// feed.feed_data(b"hello\r\n\nyou");
    /// feed.feed_eof();
    /// let mut lines = Vec::new();
    /// while let Some(line) = reader.next_text().await? {
    ///     lines.push(line);
    /// }
    /// assert_eq!(lines, ["hello", "", "you"]);
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`read_line`](Self::read_line), and `NotText`, with the line, if it is not UTF-8. Reading can go on.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader, and the next call begins with them.
    pub async fn next_text(&mut self) -> Result<Option<String>, ReadError> {
        let Some(line) = self.next_line().await? else { return Ok(None) };
        let text = line
            .strip_suffix(b"\n")
            .map_or(&line[..], |text| text.strip_suffix(b"\r").unwrap_or(text));
        match str::from_utf8(text) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(ReadError::NotText { line }),
        }
    }

    /// The lines of this reader as a stream, each *with* its newline, as [`next_line`](Self::next_line) gives it.
    #[must_use]
    pub fn lines(self) -> Lines {
        Lines::new(self)
    }

    /// Borrows the unread bytes, after waiting until there is at least one; empty at the end of the
    /// stream. [`consume`](Self::consume) takes them off.
    ///
    /// # Errors
    /// What ended the connection.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub fn fill_buf(&mut self) -> impl Future<Output = io::Result<&[u8]>> {
        FillBuf(Some(self))
    }

    /// [`fill_buf`](Self::fill_buf) for who writes futures: what is unread, or `Pending` with the task of
    /// `context` to be woken when something is. A wait that is given up loses nothing; a later one replaces it.
    ///
    /// # Errors
    /// What ended the connection.
    pub fn poll_fill_buf(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.buffer.is_empty() {
            ready!(self.poll_chunk(context))?;
        } else {
            self.origin.failure()?;
        }
        Poll::Ready(Ok(self.buffer.unread()))
    }

    /// Waits until there are more unread bytes than now, however many there are; false at the end of the
    /// stream. [`buffer`](Self::buffer) then has all of them in one piece.
    ///
    /// # Errors
    /// What ended the connection.
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader.
    pub async fn read_more(&mut self) -> io::Result<bool> {
        let more = self.read_chunk().await?;
        while self.pull_chunk() {}
        Ok(more)
    }

    /// Takes the first `count_bytes` bytes of [`buffer`](Self::buffer) out; larger pieces without a copy.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn take(&mut self, count_bytes: usize) -> Bytes {
        let taken = self.buffer.take(count_bytes);
        self.origin.set_held_bytes(self.buffer.len());
        taken
    }

    /// Throws the first `count_bytes` bytes of [`buffer`](Self::buffer) away.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub fn consume(&mut self, count_bytes: usize) {
        self.buffer.consume(count_bytes);
        self.origin.set_held_bytes(self.buffer.len());
    }

    /// The unread bytes that the last call has left, without waiting and without looking for more.
    #[must_use]
    pub fn buffer(&self) -> &[u8] {
        self.buffer.unread()
    }

    /// Whether the stream has ended and every byte was read (rule S49).
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.buffer.is_empty() && self.origin.is_read_up()
    }

    /// How many bytes may come before a separator (rule S4).
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.origin.limit_bytes()
    }

    /// The connection.
    pub(crate) fn stream(&self) -> Option<&Rc<Stream>> {
        match &self.origin {
            Origin::Stream(stream) => Some(stream),
            Origin::Fed(_) => None,
        }
    }

    /// Lets `decode` take bytes off the unread ones.
    pub(super) fn decode_by<R>(&mut self, decode: impl FnOnce(&mut Unread<'_>) -> R) -> R {
        let result = decode(&mut Unread::of_reader(&mut self.buffer));
        self.origin.set_held_bytes(self.buffer.len());
        result
    }

    async fn read_chunk(&mut self) -> io::Result<bool> {
        poll_fn(|context| self.poll_chunk(context)).await
    }

    /// Waits for a chunk and adds it to the buffer; false at the end of the stream.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.origin.poll_chunk(context, &mut self.buffer)
    }

    /// Adds a chunk that is here already to the buffer.
    pub(super) fn pull_chunk(&mut self) -> bool {
        let Some(chunk) = self.origin.next_chunk() else { return false };
        self.buffer.push(chunk);
        self.origin.set_held_bytes(self.buffer.len());
        true
    }

    fn incomplete(&mut self, expected: Option<usize>) -> ReadError {
        ReadError::Incomplete { partial: self.take(self.buffer.len()), expected }
    }
}

/// The future of [`StreamReader::fill_buf`], by hand: every idle connection holds it, and this is one word.
struct FillBuf<'r>(Option<&'r mut StreamReader>);

impl<'r> Future for FillBuf<'r> {
    type Output = io::Result<&'r [u8]>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let reader = self.0.take().expect("a future is not polled after its end");
        if !reader.buffer.is_empty() {
            reader.origin.failure()?;
        } else if reader.poll_chunk(context)?.is_pending() {
            self.0 = Some(reader);
            return Poll::Pending;
        }
        Poll::Ready(Ok(reader.buffer.unread()))
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.origin.reader_dropped();
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("unread_bytes", &self.buffer.len())
            .field("at_eof", &self.at_eof())
            .finish_non_exhaustive()
    }
}
