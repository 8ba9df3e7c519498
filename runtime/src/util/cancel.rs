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
//! Each wait says with [`note_wait`], whenever it returns `Pending`, that it is one, and of what kind, which a
//! picture of the tasks shows; a wait that can take a request over (rule G26) says to whom it goes. With exactly
//! one wait in a scope a request is forwarded.
//!
//! In another executor nobody enters a scope: each is [`Scope::NONE`], never dead, and a primitive
//! has plain drop semantics (rule G30).

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

pub(crate) use self::frames::{Forward, Frame, Leaf, Mark, Request};
use super::wait_kind::WaitKind;

mod frames;
mod nodes;
pub(crate) mod tree {
    //! What the loop does with the frames of its tasks.
    pub(crate) use super::frames::{
        alarm_task, asked, clear_recorded, end_root, keep_waker, leaves_below, leaves_of, mark,
        set_asked, take_lost,
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

/// What is known of the poll that is going on. Every step writes it, so it is three words.
struct Poll {
    scope: Cell<u64>,
    /// Waits that returned `Pending` in this scope, counted in the lower half. While there is one, the upper
    /// half is its [`Wait`].
    noted: Cell<u64>,
    /// Events of the step in the upper half; in the lower one the task's node in the tree of frames, zero
    /// while it has none.
    step: Cell<u64>,
}

/// The request goes to a [`CancelTarget`].
pub(crate) const OTHER_TARGET: u32 = Wait::TARGET_MASK;

/// What is waited for: in the upper seven bits the number of its kind; below, whom a request is forwarded to,
/// which is the slot of a task plus one, [`OTHER_TARGET`], or zero for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(u32);

impl Wait {
    const KIND_SHIFT: u32 = 25;
    const TARGET_MASK: u32 = (1 << Self::KIND_SHIFT) - 1;
    /// For nothing that is known.
    const NOTHING: Self = Self(0);

    /// A wait that forwards nothing.
    pub(crate) const fn of(kind: WaitKind) -> Self {
        Self((kind.number() as u32) << Self::KIND_SHIFT)
    }

    const fn forwarding(kind: WaitKind, target: u32) -> Self {
        Self(Self::of(kind).0 | target)
    }

    const fn target(self) -> u32 {
        self.0 & Self::TARGET_MASK
    }

    fn kind(self) -> Option<WaitKind> {
        WaitKind::of((self.0 >> Self::KIND_SHIFT) as u8)
    }
}

/// A frame took a request in this step.
const DELIVERED: u64 = 1 << 32;
/// A frame that was asked went away without answering.
const LOST: u64 = 1 << 33;
/// Unwinding has come to the task's own edge.
const UNWINDING: u64 = 1 << 34;
/// A wait forwards to a target that is no task.
const FORWARDS: u64 = 1 << 35;

thread_local! {
    static POLL: Poll = const {
        Poll {
            scope: Cell::new(Scope::NONE.0),
            noted: Cell::new(0),
            step: Cell::new(0),
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

/// Begins a step of the task of this scope, whose links are those that its last step left.
#[inline]
pub(crate) fn begin_step(scope: Scope, links: Links) {
    POLL.with(|poll| {
        poll.scope.set(scope.0);
        poll.noted.set(0);
        poll.step.set(u64::from(links.root()));
    });
    if links.root() != 0 {
        find_lost(links.root());
    }
}

/// Another task, or nobody's step, may have dropped a frame that was asked.
#[inline(never)]
fn find_lost(root: u32) {
    if frames::any_marked()
        && let Some(request) = frames::take_lost(root)
    {
        WORDS.set(request.message);
        set_event(LOST);
    }
}

/// What a task keeps from step to step: its [`Wait`] in the upper half, and its node in the tree of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Links(u64);

impl Links {
    /// Whom a request is forwarded to: the slot of a task plus one, [`OTHER_TARGET`], or zero for nobody.
    pub(crate) fn awaiting(self) -> u32 {
        self.wait().target()
    }

    fn wait(self) -> Wait {
        Wait((self.0 >> 32) as u32)
    }

    /// What the task waits for, in its own body and in each of its frames.
    pub(crate) fn waits(self) -> impl Iterator<Item = WaitKind> {
        self.wait().kind().into_iter().chain(frames::waits_in(self.root()))
    }

    /// The task's node in the tree of frames, zero if it has none.
    pub(crate) fn root(self) -> u32 {
        self.0 as u32
    }
}

/// What a step left behind.
#[derive(Clone, Copy)]
pub(crate) struct StepNotes {
    noted: u64,
    step: u64,
}

/// What the step that ends here left behind.
#[inline]
pub(crate) fn end_step() -> StepNotes {
    POLL.with(|poll| StepNotes { noted: poll.noted.get(), step: poll.step.get() })
}

impl StepNotes {
    /// The task's links from now on. What was awaited before still is if nothing of ours was polled.
    #[inline]
    pub(crate) fn links(self, before: Links) -> Links {
        let wait = noted_wait(self.noted, before.wait());
        Links(u64::from(wait.0) << 32 | self.step & u64::from(u32::MAX))
    }

    /// Whether the step was uneventful and ended in one wait, the same as the last one did: the usual case.
    #[inline]
    pub(crate) fn changes_nothing(self, links: Links) -> bool {
        // Without events the step is the lower half of the links, and a single wait their upper half.
        let is_plain = self.step >> 32 == 0 && self.noted as u32 == 1;
        is_plain && self.noted - 1 + self.step == links.0
    }

    /// Whether anything happened that the loop must see to.
    #[inline]
    pub(crate) fn is_eventful(self) -> bool {
        self.step >> 32 != 0
    }

    /// Whether unwinding has come to the task's own edge.
    pub(crate) fn is_unwinding(self) -> bool {
        self.step & UNWINDING != 0
    }

    /// Whether a request met nobody.
    pub(crate) fn is_lost(self) -> bool {
        self.step & (LOST | DELIVERED) == LOST
    }
}

#[inline]
fn noted_wait(noted: u64, before: Wait) -> Wait {
    match noted as u32 {
        1 => Wait((noted >> 32) as u32),
        // Nothing of ours was polled: what was awaited may still be, but who knows.
        0 => Wait(before.target()),
        _ => Wait::of(WaitKind::Several),
    }
}

fn set_event(event: u64) {
    POLL.with(|poll| poll.step.set(poll.step.get() | event));
}

#[inline]
fn note(wait: Wait) -> Scope {
    POLL.with(|poll| {
        // With a second wait the upper half means nothing any more, so that it may overflow.
        poll.noted.set(poll.noted.get().wrapping_add((u64::from(wait.0) << 32) + 1));
        Scope(poll.scope.get())
    })
}

/// The words of the request that the step's notes speak of.
pub(crate) fn take_words() -> Message {
    WORDS.take()
}

/// The node, in the tree of frames, of the task that is being polled.
pub(crate) fn current_root() -> u32 {
    POLL.with(|poll| poll.step.get() as u32)
}

/// A request that met nobody was taken back.
pub(crate) fn forget_lost() {
    POLL.with(|poll| poll.step.set(poll.step.get() & !LOST));
}

/// Whether a wait of this step hands requests to a target that is no task.
#[inline]
fn has_target() -> bool {
    POLL.with(|poll| poll.step.get() & FORWARDS != 0)
}

fn put_target(target: Option<Weak<dyn CancelTarget>>) {
    TARGET.set(target);
}

/// Whom the one wait of this step hands a request to, if it is no task.
pub(crate) fn take_target() -> Option<Weak<dyn CancelTarget>> {
    TARGET.take()
}

/// A wait of ours returns `Pending` and takes no request over. Returns the scope that it is in.
#[inline]
pub(crate) fn note_wait(kind: WaitKind) -> Scope {
    note(Wait::of(kind))
}

/// A wait for the task in `slot` returns `Pending`.
#[inline]
pub(crate) fn note_task(slot: u32) {
    note(Wait::forwarding(WaitKind::Task, slot + 1));
}

/// A wait returns `Pending`, and a request goes to `target` in its place.
pub(crate) fn note_forwarding(kind: WaitKind, target: &Rc<dyn CancelTarget>) {
    note(Wait::forwarding(kind, OTHER_TARGET));
    set_event(FORWARDS);
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
    set_event(UNWINDING);
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
