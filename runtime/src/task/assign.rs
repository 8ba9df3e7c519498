//! Which of its loop's scheduling groups a task or a callback belongs to.
//!
//! The loop's default group is number 0. A task's group is three bits of its word in the table, and what is
//! being run has its group beside the mark of its context, so that nothing is asked or paid for while a loop
//! has no other group: entries of all groups join one queue, and a loop that has several deals them out.

use std::cell::Cell;
use std::collections::VecDeque;

use super::entry::{Entry, Ready};
use super::home::{Home, Tasks};
use super::notice::Call;

/// The number of a group on its loop.
pub(crate) type GroupNumber = u8;

/// Groups that a loop may have, the default one included.
pub(crate) const MAX_GROUPS: usize = 8;

/// Tasks that have joined each group.
pub(super) type Joined = [Cell<u64>; MAX_GROUPS];

/// What is ready of one group, in its order.
#[derive(Default)]
pub(crate) struct Backlog {
    entries: VecDeque<Entry>,
    /// What the callback entries stand for.
    calls: VecDeque<Call>,
}

/// One of a [`Backlog`].
pub(crate) enum Work {
    /// A step of the task in this slot.
    Step(u32),
    Call(Call),
}

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an entry, with the call if it stands for one.
    pub(crate) fn push(&mut self, entry: Entry, call: Option<Call>) {
        self.entries.push_back(entry);
        self.calls.extend(call);
    }

    /// Takes what is the next.
    pub(crate) fn pop(&mut self) -> Option<Work> {
        match self.entries.pop_front()?.unpack() {
            Ok(slot) => Some(Work::Step(slot)),
            Err(_) => self.calls.pop_front().map(Work::Call),
        }
    }

    /// Takes the callbacks and forgets the rest.
    pub(crate) fn take_calls(&mut self) -> VecDeque<Call> {
        self.entries.clear();
        std::mem::take(&mut self.calls)
    }
}

impl Home {
    /// Gives tasks and callbacks away, each with the number of its group. What is of no group is left: timers
    /// and completions. Nothing is called out to by `give`.
    pub(crate) fn deal(
        &self,
        batch: &mut Vec<Entry>,
        mut give: impl FnMut(GroupNumber, Entry, Option<Call>),
    ) {
        let Tasks { table, calls, .. } = &mut *self.tasks.borrow_mut();
        batch.retain(|entry| match entry.unpack() {
            Ok(slot) => {
                give(table.group(slot), *entry, None);
                false
            }
            Err(Ready::Callback(group)) => {
                let call = calls.pop_front();
                debug_assert!(call.is_some(), "a callback entry stands for a call");
                give(group, *entry, call);
                false
            }
            Err(Ready::Backlog) => false,
            Err(Ready::Timer(_) | Ready::Completions) => true,
        });
    }

    /// Calls `f` as a part of `group`: what it creates and what it calls soon is of that group too.
    pub(crate) fn run_as<R>(&self, group: GroupNumber, f: impl FnOnce() -> R) -> R {
        let _there = Member::new(self, group);
        f()
    }

    /// The group of what is being run.
    pub(crate) fn running_group(&self) -> GroupNumber {
        self.locals.group()
    }

    /// Moves a task that was not stepped yet.
    pub(crate) fn assign(&self, slot: u32, group: GroupNumber) {
        let before = self.tasks.borrow_mut().table.set_group(slot, group);
        let [left, joined] = [before, group].map(|group| &self.joined[usize::from(group)]);
        left.set(left.get().wrapping_sub(1));
        joined.set(joined.get() + 1);
    }

    /// How many tasks have joined a group.
    pub(crate) fn joined_count(&self, group: GroupNumber) -> u64 {
        // Of those in the default group nobody is counted that has not left it.
        let joined = self.joined[usize::from(group)].get();
        if group == 0 { self.created_count().wrapping_add(joined) } else { joined }
    }

    /// Callbacks that were queued since there were `before` entries are of `group`.
    fn claim_calls(&self, before: usize, group: GroupNumber) {
        let ready = &mut self.tasks.borrow_mut().ready;
        for entry in ready.iter_mut().skip(before) {
            if *entry == Entry::callback() {
                *entry = Entry::callback_of(group);
            }
        }
    }
}

/// What runs is of a group until this is dropped.
struct Member<'a> {
    home: &'a Home,
    group: GroupNumber,
    outer: GroupNumber,
    /// Entries that were ready when it began.
    before: usize,
}

impl<'a> Member<'a> {
    fn new(home: &'a Home, group: GroupNumber) -> Self {
        let outer = home.locals.set_group(group);
        let before = home.tasks.borrow().ready.len();
        Self { home, group, outer, before }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.home.locals.set_group(self.outer);
        if self.group != self.outer {
            // Also for the default group, lest the one around claims them.
            self.home.claim_calls(self.before, self.group);
        }
    }
}
