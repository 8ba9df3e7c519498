//! The loop: what is ready, what the time is, what the driver says.
//!
//! A loop is a value that somebody turns. [`turn`] says what a turn is; `core` holds the parts; `timers`,
//! `ops`, `inbox` and `hooks` are the parts that are not tasks; `context` knows which loop is being turned
//! on this thread; `handle` is what tasks call.
//!
//! An entry of the ready queue is a task's step or a callback: due timers, completions and closures are
//! entries themselves and run in the turn that noticed them, and the tasks that they wake run in the next
//! one (rule G5).

mod alarm;
mod budget;
mod builder;
mod context;
mod core;
mod ends;
mod event_loop;
mod groups;
mod handle;
mod hooks;
mod inbox;
mod meddler;
mod ops;
mod scheduling;
mod span;
mod stalls;
mod stuck;
mod tally;
mod tasks;
mod timers;
mod turn;

pub use self::budget::{YieldIfNeeded, yield_if_needed};
pub use self::builder::{TaskBuilder, task};
pub use self::core::{Idle, LoopConfig, PoolConfig};
pub use self::event_loop::{Cancelled, EventLoop};
pub use self::handle::{
    TaskRef, YieldNow, advance, all_tasks, call_soon, create_task, current_task, now,
    set_report_handler, spawn, try_create_task, yield_now,
};
pub use self::hooks::{Flush, Poller};
pub use self::inbox::{LoopClosed, RemoteLoop};
pub use self::scheduling::SchedulingGroup;
pub use self::stalls::{Holder, LoopPulse, Stall, StallWatch};
pub use self::tally::loop_stats;
pub use self::tasks::{describe_tasks, format_tasks, print_tasks};

pub(crate) use self::alarm::Alarm;
pub(crate) use self::context::{current, is_inside, with};
pub(crate) use self::core::LoopCore;
pub(crate) use self::handle::{Plain, task_at};
pub(crate) use self::ops::OpOwner;
pub(crate) use self::timers::TimerKey;
pub(crate) use self::turn::HALT;

/// The current loop, for who does I/O on it.
pub(crate) type IoHandle = std::rc::Rc<LoopCore>;

/// The loop of this thread, to do I/O on.
///
/// # Errors
/// Runtime, off a loop.
pub(crate) fn current_io() -> crate::error::Result<IoHandle> {
    current()
}
