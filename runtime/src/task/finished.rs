//! A finished task, as its done callbacks see it.

use std::fmt;
use std::rc::Rc;

use super::home::Home;
use super::id::TaskId;
use crate::error::{Error, Result, drop_quietly};

/// A task that has ended, as [`Task::add_done_callback`](super::Task::add_done_callback) hands it out.
///
/// It counts as a handle: the error of a failed task is reported as never retrieved only after the callbacks
/// have run, and only if none of them asked for it.
pub struct FinishedTask {
    home: Rc<Home>,
    /// `None` once the handle took the output, when the slot may be another task's.
    slot: Option<u32>,
    id: TaskId,
    name: String,
    error: Option<Error>,
}

/// A callback that sees the task.
pub(super) type FinishedCallback = Box<dyn FnOnce(&FinishedTask)>;

/// What is known of a task at its end.
pub(super) struct Ending {
    pub(super) slot: u32,
    pub(super) id: TaskId,
    pub(super) error: Option<Error>,
}

impl FinishedTask {
    /// Of a task whose slot the caller holds for it.
    pub(super) fn held(home: &Home, ending: Ending) -> Self {
        let Ending { slot, id, error } = ending;
        let name = home.name_of(slot, id);
        Self { home: home.counted(), slot: Some(slot), id, name, error }
    }

    /// Of a task that has given its slot away.
    pub(super) fn spent(home: &Rc<Home>, id: TaskId, name: String, error: Option<Error>) -> Self {
        Self { home: Rc::clone(home), slot: None, id, name, error }
    }

    /// The task's number.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The name that the task had when it ended.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the task ended cancelled.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.error.as_ref().is_some_and(Error::is_cancelled)
    }

    /// The error that the task failed with, `None` if it has a value. Asking counts as having seen the error
    /// (rules T26, T34).
    ///
    /// # Errors
    /// The cancellation, if the task was cancelled.
    pub fn exception(&self) -> Result<Option<Error>> {
        if let Some(slot) = self.slot {
            self.home.mark_retrieved(slot);
        }
        match &self.error {
            Some(error) if error.is_cancelled() => Err(error.clone()),
            error => Ok(error.clone()),
        }
    }
}

impl Drop for FinishedTask {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.home.unhold(slot);
        }
    }
}

impl fmt::Debug for FinishedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedTask")
            .field("name", &self.name)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl Home {
    /// A callback has seen the task.
    fn unhold(&self, slot: u32) {
        let mut tasks = self.tasks.borrow_mut();
        if let Some(cell) = tasks.table.unhold(slot) {
            drop(tasks);
            return self.dispose(slot, cell);
        }
        let leftover = tasks.table.release(slot);
        drop(tasks);
        drop_quietly(leftover);
    }
}
