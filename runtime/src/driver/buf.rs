//! Receive buffers: taken when bytes are there, given back when the bytes have been used.
//!
//! A [`Buf`] holds what one read received, in 16 KiB of storage that came from its thread's pool. When
//! the `Buf` is dropped the storage goes back, so a loop that serves ten thousand connections needs no
//! more storage than one turn hands out.
//!
//! What the user keeps leaves as [`Bytes`]. Small pieces are copied, because a slice of twenty bytes must
//! not pin 16 KiB; larger ones share the storage, and the last of them to be dropped gives it back to
//! the pool of the thread that drops it. A thread without a loop keeps no pool and frees it.

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

/// The unused storage of one thread.
struct Pool {
    idle: RefCell<Vec<Vec<u8>>>,
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

/// Storage on its way back to a pool, that of whichever thread drops it.
struct Storage(Vec<u8>);

impl AsRef<[u8]> for Storage {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.0));
    }
}

/// Puts storage into this thread's pool, if it is a pool's storage and there is room.
fn give_back(mut storage: Vec<u8>) {
    if storage.capacity() != BUF_BYTES {
        return;
    }
    // Without a pool the storage is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < pool.limit.get() {
            storage.clear();
            idle.push(std::mem::take(&mut storage));
        }
    });
}

/// Bytes that were received and not yet used.
///
/// It derefs to the unused bytes. They are used from the front: looked at and skipped with
/// [`advance`](Self::advance), or taken with [`split_to`](Self::split_to).
pub(crate) struct Buf(State);

enum State {
    /// Nobody else sees the storage. The bytes before `start` are used.
    Own { storage: Vec<u8>, start: usize },
    /// Pieces of the storage are out; this is the rest. Boxed, because few buffers get there and all are
    /// moved about.
    Shared(Box<Bytes>),
}

impl Buf {
    /// An empty buffer of [`BUF_BYTES`], from this thread's pool if that has one.
    pub(crate) fn from_pool() -> Self {
        let storage = POOL.try_with(|pool| pool.idle.borrow_mut().pop()).ok().flatten();
        Self::from_storage(storage.unwrap_or_else(|| Vec::with_capacity(BUF_BYTES)))
    }

    fn from_storage(storage: Vec<u8>) -> Self {
        Self(State::Own { storage, start: 0 })
    }

    /// Skips the first `count` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advanced past the end of a buffer");
        match &mut self.0 {
            State::Own { start, .. } => *start += count,
            State::Shared(rest) => rest.advance(count),
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
        match &mut self.0 {
            State::Own { storage, start } => freeze_storage(std::mem::take(storage), *start),
            State::Shared(rest) => std::mem::take(rest),
        }
    }

    /// How many more bytes [`append`](Self::append) has room for.
    pub(crate) fn spare_bytes(&self) -> usize {
        match &self.0 {
            State::Own { storage, .. } => storage.capacity() - storage.len(),
            State::Shared(_) => 0,
        }
    }

    /// Appends as many of `bytes` as there is room for, and says how many that were.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.spare_bytes());
        if let State::Own { storage, .. } = &mut self.0 {
            for step in steps(&bytes[..count]) {
                storage.extend_from_slice(step);
            }
        }
        count
    }

    /// The storage, for a driver to receive into. It has no room if pieces of it are out.
    pub(crate) fn storage_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.0 {
            State::Own { storage, .. } => storage,
            State::Shared(_) => unreachable!("a driver fills a buffer before anybody takes pieces"),
        }
    }

    /// Turns the unused bytes into a shared slice, in place.
    fn share(&mut self) -> &mut Bytes {
        if let State::Own { storage, start } = &mut self.0 {
            let rest = freeze_storage(std::mem::take(storage), *start);
            self.0 = State::Shared(Box::new(rest));
        }
        match &mut self.0 {
            State::Shared(rest) => rest,
            State::Own { .. } => unreachable!("the storage was shared just now"),
        }
    }
}

/// What follows the first `start` bytes, as a shared slice.
fn freeze_storage(storage: Vec<u8>, start: usize) -> Bytes {
    let mut rest = Bytes::from_owner(Storage(storage));
    rest.advance(start);
    rest
}

const _: () = assert!(size_of::<Buf>() == 32, "a buffer is moved from driver to reader");

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            State::Own { storage, start } => &storage[*start..],
            State::Shared(rest) => rest,
        }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let State::Own { storage, .. } = &mut self.0 {
            give_back(std::mem::take(storage));
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
