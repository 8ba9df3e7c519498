//! A loop's tasks and the queue of what is ready, as the loop's own thread sees them.
//!
//! The rule of this file: take, let go, then call out. No borrow of the table is held while a future is
//! polled or dropped, a waker is woken, or a report is made.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::assign::Joined;
use super::cell::{Ended, Joiner, TaskCell};
use super::entry::Entry;
use super::finished::Ending;
use super::id::{TaskId, WakeId};
use super::locals::Current;
use super::mailbox::Mailbox;
use super::notice::Call;
use super::pulse::Pulse;
use super::registry::Lease;
use super::report::{self, Report, ReportHandler, ReportKind};
use super::requests::Cascade;
use super::table::{PlainEnd, Step, TaskTable};
use super::tree::Births;
use super::waker;
use crate::error::{CancelledError, Error, Result, drop_quietly};
use crate::util::cancel::{self, Scope, tree};

/// An entry of the ready queue that is no task: it runs once.
pub(crate) type Callback = Box<dyn FnOnce()>;

/// The tasks of one loop.
pub(crate) struct Home {
    /// Itself, for what keeps it alive.
    this: Weak<Self>,
    lease: Lease,
    /// The number of the lease, until the loop is closed: then it shares that with the next one that gets it.
    number: Cell<u16>,
    /// Table and queue in one cell: nearly every call needs both.
    pub(super) tasks: RefCell<Tasks>,
    pub(super) last_id: Cell<u64>,
    pub(super) births: RefCell<Births>,
    pub(super) joined: Joined,
    /// The last number of a registration on any task.
    pub(super) last_key: Cell<u64>,
    /// What the loop is doing: for itself, and for who watches it from another thread.
    pub(super) pulse: Arc<Pulse>,
    /// The slot of the task whose step is being made, if there is one.
    pub(super) stepped: Cell<u32>,
    closed: Cell<bool>,
    /// Whether what is left when it is closed goes unreported, because that is a simulated crash and nobody's mistake.
    pub(crate) crashes: Cell<bool>,
    ended: Cell<bool>,
    /// The task-local context of the task that is being stepped.
    pub(super) locals: Current,
    pub(super) on_report: RefCell<ReportHandler>,
    /// Errors of leftovers, kept until all of them have ended (rule T9).
    shutdown_reports: RefCell<Vec<Report>>,
    pub(super) cascade: Cascade,
}

pub(super) struct Tasks {
    pub(super) table: TaskTable,
    pub(super) ready: Vec<Entry>,
    /// What the callback entries in `ready` stand for, in their order.
    pub(super) calls: VecDeque<Call>,
}

impl Tasks {
    /// Queues the task of `id`, unless it is stale, done or queued already.
    pub(super) fn wake(&mut self, id: WakeId) {
        if self.table.wake(id) {
            self.ready.push(Entry::task(id.slot()));
        }
    }
}

/// A task of this loop: where it is, its number, and where it was created.
#[derive(Clone, Copy)]
pub(crate) struct Resident {
    pub(crate) slot: u32,
    pub(crate) id: TaskId,
    pub(crate) location: &'static Location<'static>,
}

impl Home {
    /// Tasks for a new loop; `None` when 65,535 loops live already.
    pub(crate) fn new() -> Option<Rc<Self>> {
        let lease = Lease::new()?;
        Some(Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            tasks: RefCell::new(Tasks {
                table: TaskTable::new(lease.id(), lease.first_generation()),
                ready: Vec::new(),
                calls: VecDeque::new(),
            }),
            number: Cell::new(lease.id()),
            lease,
            last_id: Cell::new(0),
            births: RefCell::default(),
            joined: Joined::default(),
            last_key: Cell::new(0),
            pulse: Arc::new(Pulse::new()),
            stepped: Cell::new(0),
            closed: Cell::new(false),
            crashes: Cell::new(false),
            ended: Cell::new(false),
            locals: Current::new(),
            on_report: RefCell::new(Rc::new(report::log)),
            shutdown_reports: RefCell::default(),
            cascade: Cascade::default(),
        }))
    }

    /// Itself, counted. Somebody holds it, as it is being called.
    pub(super) fn counted(&self) -> Rc<Self> {
        self.this.upgrade().expect("a home is called by an owner of it")
    }

    pub(super) fn loop_number(&self) -> u16 {
        self.lease.id()
    }

    pub(crate) fn mailbox(&self) -> &'static Mailbox {
        self.lease.mailbox()
    }

    /// Puts a future into the table and its first step at the end of the queue (rule G2). The caller owns
    /// the one handle of the slot. `None` if the loop has been closed; the future is dropped then.
    pub(crate) fn spawn<F, T>(
        &self,
        future: F,
        location: &'static Location<'static>,
    ) -> Option<(u32, TaskId)>
    where
        F: Future<Output = Result<T>> + 'static,
        T: 'static,
    {
        if self.closed.get() {
            return None;
        }
        let id = TaskId(self.last_id.get() + 1);
        self.last_id.set(id.0);
        let mut tasks = self.tasks.borrow_mut();
        // Before the future is in a cell: that would be dropped while the table is borrowed, for which it may ask.
        assert!(!tasks.table.is_full(), "a loop holds 16,777,216 tasks at most");
        let Tasks { table, ready, .. } = &mut *tasks;
        let cell = TaskCell::new(&mut table.pool, future, id, location);
        let slot = table.insert(cell);
        ready.push(Entry::task(slot));
        drop(tasks);
        if self.locals.is_inherited() {
            self.bequeath(slot);
        }
        Some((slot, id))
    }

    /// Appends an entry to the ready queue.
    pub(crate) fn push(&self, entry: Entry) {
        self.tasks.borrow_mut().ready.push(entry);
    }

    /// Whether it runs nothing any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.tasks.borrow().ready.is_empty()
    }

    /// Exchanges the ready queue for an empty one.
    pub(crate) fn swap_ready(&self, batch: &mut Vec<Entry>) {
        debug_assert!(batch.is_empty());
        std::mem::swap(&mut self.tasks.borrow_mut().ready, batch);
    }

    /// Wakes a task of this loop; false if `id` belongs to another loop.
    #[inline]
    pub(super) fn wake(&self, id: WakeId) -> bool {
        if id.loop_id() != self.number.get() {
            return false;
        }
        self.tasks.borrow_mut().wake(id);
        true
    }

    /// Takes what other threads have posted, `budget` wakes at most. True if it took all; and how many tasks it
    /// woke.
    pub(crate) fn take_wakes(&self, budget: usize) -> (bool, u64) {
        let mut woken = 0;
        let Tasks { table, ready, .. } = &mut *self.tasks.borrow_mut();
        let is_all = self.mailbox().drain(budget, |slot| {
            if table.wake_slot(slot) {
                ready.push(Entry::task(slot));
                woken += 1;
            }
        });
        (is_all, woken)
    }

    /// Whether a request waits for its delivery anywhere, so that hand-overs have to ask whom they meet.
    pub(crate) fn has_requests(&self) -> bool {
        self.tasks.borrow().table.has_requests()
    }

    pub(super) fn is_cancelled(&self, id: WakeId) -> bool {
        id.loop_id() == self.lease.id() && self.tasks.borrow().table.is_cancelled(id)
    }

    /// Makes one step of the task in `slot`: polls it, or delivers the request that waits for it.
    pub(crate) fn step(&self, slot: u32) {
        let begun = self.tasks.borrow_mut().table.begin(slot);
        let Step { mut cell, id, cancelled, has_locals } = match begun {
            Ok(step) => step,
            Err(leftover) => return drop_quietly(leftover),
        };
        self.stepped.set(slot);
        self.pulse.begin_step(cell.id(), cell.location());
        if has_locals || self.locals.is_set() {
            self.enter_locals(slot);
        }
        cancel::begin_step(Scope::new(id.0), cell.links());
        let polled = if cancelled {
            cell.finish(self.take_request(slot));
            Poll::Ready(Ended::Error)
        } else {
            cell.poll(&mut Context::from_waker(&waker::waker(id)))
        };
        let notes = cancel::end_step();
        if self.locals.is_set() {
            self.leave_locals(slot, polled.is_pending());
        }
        let before = cell.links();
        let is_plain = notes.changes_nothing(before);
        if !is_plain {
            cell.set_links(notes.links(before));
        }
        match polled {
            Poll::Pending if is_plain || !notes.is_eventful() => self.park(slot, id, cell),
            Poll::Pending => self.park_with_care(slot, cell, notes),
            Poll::Ready(ended) if notes.is_eventful() => self.end_noted(slot, cell, ended, notes),
            Poll::Ready(ended) => self.end(slot, cell, ended),
        }
        self.pulse.end_step();
    }

    /// The task waits.
    #[inline]
    fn park(&self, slot: u32, id: WakeId, cell: TaskCell) {
        let root = cell.links().root();
        let requested = self.tasks.borrow_mut().table.park(slot, cell);
        if requested {
            self.deliver_recorded(slot, id, root);
        }
    }

    /// The task's future is gone: settles the outcome and tells who waits.
    pub(super) fn end(&self, slot: u32, cell: TaskCell, ended: Ended) {
        let joiner = cell.joiner();
        if ended != Ended::Value || cell.links().root() != 0 {
            return self.end_with_care(slot, cell);
        }
        let mut tasks = self.tasks.borrow_mut();
        let unwanted = match tasks.table.end_plainly(slot, cell) {
            PlainEnd::Kept => None,
            PlainEnd::Unwanted(cell) => Some(cell),
            PlainEnd::NotPlain(cell) => {
                drop(tasks);
                return self.end_with_care(slot, cell);
            }
        };
        match joiner {
            Joiner::Nobody => drop(tasks),
            Joiner::Task(id) if id.loop_id() == self.lease.id() => {
                tasks.wake(id);
                drop(tasks);
            }
            Joiner::Task(id) => {
                drop(tasks);
                super::wake::wake(id);
            }
            Joiner::Notice(place) => {
                tasks.post_notice(place);
                drop(tasks);
            }
        }
        if let Some(cell) = unwanted {
            self.recycle(slot, cell);
        }
    }

    pub(super) fn end_with_care(&self, slot: u32, mut cell: TaskCell) {
        let mut error = cell.error();
        let requested = self.tasks.borrow().table.is_cancel_requested(slot);
        if error.is_none() && requested {
            // Rule G21, case 3: a value that came after the request is dropped.
            cell.finish(self.take_request(slot));
            error = cell.error();
        }
        let cancelled = error.as_ref().is_some_and(Error::is_cancelled);
        if !cancelled && let Some(error) = &error {
            self.note_shutdown_error(slot, &cell, error);
        }
        tree::end_root(cell.links().root());
        let joiner = cell.joiner();
        let ending = Ending { slot, id: cell.id(), error };
        let mut tasks = self.tasks.borrow_mut();
        let joiners = tasks.table.take_joiners(slot);
        if joiners.want_the_task() {
            tasks.table.hold(slot);
        }
        let unwanted = tasks.table.end(slot, cell, cancelled);
        let is_last = requested && !tasks.table.has_requests();
        drop(tasks);
        if is_last {
            super::wake::ask_about_the_dead(self, false);
        }
        self.tell(ending, joiner, joiners);
        if let Some(cell) = unwanted {
            self.dispose(slot, cell);
        }
    }

    /// The error that delivers the request which waits for the task.
    pub(super) fn take_request(&self, slot: u32) -> Error {
        let mut tasks = self.tasks.borrow_mut();
        let message = tasks.table.take_message(slot);
        tasks.table.unrecord(slot);
        let is_last = !tasks.table.has_requests();
        drop(tasks);
        if is_last {
            // Nobody is dead any more: hand-overs are spared the question.
            super::wake::ask_about_the_dead(self, false);
        }
        CancelledError::with_words(message).into()
    }

    /// Runs code that is not ours; a panic in it is reported and goes no further (rule G10).
    pub(crate) fn guarded(&self, f: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
            self.report_panic(Error::panicked(payload));
        }
    }

    fn report_panic(&self, panic: Error) {
        let report = Report::new(ReportKind::Callback, panic);
        self.report(&report);
        // With the last clone the payload goes, and that is user code again.
        drop_quietly(report);
    }

    fn note_shutdown_error(&self, slot: u32, cell: &TaskCell, error: &Error) {
        if self.tasks.borrow().table.is_leftover(slot) {
            let report = self.report_of(ReportKind::Shutdown, slot, cell, Some(error.clone()));
            self.shutdown_reports.borrow_mut().push(report);
        }
    }

    fn report_of(
        &self,
        kind: ReportKind,
        slot: u32,
        cell: &TaskCell,
        error: Option<Error>,
    ) -> Report {
        Report {
            kind,
            error,
            task: Some(cell.id()),
            name: Some(self.name_of(slot, cell.id())),
            location: Some(cell.location()),
        }
    }

    /// Drops a cell that nobody wants any more, and reports an error in it that nobody has asked for.
    pub(super) fn dispose(&self, slot: u32, cell: TaskCell) {
        let error = cell.error().filter(|error| !error.is_cancelled());
        if error.is_some() && !self.tasks.borrow().table.is_retrieved(slot) {
            self.report(&self.report_of(ReportKind::NeverRetrieved, slot, &cell, error));
        }
        self.recycle(slot, cell);
    }

    fn recycle(&self, slot: u32, mut cell: TaskCell) {
        let panic = cell.clear();
        let mut tasks = self.tasks.borrow_mut();
        tasks.table.pool.put(cell);
        let leftover = tasks.table.release(slot);
        drop(tasks);
        if leftover.is_some() {
            drop_quietly(leftover);
        }
        if let Some(panic) = panic {
            self.report_panic(panic);
        }
    }

    /// The handle of `slot` is gone.
    pub(super) fn detach(&self, slot: u32) {
        let mut tasks = self.tasks.borrow_mut();
        if let Some(cell) = tasks.table.drop_handle(slot) {
            drop(tasks);
            return self.dispose(slot, cell);
        }
        let own = tasks.table.forget_own(slot);
        let leftover = tasks.table.release(slot);
        drop(tasks);
        drop_quietly((own, leftover));
    }

    pub(super) fn is_done(&self, slot: u32) -> bool {
        self.tasks.borrow().table.is_done(slot)
    }

    pub(super) fn was_cancelled(&self, slot: u32) -> bool {
        self.tasks.borrow().table.was_cancelled(slot)
    }

    /// Whether the task of `id` is in `slot` and has not ended.
    pub(crate) fn is_unfinished(&self, slot: u32, id: TaskId) -> bool {
        if self.running().is_some_and(|running| running.id == id) {
            return true;
        }
        let table = &mut self.tasks.borrow_mut().table;
        !table.is_done(slot) && table.cell(slot).is_some_and(|cell| cell.id() == id)
    }

    /// How many tasks were created so far.
    pub(crate) fn created_count(&self) -> u64 {
        self.last_id.get()
    }

    pub(crate) fn unfinished_count(&self) -> usize {
        self.tasks.borrow().table.unfinished()
    }

    /// Leftovers that have not ended.
    pub(crate) fn leftovers(&self) -> usize {
        self.tasks.borrow().table.leftovers()
    }

    /// The errors of the leftovers, in the order in which they ended.
    pub(crate) fn take_shutdown_reports(&self) -> Vec<Report> {
        self.shutdown_reports.take()
    }

    pub(super) fn unfinished(&self) -> Vec<(TaskId, u32)> {
        let table = &mut self.tasks.borrow_mut().table;
        let slots: Vec<u32> = table.unfinished_slots().collect();
        let mut tasks: Vec<_> =
            slots.into_iter().filter_map(|slot| Some((table.cell(slot)?.id(), slot))).collect();
        tasks.sort_unstable();
        tasks
    }

    /// Refuses new tasks and drops the futures of those that are left (rules T5, T38). Handles see them as
    /// cancelled.
    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.number.set(0);
        for (_, slot) in self.unfinished() {
            let Some(mut cell) = self.tasks.borrow_mut().table.abandon(slot) else { continue };
            let report = self.report_of(ReportKind::DestroyedPending, slot, &cell, None);
            self.enter_locals(slot);
            cell.finish(Error::cancelled());
            self.forget_locals();
            self.end_with_care(slot, cell);
            if !self.crashes.get() {
                self.report(&report);
            }
        }
        let mut left = Vec::new();
        self.swap_ready(&mut left);
    }

    /// The loop is over: its number is free for another one, and reports that come late go to the log.
    pub(crate) fn end_lease(&self) {
        if !self.ended.replace(true) {
            self.lease.end(self.tasks.borrow().table.next_generation());
        }
        drop_quietly(self.on_report.replace(Rc::new(report::log)));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A loop that was never closed, because making it failed half way, still gives its number back.
        self.end_lease();
    }
}
