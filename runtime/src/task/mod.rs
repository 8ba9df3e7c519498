//! Life of a task.
//!
//! ```text
//!  spawn ─1▶ Queued ─2▶ Running ─4▶ Done ─5▶ gone
//!              ▲──3──────┘
//! ```
//!
//! 1 `Home::spawn`  2 `Home::step`  3 pending, and woken later or at once  4 ready, cancelled or panicked
//! 5 nobody holds its handle and it is not queued any more.
//!
//! A task is known by two numbers. [`TaskId`] counts up for ever and is for people. `WakeId` (loop, slot,
//! generation) is what its wakers carry: it may be stale, and then finds nothing; only a wake may act on it.
//! A handle keeps the slot taken and names it directly.
//!
//! A future is polled and dropped only on its loop's thread, inside a turn or when the loop closes. Wakes
//! from elsewhere are numbers in the loop's mailbox, which outlives the loop.

mod assign;
mod cell;
mod entry;
mod finished;
mod handle;
mod home;
mod id;
mod join;
mod joiners;
mod locals;
mod mailbox;
mod meddle;
mod notice;
mod pulse;
mod registry;
mod report;
mod requests;
mod roll;
mod table;
mod tree;
mod wake;
mod waker;
mod watch;

#[cfg(test)]
mod tests;

pub use self::finished::FinishedTask;
pub use self::handle::Task;
pub use self::id::TaskId;
pub use self::join::Join;
pub use self::joiners::DoneKey;
pub use self::locals::{LocalContext, LocalKey, LocalScope, Travelling};
pub use self::report::{Report, ReportKind};
pub use self::tree::{TaskInfo, TaskState};

pub(crate) use self::assign::{Backlog, GroupNumber, MAX_GROUPS, Work};
pub(crate) use self::entry::{Entry, Ready};
pub(crate) use self::home::{Callback, Home, Resident};
pub(crate) use self::id::MAX_SLOTS;
pub(crate) use self::locals::{KeptLocals, bound};
pub(crate) use self::mailbox::Mailbox;
pub(crate) use self::notice::{Call, Notice, Observer};
pub(crate) use self::pulse::{Beat, Doing, Pulse};
pub(crate) use self::tree::draw;
pub(crate) use self::wake::{enter, is_cancelled};
pub(crate) use self::waker::{TaskWaker, alarm};
pub(crate) use self::watch::Watch;
