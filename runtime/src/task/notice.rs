//! How an aggregate (a gather, a group, a wait) hears of the end of its tasks.
//!
//! ```text
//!  observe ──▶ in the task's cell, by place ──its end──▶ an entry of the ready queue ──▶ ended()
//!         └──▶ in the line of all who wait for it, if somebody is there already
//! ```
//!
//! The usual observer costs an entry of a table that keeps its memory, and no allocation.

use std::fmt;
use std::rc::Rc;

use super::cell::Joiner;
use super::entry::Entry;
use super::home::{Callback, Home, Tasks};
use super::id::TaskId;
use super::joiners::{DoneKey, Told};
use super::table::TaskTable;
use crate::error::{Error, drop_quietly};

/// Who is told of the end of tasks, by the number that each was given.
pub(crate) trait Observer: 'static {
    /// The task has ended, with this error if it ended with one. Nothing is borrowed when this is called, and
    /// it may run anything.
    fn ended(&self, child: usize, error: Option<Error>);
}

/// Says when it is dropped that a task has ended. One that the loop drops unseen, because it was closed, so
/// counts as well: the task has ended then too, and nobody else would say so.
pub(crate) struct Notice {
    observer: Rc<dyn Observer>,
    child: usize,
    error: Option<Error>,
    /// The task that waits, so that a picture of the tasks shows that.
    behalf: Option<TaskId>,
}

impl Notice {
    /// A notice for `observer`, who knows the task as `child`.
    pub(crate) fn new(observer: Rc<dyn Observer>, child: usize) -> Self {
        Self { observer, child, error: None, behalf: None }
    }

    /// Names the task that waits, which otherwise is the one that is being polled.
    pub(crate) fn on_behalf_of(mut self, task: TaskId) -> Self {
        self.behalf = Some(task);
        self
    }

    pub(super) fn behalf(&self) -> Option<TaskId> {
        self.behalf
    }

    pub(super) fn with_error(mut self, error: Option<Error>) -> Self {
        self.error = error;
        self
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.observer.ended(self.child, self.error.take());
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notice").field("child", &self.child).finish_non_exhaustive()
    }
}

/// A callback entry of the ready queue.
pub(crate) enum Call {
    Callback(Callback),
    /// Told when it is dropped.
    Notice(Notice),
}

impl Call {
    /// Runs it. That is user code, which may panic.
    pub(crate) fn run(self) {
        match self {
            Self::Callback(callback) => callback(),
            Self::Notice(notice) => drop(notice),
        }
    }
}

/// Where a notice waits for the end of its task.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoticeKey {
    /// Its place in the table, and its number there.
    Cell(u32, u64),
    InLine(DoneKey),
}

/// So many places are kept for good.
const KEPT: usize = 1024;

/// The notices that the cells of tasks name by place. A place belongs to its cell until the task ends, or
/// until the notice is taken back.
#[derive(Default)]
pub(super) struct Notices {
    places: Vec<Place>,
    free: Vec<u32>,
}

struct Place {
    number: u64,
    /// The slot of the task.
    slot: u32,
    /// `None` if it was taken back, or if the place is free.
    notice: Option<Notice>,
}

impl Notices {
    fn insert(&mut self, number: u64, slot: u32, notice: Notice) -> u32 {
        let taken = Place { number, slot, notice: Some(notice) };
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = taken;
            return place;
        }
        self.places.push(taken);
        self.places.len() as u32 - 1
    }

    /// The slots of observed tasks, each with the task on whose behalf it is.
    pub(super) fn behalf(&self) -> impl Iterator<Item = (u32, TaskId)> {
        self.places.iter().filter_map(|place| Some((place.slot, place.notice.as_ref()?.behalf?)))
    }

    /// Takes a notice out of its place, which stays taken.
    fn take(&mut self, place: u32, number: u64) -> Option<Notice> {
        let place = self.places.get_mut(place as usize)?;
        if place.number == number { place.notice.take() } else { None }
    }

    /// Gives a place away, with the notice if that was not taken back.
    fn remove(&mut self, place: u32) -> Option<Notice> {
        let given_away = &mut self.places[place as usize];
        given_away.number = 0;
        let notice = given_away.notice.take();
        self.free.push(place);
        if self.free.len() == self.places.len() && self.places.len() > KEPT {
            *self = Self::default();
        }
        notice
    }
}

impl TaskTable {
    /// Has `notice` told when the task ends.
    fn observe(&mut self, index: u32, number: u64, notice: Notice) -> NoticeKey {
        if !self.has_joiners(index)
            && let Some(cell) = self.cell(index)
            && cell.joiner() == Joiner::Nobody
        {
            let place = self.notices.insert(number, index, notice);
            if let Some(cell) = self.cell(index) {
                cell.set_joiner(Joiner::Notice(place));
            }
            return NoticeKey::Cell(place, number);
        }
        self.joiners(index).push(number, Told::Notice(notice));
        NoticeKey::InLine(DoneKey(number))
    }

    /// Takes a notice back, if its task has not ended.
    fn withdraw(&mut self, index: u32, place: u32, number: u64) -> Option<Notice> {
        let notice = self.notices.take(place, number)?;
        // The cell of a running task is not here: it gives the place away when the task ends.
        if let Some(cell) = self.cell(index) {
            cell.set_joiner(Joiner::Nobody);
            self.notices.remove(place);
        }
        Some(notice)
    }
}

impl Tasks {
    /// The task whose cell names `place` has ended.
    pub(super) fn post_notice(&mut self, place: u32) {
        if let Some(notice) = self.table.notices.remove(place) {
            self.push_call(Call::Notice(notice));
        }
    }

    fn push_call(&mut self, call: Call) {
        self.calls.push_back(call);
        self.ready.push(Entry::callback());
    }
}

impl Home {
    /// Has `notice` told, in an entry of the ready queue, when the task has ended: its entry is queued now if it
    /// has already.
    pub(crate) fn observe(&self, slot: u32, mut notice: Notice) -> NoticeKey {
        notice.behalf = notice.behalf.or_else(|| self.running().map(|task| task.id));
        let number = self.next_key();
        let mut tasks = self.tasks.borrow_mut();
        if !tasks.table.is_done(slot) {
            return tasks.table.observe(slot, number, notice);
        }
        let error = tasks.table.cell(slot).and_then(|cell| cell.error());
        drop(tasks);
        self.queue(Call::Notice(notice.with_error(error)));
        NoticeKey::InLine(DoneKey(number))
    }

    /// Takes back what was registered, if the task has not ended. The observer hears of it all the same, now.
    pub(super) fn withdraw_notice(&self, slot: u32, key: NoticeKey) {
        match key {
            NoticeKey::Cell(place, number) => {
                let taken = self.tasks.borrow_mut().table.withdraw(slot, place, number);
                drop_quietly(taken);
            }
            NoticeKey::InLine(key) => {
                self.off_done(slot, key);
            }
        }
    }

    /// Tells who stands at `place` that its task has ended.
    pub(super) fn tell_notice(&self, place: u32, error: Option<Error>) {
        let notice = self.tasks.borrow_mut().table.notices.remove(place);
        if let Some(notice) = notice {
            self.guarded(|| self.queue(Call::Notice(notice.with_error(error))));
        }
    }

    /// Puts `f` at the end of the ready queue. A loop that has been closed runs nothing: `f` is dropped.
    pub(crate) fn call_soon(&self, f: Callback) {
        self.queue(Call::Callback(f));
    }

    pub(super) fn queue(&self, call: Call) {
        if self.is_closed() {
            return drop(call);
        }
        self.tasks.borrow_mut().push_call(call);
    }

    /// What the next callback entry stands for.
    pub(crate) fn take_call(&self) -> Option<Call> {
        self.tasks.borrow_mut().calls.pop_front()
    }
}

#[cfg(test)]
mod tests;
