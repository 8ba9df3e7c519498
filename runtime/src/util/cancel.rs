//! How a primitive learns whom it is waiting for, without knowing the executor.
//!
//! A loop enters a [`Scope`] for each poll: the task, or the innermost cancel frame, that is being
//! polled. A waiter keeps the scope in which it joined its line. Whoever hands something over later
//! (a release, a put, a notify) asks the judge that the loop installed whether that scope was
//! cancelled meanwhile. If so the waiter is dead for everybody else at once (rule G21), although
//! its future is dropped only at its task's turn.
//!
//! ```text
//!  loop: enter(task) ──▶ poll ──▶ the waiter joins, with current()
//!  loop: task.cancel() is recorded
//!  release: is_dead(waiter's scope)? ──▶ the judge says yes ──▶ the next waiter gets it
//! ```
//!
//! In another executor nobody enters a scope: each is [`Scope::NONE`], never dead, and a primitive
//! has plain drop semantics (rule G30).

use std::cell::Cell;

/// Whose poll this is: a number that only the loop which entered it can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope(u64);

impl Scope {
    /// No loop of ours is polling. Not zero, which is the number of the first loop's first task.
    pub(crate) const NONE: Self = Self(u64::MAX);

    /// A scope by number; `u64::MAX` is [`Scope::NONE`].
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that this scope was made of.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// Tells whether a scope was cancelled. It must not run user code or touch a primitive, because
/// it is asked while a primitive's line is being walked.
pub(crate) type Judge = fn(Scope) -> bool;

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(Scope::NONE.0) };
    static JUDGE: Cell<Option<Judge>> = const { Cell::new(None) };
}

/// Makes `scope` the current one and returns the one before, for the caller to restore.
#[inline]
pub(crate) fn enter(scope: Scope) -> Scope {
    Scope(CURRENT.replace(scope.0))
}

/// The scope of the poll that is going on, [`Scope::NONE`] if no loop of ours does it.
#[inline]
pub(crate) fn current() -> Scope {
    Scope(CURRENT.get())
}

/// Installs this thread's judge and returns the one before, for the caller to restore.
pub(crate) fn install_judge(judge: Option<Judge>) -> Option<Judge> {
    JUDGE.replace(judge)
}

/// Whether a waiter of this scope counts as gone. Never for [`Scope::NONE`], and never without a
/// judge.
#[inline]
pub(crate) fn is_dead(scope: Scope) -> bool {
    scope != Scope::NONE && JUDGE.get().is_some_and(|judge| judge(scope))
}

#[cfg(test)]
mod tests;
