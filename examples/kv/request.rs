//! Requests: bytes in, ranges of arguments out. No socket, no store.
//!
//! ```text
//!          '*' count                   '$' length, bytes
//!  Start ────────────▶ Arguments ──┬── of the last argument ──▶ Done
//!    │                     ▲───────┘                            ▲
//!    └── a line of words ───────────────────────────────────────┘
//! ```
//!
//! The parser remembers where it stopped, so a request that arrives in a thousand pieces is looked
//! at once, and a length that is announced costs nothing until its bytes are there. Arguments are
//! ranges of the caller's buffer.
//!
//! The replies of the crate `redis-protocol` are what the tests and clients decode with; its
//! decoder of requests is not used here, because it begins again at the first byte with every
//! piece, recurses into nested arrays without a bound, knows no inline commands, allocates a vector
//! for each request, and reports one kind of error where Redis has seven texts that clients and the
//! tests see.

use super::{inline, number};

/// The longest argument that is taken (Redis' `proto-max-bulk-len`), in bytes.
pub(crate) const MAX_BULK_BYTES: i64 = 512 * 1024 * 1024;
/// The longest line that is taken: an inline command, or a length before its line end.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Above this many arguments the list of ranges is given back after the request.
const KEPT_RANGES: usize = 1024;

/// Where an argument lies in its buffer: byte offsets. A request is never longer than 4 GiB, see
/// `Session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    start: u32,
    end: u32,
}

impl Range {
    /// The range from `start` up to and without `end`.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize, "a request is below 4 GiB");
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of `buf` in this range.
    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// The arguments of one request; the first is the command's name.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    buf: &'a [u8],
    ranges: &'a [Range],
}

impl<'a> Args<'a> {
    /// The arguments that lie at `ranges` of `buf`.
    pub(crate) fn new(buf: &'a [u8], ranges: &'a [Range]) -> Self {
        Self { buf, ranges }
    }

    /// How many there are, the command's name included.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The argument at `index`; asking for one that is not there is a bug of the caller.
    pub(crate) fn at(&self, index: usize) -> &'a [u8] {
        self.ranges[index].of(self.buf)
    }

    /// Where the argument at `index` lies, for [`pick`](Self::pick).
    pub(crate) fn range(&self, index: usize) -> Range {
        self.ranges[index]
    }

    /// Another list of arguments out of the same buffer.
    pub(crate) fn pick<'b>(&self, ranges: &'b [Range]) -> Args<'b>
    where
        'a: 'b,
    {
        Args { buf: self.buf, ranges }
    }

    /// The arguments from `index` on.
    pub(crate) fn from(&self, index: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let buf = self.buf;
        self.ranges[index..].iter().map(move |range| range.of(buf))
    }
}

/// Bytes that are no request. The text is Redis' own; the connection is closed after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// A line that begins with `*` and holds no number up to `i32::MAX`.
    InvalidArgumentCount,
    /// A count with no line end within 64 KiB.
    LongArgumentCount,
    /// Something else where the `$` of an argument belongs.
    ExpectedArgument(u8),
    /// A `$` that no number from 0 to 512 MiB follows.
    InvalidArgumentLength,
    /// A length with no line end within 64 KiB.
    LongArgumentLength,
    /// An inline command with no line end within 64 KiB.
    LongLine,
    /// An inline command with a quote that is not closed.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// Redis' text for it, without `ERR`.
    pub(crate) fn text(self) -> Vec<u8> {
        let text = match self {
            Self::InvalidArgumentCount => "invalid multibulk length",
            Self::LongArgumentCount => "too big mbulk count string",
            Self::InvalidArgumentLength => "invalid bulk length",
            Self::LongArgumentLength => "too big bulk count string",
            Self::LongLine => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::ExpectedArgument(found) => {
                let shown = if matches!(found, b'\r' | b'\n') { b' ' } else { found };
                return [b"Protocol error: expected '$', got '", &[shown][..], b"'"].concat();
            }
        };
        [b"Protocol error: ", text.as_bytes()].concat()
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// Among the arguments; the length of the next one may have been read.
    Arguments {
        length: Option<usize>,
    },
    Done,
}

/// Finds one request after the other in the bytes of a connection.
#[derive(Debug)]
pub(crate) struct Parser {
    state: State,
    /// Where the next piece of the request begins.
    position: usize,
    /// Bytes from `position` on that are known to hold no line end.
    searched: usize,
    /// Arguments that were announced and are not complete.
    missing: u32,
    ranges: Vec<Range>,
    /// The unescaped text of an inline command; its ranges are of this text.
    line: Option<Vec<u8>>,
}

impl Parser {
    /// A parser at the start of a request.
    pub(crate) fn new() -> Self {
        let ranges = Vec::new();
        Self { state: State::Start, position: 0, searched: 0, missing: 0, ranges, line: None }
    }

    /// Goes on with the request that begins at the first byte of `buf`. Returns its length in bytes
    /// once it is complete, and `None` while it is not: the next call brings the same bytes and
    /// more.
    ///
    /// # Errors
    /// What Redis refuses. The bytes after it have no meaning.
    pub(crate) fn parse(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        if matches!(self.state, State::Done) {
            self.begin();
        }
        if matches!(self.state, State::Start) {
            match buf.first() {
                None => return Ok(None),
                Some(b'*') => self.read_count(buf)?,
                Some(_) => self.read_line(buf)?,
            }
        }
        if let State::Arguments { length } = self.state {
            self.read_arguments(buf, length)?;
        }
        Ok(matches!(self.state, State::Done).then_some(self.position))
    }

    /// The arguments of the request that [`parse`](Self::parse) found complete in `buf`; none for
    /// an empty line.
    pub(crate) fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        Args::new(self.line.as_deref().unwrap_or(buf), &self.ranges)
    }

    /// Starts the next request, and gives back what an unusually long one took.
    fn begin(&mut self) {
        if self.ranges.capacity() > KEPT_RANGES {
            self.ranges = Vec::new();
        }
        self.ranges.clear();
        self.line = None;
        (self.state, self.position, self.searched, self.missing) = (State::Start, 0, 0, 0);
    }

    fn read_count(&mut self, buf: &[u8]) -> Result<(), ProtocolError> {
        let Some(count) = self.read_number(buf, ProtocolError::LongArgumentCount)? else {
            return Ok(());
        };
        let count = count.filter(|count| *count <= i64::from(i32::MAX));
        let count = count.ok_or(ProtocolError::InvalidArgumentCount)?;
        self.missing = count.max(0) as u32;
        self.state =
            if self.missing == 0 { State::Done } else { State::Arguments { length: None } };
        Ok(())
    }

    fn read_arguments(
        &mut self,
        buf: &[u8],
        mut announced: Option<usize>,
    ) -> Result<(), ProtocolError> {
        while self.missing > 0 {
            let length = match announced.take() {
                Some(length) => length,
                None => match self.read_length(buf)? {
                    Some(length) => length,
                    None => {
                        self.state = State::Arguments { length: None };
                        return Ok(());
                    }
                },
            };
            let end = self.position + length;
            // Redis skips the two bytes after an argument without looking at them, and so do we.
            if buf.len() < end + 2 {
                self.state = State::Arguments { length: Some(length) };
                return Ok(());
            }
            self.ranges.push(Range::new(self.position, end));
            self.position = end + 2;
            self.missing -= 1;
        }
        self.state = State::Done;
        Ok(())
    }

    fn read_length(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let start = self.position;
        // As in Redis the whole line must be there before its first byte is judged.
        let Some(length) = self.read_number(buf, ProtocolError::LongArgumentLength)? else {
            return Ok(None);
        };
        if buf[start] != b'$' {
            return Err(ProtocolError::ExpectedArgument(buf[start]));
        }
        let length = length.filter(|length| (0..=MAX_BULK_BYTES).contains(length));
        length.map(|length| Some(length as usize)).ok_or(ProtocolError::InvalidArgumentLength)
    }

    /// Reads a mark (`*` or `$`), a number and a line end. The outer `None` asks for more bytes,
    /// the inner one says that the text is no number.
    fn read_number(
        &mut self,
        buf: &[u8],
        too_long: ProtocolError,
    ) -> Result<Option<Option<i64>>, ProtocolError> {
        let rest = &buf[self.position..];
        // Nearly all lengths have one to three digits: they are read in one go.
        if let [_, a @ b'1'..=b'9', b'\r', _, ..] = *rest {
            self.skip(4);
            return Ok(Some(Some(i64::from(a - b'0'))));
        }
        if let [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] = *rest {
            self.skip(5);
            return Ok(Some(Some(i64::from(a - b'0') * 10 + i64::from(b - b'0'))));
        }
        let Some(line_end) = self.find(rest, b'\r') else {
            return if rest.len() > MAX_LINE_BYTES { Err(too_long) } else { Ok(None) };
        };
        if line_end + 1 >= rest.len() {
            self.searched = line_end;
            return Ok(None);
        }
        let digits = rest.get(1..line_end).unwrap_or_default();
        let value = number::parse_i64(digits);
        self.skip(line_end + 2);
        Ok(Some(value))
    }

    fn read_line(&mut self, buf: &[u8]) -> Result<(), ProtocolError> {
        let Some(line_end) = self.find(buf, b'\n') else {
            let is_long = buf.len() > MAX_LINE_BYTES;
            return if is_long { Err(ProtocolError::LongLine) } else { Ok(()) };
        };
        let line = &buf[..line_end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = inline::split(line).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        self.ranges = words.ranges;
        self.line = Some(words.text);
        self.skip(line_end + 1);
        self.state = State::Done;
        Ok(())
    }

    /// Looks for `byte`, only where no earlier call has looked.
    fn find(&mut self, rest: &[u8], byte: u8) -> Option<usize> {
        let found = rest[self.searched..].iter().position(|each| *each == byte);
        match found {
            Some(offset) => Some(self.searched + offset),
            None => {
                self.searched = rest.len();
                None
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.position += count;
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests;
