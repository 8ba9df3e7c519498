//! How long a task may go on in one turn before it should let others run.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::context;
use crate::util::cancel;
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

/// How long a step may take unless told otherwise: long against the price of a turn, short against what a
/// user of another task would notice.
pub(super) const DEFAULT_STEP_BUDGET: Duration = Duration::from_micros(500);
/// Questions between two looks at the clock, which is dearer than most of what stands between two questions.
const LOOK_EVERY: u32 = 16;

/// What is known of the step that asked last.
pub(super) struct Budget {
    limit: Duration,
    /// The turn, and the entry of its batch. No task makes two steps in a turn.
    step: Cell<(u64, usize)>,
    /// When this step asked first.
    began: Cell<Instant>,
    /// Questions before the clock is looked at again.
    unlooked: Cell<u32>,
}

impl Budget {
    pub(super) fn new(limit: Duration) -> Self {
        let (step, began, unlooked) = (Cell::default(), Cell::default(), Cell::default());
        Self { limit, step, began, unlooked }
    }

    /// Whether this step has had its time.
    pub(super) fn is_spent(&self, step: (u64, usize), now: impl FnOnce() -> Instant) -> bool {
        if self.step.replace(step) != step {
            self.began.set(now());
            self.unlooked.set(0);
            return false;
        }
        if let Some(left) = self.unlooked.get().checked_sub(1) {
            self.unlooked.set(left);
            return false;
        }
        self.unlooked.set(LOOK_EVERY - 1);
        now() - self.began.get() >= self.limit
    }
}

/// Lets other tasks run, as [`yield_now`](crate::yield_now), if this one has had its time in this turn: 500 µs
/// unless [`step_budget`](crate::Builder::step_budget) says otherwise. Otherwise it goes on at once. For loops
/// that compute for long and never wait:
///
/// ```
/// # corelane::run(async || {
/// let mut sum = 0_u64;
/// for number in 0..100_000 {
///     sum += number;
///     corelane::yield_if_needed().await;
/// }
/// assert_eq!(sum, 4_999_950_000);
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// The time is counted from the first such call in a turn. It is cheap, as the clock is looked at in the first
/// call, the second, and every sixteenth after that; so what stands between two calls should take a small part of the budget.
/// On a virtual clock time passes only by [`advance`](crate::advance). In another runtime it never yields.
///
/// # Cancel safety
/// Safe: it holds nothing.
#[must_use = "futures do nothing unless awaited"]
pub fn yield_if_needed() -> YieldIfNeeded {
    YieldIfNeeded { has_yielded: false }
}

/// The future of [`yield_if_needed`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldIfNeeded {
    has_yielded: bool,
}

impl Future for YieldIfNeeded {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let goes_on =
            self.has_yielded || !context::with(|core| core.step_budget_is_spent()).unwrap_or(false);
        if goes_on {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        context.waker().wake_by_ref();
        cancel::note_wait(WaitKind::Turn);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
