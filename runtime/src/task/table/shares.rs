//! Who has a share in a task: its handle, those who wait for its end, the callbacks that have still to see it.

use super::{
    DONE, GROUP, GROUP_SHIFT, HANDLE, HAS_RARE, HELD, JOINERS, LOCALS, OCCUPIED, TaskTable,
};
use crate::task::assign::GroupNumber;
use crate::task::cell::{Joiner, TaskCell};
use crate::task::id::WakeId;
use crate::task::joiners::{Joiners, Told};
use crate::task::locals::LocalContext;

impl TaskTable {
    /// Keeps the slot of a task that is done, or is about to be, for a callback.
    pub(in crate::task) fn hold(&mut self, index: u32) {
        self.rare(index).holds += 1;
        self.slots[index as usize].word |= HELD;
    }

    /// Ends a [`hold`](Self::hold). The cell comes back if nobody wants it any more.
    pub(in crate::task) fn unhold(&mut self, index: u32) -> Option<TaskCell> {
        let rare = self.rare(index);
        rare.holds -= 1;
        if rare.holds > 0 {
            return None;
        }
        let slot = &mut self.slots[index as usize];
        slot.word &= !HELD;
        if slot.word & HANDLE == 0 { slot.cell.take() } else { None }
    }

    /// Names the task of `id` in the cell as the one that awaits the handle. False if others are registered
    /// already, who would be told after it.
    #[inline]
    pub(in crate::task) fn join_plainly(&mut self, index: u32, id: WakeId) -> bool {
        let slot = &mut self.slots[index as usize];
        let Some(cell) = &mut slot.cell else { return false };
        match cell.joiner() {
            Joiner::Task(joiner) if joiner == id => return true,
            Joiner::Notice(_) => return false,
            Joiner::Task(_) | Joiner::Nobody if slot.word & JOINERS != 0 => return false,
            Joiner::Task(_) | Joiner::Nobody => {}
        }
        cell.set_joiner(Joiner::Task(id));
        true
    }

    /// Whether the task in `index` is awaited by the task of `id`, so that a request for that one may be
    /// forwarded to this one.
    pub(in crate::task) fn is_awaited_by(&self, index: u32, id: WakeId) -> bool {
        let Some(slot) = self.slots.get(index as usize) else { return false };
        if slot.word & (OCCUPIED | DONE) != OCCUPIED {
            return false;
        }
        match slot.cell.as_ref().map(TaskCell::joiner) {
            Some(Joiner::Task(joiner)) if joiner == id => true,
            _ => self.rare_if_any(index).is_some_and(|rare| rare.joiners.has_task(id)),
        }
    }

    /// Whoever is to be told besides the joiner in the cell; made when first asked for.
    pub(in crate::task) fn joiners(&mut self, index: u32) -> &mut Joiners {
        self.slots[index as usize].word |= JOINERS;
        &mut self.rare(index).joiners
    }

    /// Whether anybody is to be told besides the joiner in the cell.
    pub(in crate::task) fn has_joiners(&self, index: u32) -> bool {
        self.slots[index as usize].word & JOINERS != 0
    }

    /// Takes a registration back.
    pub(in crate::task) fn unregister(&mut self, index: u32, key: u64) -> Option<Told> {
        let slot = &mut self.slots[index as usize];
        if slot.word & JOINERS == 0 {
            return None;
        }
        let joiners = &mut self.rare.get_mut(&index)?.joiners;
        let removed = joiners.remove(key);
        if joiners.is_empty() {
            slot.word &= !JOINERS;
        }
        removed
    }

    /// Nobody awaits the handle any more, so that it wakes nobody for nothing.
    pub(in crate::task) fn forget_own(&mut self, index: u32) -> Option<Told> {
        let slot = &mut self.slots[index as usize];
        if let Some(cell) = &mut slot.cell
            && matches!(cell.joiner(), Joiner::Task(_))
        {
            cell.set_joiner(Joiner::Nobody);
        }
        if slot.word & JOINERS == 0 {
            return None;
        }
        let own = self.rare.get(&index)?.joiners.own()?;
        self.unregister(index, own)
    }

    /// All who are registered, besides the joiner in the cell.
    pub(in crate::task) fn take_joiners(&mut self, index: u32) -> Joiners {
        let slot = &mut self.slots[index as usize];
        if slot.word & JOINERS == 0 {
            return Joiners::default();
        }
        slot.word &= !JOINERS;
        self.rare.get_mut(&index).map(|rare| std::mem::take(&mut rare.joiners)).unwrap_or_default()
    }

    /// Takes the cell of a done task on behalf of its handle, which is then gone.
    #[inline]
    pub(in crate::task) fn take_cell(&mut self, index: u32) -> Option<TaskCell> {
        let slot = &mut self.slots[index as usize];
        slot.word &= !HANDLE;
        if slot.word & DONE != 0 { slot.cell.take() } else { None }
    }

    /// The handle is gone. The cell of a done task comes back if nobody else wants it.
    pub(in crate::task) fn drop_handle(&mut self, index: u32) -> Option<TaskCell> {
        let slot = &mut self.slots[index as usize];
        slot.word &= !HANDLE;
        if slot.word & (DONE | HELD) == DONE { slot.cell.take() } else { None }
    }

    /// Takes the cell of a done task for a look at its output. It has to be given back.
    pub(in crate::task) fn lend_cell(&mut self, index: u32) -> Option<TaskCell> {
        self.slots[index as usize].cell.take()
    }

    pub(in crate::task) fn return_cell(&mut self, index: u32, cell: TaskCell) {
        self.slots[index as usize].cell = Some(cell);
    }

    /// Takes what a handle that gives the slot away still has to know: the given name, and how many requests
    /// were not taken back.
    #[inline]
    pub(in crate::task) fn take_remains(&mut self, index: u32) -> (Option<Box<str>>, usize) {
        if self.slots[index as usize].word & HAS_RARE == 0 {
            return (None, 0);
        }
        self.rare.get_mut(&index).map_or((None, 0), |rare| (rare.name.take(), rare.cancelling))
    }

    /// Takes what the task has set in its context, for a step.
    pub(in crate::task) fn take_locals(&mut self, index: u32) -> LocalContext {
        if self.slots[index as usize].word & LOCALS == 0 {
            return LocalContext::default();
        }
        self.slots[index as usize].word &= !LOCALS;
        self.rare.get_mut(&index).map(|rare| std::mem::take(&mut rare.locals)).unwrap_or_default()
    }

    /// What a task that makes no step has set in its context.
    pub(in crate::task) fn locals(&self, index: u32) -> LocalContext {
        if self.slots[index as usize].word & LOCALS == 0 {
            return LocalContext::default();
        }
        self.rare_if_any(index).map(|rare| rare.locals.clone()).unwrap_or_default()
    }

    /// The scheduling group of whatever task is in the slot.
    pub(in crate::task) fn group(&self, index: u32) -> GroupNumber {
        let word = self.slots[index as usize].word;
        ((word & GROUP) >> GROUP_SHIFT) as GroupNumber
    }

    /// Moves a task into a scheduling group, and returns the one before.
    pub(in crate::task) fn set_group(&mut self, index: u32, group: GroupNumber) -> GroupNumber {
        let before = self.group(index);
        let word = &mut self.slots[index as usize].word;
        *word = *word & !GROUP | u64::from(group) << GROUP_SHIFT;
        before
    }

    /// Keeps what the task has set in its context, and returns what it had before.
    pub(in crate::task) fn set_locals(
        &mut self,
        index: u32,
        context: LocalContext,
    ) -> LocalContext {
        self.slots[index as usize].word |= LOCALS;
        std::mem::replace(&mut self.rare(index).locals, context)
    }
}
