//! What a waker does: at home it puts an entry on a list, from elsewhere it posts a number.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::home::Home;
use super::id::WakeId;
use super::registry;
use crate::util::cancel::{self, Judge, Scope};

thread_local! {
    /// The loop that is being turned on this thread. It needs no destructor, which would have every wake ask
    /// whether it has run: whoever enters a loop takes it out again.
    static HOME: Cell<ManuallyDrop<Option<Rc<Home>>>> =
        const { Cell::new(ManuallyDrop::new(None)) };
}

/// Makes `home` the loop of this thread and returns the one before, for the caller to restore.
pub(crate) fn enter(home: Option<Rc<Home>>) -> Option<Rc<Home>> {
    ManuallyDrop::into_inner(HOME.replace(ManuallyDrop::new(home)))
}

/// Looks at the loop of this thread. It must not call out: in there the thread seems to have none.
#[inline]
fn with_home<R>(look: impl FnOnce(Option<&Home>) -> R) -> R {
    // Out and in again is cheaper than to count borrows.
    let home = HOME.replace(ManuallyDrop::new(None));
    let found = look(home.as_deref());
    HOME.set(home);
    found
}

/// Wakes the task of `id`, from any thread, at any time. It never blocks, and at home never allocates
/// beyond the ready queue, which keeps its memory.
#[inline]
pub(super) fn wake(id: WakeId) {
    if !with_home(|home| home.is_some_and(|home| home.wake(id))) {
        wake_elsewhere(id);
    }
}

/// The task is of another loop, or of none any more, or it is no task.
#[cold]
fn wake_elsewhere(id: WakeId) {
    if id.loop_id() == 0 {
        return strike(id.0);
    }
    if let Some(mailbox) = registry::mailbox(id.loop_id()) {
        mailbox.post(id.slot());
    }
}

/// The number of a frame, which only timers of its own thread hold: its deadline has struck.
fn strike(frame: u64) {
    if let Some(home) = current_home() {
        home.request_below(frame);
    }
}

/// The loop that is being turned on this thread.
pub(super) fn current_home() -> Option<Rc<Home>> {
    with_home(|home| home.map(Home::counted))
}

/// The judge of [`crate::util::cancel`]: whether the task that waits in this scope was cancelled.
pub(crate) fn is_cancelled(scope: Scope) -> bool {
    let id = WakeId(scope.number());
    with_home(|home| home.is_some_and(|home| home.is_cancelled(id)))
}

/// Has hand-overs ask whether a waiter is dead, or spares them the question, if `home` is the loop of this
/// thread: another loop's judge is not touched.
pub(super) fn ask_about_the_dead(home: &Home, ask: bool) {
    if with_home(|current| current.is_some_and(|current| std::ptr::eq(current, home))) {
        let judge: Option<Judge> = ask.then_some(is_cancelled);
        cancel::install_judge(judge);
    }
}
