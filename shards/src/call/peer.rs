//! What a desk keeps for one peer: a line for each kind of calls, with its permits and its marks.
//!
//! A line has a table of calls for each scheduling group that they come from, with permits of its own: what waits
//! over there for a group with a small share keeps nobody of another group waiting. The permits of all groups are
//! numbered in one row, so that a number says everything to the peer, and at home whose it is.

#[cfg(test)]
#[cfg(not(loom))]
mod tests;

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use corelane::{LocalContext, Task};

use super::errand::Errand;
use super::table::{CallTable, Ticket};
use super::withdrawal::Withdrawals;

/// What bounds a mesh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Packets in a lane.
    pub(crate) lane_capacity: usize,
    /// Calls of one kind in flight from one shard to another, of the default scheduling group.
    pub(crate) permit_count: u32,
    /// The same for each other group.
    pub(crate) group_permit_count: u32,
    /// How deep calls may be made inside of calls.
    pub(crate) call_depth: u8,
}

/// Scheduling groups that calls come from, the default one included: a loop has no more.
pub(super) const GROUP_COUNT: usize = 8;

impl Limits {
    /// The permits of one kind for all scheduling groups together.
    pub(super) fn all_permits(&self) -> u32 {
        self.permit_count + (GROUP_COUNT as u32 - 1) * self.group_permit_count
    }

    /// How many permits the calls of a group have, and the number of the first.
    fn permits_of(&self, group: GroupPlace) -> (u32, u32) {
        match group {
            0 => (self.permit_count, 0),
            _ => {
                let before = u32::from(group) - 1;
                let first = self.permit_count + before * self.group_permit_count;
                (self.group_permit_count, first)
            }
        }
    }

    /// The group that a permit belongs to.
    pub(super) fn group_of(&self, number: u32) -> GroupPlace {
        match number.checked_sub(self.permit_count) {
            None => 0,
            Some(above) => (above / self.group_permit_count) as GroupPlace + 1,
        }
    }
}

/// The place of a scheduling group among those that a shard has called from; 0 is the default's.
pub(super) type GroupPlace = u8;

/// Which table a call is in: that of its kind and of the group that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) kind: Kind,
    pub(super) group: GroupPlace,
}

/// The kinds of calls, each with permits of its own. A plain closure never waits, so its
/// permits always come back, and a task that runs for one shard may invoke closures on any without
/// a circle of permits coming about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A closure.
    Invoke,
    /// A closure whose future becomes a task, made inside of so many other calls. Each depth has
    /// permits of its own, so that a task with a permit only waits for permits of a greater depth.
    Call(u8),
}

/// The marks of one direction between two shards: those of closures, then those of calls by depth.
pub(super) type Boards = Arc<[Withdrawals]>;

/// One peer, as a desk sees it.
pub(super) struct Peer {
    invoke: Line,
    /// By depth; most are never used.
    calls: Box<[OnceCell<Box<Line>>]>,
    /// The context that a call of it begins with, if it brought nothing.
    pub(super) context: OnceCell<LocalContext>,
    /// The boxes of its posts that we have run, by its groups: their permits have not gone home.
    pub(super) unsettled: [RefCell<Vec<Box<dyn Errand>>>; GROUP_COUNT],
    /// Boxes of our posts that have come home, the oldest first: no more than there are permits.
    pub(super) kept_boxes: RefCell<VecDeque<Box<dyn Errand>>>,
    boards: [Boards; 2],
    limits: Limits,
}

/// The calls of one kind between this shard and one peer.
pub(super) struct Line {
    /// Ours to it, from the default group.
    calls: Table,
    /// From other groups; most are never used.
    of_groups: [OnceCell<Box<Table>>; GROUP_COUNT - 1],
    limits: Limits,
    /// Its calls to us that became tasks, by permit.
    pub(super) running: RefCell<Vec<Option<Task<()>>>>,
}

type Table = RefCell<CallTable<Box<dyn Errand>>>;

impl Line {
    fn new(limits: Limits) -> Self {
        Self {
            calls: new_table(limits, 0),
            of_groups: Default::default(),
            limits,
            running: RefCell::default(),
        }
    }

    /// Our calls from one group.
    #[inline]
    pub(super) fn calls(&self, group: GroupPlace) -> &Table {
        if group == 0 { &self.calls } else { self.calls_of(group) }
    }

    #[cold]
    fn calls_of(&self, group: GroupPlace) -> &Table {
        let known = &self.of_groups[usize::from(group) - 1];
        known.get_or_init(|| Box::new(new_table(self.limits, group)))
    }

    /// Our calls from all groups.
    pub(super) fn all_calls(&self) -> impl Iterator<Item = &Table> {
        let others = self.of_groups.iter().filter_map(OnceCell::get);
        [&self.calls].into_iter().chain(others.map(|table| &**table))
    }
}

fn new_table(limits: Limits, group: GroupPlace) -> Table {
    let (permit_count, first_number) = limits.permits_of(group);
    RefCell::new(CallTable::new(permit_count).numbered_from(first_number))
}

impl Peer {
    pub(super) fn new(boards: [Boards; 2], limits: Limits) -> Self {
        Self {
            invoke: Line::new(limits),
            calls: (0..limits.call_depth).map(|_| OnceCell::new()).collect(),
            context: OnceCell::new(),
            unsettled: Default::default(),
            kept_boxes: RefCell::default(),
            boards,
            limits,
        }
    }

    pub(super) fn line(&self, kind: Kind) -> &Line {
        match kind {
            Kind::Invoke => &self.invoke,
            Kind::Call(depth) => {
                self.calls[usize::from(depth)].get_or_init(|| Box::new(Line::new(self.limits)))
            }
        }
    }

    /// The lines that were used.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        [&self.invoke].into_iter().chain(self.call_lines())
    }

    pub(super) fn call_lines(&self) -> impl Iterator<Item = &Line> {
        self.calls.iter().filter_map(OnceCell::get).map(|line| &**line)
    }

    pub(super) fn ours_withdrawn(&self, kind: Kind) -> &Withdrawals {
        &self.boards[0][kind.board()]
    }

    pub(super) fn theirs_withdrawn(&self, kind: Kind) -> &Withdrawals {
        &self.boards[1][kind.board()]
    }
}

impl Kind {
    /// The place of its marks.
    fn board(self) -> usize {
        match self {
            Self::Invoke => 0,
            Self::Call(depth) => 1 + usize::from(depth),
        }
    }

    /// With the scheduling group that it comes from.
    pub(super) fn in_group(self, group: GroupPlace) -> Way {
        Way { kind: self, group }
    }

    /// The ticket with the kind on it.
    pub(super) fn on(self, ticket: Ticket) -> Ticket {
        match self {
            Self::Invoke => ticket,
            Self::Call(depth) => ticket.at_depth(depth),
        }
    }
}

impl Ticket {
    /// What it is for, if it is a call's.
    pub(super) fn call_kind(self) -> Kind {
        Kind::Call(self.depth())
    }
}
