//! What a simulation does to the ready queue: nothing that a program may not meet.

use super::entry::Entry;
use super::home::Home;
use crate::util::chance::Chance;

impl Home {
    /// Puts the tasks that are ready into a drawn order, and perhaps wakes one for nothing. Timers, callbacks and
    /// completions keep their places, as their order is promised.
    pub(crate) fn meddle(&self, chance: &dyn Chance) {
        let tasks = &mut *self.tasks.borrow_mut();
        if chance.happens("spurious wake", chance.spurious_wakes()) {
            let waiting: Vec<u32> = tasks.table.unfinished_slots().collect();
            let place = chance.below("who is woken for nothing", waiting.len() as u64);
            if let Some(slot) = waiting.get(place as usize).copied()
                && tasks.table.wake_slot(slot)
            {
                tasks.ready.push(Entry::task(slot));
            }
        }
        let ready = &mut tasks.ready;
        if chance.shuffles() {
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
}
