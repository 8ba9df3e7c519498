//! An entry of the ready queue, in four bytes: what kind of thing it is and its number there.

use super::assign::GroupNumber;
use super::id::{FIELD_BITS, FIELD_MASK};

/// What is ready, besides tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// A timer that came due, by slot.
    Timer(u32),
    /// The completions that the driver handed up, in their order.
    Completions,
    /// The next callback in line, which is of this scheduling group.
    Callback(GroupNumber),
    /// Nothing by itself: scheduling groups have work left.
    Backlog,
}

/// A task or a [`Ready`], as it lies in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(u32);

const TASK: u32 = 0;
const TIMER: u32 = 1;
const COMPLETIONS: u32 = 2;
const CALLBACK: u32 = 3;
const BACKLOG: u32 = 4;

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

    /// A callback of the default group, unless another one claims it.
    pub(crate) fn callback() -> Self {
        Self::pack(CALLBACK, 0)
    }

    pub(crate) fn callback_of(group: GroupNumber) -> Self {
        Self::pack(CALLBACK, u32::from(group) + 1)
    }

    /// Keeps a loop awake whose scheduling groups have work left.
    pub(crate) fn backlog() -> Self {
        Self::pack(BACKLOG, 0)
    }

    /// The slot of a task, or what else it is.
    #[inline]
    pub(crate) fn unpack(self) -> Result<u32, Ready> {
        // Nearly all are tasks, which have one comparison to pass.
        if self.0 >> FIELD_BITS == TASK { Ok(self.0) } else { Err(self.other()) }
    }

    fn other(self) -> Ready {
        let number = self.0 & FIELD_MASK as u32;
        match self.0 >> FIELD_BITS {
            TIMER => Ready::Timer(number),
            COMPLETIONS => Ready::Completions,
            CALLBACK => Ready::Callback(number.saturating_sub(1) as GroupNumber),
            _ => Ready::Backlog,
        }
    }

    fn pack(kind: u32, slot: u32) -> Self {
        debug_assert!(u64::from(slot) <= FIELD_MASK, "a slot number has 24 bits");
        Self(kind << FIELD_BITS | slot)
    }
}
