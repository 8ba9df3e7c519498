//! Where a simulation takes part in the turns of a loop.

use std::rc::Rc;

use super::hooks::Poller;
use crate::task::Home;
use crate::util::chance::Chance;

/// Meddles with the ready queue in the mail phase of every turn: a loop with a poller has all phases. A loop on a
/// real system has none of these and pays nothing. What the turn before left asleep wakes up here, so that who sends
/// something between two turns meets the flag that a thread would meet.
pub(super) struct Meddler {
    home: Rc<Home>,
    chance: Rc<dyn Chance>,
}

impl Meddler {
    pub(super) fn new(home: &Rc<Home>, chance: &Rc<dyn Chance>) -> Rc<Self> {
        Rc::new(Self { home: Rc::clone(home), chance: Rc::clone(chance) })
    }
}

impl Poller for Meddler {
    fn poll_mail(&self) -> bool {
        self.home.mailbox().flag().wake_up();
        self.home.meddle(&*self.chance);
        false
    }

    fn has_mail(&self) -> bool {
        false
    }
}
