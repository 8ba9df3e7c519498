//! A loop's tasks and the queue of what is ready, as the loop's own thread sees them.
//!
//! The rule of this file: take, let go, then call out. No borrow of the table is held while a future is
//! polled or dropped, a waker is woken, or a report is made.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::cell::{Joiner, TaskCell};
use super::entry::Entry;
use super::id::{TaskId, WakeId};
use super::mailbox::Mailbox;
use super::registry::Lease;
use super::report::{self, Report, ReportKind};
use super::table::TaskTable;
use super::waker;
use crate::error::{CancelledError, Error, Result};
use crate::util::cancel::{self, Scope};

/// Where reports go.
pub(crate) type ReportHandler = Rc<dyn Fn(&Report)>;

/// The tasks of one loop.
pub(crate) struct Home {
    lease: Lease,
    table: RefCell<TaskTable>,
    ready: RefCell<Vec<Entry>>,
    last_id: Cell<u64>,
    running: Cell<Option<Running>>,
    closed: Cell<bool>,
    on_report: RefCell<ReportHandler>,
    /// Errors of leftovers, kept until all of them have ended (rule T9).
    shutdown_reports: RefCell<Vec<Report>>,
}

/// The task whose step is being made.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    pub(crate) slot: u32,
    pub(crate) id: TaskId,
    pub(crate) location: &'static Location<'static>,
}

impl Home {
    /// Tasks for a new loop; `None` when 65,535 loops live already.
    pub(crate) fn new() -> Option<Rc<Self>> {
        let lease = Lease::new()?;
        Some(Rc::new(Self {
            table: RefCell::new(TaskTable::new(lease.id(), lease.first_generation())),
            lease,
            ready: RefCell::new(Vec::new()),
            last_id: Cell::new(0),
            running: Cell::new(None),
            closed: Cell::new(false),
            on_report: RefCell::new(Rc::new(report::log)),
            shutdown_reports: RefCell::default(),
        }))
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
        let mut table = self.table.borrow_mut();
        let cell = TaskCell::new(&mut table.pool, future, id, location);
        let slot = table.insert(cell);
        drop(table);
        self.push(Entry::task(slot));
        Some((slot, id))
    }

    /// Appends an entry to the ready queue.
    pub(crate) fn push(&self, entry: Entry) {
        self.ready.borrow_mut().push(entry);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty()
    }

    /// Exchanges the ready queue for an empty one.
    pub(crate) fn swap_ready(&self, batch: &mut Vec<Entry>) {
        debug_assert!(batch.is_empty());
        std::mem::swap(&mut *self.ready.borrow_mut(), batch);
    }

    /// Wakes a task of this loop; false if `id` belongs to another loop.
    pub(super) fn wake(&self, id: WakeId) -> bool {
        if id.loop_id() != self.lease.id() {
            return false;
        }
        if self.table.borrow_mut().wake(id) {
            self.push(Entry::task(id.slot()));
        }
        true
    }

    /// Takes what other threads have posted, `budget` wakes at most. True if it took all.
    pub(crate) fn take_wakes(&self, budget: usize) -> bool {
        self.mailbox().drain(budget, |slot| {
            if self.table.borrow_mut().wake_slot(slot) {
                self.push(Entry::task(slot));
            }
        })
    }

    pub(super) fn is_cancelled(&self, id: WakeId) -> bool {
        id.loop_id() == self.lease.id() && self.table.borrow().is_cancelled(id)
    }

    /// Makes one step of the task in `slot`: polls it, or delivers the request that waits for it.
    pub(crate) fn step(&self, slot: u32) {
        let begun = self.table.borrow_mut().begin(slot);
        let step = match begun {
            Ok(step) => step,
            Err(leftover) => return drop(leftover),
        };
        let mut cell = step.cell;
        let running = Running { slot, id: cell.id(), location: cell.location() };
        let outer = self.running.replace(Some(running));
        let scope = cancel::enter(Scope::new(step.id.0));
        let ended = if step.cancelled {
            let message = self.table.borrow_mut().take_message(slot);
            cell.finish(cancelled_error(message.as_deref()));
            true
        } else {
            cell.poll(&mut Context::from_waker(&waker::waker(step.id))).is_ready()
        };
        if ended {
            self.end(slot, cell);
        } else if self.table.borrow_mut().park(slot, cell) {
            self.push(Entry::task(slot));
        }
        cancel::enter(scope);
        self.running.set(outer);
    }

    /// The task's future is gone: settles the outcome, tells who waits, gives the slot away.
    fn end(&self, slot: u32, mut cell: TaskCell) {
        let mut error = cell.error();
        if error.is_none() && self.table.borrow().is_cancel_requested(slot) {
            // Rule G21, case 3: a value that came after the request is dropped.
            let message = self.table.borrow_mut().take_message(slot);
            let cancelled = cancelled_error(message.as_deref());
            error = Some(cancelled.clone());
            cell.finish(cancelled);
        }
        let cancelled = error.as_ref().is_some_and(Error::is_cancelled);
        if !cancelled && let Some(error) = error {
            self.note_shutdown_error(slot, &cell, error);
        }
        let joiner = cell.joiner();
        let mut table = self.table.borrow_mut();
        let unwanted = table.end(slot, cell, cancelled);
        let joiners = match joiner {
            Joiner::InTable => table.take_joiners(slot),
            Joiner::Nobody | Joiner::Task(_) => Vec::new(),
        };
        drop(table);
        if let Joiner::Task(id) = joiner
            && !self.wake(id)
        {
            super::wake::wake(id);
        }
        joiners.into_iter().for_each(Waker::wake);
        if let Some(cell) = unwanted {
            self.dispose(slot, cell);
        }
    }

    fn note_shutdown_error(&self, slot: u32, cell: &TaskCell, error: Error) {
        if self.table.borrow().is_leftover(slot) {
            let report = self.report_of(ReportKind::Shutdown, slot, cell, Some(error));
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
    fn dispose(&self, slot: u32, cell: TaskCell) {
        let error = cell.error().filter(|error| !error.is_cancelled());
        if error.is_some() && !self.table.borrow().is_retrieved(slot) {
            self.report(&self.report_of(ReportKind::NeverRetrieved, slot, &cell, error));
        }
        self.recycle(slot, cell);
    }

    fn recycle(&self, slot: u32, mut cell: TaskCell) {
        cell.clear();
        let mut table = self.table.borrow_mut();
        table.pool.put(cell);
        let leftover = table.release(slot);
        drop(table);
        drop(leftover);
    }

    /// Records a cancel request (rule G20); false if the task is done. Asking a failed task counts as
    /// having seen its error (rule T37).
    pub(super) fn cancel(&self, slot: u32, message: Option<&str>) -> bool {
        let mut table = self.table.borrow_mut();
        let Some(queue) = table.cancel(slot, message) else {
            table.retrieve(slot);
            return false;
        };
        drop(table);
        if queue {
            self.push(Entry::task(slot));
        }
        true
    }

    /// The output of the task, which spends its handle, or a place in the line of those that wait for it.
    /// Ready with nothing for a task that awaits itself.
    pub(super) fn poll_join<T: 'static>(
        &self,
        slot: u32,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<T>>> {
        let mut table = self.table.borrow_mut();
        if table.is_done(slot) {
            let cell = table.take_cell(slot);
            drop(table);
            return Poll::Ready(Some(self.open_cell(slot, cell)));
        }
        if table.is_running(slot) {
            return Poll::Ready(None);
        }
        let id = waker::id_of(context.waker());
        let replaced = match id {
            Some(id) => {
                if let Some(cell) = table.cell(slot) {
                    cell.set_joiner(Joiner::Task(id));
                }
                Vec::new()
            }
            None => {
                if let Some(cell) = table.cell(slot) {
                    cell.set_joiner(Joiner::InTable);
                }
                let waker = vec![context.waker().clone()];
                std::mem::replace(&mut table.rare(slot).joiners, waker)
            }
        };
        drop(table);
        drop(replaced);
        Poll::Pending
    }

    /// Takes the output out of a done task's cell; its handle is spent by that.
    fn open_cell<T: 'static>(&self, slot: u32, cell: Option<TaskCell>) -> Result<T> {
        let mut cell = cell.expect("a done task with a handle keeps its cell");
        let output = cell.output::<T>().and_then(Option::take);
        self.recycle(slot, cell);
        output.expect("a handle has the type of its task and is spent by the first output")
    }

    /// The handle of `slot` is gone.
    pub(super) fn detach(&self, slot: u32) {
        let cell = self.table.borrow_mut().take_cell(slot);
        match cell {
            Some(cell) => self.dispose(slot, cell),
            None => {
                let leftover = self.table.borrow_mut().release(slot);
                drop(leftover);
            }
        }
    }

    pub(super) fn is_done(&self, slot: u32) -> bool {
        self.table.borrow().is_done(slot)
    }

    pub(super) fn was_cancelled(&self, slot: u32) -> bool {
        self.table.borrow().was_cancelled(slot)
    }

    pub(crate) fn name_of(&self, slot: u32, id: TaskId) -> String {
        let table = self.table.borrow();
        match table.rare_if_any(slot).and_then(|rare| rare.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => format!("Task-{id}"),
        }
    }

    pub(crate) fn set_name(&self, slot: u32, name: &str) {
        self.table.borrow_mut().rare(slot).name = Some(name.into());
    }

    /// The task whose step is being made.
    pub(crate) fn running(&self) -> Option<Running> {
        self.running.get()
    }

    pub(crate) fn unfinished_count(&self) -> usize {
        self.table.borrow().unfinished()
    }

    /// Requests the cancellation of all tasks, oldest first (rules T3, X7), and counts them as leftovers.
    pub(crate) fn cancel_all(&self) {
        for (_, slot) in self.unfinished() {
            self.table.borrow_mut().mark_leftover(slot);
            self.cancel(slot, None);
        }
    }

    /// Leftovers that have not ended.
    pub(crate) fn leftovers(&self) -> usize {
        self.table.borrow().leftovers()
    }

    /// The errors of the leftovers, in the order in which they ended.
    pub(crate) fn take_shutdown_reports(&self) -> Vec<Report> {
        self.shutdown_reports.take()
    }

    fn unfinished(&self) -> Vec<(TaskId, u32)> {
        let mut table = self.table.borrow_mut();
        let slots: Vec<u32> = table.unfinished_slots().collect();
        let mut tasks: Vec<_> =
            slots.into_iter().filter_map(|slot| Some((table.cell(slot)?.id(), slot))).collect();
        tasks.sort_unstable();
        tasks
    }

    /// Refuses new tasks and drops the futures of those that are left (rules T5, T38). Handles see them as
    /// cancelled. The number of the loop is free for another one after this.
    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        for (_, slot) in self.unfinished() {
            let Some(mut cell) = self.table.borrow_mut().abandon(slot) else { continue };
            let report = self.report_of(ReportKind::DestroyedPending, slot, &cell, None);
            cell.finish(Error::cancelled());
            self.end(slot, cell);
            self.report(&report);
        }
        let mut left = Vec::new();
        self.swap_ready(&mut left);
        self.lease.end(self.table.borrow().next_generation());
    }

    /// Exchanges the handler of reports.
    pub(crate) fn set_report_handler(&self, handler: ReportHandler) -> ReportHandler {
        self.on_report.replace(handler)
    }

    /// Reports, to the handler that is set; one that panics is reported by the default one.
    pub(crate) fn report(&self, report: &Report) {
        let handler = Rc::clone(&self.on_report.borrow());
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handler(report)));
        if let Err(payload) = told {
            report::log(report);
            report::log(&Report::new(ReportKind::Callback, Error::panicked(payload)));
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A loop that was never closed, because making it failed half way, still gives its number back.
        if !self.closed.replace(true) {
            self.lease.end(self.table.borrow().next_generation());
        }
    }
}

fn cancelled_error(message: Option<&str>) -> Error {
    message.map_or_else(Error::cancelled, |text| CancelledError::with_message(text).into())
}
