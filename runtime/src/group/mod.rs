//! Structured concurrency: what acts when it is cancelled, and what waits for many.

mod catch_cancel;
mod task_group;

pub use self::catch_cancel::{CatchCancel, CatchCancelPlain, catch_cancel, catch_cancel_plain};
pub use self::task_group::{TaskGroup, task_group};
