//! Which completion belongs to whom.
//!
//! An owner registers once and starts one op after the other under the same number: a stream's reads have
//! one for life, its writes another. When an owner lets go of a number whose op is in flight, the op is an
//! orphan: it is cancelled, and the number stays taken until its completion has come, so that the bytes it
//! owns find their end and no later op is mistaken for it.

use std::rc::Rc;

use super::core::LoopCore;
use super::tally::count;
use crate::driver::{Buf, Completion, OpId, Outcome};

/// Who is told of a completion.
pub(crate) trait OpOwner {
    /// The op with this owner's `tag` has ended, or has brought a piece. Called from the run phase with nothing
    /// borrowed; the owner may start its next op at once.
    fn complete(self: Rc<Self>, tag: u32, outcome: Outcome);

    /// A read has brought a piece and goes on. Apart from its end because it is what nearly every request is.
    fn piece(self: Rc<Self>, tag: u32, chunk: Buf) {
        self.complete(tag, Outcome::Read(chunk));
    }

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
enum Recipient {
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

    /// A completion has come, and with it the op is over.
    fn complete(&mut self, id: OpId) -> Recipient {
        let entry = &mut self.entries[id.index()];
        debug_assert!(entry.in_flight, "a completion belongs to an op in flight");
        entry.in_flight = false;
        match &entry.owner {
            Some(owner) => Recipient::Owner(Rc::clone(owner), entry.tag),
            None => {
                self.empty.push(id.index() as u32);
                Recipient::Orphan
            }
        }
    }

    /// A piece of a read has come, and the op goes on. `None` if its owner has let go.
    #[inline]
    fn go_on(&self, id: OpId) -> Option<(Rc<dyn OpOwner>, u32)> {
        let entry = &self.entries[id.index()];
        debug_assert!(entry.in_flight, "a piece belongs to a read in flight");
        entry.owner.as_ref().map(|owner| (Rc::clone(owner), entry.tag))
    }

    /// Forgets all owners, as their loop is closing.
    pub(crate) fn take_owners(&mut self) -> Vec<Rc<dyn OpOwner>> {
        self.entries.iter_mut().filter_map(|entry| entry.owner.take()).collect()
    }
}

impl LoopCore {
    /// Hands a completion to its owner.
    #[inline]
    pub(super) fn deliver(&self, Completion { id, outcome }: Completion) {
        match outcome {
            Outcome::Read(chunk) => {
                count(&self.tally.received_bytes, chunk.len() as u64);
                let owner = self.ops.borrow().go_on(id);
                if let Some((owner, tag)) = owner {
                    owner.piece(tag, chunk);
                }
            }
            outcome => self.deliver_end(id, outcome),
        }
    }

    #[inline(never)]
    fn deliver_end(&self, id: OpId, outcome: Outcome) {
        self.tally.count_outcome(&outcome);
        let recipient = self.ops.borrow_mut().complete(id);
        match recipient {
            Recipient::Owner(owner, tag) => owner.complete(tag, outcome),
            Recipient::Orphan => {
                // Nobody will ever read from this connection or close it.
                if let Outcome::Accepted { source } = outcome {
                    self.close(source);
                }
            }
        }
    }
}
