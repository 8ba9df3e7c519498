//! Several tasks that wait for one, each with a share in its handle.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::cell::TaskCell;
use super::handle::Task;
use super::home::Home;
use super::joiners::Told;
use crate::error::{Error, Result, drop_quietly};
use crate::util::cancel;

/// The future of `(&task).await`: a clone of the task's outcome (rule T27).
///
/// # Cancel safety
/// Safe: a wait that is dropped leaves its place in the line and takes nothing.
#[must_use = "futures do nothing unless awaited"]
pub struct Join<'a, T: 'static> {
    task: &'a Task<T>,
    /// Its place in the line.
    key: Option<u64>,
}

impl<'a, T: Clone + 'static> IntoFuture for &'a Task<T> {
    type Output = Result<T>;
    type IntoFuture = Join<'a, T>;

    fn into_future(self) -> Join<'a, T> {
        Join { task: self, key: None }
    }
}

impl<T: Clone + 'static> Future for Join<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let task = self.task;
        let Some(slot) = task.slot() else { return Poll::Ready(task.result()) };
        task.home().poll_share(slot, &mut self.key, context).map(|joined| match joined {
            Joined::Done => task.result(),
            // Rule T29: a task that awaits itself is told so.
            Joined::Itself => Err(Error::runtime("a task cannot await itself")),
        })
    }
}

impl<T> Drop for Join<'_, T> {
    fn drop(&mut self) {
        if let (Some(slot), Some(key)) = (self.task.slot(), self.key) {
            self.task.home().leave(slot, key);
        }
    }
}

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Join").field(self.task).finish()
    }
}

/// Why a shared wait is over.
enum Joined {
    Done,
    Itself,
}

impl Home {
    /// Waits in line for the end of a task. Whoever is there already, as `key`, keeps its place.
    fn poll_share(
        &self,
        slot: u32,
        key: &mut Option<u64>,
        context: &mut Context<'_>,
    ) -> Poll<Joined> {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.table.is_done(slot) {
            return Poll::Ready(Joined::Done);
        }
        if tasks.table.is_running(slot) {
            return Poll::Ready(Joined::Itself);
        }
        cancel::note_task(slot);
        if key.is_some() && tasks.table.joiners(slot).wakes(*key, context.waker()) {
            return Poll::Pending;
        }
        drop(tasks);
        // Another executor's waker is cloned and dropped by its code: nothing is borrowed meanwhile.
        let mut waker = context.waker().clone();
        let mut tasks = self.tasks.borrow_mut();
        let joiners = tasks.table.joiners(slot);
        let known = key.is_some_and(|key| joiners.replace_waker(key, &mut waker));
        if known {
            drop(tasks);
            drop_quietly(waker);
            return Poll::Pending;
        }
        let new = self.next_key();
        *key = Some(new);
        joiners.push(new, Told::Waker(waker));
        Poll::Pending
    }

    /// Leaves the line.
    fn leave(&self, slot: u32, key: u64) {
        let removed = self.tasks.borrow_mut().table.unregister(slot, key);
        drop_quietly(removed);
    }

    /// A clone of the output of a task that is done and has its handle, which counts as retrieval (rule T34).
    /// The value is cloned by the user's code, so its cell is lent out meanwhile.
    pub(super) fn clone_output<T: Clone + 'static>(&self, slot: u32) -> Result<T> {
        let mut tasks = self.tasks.borrow_mut();
        tasks.table.retrieve(slot);
        let Some(cell) = tasks.table.lend_cell(slot) else {
            return Err(Error::invalid_state("the task's value is being cloned"));
        };
        drop(tasks);
        let mut lent = Lent { home: self, slot, cell: Some(cell) };
        let output = lent.cell.as_mut().and_then(|cell| cell.output::<T>()?.as_ref());
        output
            .expect("a handle has its task's type, and keeps its output until it is spent")
            .clone()
    }
}

/// A cell that goes back to its slot, also if the user's code panics.
struct Lent<'a> {
    home: &'a Home,
    slot: u32,
    cell: Option<TaskCell>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            self.home.tasks.borrow_mut().table.return_cell(self.slot, cell);
        }
    }
}
