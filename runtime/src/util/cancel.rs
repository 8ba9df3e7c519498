//! How a future learns whose poll it is in, and how a cancel request finds the futures that it concerns,
//! without either knowing the executor.
//!
//! A loop enters a [`Scope`] for each poll: the task, or the innermost cancel [`Frame`], that is being
//! polled. A waiter keeps the scope in which it joined its line. Whoever hands something over later
//! (a release, a put, a notify) asks whether that scope was cancelled meanwhile. If so the waiter is dead
//! for everybody else at once (rule G21), although its future is dropped only at its task's turn.
//!
//! ```text
//!  loop: enter(task) ──▶ poll ──▶ the waiter joins, with current()
//!  loop: task.cancel() is recorded, or marked at the task's leaf frames
//!  release: is_dead(waiter's scope)? ──▶ the mark, or the judge, says yes ──▶ the next waiter gets it
//! ```
//!
//! Each wait says with [`note_wait`], whenever it returns `Pending`, that it is one; a wait that can take a
//! request over (rule G26) says to whom it goes. With exactly one wait in a scope a request is forwarded.
//!
//! In another executor nobody enters a scope: each is [`Scope::NONE`], never dead, and a primitive
//! has plain drop semantics (rule G30).

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub(crate) use self::frames::{Forward, Frame, Leaf, Mark, Request};

mod frames;
mod nodes;
pub(crate) mod tree {
    //! What the loop does with the frames of its tasks.
    pub(crate) use super::frames::{
        alarm_task, clear_recorded, end_root, is_expired, leaves_below, leaves_of, mark,
        set_expired,
    };
}

/// The words that a request came with.
pub(crate) type Message = Option<Arc<str>>;

/// Whose poll this is: a number that only the loop which entered it can read, or a frame's.
///
/// A task's number has its loop's in the upper 16 bits, which is never zero. A frame's has zero there and a
/// generation, never zero, in the 24 bits below.
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

    const fn is_frame(self) -> bool {
        self.0 >> 48 == 0 && self.0 >> 24 != 0
    }
}

/// What takes a request over in place of the task that waits for it (rule G26).
pub(crate) trait CancelTarget {
    /// Passes the request on; false if there is nobody who could take it.
    fn request(&self, message: &Message) -> bool;
}

/// Tells whether a scope was cancelled. It must not run user code or touch a primitive, because
/// it is asked while a primitive's line is being walked.
pub(crate) type Judge = fn(Scope) -> bool;

/// What is known of the poll that is going on.
struct Poll {
    scope: Cell<u64>,
    /// Waits that returned `Pending` in this scope (upper half), and the task that the last one waits for.
    noted: Cell<u64>,
    /// The node of the task in the tree of frames, zero while it has none.
    root: Cell<u32>,
    events: Cell<u32>,
}

/// The last of the waits goes to a [`CancelTarget`].
pub(crate) const OTHER_TARGET: u32 = u32::MAX;
const ONE_WAIT: u64 = 1 << 32;

/// A frame took a request in this step.
const DELIVERED: u32 = 1;
/// A frame that was asked went away without answering.
const LOST: u32 = 1 << 1;
/// Unwinding has come to the task's own edge.
const UNWINDING: u32 = 1 << 2;

thread_local! {
    static POLL: Poll = const {
        Poll {
            scope: Cell::new(Scope::NONE.0),
            noted: Cell::new(0),
            root: Cell::new(0),
            events: Cell::new(0),
        }
    };
    static JUDGE: Cell<Option<Judge>> = const { Cell::new(None) };
    static TARGET: Cell<Option<Weak<dyn CancelTarget>>> = const { Cell::new(None) };
    /// The words of the request that is unwinding through the task's edge, or was lost.
    static WORDS: Cell<Message> = const { Cell::new(None) };
}

/// Makes `scope` the current one and returns the one before, for the caller to restore.
#[inline]
pub(crate) fn enter(scope: Scope) -> Scope {
    POLL.with(|poll| Scope(poll.scope.replace(scope.0)))
}

/// Begins a step of the task of this scope, whose node in the tree of frames is `root`.
#[inline]
pub(crate) fn begin_step(scope: Scope, root: u32) {
    POLL.with(|poll| {
        poll.scope.set(scope.0);
        poll.noted.set(0);
        poll.root.set(root);
        poll.events.set(0);
    });
}

/// What a step left behind.
#[derive(Clone, Copy)]
pub(crate) struct StepNotes {
    noted: u64,
    /// The task's node in the tree of frames.
    pub(crate) root: u32,
    events: u32,
}

/// What the step that ends here left behind.
#[inline]
pub(crate) fn end_step() -> StepNotes {
    POLL.with(|poll| StepNotes {
        noted: poll.noted.get(),
        root: poll.root.get(),
        events: poll.events.get(),
    })
}

impl StepNotes {
    /// Whom a request would be forwarded to; `before`, if nothing of ours was polled in this step.
    #[inline]
    pub(crate) fn awaiting(self, before: u32) -> u32 {
        awaiting(self.noted, before)
    }

    /// Whether anything happened that the loop must see to.
    #[inline]
    pub(crate) fn is_eventful(self) -> bool {
        self.events & (LOST | UNWINDING) != 0
    }

    /// Whether unwinding has come to the task's own edge.
    pub(crate) fn is_unwinding(self) -> bool {
        self.events & UNWINDING != 0
    }

    /// Whether a request met nobody.
    pub(crate) fn is_lost(self) -> bool {
        self.events & (LOST | DELIVERED) == LOST
    }
}

#[inline]
fn awaiting(noted: u64, before: u32) -> u32 {
    match noted >> 32 {
        0 => before,
        1 => noted as u32,
        _ => 0,
    }
}

/// The words of the request that the step's notes speak of.
pub(crate) fn take_words() -> Message {
    WORDS.take()
}

/// The node, in the tree of frames, of the task that is being polled.
pub(crate) fn current_root() -> u32 {
    POLL.with(|poll| poll.root.get())
}

/// A request that met nobody was taken back.
pub(crate) fn forget_lost() {
    POLL.with(|poll| poll.events.set(poll.events.get() & !LOST));
}

/// Whom the one wait of this step hands a request to, if it is no task.
pub(crate) fn take_target() -> Option<Weak<dyn CancelTarget>> {
    TARGET.take()
}

/// A wait of ours returns `Pending` and takes no request over.
#[inline]
pub(crate) fn note_wait() {
    POLL.with(|poll| poll.noted.set((poll.noted.get() & !u64::from(u32::MAX)) + ONE_WAIT));
}

/// A wait for the task in `slot` returns `Pending`.
#[inline]
pub(crate) fn note_task(slot: u32) {
    POLL.with(|poll| {
        let waits = poll.noted.get() & !u64::from(u32::MAX);
        poll.noted.set(waits + ONE_WAIT + u64::from(slot) + 1);
    });
}

#[allow(dead_code, reason = "groups and aggregates, which come next, use it")]
/// A wait returns `Pending`, and a request goes to `target` in its place.
pub(crate) fn note_forwarding(target: &Rc<dyn CancelTarget>) {
    POLL.with(|poll| {
        let waits = poll.noted.get() & !u64::from(u32::MAX);
        poll.noted.set(waits + ONE_WAIT + u64::from(OTHER_TARGET));
    });
    TARGET.set(Some(Rc::downgrade(target)));
}

/// Continues the unwinding towards the scope that is being polled: its frame, or its task's edge, sees it
/// when the poll returns, in the same step (rule G24). False if no loop of ours is polling.
pub(crate) fn unwind(request: Request) -> bool {
    let scope = current();
    if scope == Scope::NONE {
        return false;
    }
    if scope.is_frame() {
        frames::unwind(scope, request);
        return true;
    }
    WORDS.set(request.message);
    POLL.with(|poll| poll.events.set(poll.events.get() | UNWINDING));
    true
}

/// The scope of the poll that is going on, [`Scope::NONE`] if no loop of ours does it.
#[inline]
pub(crate) fn current() -> Scope {
    POLL.with(|poll| Scope(poll.scope.get()))
}

/// Installs this thread's judge and returns the one before, for the caller to restore.
pub(crate) fn install_judge(judge: Option<Judge>) -> Option<Judge> {
    JUDGE.replace(judge)
}

/// Whether a waiter of this scope counts as gone. Never for [`Scope::NONE`], and never without a
/// mark or a judge.
#[inline]
pub(crate) fn is_dead(scope: Scope) -> bool {
    (frames::any_marked() && scope.is_frame() && frames::is_marked(scope))
        || scope != Scope::NONE && JUDGE.get().is_some_and(|judge| judge(scope))
}

#[cfg(test)]
mod tests;
