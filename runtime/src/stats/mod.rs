//! What a loop counts and measures, as plain values, and how to write them down for Prometheus.
//!
//! A loop counts with plain increments on its own thread, and looks at the clock for a sample of its turns only:
//! every turn while they are rarer than one a millisecond, one a millisecond while they are not. So the counts are
//! exact, and the [`Durations`] are what a sample of that size can say: their shape is that of the whole, and a
//! single long step among millions may be missing.
//!
//! ```
//! corelane::run(async || {
//!     for _ in 0..10 {
//!         corelane::yield_now().await;
//!     }
//!     let stats = corelane::loop_stats()?;
//!     assert!(stats.step_count >= 10 && stats.turn_count >= 10);
//!     let mut text = corelane::stats::Exposition::new();
//!     stats.describe(&mut text, &[("loop", "main")]);
//!     assert!(text.to_string().contains("corelane_loop_turns_total{loop=\"main\"}"));
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```

mod durations;
mod exposition;
mod families;

use std::time::Duration;

pub use self::durations::Durations;
pub use self::exposition::{Exposition, Kind};

/// What one loop has done since it began: a snapshot, from [`loop_stats`](crate::loop_stats).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LoopStats {
    /// Turns that were begun.
    pub turn_count: u64,
    /// Steps of tasks: each polls its future once.
    pub step_count: u64,
    /// Tasks that were created.
    pub task_count: u64,
    /// Tasks that have not ended.
    pub unfinished_task_count: u64,
    /// Timers that fired.
    pub timer_count: u64,
    /// Callbacks that ran: of [`call_soon`](crate::call_soon), of tasks that ended, and closures from other threads.
    pub callback_count: u64,
    /// Ends of I/O that had to wait, and pieces of reads.
    pub completion_count: u64,
    /// Tasks that other threads woke.
    pub foreign_wake_count: u64,
    /// Closures that other threads sent.
    pub foreign_call_count: u64,
    /// How often the system was asked for I/O.
    pub driver_count: u64,
    /// How often it was asked by a loop that had nothing to do and was ready to sleep.
    pub sleep_count: u64,
    /// Bytes that were received on the loop's connections, pipes and sockets.
    pub received_bytes: u64,
    /// Bytes that were handed over to be sent on them.
    pub sent_bytes: u64,
    /// How long the loop worked between two looks at the system: one turn, or the few that are made without
    /// one while tasks are ready. What I/O has to wait at the most. Sampled.
    pub turns: Durations,
    /// How long steps of tasks took. Sampled.
    pub steps: Durations,
    /// How far the loop was behind the timer that was due the longest. Sampled.
    pub lateness: Durations,
    /// The scheduling groups that the loop has met, the default one first. Empty while it has met no other.
    pub groups: Vec<GroupStats>,
}

/// What one [`SchedulingGroup`](crate::SchedulingGroup) has done on one loop, since the loop met its first group
/// besides the default.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GroupStats {
    /// Its name; the default group's is `default`.
    pub name: String,
    /// Its shares.
    pub shares: u32,
    /// Tasks that were created in it; for the default group since the loop began.
    pub task_count: u64,
    /// Steps of its tasks.
    pub step_count: u64,
    /// Its callbacks that ran.
    pub callback_count: u64,
    /// Turns in which it was the one that ran.
    pub turn_count: u64,
    /// How long its tasks and callbacks ran.
    pub run_time: Duration,
    /// Tasks and callbacks of it that are ready and wait for its turn.
    pub ready_count: u64,
}
