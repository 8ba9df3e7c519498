//! Which completion belongs to whom.
//!
//! An owner registers once and starts one op after the other under the same number: a stream's reads have
//! one for life, its writes another. When an owner lets go of a number whose op is in flight, the op is an
//! orphan: it is cancelled, and the number stays taken until its completion has come, so that the bytes it
//! owns find their end and no later op is mistaken for it.

use std::rc::Rc;

use crate::driver::{OpId, Outcome};

/// Who is told of a completion.
pub(crate) trait OpOwner {
    /// The op with this owner's `tag` has ended, or has brought a piece. Called from the run phase with nothing borrowed; the
    /// owner may start its next op at once.
    fn complete(self: Rc<Self>, tag: u32, outcome: Outcome);

    /// The loop is closing: no completion will come any more. Called with nothing borrowed.
    fn abandoned(self: Rc<Self>);
}

/// The numbers of ops and their owners.
#[derive(Default)]
pub(crate) struct OpTable {
    entries: Vec<Entry>,
    empty: Vec<u32>,
}

struct Entry {
    owner: Option<Rc<dyn OpOwner>>,
    tag: u32,
    in_flight: bool,
}

/// To whom a completion goes.
pub(crate) enum Recipient {
    Owner(Rc<dyn OpOwner>, u32),
    /// The owner has let go.
    Orphan,
}

impl OpTable {
    pub(crate) fn register(&mut self, owner: Option<Rc<dyn OpOwner>>, tag: u32) -> OpId {
        let entry = Entry { owner, tag, in_flight: false };
        match self.empty.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                OpId::new(number)
            }
            None => {
                self.entries.push(entry);
                OpId::new((self.entries.len() - 1) as u32)
            }
        }
    }

    /// The op was parked: a completion will come.
    pub(crate) fn parked(&mut self, id: OpId) {
        let entry = &mut self.entries[id.index()];
        debug_assert!(!entry.in_flight, "one op at a time under one number");
        entry.in_flight = true;
    }

    /// The owner lets go. It comes back, for the caller to drop, with whether an op has to be cancelled.
    pub(crate) fn release(&mut self, id: OpId) -> (Option<Rc<dyn OpOwner>>, bool) {
        let entry = &mut self.entries[id.index()];
        let owner = entry.owner.take();
        let in_flight = entry.in_flight;
        if !in_flight && owner.is_some() {
            self.empty.push(id.index() as u32);
        }
        (owner, in_flight)
    }

    /// A completion has come; with it the op is over, or it goes on.
    pub(crate) fn complete(&mut self, id: OpId, is_end: bool) -> Recipient {
        let entry = &mut self.entries[id.index()];
        debug_assert!(entry.in_flight, "a completion belongs to an op in flight");
        entry.in_flight = !is_end;
        match &entry.owner {
            Some(owner) => Recipient::Owner(Rc::clone(owner), entry.tag),
            None => {
                if is_end {
                    self.empty.push(id.index() as u32);
                }
                Recipient::Orphan
            }
        }
    }

    /// Forgets all owners, as their loop is closing.
    pub(crate) fn take_owners(&mut self) -> Vec<Rc<dyn OpOwner>> {
        self.entries.iter_mut().filter_map(|entry| entry.owner.take()).collect()
    }
}
