//! What a simulation does to the ready queue: nothing that a program may not meet.

#[cfg(feature = "sim")]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

#[cfg(feature = "sim")]
use super::cell::TaskCell;
use super::entry::Entry;
use super::home::Home;
#[cfg(feature = "sim")]
use crate::error::Error;
use crate::util::chance::Chance;

impl Home {
    /// Puts the tasks that are ready into a drawn order, and perhaps wakes one for nothing. Timers, callbacks and
    /// completions keep their places, as their order is promised.
    pub(crate) fn meddle(&self, chance: &dyn Chance) {
        let tasks = &mut *self.tasks.borrow_mut();
        if chance.happens("spurious wake", chance.spurious_wakes()) {
            let count = tasks.table.unfinished() as u64;
            let place = chance.below("who is woken for nothing", count);
            let slot = tasks.table.unfinished_slots().nth(place as usize);
            if let Some(slot) = slot
                && tasks.table.wake_slot(slot)
            {
                tasks.ready.push(Entry::task(slot));
            }
        }
        let ready = &mut tasks.ready;
        if ready.len() > 1 && chance.shuffles() {
            let places: Vec<usize> =
                (0..ready.len()).filter(|place| ready[*place].unpack().is_ok()).collect();
            chance.shuffle("order of tasks", places.len(), &mut |one, other| {
                ready.swap(places[one], places[other]);
            });
        }
        for entry in ready.iter() {
            chance.note(entry.unpack().map_or(u64::MAX, u64::from));
        }
    }

    /// Has the oldest task with this name panic, as its next step would. False if there is none.
    #[cfg(feature = "sim")]
    pub(crate) fn panic_task(&self, name: &str) -> bool {
        let named = |(id, slot): &(_, u32)| self.name_of(*slot, *id) == name;
        let Some((_, slot)) = self.unfinished().into_iter().find(named) else { return false };
        let Some(mut cell) = self.tasks.borrow_mut().table.abandon(slot) else { return false };
        self.enter_locals(slot);
        unwind_out_of(&mut cell, name);
        self.forget_locals();
        self.end_with_care(slot, cell);
        true
    }
}

/// Drops a task's future as a panic in a step does, so that what it held knows of it.
#[cfg(feature = "sim")]
fn unwind_out_of(cell: &mut TaskCell, name: &str) {
    struct Unwound<'a>(&'a mut TaskCell, Option<Error>);
    impl Drop for Unwound<'_> {
        fn drop(&mut self) {
            if let Some(error) = self.1.take() {
                self.0.finish(error);
            }
        }
    }
    let error = Error::panicked(Box::new(format!("a fault has {name} panic")));
    let unwound = Unwound(cell, Some(error));
    let payload = catch_unwind(AssertUnwindSafe(move || {
        let _unwound = unwound;
        resume_unwind(Box::new(()))
    }));
    debug_assert!(payload.is_err_and(|payload: Box<dyn std::any::Any + Send>| payload.is::<()>()));
}
