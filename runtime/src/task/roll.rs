//! Who is alive on a loop (rule T46).

use super::home::{Home, Resident};

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
}
