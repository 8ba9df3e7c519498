//! Cancel requests: to whom they go, when they count, how they are taken back.
//!
//! ```text
//!  cancel() ─▶ done? nothing happens
//!           ─▶ running? recorded, delivered one turn after the step
//!           ─▶ frames? each leaf: forwarded to the one thing that waits there, or marked and woken
//!           ─▶ waiting for one task or aggregate? forwarded: that one is asked in our place
//!           ─▶ otherwise recorded, and the task is queued
//! ```
//!
//! The rules are G20 to G33. As everywhere in this room no borrow of the table is held while wakers are woken
//! or targets asked.

use super::cell::{Ended, TaskCell};
use super::home::Home;
use super::id::{TaskId, WakeId};
use super::table::Standing;
use crate::error::CancelledError;
use crate::util::cancel::tree;
use crate::util::cancel::{self, Forward, Leaf, Mark, Message, StepNotes};

/// What became of a request.
enum Asked {
    Done,
    Accepted,
    /// The task waits for the one in this slot, which is to be asked.
    Forward(u32),
}

impl Home {
    /// Requests the cancellation of the task in `slot` (rule G20); false if it is done. Asking a failed task
    /// counts as having seen its error (rule T37).
    pub(crate) fn cancel(&self, slot: u32, message: &Message) -> bool {
        // Tasks that wait for each other in a ring would be asked for ever.
        let mut hops_left = self.unfinished_count();
        let mut asked = self.request(slot, message, true);
        loop {
            match asked {
                Asked::Done => return false,
                Asked::Accepted => return true,
                Asked::Forward(next) => {
                    hops_left = hops_left.saturating_sub(1);
                    asked = self.request(next, message, hops_left > 0);
                }
            }
        }
    }

    /// The same for the task of `id`, which may be gone and its slot taken by another.
    pub(crate) fn cancel_this(&self, slot: u32, id: TaskId) -> bool {
        let is_running = self.running().is_some_and(|task| task.id == id);
        let is_there = is_running
            || self.tasks.borrow_mut().table.cell(slot).is_some_and(|cell| cell.id() == id);
        is_there && self.cancel(slot, &None)
    }

    fn request(&self, slot: u32, message: &Message, may_forward: bool) -> Asked {
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        let standing = table.standing(slot);
        if standing == Standing::Done {
            table.retrieve(slot);
            return Asked::Done;
        }
        table.rare(slot).cancelling += 1;
        if standing == Standing::Running {
            // It meets the request when it next suspends (rule G21, case 3).
            table.record(slot, message, false);
            drop(tasks);
            super::wake::ask_about_the_dead(self, true);
            return Asked::Accepted;
        }
        let id = table.wake_id(slot);
        let links = table.cell(slot).map(|cell| cell.links()).unwrap_or_default();
        let (root, awaiting) = (links.root(), links.awaiting());
        let target = table.rare(slot).target.as_ref().and_then(std::rc::Weak::upgrade);
        let is_awaited = awaiting != 0
            && awaiting != cancel::OTHER_TARGET
            && table.is_awaited_by(awaiting - 1, id);
        drop(tasks);
        let leaves = tree::leaves_of(root);
        if !leaves.is_empty() {
            self.ask_leaves(id, &leaves, standing, message);
            return Asked::Accepted;
        }
        if standing == Standing::Waiting && may_forward {
            if is_awaited {
                return Asked::Forward(awaiting - 1);
            }
            if awaiting == cancel::OTHER_TARGET
                && target.is_some_and(|target| target.request(message))
            {
                return Asked::Accepted;
            }
        }
        let mut tasks = self.tasks.borrow_mut();
        tasks.table.record(slot, message, standing == Standing::Waiting);
        tasks.wake(id);
        drop(tasks);
        super::wake::ask_about_the_dead(self, true);
        Asked::Accepted
    }

    /// Asks the leaf frames of a task that is not running.
    fn ask_leaves(&self, task: WakeId, leaves: &[Leaf], standing: Standing, message: &Message) {
        for &leaf in leaves {
            if standing == Standing::Waiting && self.forward_from(task, leaf, message) {
                continue;
            }
            let how = if standing == Standing::Waiting { Mark::Struck } else { Mark::Recorded };
            if let Some(waker) = tree::mark(leaf, how, message) {
                self.guarded(|| waker.wake());
            }
        }
    }

    /// Has the one thing that a frame waits for take the request over (rule G26).
    fn forward_from(&self, task: WakeId, leaf: Leaf, message: &Message) -> bool {
        match leaf.forward() {
            Forward::Nobody => false,
            Forward::Other(target) => target.request(message),
            Forward::Task(slot) => {
                let is_awaited = self.tasks.borrow().table.is_awaited_by(slot, task);
                is_awaited && self.cancel(slot, message)
            }
        }
    }

    /// The step is over and a request that came during it waits: marks the frames there are now, or has the
    /// task end at its next turn.
    pub(super) fn deliver_recorded(&self, slot: u32, id: WakeId, root: u32) {
        let leaves = tree::leaves_of(root);
        let mut tasks = self.tasks.borrow_mut();
        if leaves.is_empty() {
            tasks.wake(id);
            return;
        }
        let message = tasks.table.take_message(slot);
        tasks.table.unrecord(slot);
        drop(tasks);
        self.ask_leaves(id, &leaves, Standing::Running, &message);
    }

    /// A step that left more behind than a waiting task.
    #[cold]
    pub(super) fn park_with_care(&self, slot: u32, mut cell: TaskCell, notes: StepNotes) {
        if notes.is_unwinding() {
            let words = cancel::take_words();
            self.enter_locals(slot);
            cell.finish(CancelledError::with_words(words).into());
            self.forget_locals();
            return self.end(slot, cell, Ended::Error);
        }
        let target = cancel::take_target();
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.table.wake_id(slot);
        if cell.links().awaiting() == cancel::OTHER_TARGET && target.is_some() {
            tasks.table.rare(slot).target = target;
        }
        if notes.is_lost() {
            // The frame that was asked went without an answer: whoever is there now is asked.
            let words = cancel::take_words();
            tasks.table.record(slot, &words, false);
        }
        let root = cell.links().root();
        let requested = tasks.table.park(slot, cell);
        drop(tasks);
        if requested {
            self.deliver_recorded(slot, id, root);
        }
    }

    /// Requests that were not taken back (rule T31).
    pub(crate) fn cancelling(&self, slot: u32) -> usize {
        self.tasks.borrow().table.rare_if_any(slot).map_or(0, |rare| rare.cancelling)
    }

    /// Takes one request back and says how many are left. With none left, one that waits for its delivery is
    /// withdrawn (rule T32).
    pub(crate) fn uncancel(&self, slot: u32) -> usize {
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        if table.rare_if_any(slot).is_none_or(|rare| rare.cancelling == 0) {
            return 0;
        }
        let rare = table.rare(slot);
        rare.cancelling -= 1;
        let left = rare.cancelling;
        if left > 0 || table.standing(slot) == Standing::Done {
            return left;
        }
        let is_running = table.standing(slot) == Standing::Running;
        if !table.is_struck(slot) {
            table.unrecord(slot);
        }
        let root = table.cell(slot).map_or(0, |cell| cell.links().root());
        let is_last = !table.has_requests();
        drop(tasks);
        if is_running {
            cancel::forget_lost();
            tree::clear_recorded(cancel::current_root());
        } else {
            tree::clear_recorded(root);
        }
        if is_last {
            super::wake::ask_about_the_dead(self, false);
        }
        0
    }

    /// A request that was delivered already is delivered again at the running task's next suspension, and
    /// counts no further (rules T141, T145).
    pub(crate) fn deliver_again(&self, slot: u32) {
        self.tasks.borrow_mut().table.record(slot, &None, false);
        super::wake::ask_about_the_dead(self, true);
    }

    /// The deadline of a frame has struck: its task has one more request, which goes to the leaves below that
    /// frame alone (rules G23, T111).
    pub(crate) fn expire(&self, frame: u64) {
        if self.request_below(frame) {
            tree::set_expired(frame);
        }
    }

    /// A request that goes only to the leaf frames below `frame`, or to `frame` if there are none. False if
    /// its task is gone.
    pub(crate) fn request_below(&self, frame: u64) -> bool {
        let Some(task) = tree::alarm_task(frame).map(WakeId) else { return false };
        let mut tasks = self.tasks.borrow_mut();
        if task.loop_id() != self.loop_number() || !tasks.table.is_alive(task) {
            return false;
        }
        let standing = tasks.table.standing(task.slot());
        tasks.table.rare(task.slot()).cancelling += 1;
        drop(tasks);
        self.ask_leaves(task, &tree::leaves_below(frame), standing, &None);
        true
    }
}
