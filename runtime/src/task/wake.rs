//! What a waker does: at home it puts an entry on a list, from elsewhere it posts a number.

use std::cell::RefCell;
use std::rc::Rc;

use super::home::Home;
use super::id::WakeId;
use super::registry;
use crate::util::cancel::{self, Judge, Scope};

thread_local! {
    /// The loop that is being turned on this thread.
    static HOME: RefCell<Option<Rc<Home>>> = const { RefCell::new(None) };
}

/// Makes `home` the loop of this thread and returns the one before, for the caller to restore. Nothing
/// happens in the destructors of a thread that ends, when its locals are gone.
pub(crate) fn enter(home: Option<Rc<Home>>) -> Option<Rc<Home>> {
    HOME.try_with(|current| current.replace(home)).unwrap_or(None)
}

/// Wakes the task of `id`, from any thread, at any time. It never blocks, and at home never allocates
/// beyond the ready queue, which keeps its memory.
pub(super) fn wake(id: WakeId) {
    // The thread may be past the end of its locals: then it turns no loop.
    let at_home = HOME.try_with(|home| {
        // Borrowed only while a loop is entered or left, where no user code runs.
        let Ok(home) = home.try_borrow() else { return false };
        home.as_ref().is_some_and(|home| home.wake(id))
    });
    if at_home == Ok(true) {
        return;
    }
    if id.loop_id() == 0 {
        return strike(id.0);
    }
    if let Some(mailbox) = registry::mailbox(id.loop_id()) {
        mailbox.post(id.slot());
    }
}

/// The number of a frame, which only timers of its own thread hold: its deadline has struck.
#[cold]
fn strike(frame: u64) {
    let home = HOME.try_with(|home| home.borrow().clone());
    if let Ok(Some(home)) = home {
        home.request_below(frame);
    }
}

/// The loop that is being turned on this thread.
pub(super) fn current_home() -> Option<Rc<Home>> {
    HOME.try_with(|home| home.try_borrow().ok()?.clone()).ok().flatten()
}

/// The judge of [`crate::util::cancel`]: whether the task that waits in this scope was cancelled.
pub(crate) fn is_cancelled(scope: Scope) -> bool {
    let id = WakeId(scope.number());
    let judged =
        HOME.try_with(|home| home.borrow().as_ref().is_some_and(|home| home.is_cancelled(id)));
    judged.unwrap_or(false)
}

/// Has hand-overs ask whether a waiter is dead, or spares them the question, if `home` is the loop of this
/// thread: another loop's judge is not touched.
pub(super) fn ask_about_the_dead(home: &Home, ask: bool) {
    let is_current = HOME.try_with(|current| {
        current.borrow().as_ref().is_some_and(|current| std::ptr::eq(&**current, home))
    });
    if is_current == Ok(true) {
        let judge: Option<Judge> = ask.then_some(is_cancelled);
        cancel::install_judge(judge);
    }
}
