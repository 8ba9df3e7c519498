//! What a desk keeps for one peer: a line for each kind of calls, with its permits and its marks.

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
    /// Calls of one kind in flight from one shard to another.
    pub(crate) permit_count: u32,
    /// How deep calls may be made inside of calls.
    pub(crate) call_depth: u8,
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
    /// The boxes of its posts that we have run: their permits have not gone home.
    pub(super) unsettled: RefCell<Vec<Box<dyn Errand>>>,
    /// Boxes of our posts that have come home, the oldest first: no more than there are permits.
    pub(super) kept_boxes: RefCell<VecDeque<Box<dyn Errand>>>,
    boards: [Boards; 2],
    permit_limit: u32,
}

/// The calls of one kind between this shard and one peer.
pub(super) struct Line {
    /// Ours to it.
    pub(super) calls: RefCell<CallTable<Box<dyn Errand>>>,
    /// Its calls to us that became tasks, by permit.
    pub(super) running: RefCell<Vec<Option<Task<()>>>>,
}

impl Line {
    fn new(permit_limit: u32) -> Self {
        Self { calls: RefCell::new(CallTable::new(permit_limit)), running: RefCell::default() }
    }
}

impl Peer {
    pub(super) fn new(boards: [Boards; 2], limits: Limits) -> Self {
        Self {
            invoke: Line::new(limits.permit_count),
            calls: (0..limits.call_depth).map(|_| OnceCell::new()).collect(),
            context: OnceCell::new(),
            unsettled: RefCell::default(),
            kept_boxes: RefCell::default(),
            boards,
            permit_limit: limits.permit_count,
        }
    }

    pub(super) fn line(&self, kind: Kind) -> &Line {
        match kind {
            Kind::Invoke => &self.invoke,
            Kind::Call(depth) => self.calls[usize::from(depth)]
                .get_or_init(|| Box::new(Line::new(self.permit_limit))),
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
