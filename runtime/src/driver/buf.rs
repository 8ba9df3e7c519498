//! Receive buffers: taken when bytes are there, given back when the bytes have been used.
//!
//! A [`Buf`] holds what one read received, in 16 KiB of storage that came from its thread's pool. When
//! the `Buf` is dropped the storage goes back, so a loop that serves ten thousand connections needs no
//! more storage than one turn hands out.
//!
//! What the user keeps leaves as [`Bytes`]. Small pieces are copied, because a slice of twenty bytes must
//! not pin 16 KiB; larger ones share the storage, and the last of them to be dropped gives it back to
//! the pool of the thread that drops it. A thread without a loop keeps no pool and frees it.
//!
//! Every connection has places for a `Buf`, and moves some with each request, so a `Buf` is one word.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use bytes::{Buf as _, Bytes};

use crate::driver::EVENTS_PER_TURN;
use crate::util::copy::steps;

/// The storage of one buffer, in bytes.
pub(crate) const BUF_BYTES: usize = 16 * 1024;

/// Pieces up to this size are copied out of a buffer; larger ones share it. A shared piece thus pins no
/// more than eight times its own size, and up to here a copy is the cheaper of the two.
pub(crate) const COPY_LIMIT_BYTES: usize = BUF_BYTES / 8;

thread_local! {
    static POOL: Pool = const { Pool { idle: RefCell::new(Vec::new()), limit: Cell::new(0) } };
}

/// The unused buffers of one thread.
struct Pool {
    #[expect(clippy::vec_box, reason = "a buffer that is in use is one word, this box")]
    idle: RefCell<Vec<Box<State>>>,
    /// How many are kept: one poll's worth for each loop that the thread has.
    limit: Cell<usize>,
}

/// A loop's right to keep storage on its thread; what is kept goes when the last loop goes.
#[derive(Debug)]
pub(crate) struct BufPool(PhantomData<*const ()>);

impl BufPool {
    /// Lets this thread keep as many buffers as one turn hands out.
    pub(crate) fn new() -> Self {
        // A thread that is ending has no pool any more.
        let _ = POOL.try_with(|pool| pool.limit.set(pool.limit.get() + EVENTS_PER_TURN));
        Self(PhantomData)
    }

    /// An empty buffer of [`BUF_BYTES`].
    pub(crate) fn take(&self) -> Buf {
        Buf::from_pool()
    }
}

impl Drop for BufPool {
    fn drop(&mut self) {
        let _ = POOL.try_with(|pool| {
            pool.limit.set(pool.limit.get() - EVENTS_PER_TURN);
            pool.idle.borrow_mut().truncate(pool.limit.get());
        });
    }
}

/// Puts a buffer into this thread's pool, if it is a pool's and there is room.
// Apart, so that the many drops of a `Buf` that is nothing cost a look and no call.
#[inline(never)]
fn give_back(mut state: Box<State>) {
    match &mut *state {
        State::Own { storage, start } if storage.capacity() == BUF_BYTES => {
            storage.clear();
            *start = 0;
        }
        _ => return,
    }
    // Without a pool it is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < pool.limit.get() {
            idle.push(state);
        }
    });
}

/// Bytes that were received and not yet used.
///
/// It derefs to the unused bytes. They are used from the front: looked at and skipped with
/// [`advance`](Self::advance), or taken with [`split_to`](Self::split_to).
///
/// By default it is nothing: no bytes, and no storage.
#[derive(Default)]
pub(crate) struct Buf(Option<Box<State>>);

enum State {
    /// Nobody else sees the storage. The bytes before `start` are used.
    Own { storage: Vec<u8>, start: usize },
    /// Pieces of the storage are out; this is the rest.
    Shared(Bytes),
}

impl Buf {
    /// An empty buffer of [`BUF_BYTES`], from this thread's pool if that has one.
    pub(crate) fn from_pool() -> Self {
        let pooled = POOL.try_with(|pool| pool.idle.borrow_mut().pop()).ok().flatten();
        match pooled {
            Some(state) => Self(Some(state)),
            None => Self::with_capacity(BUF_BYTES),
        }
    }

    /// An empty buffer with room for so many bytes.
    pub(crate) fn with_capacity(capacity_bytes: usize) -> Self {
        let storage = Vec::with_capacity(capacity_bytes);
        Self(Some(Box::new(State::Own { storage, start: 0 })))
    }

    /// Whether there is no storage, and so no byte.
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// Skips the first `count` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advanced past the end of a buffer");
        match self.0.as_deref_mut() {
            Some(State::Own { start, .. }) => *start += count,
            Some(State::Shared(rest)) => rest.advance(count),
            None => {}
        }
    }

    /// Takes the first `count` bytes: copied if they are few, else shared.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn split_to(&mut self, count: usize) -> Bytes {
        assert!(count <= self.len(), "split past the end of a buffer");
        if count <= COPY_LIMIT_BYTES {
            let piece = Bytes::copy_from_slice(&self[..count]);
            self.advance(count);
            return piece;
        }
        self.share().split_to(count)
    }

    /// Takes all bytes: copied if they are few, else shared.
    pub(crate) fn freeze(mut self) -> Bytes {
        if self.len() <= COPY_LIMIT_BYTES {
            return Bytes::copy_from_slice(&self);
        }
        match self.0.as_deref_mut() {
            Some(State::Shared(rest)) => std::mem::take(rest),
            _ => Bytes::from_owner(self),
        }
    }

    /// How many more bytes [`append`](Self::append) has room for.
    pub(crate) fn spare_bytes(&self) -> usize {
        match self.0.as_deref() {
            Some(State::Own { storage, .. }) => storage.capacity() - storage.len(),
            Some(State::Shared(_)) | None => 0,
        }
    }

    /// Appends as many of `bytes` as there is room for, and says how many that were.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.spare_bytes());
        if let Some(State::Own { storage, .. }) = self.0.as_deref_mut() {
            for step in steps(&bytes[..count]) {
                storage.extend_from_slice(step);
            }
        }
        count
    }

    /// The storage, for a driver to receive into. It has no room if pieces of it are out.
    pub(crate) fn storage_mut(&mut self) -> &mut Vec<u8> {
        match self.0.as_deref_mut() {
            Some(State::Own { storage, .. }) => storage,
            _ => unreachable!("a driver fills a buffer of the pool before anybody takes pieces"),
        }
    }

    /// Turns the unused bytes into a shared slice, in place.
    fn share(&mut self) -> &mut Bytes {
        if !matches!(self.0.as_deref(), Some(State::Shared(_))) {
            let rest = Bytes::from_owner(std::mem::take(self));
            self.0 = Some(Box::new(State::Shared(rest)));
        }
        match self.0.as_deref_mut() {
            Some(State::Shared(rest)) => rest,
            _ => unreachable!("the storage was shared just now"),
        }
    }
}

const _: () = assert!(size_of::<Buf>() == 8, "a buffer is moved from driver to reader");

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.0.as_deref() {
            Some(State::Own { storage, start }) => &storage[*start..],
            Some(State::Shared(rest)) => rest,
            None => &[],
        }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            give_back(state);
        }
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests;
