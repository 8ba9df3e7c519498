//! Structured concurrency: what acts when it is cancelled, and what waits for many.
//!
//! The aggregates ([`gather()`], [`wait()`], [`as_completed()`], [`shield()`]) hear of their children by callback:
//!
//! ```text
//!  child ends ─1▶ callback entry ─▶ aggregate complete, waiting task queued ─2▶ its turn
//! ```
//!
//! 1 and 2 are hops through the ready queue (rule G5). A callback only counts and rings; the outcomes stay in
//! the tasks until the waiting task has its turn, so nothing is lost when it is cancelled meanwhile. An
//! aggregate holds its children by handle or by reference. Dropping it takes its callbacks back and lets go of
//! the handles: the children run on.

mod as_completed;
mod bell;
mod catch_cancel;
mod gather;
mod items;
mod places;
mod shield;
mod task_group;
mod wait;

pub use self::as_completed::{AsCompleted, Completions, NextCompleted, as_completed};
pub use self::catch_cancel::{CatchCancel, CatchCancelPlain, catch_cancel, catch_cancel_plain};
pub use self::gather::{Gather, GatherOutcomes, gather};
pub use self::items::{IntoTask, Joinable, TaskHandle};
pub use self::places::{Collection, Gatherable, Places, Tuple};
pub use self::shield::{Shield, shield};
pub use self::task_group::{TaskGroup, task_group};
pub use self::wait::{ReturnWhen, wait};
