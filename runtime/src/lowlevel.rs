//! For those who turn loops themselves: a shard, a simulation, another library's bridge.
//!
//! An [`EventLoop`] is a value that its thread turns. Mail that reaches it by another way than its inbox is
//! taken in by a [`Poller`] in the mail phase, and work saved up during a turn is done by a [`Flush`] at its
//! end. A sender on another thread puts its message where the poller looks and then calls
//! [`RemoteLoop::notify`](crate::RemoteLoop::notify), which costs a system call only if the loop sleeps.
//!
//! ```
//! use std::time::Duration;
//! use corelane::lowlevel::{EventLoop, LoopConfig};
//!
//! let mut event_loop = EventLoop::new(&LoopConfig::default())?;
//! let task = event_loop.create_task(async {
//!     corelane::sleep(Duration::from_millis(1)).await;
//!     Ok(())
//! })?;
//! while !task.done() {
//!     event_loop.turn(true)?;
//! }
//! # Ok::<(), corelane::Error>(())
//! ```

use std::rc::Rc;

pub use crate::driver::{CpuSteering, DriverKind};
pub use crate::error::PanicWatch;
pub use crate::executor::{
    Cancelled, EventLoop, Flush, Holder, LoopConfig, LoopPulse, Poller, PoolConfig, Stall,
    StallWatch,
};
pub use crate::signal::SignalHold;
pub use crate::task::Travelling;
#[doc(hidden)]
pub use crate::util::last_resort::{add_field, write_last_resort};
pub use crate::util::unpark::{SleepFlag, Unparker};
#[doc(hidden)]
pub use tracing;

use crate::blocking;
use crate::error::Result;
use crate::executor;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// Has the current loop ask `poller` for mail in every turn, for as long as the loop lives.
///
/// # Errors
/// Runtime, off a loop.
pub fn add_poller(poller: Rc<dyn Poller>) -> Result<()> {
    executor::with(|core| core.add_poller(poller))
}

/// Has `flush` called once, at the end of the current loop's turn.
///
/// # Errors
/// Runtime, off a loop.
pub fn enlist_flush(flush: Rc<dyn Flush>) -> Result<()> {
    executor::with(|core| core.enlist_flush(flush))
}

/// The current loop, for other threads to send closures to.
///
/// # Errors
/// Runtime, off a loop.
pub fn current_remote() -> Result<crate::RemoteLoop> {
    executor::with(|core| core.remote().clone())
}

/// The first half of [`Server::close`](crate::Server::close), which has to follow: stops listening, and wakes nobody.
/// For a caller who holds something that wakers, which may be anybody's code, could ask for.
pub fn close_listeners(server: &crate::Server) {
    server.close_listeners();
}

/// Says of the poll that is going on that it returns `Pending` and waits for `kind`: for the futures of whoever
/// builds on this crate. It shows in the picture of the tasks, and a cancel request that comes meanwhile is not
/// forwarded to something else that the same task waits for (rule G26). Off a loop it does nothing.
pub fn note_wait(kind: WaitKind) {
    cancel::note_wait(kind);
}

/// Whether anything goes with what is being run, for calls to take along: a task-local key that is set, or a
/// [`SchedulingGroup`](crate::SchedulingGroup) other than the default. False for the price of a look.
#[must_use]
pub fn is_anything_inherited() -> bool {
    crate::task::LocalContext::is_any_inherited()
}

/// Ends the threads of [`to_thread`](crate::to_thread) of a loop that is about to be closed: turns it until the
/// functions that were begun have ended, for five minutes at most (rule T6). What no thread has begun, and
/// what is asked for later, is refused (rule T169).
///
/// # Errors
/// As [`EventLoop::turn`].
pub fn shut_down_threads(event_loop: &mut EventLoop) -> Result<()> {
    blocking::shut_down(event_loop, blocking::SHUTDOWN_LIMIT)
}

/// Reports at `WARN` or `ERROR`, with the fields and the message of a `tracing` event: to whoever has set up
/// logging, and if nobody has, to the standard error. Every report of ours goes through here, and none while a
/// lock is held: a subscriber is anybody's code, and who reads the standard error may be slow.
#[doc(hidden)]
#[macro_export]
macro_rules! __report {
    ($level:ident, $($event:tt)+) => {{
        use $crate::lowlevel::tracing;
        tracing::event!(tracing::Level::$level, $($event)+);
        if !tracing::dispatcher::has_been_set() {
            let text = $crate::__report_text!([] $($event)+);
            $crate::lowlevel::write_last_resort(tracing::Level::$level, module_path!(), &text);
        }
    }};
}

/// The message of an event and what its fields are.
#[doc(hidden)]
#[macro_export]
macro_rules! __report_text {
    ([$($known:tt)*] %$name:ident, $($rest:tt)+) => {
        $crate::__report_text!([$($known)* $name = $name;] $($rest)+)
    };
    ([$($known:tt)*] $name:ident = %$value:expr, $($rest:tt)+) => {
        $crate::__report_text!([$($known)* $name = $value;] $($rest)+)
    };
    ([$($known:tt)*] $name:ident = $value:expr, $($rest:tt)+) => {
        $crate::__report_text!([$($known)* $name = $value;] $($rest)+)
    };
    ([$($known:tt)*] $name:ident, $($rest:tt)+) => {
        $crate::__report_text!([$($known)* $name = $name;] $($rest)+)
    };
    ([$($name:ident = $value:expr;)*] $($message:tt)+) => {{
        #[allow(unused_mut, reason = "a report without fields is its message")]
        let mut text = format!($($message)+);
        $($crate::lowlevel::add_field(&mut text, stringify!($name), &$value);)*
        text
    }};
}
