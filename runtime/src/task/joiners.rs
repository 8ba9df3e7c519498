//! Who is told when a task ends.
//!
//! The usual case, one task of ours that awaits the handle or one aggregate that observes it, is a number in
//! the task's cell. Everybody else stands in a list, in the order of registration: wakers of other executors,
//! awaiters that share the handle, callbacks. Once there is a list the cell takes nobody new, so whom the cell
//! names came first.
//!
//! A waker is woken and a callback becomes an entry of the ready queue; either runs in the next turn (rule G5).

use std::cell::RefMut;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::cell::Joiner;
use super::finished::{Ending, FinishedCallback, FinishedTask};
use super::home::{Callback, Home, Tasks};
use super::id::{TaskId, WakeId};
use super::notice::{Call, Notice};
use super::waker;
use crate::error::{Error, Result, drop_quietly};
use crate::util::cancel;

#[cfg(test)]
mod tests;

/// Names a callback that was registered on a task. No two on one loop have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DoneKey(pub(super) u64);

/// How one who is registered is told.
pub(super) enum Told {
    Waker(Waker),
    Callback(Callback),
    /// An observer, who is shown the error if the task ended with one.
    Notice(Notice),
    /// A callback of the user's.
    Finished(FinishedCallback),
}

/// The registrations of one task.
#[derive(Default)]
pub(super) struct Joiners {
    /// By key, which counts up. Those that were taken back stay as gaps for a while.
    list: Vec<(u64, Option<Told>)>,
    gaps: usize,
    /// Who awaits the handle itself: there is one at most.
    own: Option<u64>,
}

impl Joiners {
    pub(super) fn push(&mut self, key: u64, told: Told) {
        debug_assert!(self.list.last().is_none_or(|(last, _)| *last < key), "keys count up");
        self.list.push((key, Some(told)));
    }

    /// Takes a registration back, in constant time on average.
    pub(super) fn remove(&mut self, key: u64) -> Option<Told> {
        let index = self.list.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let told = self.list[index].1.take()?;
        self.gaps += 1;
        if self.gaps * 2 > self.list.len() {
            self.list.retain(|(_, told)| told.is_some());
            self.gaps = 0;
        }
        if self.own == Some(key) {
            self.own = None;
        }
        Some(told)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.len() == self.gaps
    }

    /// The key of whoever awaits the handle itself.
    pub(super) fn own(&self) -> Option<u64> {
        self.own
    }

    /// The tasks among those who wait.
    pub(super) fn tasks(&self) -> impl Iterator<Item = WakeId> {
        self.list.iter().filter_map(|(_, told)| match told {
            Some(Told::Waker(waker)) => waker::id_of(waker),
            _ => None,
        })
    }

    /// The tasks on whose behalf aggregates wait.
    pub(super) fn behalf(&self) -> impl Iterator<Item = TaskId> {
        self.list.iter().filter_map(|(_, told)| match told {
            Some(Told::Notice(notice)) => notice.behalf(),
            _ => None,
        })
    }

    /// Whether the task of `id` is among those who wait.
    pub(super) fn has_task(&self, id: WakeId) -> bool {
        self.list.iter().any(
            |(_, told)| matches!(told, Some(Told::Waker(waker)) if waker::id_of(waker) == Some(id)),
        )
    }

    /// Whether `key` will wake `waker`.
    pub(super) fn wakes(&self, key: Option<u64>, waker: &Waker) -> bool {
        let find = |key| self.list.binary_search_by_key(&key, |(key, _)| *key).ok();
        let told = key.and_then(find).and_then(|index| self.list[index].1.as_ref());
        matches!(told, Some(Told::Waker(known)) if known.will_wake(waker))
    }

    /// Whether somebody is to be shown the finished task.
    pub(super) fn want_the_task(&self) -> bool {
        self.list.iter().any(|(_, told)| matches!(told, Some(Told::Finished(_))))
    }

    /// Exchanges the waker of `key`, who keeps its place. False if there is no such registration.
    pub(super) fn replace_waker(&mut self, key: u64, waker: &mut Waker) -> bool {
        let Ok(index) = self.list.binary_search_by_key(&key, |(key, _)| *key) else { return false };
        let Some(Told::Waker(known)) = &mut self.list[index].1 else { return false };
        std::mem::swap(known, waker);
        true
    }

    fn into_told(self) -> impl Iterator<Item = Told> {
        self.list.into_iter().filter_map(|(_, told)| told)
    }
}

/// What a handle takes out of the table.
pub(super) struct Taken<T> {
    pub(super) output: Result<T>,
    /// The name that the task was given.
    pub(super) name: Option<Box<str>>,
    /// Requests that were not taken back.
    pub(super) cancelling: usize,
}

impl Home {
    /// The output of the task, which spends its handle, or a place in the line of those that wait for it.
    /// Ready with nothing for a task that awaits itself.
    pub(super) fn poll_join<T: 'static>(
        &self,
        slot: u32,
        context: &mut Context<'_>,
    ) -> Poll<Option<Taken<T>>> {
        let id = waker::id_of(context.waker());
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        if table.is_done(slot) {
            return Poll::Ready(Some(take_output(tasks, slot)));
        }
        if table.is_running(slot) {
            return Poll::Ready(None);
        }
        cancel::note_task(slot);
        if id.is_none_or(|id| !table.join_plainly(slot, id)) {
            drop(tasks);
            self.join_in_line(slot, context.waker());
        }
        Poll::Pending
    }

    /// The output of a task that is done, which spends its handle; `None` if it is not done.
    pub(super) fn take_output<T: 'static>(&self, slot: u32) -> Option<Taken<T>> {
        let tasks = self.tasks.borrow_mut();
        tasks.table.is_done(slot).then(|| take_output(tasks, slot))
    }

    /// Has the end of the task wake whoever awaits its handle, in the line of all who wait for it. One who
    /// is there already with this waker keeps his place.
    #[cold]
    fn join_in_line(&self, slot: u32, waker: &Waker) {
        // Another executor's waker is cloned and dropped by its code: nothing is borrowed meanwhile.
        let known = {
            let mut tasks = self.tasks.borrow_mut();
            let joiners = tasks.table.joiners(slot);
            joiners.wakes(joiners.own, waker)
        };
        if known {
            return;
        }
        let waker = waker.clone();
        let key = self.next_key();
        let mut tasks = self.tasks.borrow_mut();
        let replaced = tasks.table.forget_own(slot);
        let joiners = tasks.table.joiners(slot);
        joiners.own = Some(key);
        joiners.push(key, Told::Waker(waker));
        drop(tasks);
        drop_quietly(replaced);
    }

    /// Has `f` called, as an entry of the ready queue, when the task has ended: at once if it has already.
    pub(super) fn on_done(&self, slot: u32, f: Callback) -> DoneKey {
        let key = self.next_key();
        let mut tasks = self.tasks.borrow_mut();
        if tasks.table.is_done(slot) {
            drop(tasks);
            self.call_soon(f);
        } else {
            tasks.table.joiners(slot).push(key, Told::Callback(f));
        }
        DoneKey(key)
    }

    /// The same for a task that has ended and given its slot away.
    pub(super) fn on_done_already(&self, f: Callback) -> DoneKey {
        self.call_soon(f);
        DoneKey(self.next_key())
    }

    /// The same for a callback that is shown the task.
    pub(super) fn on_finished(&self, slot: u32, id: TaskId, f: FinishedCallback) -> DoneKey {
        let key = self.next_key();
        let mut tasks = self.tasks.borrow_mut();
        if tasks.table.is_done(slot) {
            let error = tasks.table.cell(slot).and_then(|cell| cell.error());
            tasks.table.hold(slot);
            drop(tasks);
            let finished = FinishedTask::held(self, Ending { slot, id, error });
            self.call_soon(Box::new(move || f(&finished)));
        } else {
            tasks.table.joiners(slot).push(key, Told::Finished(f));
        }
        DoneKey(key)
    }

    /// Takes back what was registered; false if it is not there, as when the task has ended.
    pub(super) fn off_done(&self, slot: u32, key: DoneKey) -> bool {
        let removed = self.tasks.borrow_mut().table.unregister(slot, key.0);
        let found = removed.is_some();
        drop_quietly(removed);
        found
    }

    /// The error that the task in `slot` ended with, if it has ended with one.
    pub(super) fn outcome_error(&self, slot: u32) -> Option<Error> {
        self.tasks.borrow_mut().table.cell(slot).and_then(|cell| cell.error())
    }

    /// Nobody needs a report of the task's error, whether it has failed already or will (rule T34).
    pub(super) fn mark_retrieved(&self, slot: u32) {
        self.tasks.borrow_mut().table.retrieve(slot);
    }

    /// Tells all who waited for the end of a task, in the order in which they registered (rules T27, T30).
    pub(super) fn tell(&self, ending: Ending, first: Joiner, others: Joiners) {
        let error = ending.error.clone();
        match first {
            Joiner::Nobody => {}
            Joiner::Task(id) => super::wake::wake(id),
            Joiner::Notice(place) => self.tell_notice(place, error.clone()),
        }
        let wanted = others.want_the_task();
        let finished = wanted.then(|| Rc::new(FinishedTask::held(self, ending)));
        for told in others.into_told() {
            self.guarded(|| match (told, &finished) {
                (Told::Waker(waker), _) => waker.wake(),
                (Told::Callback(callback), _) => self.call_soon(callback),
                (Told::Notice(notice), _) => {
                    self.queue(Call::Notice(notice.with_error(error.clone())));
                }
                (Told::Finished(callback), Some(finished)) => {
                    let finished = Rc::clone(finished);
                    self.call_soon(Box::new(move || callback(&finished)));
                }
                (Told::Finished(_), None) => unreachable!("it was asked who wants the task"),
            });
        }
    }

    pub(super) fn next_key(&self) -> u64 {
        self.last_key.set(self.last_key.get() + 1);
        self.last_key.get()
    }
}

/// The output of a task that is done, on behalf of its handle, which is then gone.
#[inline]
fn take_output<T: 'static>(mut tasks: RefMut<'_, Tasks>, slot: u32) -> Taken<T> {
    let table = &mut tasks.table;
    let mut cell = table.take_cell(slot).expect("a done task with a handle keeps its cell");
    let output = cell.output::<T>().and_then(Option::take);
    // Without its output the cell holds no user code, so nothing runs in here.
    table.pool.put(cell);
    let (name, cancelling) = table.take_remains(slot);
    let leftover = table.release(slot);
    drop(tasks);
    if leftover.is_some() {
        drop_quietly(leftover);
    }
    let output = output.expect("a handle has its task's type, and its output is taken once");
    Taken { output, name, cancelling }
}
