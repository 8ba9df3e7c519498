//! Who is alive on a loop (rule T46), what they are called, and whose step is being made.

use std::sync::Arc;

use super::home::{Home, Resident};
use super::id::TaskId;
use super::pulse::{Listing, Pulse};

impl Home {
    /// The tasks that have not ended, oldest first, and the one whose step is being made among them.
    pub(crate) fn residents(&self) -> Vec<Resident> {
        let table = &mut self.tasks.borrow_mut().table;
        let slots: Vec<u32> = table.unfinished_slots().collect();
        let resting = slots.into_iter().filter_map(|slot| {
            let cell = table.cell(slot)?;
            Some(Resident { slot, id: cell.id(), location: cell.location() })
        });
        // A task that makes a step is not in the table meanwhile.
        let mut residents: Vec<_> = resting.chain(self.running()).collect();
        residents.sort_unstable_by_key(|resident| resident.id);
        residents.dedup_by_key(|resident| resident.id);
        residents
    }

    pub(crate) fn name_of(&self, slot: u32, id: TaskId) -> String {
        let tasks = self.tasks.borrow();
        match tasks.table.rare_if_any(slot).and_then(|rare| rare.name.as_deref()) {
            Some(name) => name.to_owned(),
            None => format!("Task-{id}"),
        }
    }

    pub(crate) fn set_name(&self, slot: u32, name: &str) {
        let stepped = self.running().filter(|running| running.slot == slot);
        let table = &mut self.tasks.borrow_mut().table;
        let id = table.cell(slot).map(|cell| cell.id()).or(stepped.map(|running| running.id));
        let rare = table.rare(slot);
        rare.name = Some(name.into());
        // First the old one goes, which would take the new one along.
        rare.listing = None;
        rare.listing = id.and_then(|id| Listing::new(&self.pulse, id, name));
    }

    /// What the loop is doing, to be looked at by any thread.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// The task whose step is being made.
    pub(crate) fn running(&self) -> Option<Resident> {
        let (id, location) = self.pulse.stepped()?;
        Some(Resident { slot: self.stepped.get(), id, location })
    }
}
