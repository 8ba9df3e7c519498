//! Bytes that were written and not given to the driver yet.
//!
//! Small writes are copied into one buffer; large shared slices are only listed. Either way what a turn
//! wrote goes out as one op. The buffer comes from a pool of the thread when the first byte is written
//! and goes back when it has been sent, so an idle writer holds none.

use std::cell::RefCell;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::driver::WriteData;
use crate::util::copy::each_step;

#[cfg(test)]
mod tests;

/// The first size of a buffer. It grows with what is written.
const FIRST_BYTES: usize = 1024;

/// A buffer that grew larger than this is not kept.
const KEEP_BYTES: usize = 16 * 1024;

/// So many unused buffers are kept by a thread: as many connections as one poll hands out.
const KEEP_COUNT: usize = 256;

thread_local! {
    #[expect(clippy::vec_box, reason = "a writer that uses a buffer holds one word, this box")]
    static POOL: RefCell<Vec<Box<BytesMut>>> = const { RefCell::new(Vec::new()) };
}

/// The bytes that one writer has still to give away, in order: first the shared ones, then `tail`.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Apart, because most writers never have any, and every idle connection keeps this.
    shared: Option<Box<Shared>>,
    /// In a box for the same reason; the pool has boxes too.
    tail: Option<Box<BytesMut>>,
}

#[derive(Debug, Default)]
struct Shared {
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl Outgoing {
    /// Copies bytes to the end.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let tail = self.tail();
        each_step(bytes, |step| tail.extend_from_slice(step));
    }

    /// Puts a shared slice at the end, without a copy.
    pub(crate) fn write_shared(&mut self, bytes: Bytes) {
        let tail = self.tail.take().map_or_else(Bytes::new, |tail| tail.freeze());
        let shared = self.shared.get_or_insert_default();
        shared.push(tail);
        shared.push(bytes);
    }

    /// Puts everything of `later` at the end.
    pub(crate) fn append(&mut self, mut later: Self) {
        if self.len() == 0 {
            std::mem::swap(self, &mut later);
            return;
        }
        if let Some(shared) = later.shared.take() {
            shared.chunks.into_iter().for_each(|chunk| self.write_shared(chunk));
        }
        if let Some(tail) = later.tail.take() {
            self.write(&tail);
            give_back(tail);
        }
    }

    /// Takes the buffer out, to be written to in place and given to [`put_tail`](Self::put_tail).
    pub(crate) fn take_tail(&mut self) -> Box<BytesMut> {
        self.tail.take().unwrap_or_else(take_storage)
    }

    /// Puts the buffer back that [`take_tail`](Self::take_tail) gave. Nothing was written meanwhile.
    pub(crate) fn put_tail(&mut self, tail: Box<BytesMut>) {
        debug_assert!(self.tail.is_none(), "written to while its buffer was out");
        if tail.is_empty() {
            give_back(tail);
        } else {
            self.tail = Some(tail);
        }
    }

    /// The first `count_bytes` bytes where they are, if they lie in one piece that nobody shares.
    pub(crate) fn plain(&self, count_bytes: usize) -> Option<&[u8]> {
        self.plain_all()?.get(..count_bytes)
    }

    /// All bytes where they are, if they lie in one piece that nobody shares.
    pub(crate) fn plain_all(&self) -> Option<&[u8]> {
        let tail = self.tail.as_deref().map_or(&[][..], |tail| tail);
        if self.shared.is_some() { None } else { Some(tail) }
    }

    /// Throws away the first bytes of what [`plain`](Self::plain) gave, as they were sent.
    #[inline]
    pub(crate) fn discard(&mut self, count_bytes: usize) {
        if self.tail_bytes() == count_bytes {
            self.tail.take().into_iter().for_each(give_back);
        } else if let Some(tail) = &mut self.tail {
            tail.advance(count_bytes);
        }
    }

    /// How many bytes are here.
    pub(crate) fn len(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.bytes) + self.tail_bytes()
    }

    /// Whether no memory is held.
    #[cfg(test)]
    pub(crate) fn holds_nothing(&self) -> bool {
        self.tail.is_none() && self.shared.is_none()
    }

    /// Takes the first `count_bytes` bytes out for one op.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn take(&mut self, count_bytes: usize) -> WriteData {
        let Some(mut shared) = self.shared.take() else {
            return WriteData::Buf(self.take_tail_bytes(count_bytes));
        };
        if count_bytes >= shared.bytes {
            let tail = self.take_tail_bytes(count_bytes - shared.bytes);
            shared.push(tail.freeze());
            return WriteData::Chunks(shared.chunks);
        }
        let taken = shared.take(count_bytes);
        self.shared = Some(shared);
        WriteData::Chunks(taken)
    }

    /// Takes the first bytes of the tail; all of them with the storage.
    fn take_tail_bytes(&mut self, count_bytes: usize) -> BytesMut {
        if count_bytes == self.tail_bytes() {
            self.tail.take().map_or_else(BytesMut::new, |tail| *tail)
        } else {
            self.tail().split_to(count_bytes)
        }
    }

    fn tail_bytes(&self) -> usize {
        self.tail.as_ref().map_or(0, |tail| tail.len())
    }

    /// The tail, with storage.
    fn tail(&mut self) -> &mut BytesMut {
        self.tail.get_or_insert_with(take_storage)
    }
}

impl Shared {
    fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.bytes += chunk.len();
            self.chunks.push(chunk);
        }
    }

    /// Takes the first `count_bytes` bytes out, fewer than there are.
    fn take(&mut self, count_bytes: usize) -> Vec<Bytes> {
        self.bytes -= count_bytes;
        let mut left_bytes = count_bytes;
        let whole = self.chunks.iter().take_while(|chunk| {
            let is_whole = chunk.len() <= left_bytes;
            left_bytes -= if is_whole { chunk.len() } else { 0 };
            is_whole
        });
        let whole_count = whole.count();
        let mut taken: Vec<Bytes> = self.chunks.drain(..whole_count).collect();
        if left_bytes > 0 {
            taken.push(self.chunks[0].split_to(left_bytes));
        }
        taken
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.tail.take().into_iter().for_each(give_back);
    }
}

/// Keeps the storage of a write that has been sent for the next writer.
pub(crate) fn reclaim(sent: WriteData) {
    if let WriteData::Buf(buf) = sent {
        give_back(Box::new(buf));
    }
}

/// An empty buffer, from the pool if that has one.
pub(crate) fn take_storage() -> Box<BytesMut> {
    // A thread that is ending has no pool any more.
    let pooled = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    pooled.unwrap_or_else(|| Box::new(BytesMut::with_capacity(FIRST_BYTES)))
}

#[inline(never)]
fn give_back(mut buf: Box<BytesMut>) {
    buf.clear();
    // Bytes that were sent in several ops have moved the start of the buffer: `try_reclaim` moves it back.
    // It refuses storage of which another part is still on its way.
    let is_whole = buf.capacity() >= FIRST_BYTES;
    let useful = buf.capacity() <= KEEP_BYTES && (is_whole || buf.try_reclaim(FIRST_BYTES));
    if !useful {
        return;
    }
    // Without a pool the storage is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut idle = pool.borrow_mut();
        if idle.len() < KEEP_COUNT {
            idle.push(buf);
        }
    });
}
