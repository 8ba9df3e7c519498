//! The loop that is being turned on this thread.

use std::cell::RefCell;
use std::rc::Rc;

use super::core::LoopCore;
use crate::error::{Error, Result};
use crate::task::{self, Home};
use crate::util::cancel::{self, Judge, Scope};

thread_local! {
    static CURRENT: RefCell<Option<Rc<LoopCore>>> = const { RefCell::new(None) };
}

/// Makes a loop the current one until it is dropped.
pub(super) struct Entered {
    home: Option<Rc<Home>>,
    judge: Option<Judge>,
    scope: Scope,
}

impl Entered {
    /// Enters `core`.
    ///
    /// # Errors
    /// Runtime, if a loop is being turned on this thread already (rule T2).
    pub(super) fn new(core: &Rc<LoopCore>) -> Result<Self> {
        if is_inside() {
            return Err(Error::runtime("a loop is running on this thread already"));
        }
        // In the destructors of a thread that ends the local may be gone: then guards find no loop, but the
        // loop can still be closed.
        let _ = CURRENT.try_with(|current| current.replace(Some(Rc::clone(core))));
        let judge: Option<Judge> = core.home().has_requests().then_some(task::is_cancelled);
        core.home().pulse().go_on();
        Ok(Self {
            home: task::enter(Some(Rc::clone(core.home()))),
            judge: cancel::install_judge(judge),
            scope: cancel::enter(Scope::NONE),
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        cancel::enter(self.scope);
        cancel::install_judge(self.judge);
        let home = task::enter(self.home.take());
        let core = CURRENT.try_with(RefCell::take);
        if let Ok(Some(core)) = &core {
            core.home().pulse().rest();
        }
        // Outside the borrow: the last owner of a loop drops user code.
        drop((home, core));
    }
}

/// Whether a loop is being turned on this thread.
pub(crate) fn is_inside() -> bool {
    CURRENT.try_with(|current| current.borrow().is_some()).unwrap_or(false)
}

/// The current loop.
///
/// # Errors
/// Runtime, off a loop (rules T40, T45).
pub(crate) fn current() -> Result<Rc<LoopCore>> {
    with(Rc::clone)
}

/// Calls `f` with the current loop, without counting a reference.
pub(crate) fn with<R>(f: impl FnOnce(&Rc<LoopCore>) -> R) -> Result<R> {
    let found = CURRENT.try_with(|current| current.borrow().as_ref().map(f));
    found.ok().flatten().ok_or_else(|| Error::runtime("no corelane loop is running on this thread"))
}
