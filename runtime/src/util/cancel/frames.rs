//! The frames of this thread's tasks, as a tree (rule G23).
//!
//! ```text
//!  task ──▶ root ──▶ frame ──▶ frame (a leaf: requests go here)
//!                └─▶ frame (a leaf too: the task polls several futures at once)
//! ```
//!
//! The parent of a frame is the frame, or the task, that was being polled when it was polled last. A frame
//! is entered for each poll of what is inside it. A request marks leaves and wakes the wakers of their last
//! polls; the frame takes its mark when it is polled. No user code runs while the table is borrowed: wakers
//! and targets go back to the caller.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::nodes::{Frames, INDEX_MASK, NONE};
use super::{
    CancelTarget, DELIVERED, Message, OTHER_TARGET, POLL, Scope, noted_wait, set_event, take_target,
};
use crate::util::wait_kind::WaitKind;

thread_local! {
    static FRAMES: RefCell<Frames> = const { RefCell::new(Frames::new()) };
    /// Frames that were asked and have not answered.
    pub(super) static MARKED: Cell<u32> = const { Cell::new(0) };
}

/// A request on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) message: Message,
}

/// How a frame was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// While it waited: that cannot be taken back (rule T32).
    Struck,
    /// While its task was ready or running.
    Recorded,
    /// By unwinding that came from inside.
    Unwinding,
}

/// A leaf of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leaf(pub(super) u64);

/// Whom a request at a leaf can be forwarded to.
pub(crate) enum Forward {
    Nobody,
    Task(u32),
    Other(Rc<dyn CancelTarget>),
}

/// One cancel frame: whatever must act when it is cancelled holds one and polls inside it.
///
/// It enters the tree at its first poll in a task and leaves it when it is dropped. Outside any task it does
/// nothing.
pub(crate) struct Frame {
    number: Cell<u64>,
    /// It is a number in this thread's table.
    not_send: PhantomData<Rc<()>>,
}

impl Frame {
    pub(crate) const fn new() -> Self {
        Self { number: Cell::new(0), not_send: PhantomData }
    }

    /// The number of its scope; zero before its first poll and outside any task.
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    /// Calls `poll` inside the frame. A request wakes the waker of `context`.
    pub(crate) fn enter<R>(
        &self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        if !self.join(context.waker()) {
            return poll(context);
        }
        let inside = Inside::new(self.number.get());
        let polled = poll(context);
        if polled.is_pending() {
            self.remember(POLL.with(|poll| poll.noted.get()));
        }
        drop(inside);
        polled
    }

    /// Takes what the frame was asked for, if it was: it has to end what is inside it.
    pub(crate) fn take_request(&self) -> Option<Request> {
        if !any_marked() || self.number.get() == 0 {
            return None;
        }
        FRAMES.with_borrow_mut(|frames| {
            let node = frames.find(self.number.get())?;
            let mark = node.mark.take()?;
            MARKED.set(MARKED.get() - 1);
            if mark != Mark::Unwinding {
                set_event(DELIVERED);
            }
            Some(Request { message: node.message.take() })
        })
    }

    /// Leaves the tree: no request comes here any more.
    pub(crate) fn leave(&self) {
        let number = self.number.replace(0);
        if number != 0 {
            // At the end of a thread the table may be gone.
            let left = FRAMES.try_with(|frames| frames.borrow_mut().remove(number));
            if let Ok(Some(((Some(waker), _target), true))) = left {
                waker.wake();
            }
        }
    }

    /// Enters the tree, or has requests wake `waker` from now on. False outside any task.
    pub(crate) fn join(&self, waker: &Waker) -> bool {
        let scope = super::current();
        if scope == Scope::NONE {
            return false;
        }
        if self.number.get() == 0 {
            let waker = waker.clone();
            let number = FRAMES.with_borrow_mut(|frames| frames.insert(scope, waker));
            self.number.set(number);
            return true;
        }
        let is_same = FRAMES.with_borrow_mut(|frames| {
            let node = frames.follow(self.number.get(), scope);
            node.is_some_and(|node| node.waker.as_ref().is_some_and(|old| old.will_wake(waker)))
        });
        if !is_same {
            // Clones and drops of foreign wakers are foreign code: outside the borrow.
            let waker = waker.clone();
            let replaced = FRAMES.with_borrow_mut(|frames| {
                frames.find(self.number.get()).and_then(|node| node.waker.replace(waker))
            });
            drop(replaced);
        }
        true
    }

    /// Keeps whom a request at this frame would be forwarded to.
    fn remember(&self, noted: u64) {
        let replaced = FRAMES.with_borrow_mut(|frames| {
            let node = frames.find(self.number.get())?;
            node.wait = noted_wait(noted, node.wait);
            if node.wait.target() != OTHER_TARGET {
                return node.target.take();
            }
            match take_target() {
                Some(target) => node.target.replace(target),
                None => None,
            }
        });
        drop(replaced);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The frame is the current scope until this is dropped, also by a panic.
struct Inside {
    scope: u64,
    noted: u64,
    /// Whom a wait outside the frame, in the same step, hands requests to.
    target: Option<Weak<dyn CancelTarget>>,
}

impl Inside {
    fn new(number: u64) -> Self {
        let target = if super::has_target() { take_target() } else { None };
        POLL.with(|poll| Self {
            scope: poll.scope.replace(number),
            noted: poll.noted.replace(0),
            target,
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        POLL.with(|poll| {
            poll.scope.set(self.scope);
            poll.noted.set(self.noted);
        });
        if super::has_target() {
            super::put_target(self.target.take());
        }
    }
}

/// Whether any frame of this thread was asked and has not answered.
#[inline]
pub(super) fn any_marked() -> bool {
    MARKED.get() != 0
}

pub(super) fn is_marked(scope: Scope) -> bool {
    FRAMES.with_borrow_mut(|frames| {
        frames.find(scope.number()).is_some_and(|node| node.mark.is_some())
    })
}

/// Unwinding has come to this frame from inside.
pub(super) fn unwind(scope: Scope, request: Request) {
    FRAMES.with_borrow_mut(|frames| {
        if let Some(node) = frames.find(scope.number()) {
            node.set_mark(Mark::Unwinding, &request.message);
        }
    });
}

/// The leaves of the tree of a task, oldest first.
pub(crate) fn leaves_of(root: u32) -> Vec<Leaf> {
    if root == NONE {
        return Vec::new();
    }
    let mut leaves = Vec::new();
    FRAMES.with_borrow(|frames| {
        if frames.nodes[root as usize].children.first != NONE {
            frames.collect_leaves(root, &mut leaves);
        }
    });
    leaves
}

/// What is waited for in the frames of a task.
pub(crate) fn waits_in(root: u32) -> Vec<WaitKind> {
    let mut waits = Vec::new();
    if root != NONE {
        FRAMES.with_borrow(|frames| frames.walk(root, |_, node| waits.extend(node.wait.kind())));
    }
    waits
}

/// The leaves below a frame; the frame itself if it has none.
pub(crate) fn leaves_below(number: u64) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    FRAMES.with_borrow_mut(|frames| {
        if frames.find(number).is_some() {
            frames.collect_leaves((number & INDEX_MASK) as u32, &mut leaves);
        }
    });
    leaves
}

impl Leaf {
    /// Whom a request can be forwarded to.
    pub(crate) fn forward(self) -> Forward {
        FRAMES.with_borrow_mut(|frames| {
            let Some(node) = frames.find(self.0) else { return Forward::Nobody };
            match node.wait.target() {
                0 => Forward::Nobody,
                OTHER_TARGET => node
                    .target
                    .as_ref()
                    .and_then(Weak::upgrade)
                    .map_or(Forward::Nobody, Forward::Other),
                task => Forward::Task(task - 1),
            }
        })
    }
}

/// Asks a frame. The waker that comes back is to be woken, and a clone of it goes back with [`keep_waker`]: clones and
/// drops of foreign wakers are foreign code, which may do anything.
#[must_use = "a frame that was asked must be polled"]
pub(crate) fn mark(leaf: Leaf, mark: Mark, message: &Message) -> Option<Waker> {
    FRAMES.with_borrow_mut(|frames| {
        let node = frames.find(leaf.0)?;
        node.set_mark(mark, message);
        node.waker.take()
    })
}

/// A frame that was asked may be asked again.
pub(crate) fn keep_waker(leaf: Leaf, waker: Waker) {
    let surplus = FRAMES.with_borrow_mut(|frames| match frames.find(leaf.0) {
        Some(node) if node.waker.is_none() => {
            node.waker = Some(waker);
            None
        }
        _ => Some(waker),
    });
    drop(surplus);
}

/// Takes back what was recorded at the frames of a task and not taken yet (rule T32).
pub(crate) fn clear_recorded(root: u32) {
    if !any_marked() {
        return;
    }
    drop(take_lost(root));
    for leaf in leaves_of(root) {
        FRAMES.with_borrow_mut(|frames| {
            if let Some(node) = frames.find(leaf.0)
                && node.mark == Some(Mark::Recorded)
            {
                node.mark = None;
                node.message = None;
                MARKED.set(MARKED.get() - 1);
            }
        });
    }
}

/// What a frame of this task was asked for when somebody else dropped it.
pub(crate) fn take_lost(root: u32) -> Option<Request> {
    FRAMES.with_borrow_mut(|frames| {
        let node = frames.nodes.get_mut(root as usize)?;
        node.mark.take()?;
        MARKED.set(MARKED.get() - 1);
        Some(Request { message: node.message.take() })
    })
}

/// Remembers which task the scope of this frame has asked, or that it has not asked any.
pub(crate) fn set_asked(number: u64, task: Option<u64>) {
    FRAMES.with_borrow_mut(|frames| {
        if let Some(node) = frames.find(number) {
            node.asked = task;
        }
    });
}

/// The task that the scope of this frame has asked.
pub(crate) fn asked(number: u64) -> Option<u64> {
    if number == 0 {
        return None;
    }
    let found = FRAMES.try_with(|frames| frames.borrow_mut().find(number)?.asked);
    found.ok().flatten()
}

/// The number of the task that this frame belongs to.
pub(crate) fn alarm_task(number: u64) -> Option<u64> {
    let found = FRAMES.try_with(|frames| frames.borrow_mut().task_of(number));
    found.ok().flatten()
}

/// The task has ended: its node goes. Frames that were moved out of it belong to nobody.
pub(crate) fn end_root(root: u32) {
    if root != NONE {
        let removed = FRAMES.try_with(|frames| frames.borrow_mut().remove_index(root));
        drop(removed);
    }
}
