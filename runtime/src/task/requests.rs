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

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::cell::{Ended, TaskCell};
use super::home::Home;
use super::id::{TaskId, WakeId};
use super::locals::LocalContext;
use super::table::Standing;
use crate::error::CancelledError;
use crate::util::cancel::tree;
use crate::util::cancel::{self, CancelTarget, Forward, Frame, Leaf, Mark, Message, StepNotes};

/// One step of a request on its way. Rather than by recursion, which a long chain of tasks that await each
/// other would take through the end of the stack, it walks with a list of what is still to be asked.
pub(super) enum Ask {
    Task(u32),
    Leaf {
        task: WakeId,
        leaf: Leaf,
        standing: Standing,
    },
    /// All that the task waits for was asked.
    Leave(u32),
}

/// Requests that come while one is on its way: they join it.
#[derive(Default)]
pub(super) struct Cascade {
    is_running: Cell<bool>,
    joined: RefCell<Vec<(Ask, Message)>>,
}

/// A request is on its way until this is dropped, also by a panic.
struct Running<'a>(&'a Cell<bool>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Home {
    /// Requests the cancellation of the task in `slot` (rule G20); false if it is done. Asking a failed task
    /// counts as having seen its error (rule T37).
    pub(crate) fn cancel(&self, slot: u32, message: &Message) -> bool {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.table.is_done(slot) {
            tasks.table.retrieve(slot);
            return false;
        }
        drop(tasks);
        self.cascade(vec![(Ask::Task(slot), message.clone())]);
        true
    }

    /// The same for the task of `id`, which may be gone and its slot taken by another.
    pub(crate) fn cancel_this(&self, slot: u32, id: TaskId) -> bool {
        let is_running = self.running().is_some_and(|task| task.id == id);
        let is_there = is_running
            || self.tasks.borrow_mut().table.cell(slot).is_some_and(|cell| cell.id() == id);
        is_there && self.cancel(slot, &None)
    }

    /// Requests the cancellation of all tasks, oldest first (rules T3, X7), and counts them as leftovers; not of
    /// those whose context `is_spared`.
    pub(crate) fn cancel_all(&self, mut is_spared: impl FnMut(&LocalContext) -> bool) {
        for (_, slot) in self.unfinished() {
            let context = self.tasks.borrow().table.locals(slot);
            if is_spared(&context) {
                continue;
            }
            self.tasks.borrow_mut().table.mark_leftover(slot);
            self.cancel(slot, &None);
        }
    }

    /// Asks, and whomever those forward to, depth first and in order.
    fn cascade(&self, mut asks: Vec<(Ask, Message)>) {
        if self.cascade.is_running.replace(true) {
            self.cascade.joined.borrow_mut().append(&mut asks);
            return;
        }
        let _running = Running(&self.cascade.is_running);
        asks.reverse();
        while let Some((ask, message)) = asks.pop() {
            let begun = asks.len();
            match ask {
                Ask::Task(slot) => self.ask_task(slot, &message, &mut asks),
                Ask::Leaf { task, leaf, standing } => {
                    self.ask_leaf(task, leaf, standing, &message, &mut asks);
                }
                Ask::Leave(slot) => self.tasks.borrow_mut().table.set_asked(slot, false),
            }
            // What a target has asked for goes before what is to be asked after it.
            asks.append(&mut self.cascade.joined.borrow_mut());
            asks[begun..].reverse();
        }
    }

    fn ask_task(&self, slot: u32, message: &Message, asks: &mut Vec<(Ask, Message)>) {
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        let standing = table.standing(slot);
        if standing == Standing::Done {
            return;
        }
        table.rare(slot).cancelling += 1;
        if standing == Standing::Running {
            // It meets the request when it next suspends (rule G21, case 3).
            table.record(slot, message, false);
            drop(tasks);
            return super::wake::ask_about_the_dead(self, true);
        }
        let id = table.wake_id(slot);
        let links = table.cell(slot).map(|cell| cell.links()).unwrap_or_default();
        // Tasks that wait for each other in a ring: the one that is met again is the one to give way.
        let may_forward = standing == Standing::Waiting && !table.is_asked(slot);
        let leaves = tree::leaves_of(links.root());
        if !leaves.is_empty() {
            let standing = if may_forward { standing } else { Standing::Queued };
            table.set_asked(slot, true);
            let leaves = leaves.into_iter().map(|leaf| Ask::Leaf { task: id, leaf, standing });
            asks.extend(leaves.map(|ask| (ask, message.clone())));
            asks.push((Ask::Leave(slot), None));
            return;
        }
        if may_forward && links.awaiting() != 0 {
            let target = table.rare(slot).target.as_ref().and_then(Weak::upgrade);
            table.set_asked(slot, true);
            drop(tasks);
            let forwarded = self.forward(id, links.awaiting(), target, message, asks);
            if forwarded {
                asks.append(&mut self.cascade.joined.borrow_mut());
                return asks.push((Ask::Leave(slot), None));
            }
            tasks = self.tasks.borrow_mut();
            tasks.table.set_asked(slot, false);
        }
        tasks.table.record(slot, message, standing == Standing::Waiting);
        tasks.wake(id);
        drop(tasks);
        super::wake::ask_about_the_dead(self, true);
    }

    /// Has the one thing that is waited for take the request over (rule G26).
    fn forward(
        &self,
        task: WakeId,
        awaiting: u32,
        target: Option<Rc<dyn CancelTarget>>,
        message: &Message,
        asks: &mut Vec<(Ask, Message)>,
    ) -> bool {
        if awaiting == cancel::OTHER_TARGET {
            return target.is_some_and(|target| target.request(message));
        }
        let is_awaited = self.tasks.borrow().table.is_awaited_by(awaiting - 1, task);
        if is_awaited {
            asks.push((Ask::Task(awaiting - 1), message.clone()));
        }
        is_awaited
    }

    /// Asks a leaf frame of a task that is not running, or what it waits for.
    fn ask_leaf(
        &self,
        task: WakeId,
        leaf: Leaf,
        standing: Standing,
        message: &Message,
        asks: &mut Vec<(Ask, Message)>,
    ) {
        if standing == Standing::Waiting {
            let (awaiting, target) = match leaf.forward() {
                Forward::Nobody => (0, None),
                Forward::Task(slot) => (slot + 1, None),
                Forward::Other(target) => (cancel::OTHER_TARGET, Some(target)),
            };
            if awaiting != 0 && self.forward(task, awaiting, target, message, asks) {
                return;
            }
        }
        let how = if standing == Standing::Waiting { Mark::Struck } else { Mark::Recorded };
        self.mark_leaf(leaf, how, message);
    }

    fn mark_leaf(&self, leaf: Leaf, how: Mark, message: &Message) {
        if let Some(waker) = tree::mark(leaf, how, message) {
            self.guarded(|| tree::keep_waker(leaf, waker.clone()));
            self.guarded(|| waker.wake());
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
        let is_last = !tasks.table.has_requests();
        drop(tasks);
        if is_last {
            super::wake::ask_about_the_dead(self, false);
        }
        for leaf in leaves {
            self.mark_leaf(leaf, Mark::Recorded, &message);
        }
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
            // Whoever is there now is asked.
            tasks.table.record(slot, &cancel::take_words(), false);
        }
        let root = cell.links().root();
        let requested = tasks.table.park(slot, cell);
        drop(tasks);
        if requested {
            self.deliver_recorded(slot, id, root);
        }
    }

    /// The last step of a task left more behind than its outcome: a request whose frame went without an answer
    /// was never delivered, so the value that came after it is dropped (rule G21, case 3).
    #[cold]
    pub(super) fn end_noted(&self, slot: u32, cell: TaskCell, ended: Ended, notes: StepNotes) {
        if notes.is_lost() {
            self.tasks.borrow_mut().table.record(slot, &cancel::take_words(), false);
        }
        self.end(slot, cell, ended);
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

    /// The scope of a frame asks what is below it to end, because its deadline has struck or it aborts: its task
    /// has one more request, which goes to the leaves below that frame alone, or to the frame if there are none
    /// (rules G23, T111, T133). Nothing happens if that task is gone.
    pub(crate) fn request_below(&self, frame: u64) {
        let Some(task) = tree::alarm_task(frame).map(WakeId) else { return };
        let mut tasks = self.tasks.borrow_mut();
        if task.loop_id() != self.loop_number() || !tasks.table.is_alive(task) {
            return;
        }
        let standing = tasks.table.standing(task.slot());
        tasks.table.rare(task.slot()).cancelling += 1;
        drop(tasks);
        tree::set_asked(frame, Some(task.0));
        let leaves = tree::leaves_below(frame).into_iter();
        let asks = leaves.map(|leaf| (Ask::Leaf { task, leaf, standing }, None)).collect();
        self.cascade(asks);
    }

    /// Takes back what the scope of a frame has asked its task for, and says how many requests the running task
    /// has left. `None` if it had not asked.
    pub(crate) fn take_back(&self, frame: u64) -> Option<usize> {
        let asked = WakeId(tree::asked(frame)?);
        tree::set_asked(frame, None);
        if self.tasks.borrow().table.is_alive(asked) {
            self.uncancel(asked.slot());
        }
        Some(self.running().map_or(0, |task| self.cancelling(task.slot)))
    }

    /// What was asked of the task that polled a frame before is asked of the running one from now on.
    #[cold]
    pub(crate) fn hand_over(&self, frame: u64) {
        let Some(running) = self.running() else { return };
        if self.take_back(frame).is_some() {
            let mut tasks = self.tasks.borrow_mut();
            tasks.table.rare(running.slot).cancelling += 1;
            tree::set_asked(frame, Some(tasks.table.wake_id(running.slot).0));
        }
    }

    /// The scope of a frame is dropped: what it has asked for goes with it, and is not what a frame that went
    /// unanswered leaves behind. More than `before` requests mean that somebody else has asked too.
    pub(crate) fn withdraw(&self, frame: &Frame, before: usize) {
        let asked = tree::asked(frame.number()).map(WakeId);
        frame.leave();
        let Some(asked) = asked else { return };
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        if !table.is_alive(asked) {
            return;
        }
        let rare = table.rare(asked.slot());
        rare.cancelling = rare.cancelling.saturating_sub(1);
        if rare.cancelling > before {
            return;
        }
        let root = match table.cell(asked.slot()) {
            Some(cell) => cell.links().root(),
            None => {
                cancel::forget_lost();
                cancel::current_root()
            }
        };
        drop(tasks);
        drop(tree::take_lost(root));
    }
}
