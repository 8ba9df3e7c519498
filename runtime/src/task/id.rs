//! Names of tasks: one for wakers, which may be stale, and one for people, which never repeats.

use std::fmt;

const _: () = assert!(usize::BITS == 64, "a waker packs loop, generation and slot into 64 bits");

/// Bits of a slot number, of a generation, and of the state that shares a word with them.
pub(crate) const FIELD_BITS: u32 = 24;
pub(crate) const FIELD_MASK: u64 = (1 << FIELD_BITS) - 1;
/// How many tasks one loop can hold at a time.
pub(crate) const MAX_SLOTS: u32 = 1 << FIELD_BITS;

/// `loop:16 | generation:24 | slot:24`: what a waker carries.
///
/// The generation wraps after 16.7 million reuses of a slot, so a very old number may name a newer task.
/// For a wake that is a poll for nothing, which every future allows; nothing else may act on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WakeId(pub(crate) u64);

impl WakeId {
    pub(crate) fn loop_id(self) -> u16 {
        (self.0 >> 48) as u16
    }

    pub(crate) fn slot(self) -> u32 {
        (self.0 & FIELD_MASK) as u32
    }
}

/// The number of a task, unique within its loop for ever: 1 for the first task, then counting up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub(crate) u64);

impl TaskId {
    /// The bare number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}
