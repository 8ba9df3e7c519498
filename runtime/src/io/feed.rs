//! A reader without a connection: somebody feeds it (rules S50, S51).

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};

use super::origin::Origin;
use super::read_buffer::ReadBuffer;
use super::reader::StreamReader;
use crate::driver::Buf;
use crate::error::{Error, Result};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

#[cfg(test)]
mod tests;

/// Feeds a [`StreamReader`] that has no connection: for what gets its bytes in another way, and for tests of
/// what reads. Made by [`StreamReader::fed`].
///
/// Nothing slows a feeder down: what it feeds is kept until it is read. One that is dropped without
/// [`feed_eof`](Self::feed_eof) fails its reader with `UnexpectedEof`, once all before it is read.
pub struct StreamFeed {
    fed: Rc<Fed>,
}

/// What a feed and its reader share.
pub(super) struct Fed {
    limit_bytes: usize,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    unread: BytesMut,
    end: Option<End>,
    reader: Option<Waker>,
}

enum End {
    Eof,
    /// The feeder has gone without a word.
    Cut,
    /// It fails from here on, whatever is unread.
    Failed(Error),
}

impl StreamFeed {
    /// Adds bytes and wakes who waits for them; no bytes do nothing (rule S50). Once the reader is gone they are
    /// thrown away.
    ///
    /// # Panics
    /// After [`feed_eof`](Self::feed_eof).
    pub fn feed_data(&self, bytes: &[u8]) {
        let mut state = self.fed.state.borrow_mut();
        assert!(!matches!(state.end, Some(End::Eof)), "a reader was fed after its end");
        // A strong count of one is that of this handle: nobody will read.
        if bytes.is_empty() || Rc::strong_count(&self.fed) == 1 {
            return;
        }
        state.unread.extend_from_slice(bytes);
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }

    /// Says that no more bytes will come (rule S50). Twice is once.
    pub fn feed_eof(&self) {
        self.end(End::Eof);
    }

    /// Fails the read that waits and every later one with `error`, even if bytes are left (rule S51).
    pub fn set_exception(&self, error: impl Into<Error>) {
        let replaced = self.fed.state.borrow_mut().end.take();
        self.end(End::Failed(error.into()));
        // It may be the last of a user's error, whose clean-up is foreign code.
        drop(replaced);
    }

    fn end(&self, end: End) {
        let mut state = self.fed.state.borrow_mut();
        if state.end.is_none() {
            state.end = Some(end);
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

impl Drop for StreamFeed {
    fn drop(&mut self) {
        self.end(End::Cut);
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl StreamReader {
    /// A reader without a connection, and who feeds it: asyncio's `StreamReader()` with `feed_data`,
    /// `feed_eof` and `set_exception` (rules S50, S51).
    ///
    /// ```
    /// # corelane::run(async || {
    /// let (feed, mut reader) = corelane::StreamReader::fed(65_536)?;
    /// feed.feed_data(b"one\ntw");
    /// assert_eq!(reader.read_line().await?, "one\n");
    /// feed.feed_data(b"o");
    /// feed.feed_eof();
    /// assert_eq!(reader.read_line().await?, "two");
    /// assert!(reader.at_eof());
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// Value, for a limit of 0 (rule S4).
    pub fn fed(limit_bytes: usize) -> Result<(StreamFeed, Self)> {
        if limit_bytes == 0 {
            return Err(Error::value("a reader's limit must not be 0"));
        }
        let fed = Rc::new(Fed { limit_bytes, state: RefCell::default() });
        let reader = Self::with_origin(Origin::Fed(Rc::clone(&fed)));
        Ok((StreamFeed { fed }, reader))
    }
}

impl Fed {
    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    pub(super) fn failure(&self) -> io::Result<()> {
        match &self.state.borrow().end {
            Some(End::Failed(error)) => Err(error.clone().into()),
            _ => Ok(()),
        }
    }

    pub(super) fn poll_chunk(
        &self,
        context: &mut Context<'_>,
        unread: &mut ReadBuffer,
    ) -> Poll<io::Result<bool>> {
        if let Some(end) = self.look(unread) {
            return Poll::Ready(end);
        }
        // Cloning a waker may be another executor's code, which may feed: nothing is borrowed meanwhile.
        let waker = context.waker().clone();
        if let Some(end) = self.look(unread) {
            return Poll::Ready(end);
        }
        let replaced = self.state.borrow_mut().reader.replace(waker);
        drop(replaced);
        cancel::note_wait(WaitKind::Read);
        Poll::Pending
    }

    /// Whether there was a chunk, which is in `unread` then, or how it ended; `None` if neither is known.
    fn look(&self, unread: &mut ReadBuffer) -> Option<io::Result<bool>> {
        if let Err(error) = self.failure() {
            return Some(Err(error));
        }
        if let Some(chunk) = self.next_chunk() {
            unread.push(chunk);
            return Some(Ok(true));
        }
        match self.state.borrow().end {
            Some(End::Eof) => Some(Ok(false)),
            Some(_) => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            None => None,
        }
    }

    pub(super) fn next_chunk(&self) -> Option<Buf> {
        let unread = &mut self.state.borrow_mut().unread;
        if unread.is_empty() {
            return None;
        }
        let mut chunk = Buf::from_pool();
        let count = chunk.append(unread);
        unread.advance(count);
        Some(chunk)
    }

    pub(super) fn is_read_up(&self) -> bool {
        let state = self.state.borrow();
        state.unread.is_empty() && matches!(state.end, Some(End::Eof))
    }

    /// Nobody will read any more.
    pub(super) fn reader_dropped(&self) {
        let mut state = self.state.borrow_mut();
        let gone = (mem::take(&mut state.unread), state.reader.take());
        drop(state);
        drop(gone);
    }
}

impl fmt::Debug for StreamFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unread_bytes = self.fed.state.borrow().unread.len();
        f.debug_struct("StreamFeed").field("unread_bytes", &unread_bytes).finish_non_exhaustive()
    }
}
