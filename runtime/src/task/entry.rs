//! An entry of the ready queue, in four bytes: what kind of thing it is and its number there.

use super::id::{FIELD_BITS, FIELD_MASK};

/// What is ready, besides tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A timer that came due, by slot.
    Timer(u32),
    /// The completions that the driver handed up, in their order.
    Completions,
    /// The next callback in line.
    Callback,
}

/// A task or a [`Ready`], as it lies in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u32);

const TASK: u32 = 0;
const TIMER: u32 = 1;
const COMPLETIONS: u32 = 2;
const CALLBACK: u32 = 3;

impl Entry {
    pub(crate) fn task(slot: u32) -> Self {
        Self::pack(TASK, slot)
    }

    pub(crate) fn timer(slot: u32) -> Self {
        Self::pack(TIMER, slot)
    }

    pub(crate) fn completions() -> Self {
        Self::pack(COMPLETIONS, 0)
    }

    pub(crate) fn callback() -> Self {
        Self::pack(CALLBACK, 0)
    }

    /// The slot of a task, or what else it is.
    #[inline]
    pub(crate) fn unpack(self) -> Result<u32, Ready> {
        let slot = self.0 & FIELD_MASK as u32;
        Err(match self.0 >> FIELD_BITS {
            TASK => return Ok(slot),
            TIMER => Ready::Timer(slot),
            COMPLETIONS => Ready::Completions,
            _ => Ready::Callback,
        })
    }

    fn pack(kind: u32, slot: u32) -> Self {
        debug_assert!(u64::from(slot) <= FIELD_MASK, "a slot number has 24 bits");
        Self(kind << FIELD_BITS | slot)
    }
}
