//! **Unsafe room 1**: a [`WakeId`] as a [`Waker`], and back.
//!
//! The number stands where a waker has its data pointer. Nothing is ever read through that pointer, so
//! cloning copies it, dropping it does nothing, and any thread may hold it for as long as it likes.
#![allow(unsafe_code)] // `Waker::new` is an unsafe function: its caller answers for the vtable.

use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::home::Home;
use super::id::WakeId;
use super::wake::wake;

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &VTABLE),
    |data| wake(id_of_data(data)),
    |data| wake(id_of_data(data)),
    |_| {},
);

/// The waker of `id`. It needs no drop, so callers on the hot path are spared the call of an empty one.
pub(crate) fn waker(id: WakeId) -> ManuallyDrop<Waker> {
    let data = ptr::without_provenance(id.0 as usize);
    // SAFETY: the vtable's functions never read through `data`, they only look at its address, so they are
    // sound for any value, from any thread, any number of times; `clone` returns the same number with the
    // same vtable, and there is nothing to release in `drop`.
    ManuallyDrop::new(unsafe { Waker::new(data, &VTABLE) })
}

/// What a timer wakes to say that the deadline of a frame has struck.
pub(crate) fn alarm(frame: u64) -> Waker {
    ManuallyDrop::into_inner(waker(WakeId(frame)))
}

/// The number inside a waker of ours; `None` for another executor's.
pub(crate) fn id_of(waker: &Waker) -> Option<WakeId> {
    ptr::eq(waker.vtable(), &VTABLE).then(|| id_of_data(waker.data()))
}

/// A waker of ours in one word, for what every idle connection keeps. It wakes without a call through a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskWaker(NonZeroU64);

impl TaskWaker {
    /// The same as `waker`; `None` if that is another executor's.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<Self> {
        id_of(waker).and_then(|id| NonZeroU64::new(id.0)).map(Self)
    }

    /// Wakes the task, from any thread, at any time.
    pub(crate) fn wake(self) {
        wake(WakeId(self.0.get()));
    }

    /// The same from a turn of the loop of `home`, of which the task most likely is: that takes no look for the
    /// loop that is being turned.
    #[inline]
    pub(crate) fn wake_in_turn(self, home: &Home) {
        if !home.wake(WakeId(self.0.get())) {
            self.wake();
        }
    }
}

fn id_of_data(data: *const ()) -> WakeId {
    WakeId(data.addr() as u64)
}
