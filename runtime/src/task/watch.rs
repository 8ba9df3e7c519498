//! A task as an aggregate sees it: told when it ends, and able to ask how, or to ask it to stop, without its
//! output's type and without a share in its handle.

use std::rc::Rc;

use super::handle::Task;
use super::home::Home;
use super::id::TaskId;
use super::notice::{Call, Notice, NoticeKey};
use crate::error::Error;
use crate::util::cancel::Message;

/// Says where a task is. It may outlive the handle, and then finds nothing. A notice that was registered with
/// it is taken back when it is dropped, which tells it too: whoever drops a watch must be deaf by then.
pub(crate) struct Watch {
    home: Rc<Home>,
    /// `None` if the output was taken before.
    slot: Option<u32>,
    id: TaskId,
    key: Option<NoticeKey>,
}

impl<T: 'static> Task<T> {
    /// Watches the task without a callback.
    pub(crate) fn watch(&self) -> Watch {
        Watch { home: Rc::clone(self.home()), slot: self.slot(), id: self.id(), key: None }
    }

    /// Watches the task, and has `notice` told, in an entry of the ready queue, when it has ended; from now if
    /// it has already.
    pub(crate) fn watch_end(&self, notice: Notice) -> Watch {
        let mut watch = self.watch();
        match watch.slot {
            Some(slot) => watch.key = Some(watch.home.observe(slot, notice)),
            None => watch.home.queue(Call::Notice(notice)),
        }
        watch
    }
}

impl Watch {
    /// The task's error, if it ended with one that is still there; also the carrier of a cancellation.
    pub(crate) fn error(&self) -> Option<Error> {
        let mut tasks = self.home.tasks.borrow_mut();
        tasks.table.cell(self.slot?).filter(|cell| cell.id() == self.id)?.error()
    }

    /// Nobody needs a report of the task's error, whether it has failed already or will (rules T34, T63).
    pub(crate) fn mark_retrieved(&self) {
        if let Some(slot) = self.slot_if_there() {
            self.home.mark_retrieved(slot);
        }
    }

    /// Passes a cancel request on; false if the task has ended.
    pub(crate) fn cancel(&self, message: &Message) -> bool {
        let slot = self.slot_if_there().filter(|slot| !self.home.is_done(*slot));
        slot.is_some_and(|slot| self.home.cancel(slot, message))
    }

    /// The slot, unless another task has it by now.
    fn slot_if_there(&self) -> Option<u32> {
        let slot = self.slot?;
        let table = &mut self.home.tasks.borrow_mut().table;
        // A slot without a cell is that of the running task, which is not over.
        table.cell(slot).is_none_or(|cell| cell.id() == self.id).then_some(slot)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // No two registrations on a loop have the same key, so a wrong slot has none of it.
        if let (Some(slot), Some(key)) = (self.slot, self.key) {
            self.home.withdraw_notice(slot, key);
        }
    }
}

#[cfg(test)]
mod tests;
