//! The tasks of one loop, by slot.
//!
//! A slot is 16 bytes: a word `loop:16 | generation:24 | state:24` and the task's cell. The slot's number is
//! its position, so the low bits of the word are free for the state, and `(word ^ id) >> 24 == 0` checks loop
//! and generation at once: a stale number finds nothing.
//!
//! ```text
//!  Empty ──insert──▶ Waiting ──wake──▶ Queued ──begin──▶ Running ──park──▶ Waiting or Queued
//!    ▲                                                      └──end──▶ Done ──┐
//!    └──────────── no handle, and not in the ready queue any more ───────────┘
//! ```
//!
//! A slot is given away only when its task is done, has no handle *and* is not queued: a task that wakes
//! itself and then finishes leaves its slot number in the queue, and the next tenant would be polled in
//! its place.
//!
//! Nothing here runs user code: cells and wakers that have to be dropped go back to the caller.

mod shares;

use std::collections::BTreeMap;
use std::rc::Weak;

use super::cell::{CellPool, TaskCell};
use super::id::{FIELD_BITS, FIELD_MASK, MAX_SLOTS, WakeId};
use super::joiners::Joiners;
use super::locals::LocalContext;
use super::notice::Notices;
use super::pulse::Listing;
use crate::util::cancel::{CancelTarget, Message};

/// Bits of the state.
const OCCUPIED: u64 = 1;
const QUEUED: u64 = 1 << 1;
const RUNNING: u64 = 1 << 2;
const DONE: u64 = 1 << 3;
const HANDLE: u64 = 1 << 4;
/// A request that waits for its delivery.
const CANCEL: u64 = 1 << 5;
/// Ended by cancellation.
const CANCELLED: u64 = 1 << 6;
const HAS_RARE: u64 = 1 << 7;
/// Was alive when its loop began to shut down (rule T3).
const LEFTOVER: u64 = 1 << 8;
/// Its error needs no report any more (rule T34).
const RETRIEVED: u64 = 1 << 9;
/// Somebody in [`Rare::joiners`] is to be told when it ends.
const JOINERS: u64 = 1 << 10;
/// The request came while the task waited, which cannot be taken back (rule T32).
const STRUCK: u64 = 1 << 11;
/// A request is on its way to what the task waits for.
const ASKED: u64 = 1 << 15;
/// Done, and its callbacks have still to run: they see it too.
const HELD: u64 = 1 << 12;
/// Has something set in its task-local context.
const LOCALS: u64 = 1 << 13;
/// Its scheduling group.
const GROUP: u64 = 0b111 << GROUP_SHIFT;
const GROUP_SHIFT: u32 = 16;

/// What says whether a wake would queue a task: it would if only [`OCCUPIED`] is set of these.
const ASLEEP_MASK: u64 = OCCUPIED | QUEUED | DONE;

/// The tasks of one loop.
pub(super) struct TaskTable {
    slots: Vec<Slot>,
    /// Slots without a tenant, the last one freed on top: its cache line is warm.
    empty: Vec<u32>,
    /// Tasks that are not done.
    unfinished: usize,
    /// Of those, the ones that shutting down waits for.
    leftovers: usize,
    /// Tasks with a request that waits for its delivery.
    requests: usize,
    most_slots: u32,
    loop_bits: u64,
    first_generation: u32,
    last_generation: u32,
    pub(super) pool: CellPool,
    pub(super) notices: Notices,
    rare: BTreeMap<u32, Box<Rare>>,
}

struct Slot {
    word: u64,
    cell: Option<TaskCell>,
}

const _: () = assert!(size_of::<Slot>() == 16);

/// What few tasks need.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) name: Option<Box<str>>,
    /// Where the name can be read from another thread.
    pub(super) listing: Option<Listing>,
    pub(super) cancelling: usize,
    /// The message of the request that waits for its delivery.
    pub(super) message: Message,
    /// What takes a request over, if that is no task.
    pub(super) target: Option<Weak<dyn CancelTarget>>,
    /// Who is told when the task ends, besides the one that its cell names.
    pub(super) joiners: Joiners,
    /// Callbacks that have still to see the finished task.
    holds: u32,
    locals: LocalContext,
}

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Waiting,
    Queued,
    Running,
    Done,
}

/// What the run phase needs for one step.
pub(super) struct Step {
    pub(super) cell: TaskCell,
    pub(super) id: WakeId,
    pub(super) cancelled: bool,
    pub(super) has_locals: bool,
}

/// What is left of a task when its slot was given away, for the caller to drop.
pub(super) type Leftover = Option<Box<Rare>>;

/// What [`TaskTable::end_plainly`] did.
pub(super) enum PlainEnd {
    /// The value waits for its handle.
    Kept,
    /// The handle is gone: the value is to be dropped, and the slot given away.
    Unwanted(TaskCell),
    /// Nothing: there is more to do.
    NotPlain(TaskCell),
}

impl TaskTable {
    pub(super) fn new(loop_id: u16, first_generation: u32) -> Self {
        Self {
            slots: Vec::new(),
            empty: Vec::new(),
            unfinished: 0,
            leftovers: 0,
            requests: 0,
            most_slots: MAX_SLOTS,
            loop_bits: u64::from(loop_id) << 48,
            first_generation,
            last_generation: first_generation,
            pool: CellPool::new(),
            notices: Notices::default(),
            rare: BTreeMap::new(),
        }
    }

    /// Whether it holds 16,777,216 tasks: the numbers of wakers have no room for more.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.empty.is_empty() && self.slots.len() >= self.most_slots as usize
    }

    /// Has it be full early, for a test.
    #[cfg(test)]
    pub(super) fn limit_to(&mut self, most_slots: u32) {
        self.most_slots = most_slots;
    }

    /// Puts a task into an empty slot, queued and with a handle. There must be room.
    #[inline]
    pub(super) fn insert(&mut self, cell: TaskCell) -> u32 {
        debug_assert!(!self.is_full());
        self.unfinished += 1;
        let state = OCCUPIED | QUEUED | HANDLE;
        if let Some(index) = self.empty.pop() {
            let slot = &mut self.slots[index as usize];
            slot.word |= state;
            slot.cell = Some(cell);
            return index;
        }
        let index = self.slots.len() as u32;
        let generation = u64::from(self.first_generation) << FIELD_BITS;
        self.slots.push(Slot { word: self.loop_bits | generation | state, cell: Some(cell) });
        index
    }

    /// Marks the task of `id` as queued; false if it is stale, done or queued already.
    #[inline]
    pub(super) fn wake(&mut self, id: WakeId) -> bool {
        let Some(slot) = self.slots.get_mut(id.slot() as usize) else { return false };
        // Loop, generation and state at once.
        if (slot.word ^ (id.0 & !FIELD_MASK)) & (!FIELD_MASK | ASLEEP_MASK) != OCCUPIED {
            return false;
        }
        slot.word |= QUEUED;
        true
    }

    /// The same for whatever task is in `slot`.
    pub(super) fn wake_slot(&mut self, slot: u32) -> bool {
        self.slots.get_mut(slot as usize).is_some_and(Slot::wake)
    }

    /// Takes the cell for a step. `None` if the task ended while it was queued.
    #[inline]
    pub(super) fn begin(&mut self, index: u32) -> Result<Step, Leftover> {
        let id = self.wake_id(index);
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.word & QUEUED != 0, "an entry of the run queue names a queued slot");
        slot.word &= !QUEUED;
        if slot.word & DONE != 0 {
            return Err(self.release(index));
        }
        let Some(cell) = slot.cell.take() else { return Err(None) };
        slot.word |= RUNNING;
        let cancelled = slot.word & CANCEL != 0;
        let has_locals = slot.word & LOCALS != 0;
        Ok(Step { cell, id, cancelled, has_locals })
    }

    /// Puts the cell back after a step that did not end the task. True if a request that came during the
    /// step now has to be delivered.
    #[inline]
    pub(super) fn park(&mut self, index: u32, cell: TaskCell) -> bool {
        let slot = &mut self.slots[index as usize];
        slot.word &= !RUNNING;
        slot.cell = Some(cell);
        slot.word & CANCEL != 0
    }

    /// Whether a request came during the step (rule G21, case 3).
    pub(super) fn is_cancel_requested(&self, index: u32) -> bool {
        self.slots[index as usize].word & CANCEL != 0
    }

    /// Marks the task as done. The cell comes back if no handle wants it.
    #[inline]
    pub(super) fn end(&mut self, index: u32, cell: TaskCell, cancelled: bool) -> Option<TaskCell> {
        self.unfinished -= 1;
        let slot = &mut self.slots[index as usize];
        if slot.word & LEFTOVER != 0 {
            self.leftovers -= 1;
            slot.word |= RETRIEVED;
        }
        if slot.word & CANCEL != 0 {
            self.requests -= 1;
        }
        slot.word =
            slot.word & !(RUNNING | CANCEL | STRUCK) | DONE | if cancelled { CANCELLED } else { 0 };
        if slot.word & (HANDLE | HELD) != 0 {
            slot.cell = Some(cell);
            return None;
        }
        Some(cell)
    }

    /// The end of a task that has a value, if it needs no more than to be marked as done and to have told whom
    /// its cell names: no request came during its last step, and nobody counts it.
    #[inline]
    pub(super) fn end_plainly(&mut self, index: u32, cell: TaskCell) -> PlainEnd {
        let slot = &mut self.slots[index as usize];
        let wanted = match slot.word & (CANCEL | LEFTOVER | HANDLE | HELD | JOINERS) {
            0 => false,
            HANDLE => true,
            _ => return PlainEnd::NotPlain(cell),
        };
        self.unfinished -= 1;
        slot.word = slot.word & !RUNNING | DONE;
        if wanted {
            slot.cell = Some(cell);
            return PlainEnd::Kept;
        }
        PlainEnd::Unwanted(cell)
    }

    /// Gives the slot away if nobody needs it any more.
    #[inline]
    pub(super) fn release(&mut self, index: u32) -> Leftover {
        let slot = &mut self.slots[index as usize];
        let word = slot.word;
        if word & (DONE | HANDLE | HELD | QUEUED | RUNNING) != DONE || slot.cell.is_some() {
            return None;
        }
        let generation = next_generation((word >> FIELD_BITS) as u32);
        self.last_generation = self.last_generation.max(generation);
        slot.word = self.loop_bits | u64::from(generation) << FIELD_BITS;
        self.empty.push(index);
        if word & HAS_RARE != 0 { self.remove_rare(index) } else { None }
    }

    #[cold]
    fn remove_rare(&mut self, index: u32) -> Leftover {
        self.rare.remove(&index)
    }

    /// What the task is doing.
    pub(super) fn standing(&self, index: u32) -> Standing {
        let word = self.slots[index as usize].word;
        match word & (DONE | RUNNING | QUEUED) {
            0 if word & OCCUPIED != 0 => Standing::Waiting,
            bits if bits & DONE != 0 || word & OCCUPIED == 0 => Standing::Done,
            bits if bits & RUNNING != 0 => Standing::Running,
            _ => Standing::Queued,
        }
    }

    /// Records a request for the task's next turn. A waiter that was struck keeps the words of that request
    /// (rule G28).
    pub(super) fn record(&mut self, index: u32, message: &Message, struck: bool) {
        let before = self.slots[index as usize].word;
        if before & CANCEL == 0 {
            self.requests += 1;
        }
        if before & STRUCK == 0 && (message.is_some() || before & HAS_RARE != 0) {
            self.rare(index).message.clone_from(message);
        }
        self.slots[index as usize].word |= CANCEL | if struck { STRUCK } else { 0 };
    }

    /// Takes back a request that waits for its delivery.
    pub(super) fn unrecord(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.word & CANCEL != 0 {
            self.requests -= 1;
        }
        slot.word &= !(CANCEL | STRUCK);
    }

    /// Whether a request may still be taken back.
    pub(super) fn is_struck(&self, index: u32) -> bool {
        self.slots[index as usize].word & STRUCK != 0
    }

    /// Whether a request is on its way to what the task waits for.
    pub(super) fn is_asked(&self, index: u32) -> bool {
        self.slots[index as usize].word & ASKED != 0
    }

    pub(super) fn set_asked(&mut self, index: u32, asked: bool) {
        let word = &mut self.slots[index as usize].word;
        *word = *word & !ASKED | if asked { ASKED } else { 0 };
    }

    /// Whether the task of `id` is there and not done.
    pub(super) fn is_alive(&self, id: WakeId) -> bool {
        self.slots.get(id.slot() as usize).is_some_and(|slot| {
            (slot.word ^ id.0) >> FIELD_BITS == 0 && slot.word & (OCCUPIED | DONE) == OCCUPIED
        })
    }

    /// Has shutting down wait for this task.
    pub(super) fn mark_leftover(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.word & LEFTOVER == 0 {
            slot.word |= LEFTOVER;
            self.leftovers += 1;
        }
    }

    pub(super) fn is_leftover(&self, index: u32) -> bool {
        self.slots[index as usize].word & LEFTOVER != 0
    }

    pub(super) fn leftovers(&self) -> usize {
        self.leftovers
    }

    /// Somebody has seen the error of this task.
    pub(super) fn retrieve(&mut self, index: u32) {
        self.slots[index as usize].word |= RETRIEVED;
    }

    pub(super) fn is_retrieved(&self, index: u32) -> bool {
        self.slots[index as usize].word & RETRIEVED != 0
    }

    /// Whether a request waits for its delivery anywhere.
    pub(super) fn has_requests(&self) -> bool {
        self.requests > 0
    }

    /// The message of the request that is being delivered.
    pub(super) fn take_message(&mut self, index: u32) -> Message {
        self.rare.get_mut(&index)?.message.take()
    }

    /// Whether the task of `id` waits although it was cancelled. Not so for one that is gone: a waiter that is
    /// still in line after its task has ended was moved to another.
    pub(super) fn is_cancelled(&self, id: WakeId) -> bool {
        match self.slots.get(id.slot() as usize) {
            Some(slot) if (slot.word ^ id.0) >> FIELD_BITS == 0 => {
                slot.word & CANCEL != 0 && slot.word & RUNNING == 0
            }
            _ => false,
        }
    }

    /// What few tasks need, made when first asked for.
    pub(super) fn rare(&mut self, index: u32) -> &mut Rare {
        self.slots[index as usize].word |= HAS_RARE;
        self.rare.entry(index).or_default()
    }

    pub(super) fn rare_if_any(&self, index: u32) -> Option<&Rare> {
        if self.slots[index as usize].word & HAS_RARE == 0 {
            return None;
        }
        self.rare.get(&index).map(|rare| &**rare)
    }

    pub(super) fn cell(&mut self, index: u32) -> Option<&mut TaskCell> {
        self.slots[index as usize].cell.as_mut()
    }

    /// Takes the future of a task that will never be polled again, so that its slot counts as done.
    pub(super) fn abandon(&mut self, index: u32) -> Option<TaskCell> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.word & (OCCUPIED | DONE | RUNNING) != OCCUPIED || slot.cell.is_none() {
            return None;
        }
        slot.word |= RUNNING;
        slot.cell.take()
    }

    pub(super) fn is_done(&self, index: u32) -> bool {
        self.slots[index as usize].word & DONE != 0
    }

    pub(super) fn is_running(&self, index: u32) -> bool {
        self.slots[index as usize].word & RUNNING != 0
    }

    pub(super) fn was_cancelled(&self, index: u32) -> bool {
        self.slots[index as usize].word & CANCELLED != 0
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// The slots of all tasks that are not done.
    pub(super) fn unfinished_slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            (slot.word & (OCCUPIED | DONE) == OCCUPIED).then_some(index as u32)
        })
    }

    pub(super) fn wake_id(&self, index: u32) -> WakeId {
        let word = self.slots[index as usize].word;
        WakeId(word & !FIELD_MASK | u64::from(index))
    }

    /// Where the slots of the next loop of this id begin.
    pub(super) fn next_generation(&self) -> u32 {
        next_generation(self.last_generation)
    }
}

/// The generation after `generation`, whose upper bits do not count.
fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1) & FIELD_MASK as u32
}

impl Slot {
    fn wake(&mut self) -> bool {
        if self.word & ASLEEP_MASK != OCCUPIED {
            return false;
        }
        self.word |= QUEUED;
        true
    }
}
