//! What the loop itself does at a given time. It is a timer and no task, so nobody who cancels tasks stops it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

use super::core::LoopCore;
use super::timers::TimerKey;
use crate::task::Callback;
use crate::util::instant::Instant;

/// A call that is still to come, or has been. Dropping this takes it back.
pub(crate) struct Alarm {
    core: Rc<LoopCore>,
    /// None on a loop that was shut already.
    key: Option<TimerKey>,
}

/// The calls of a loop, by the slots of their timers. There are few, so that timers, which are many, need not have room
/// for them.
#[derive(Default)]
pub(super) struct Alarms {
    calls: RefCell<BTreeMap<u32, (TimerKey, Callback)>>,
}

impl Alarms {
    /// The call of the timer that fires in this slot.
    #[inline]
    pub(super) fn take(&self, slot: u32) -> Option<Callback> {
        let mut calls = self.calls.borrow_mut();
        if calls.is_empty() { None } else { calls.remove(&slot).map(|(_, call)| call) }
    }

    /// All of them, as their loop is closing.
    pub(super) fn take_all(&self) -> impl Iterator<Item = Callback> {
        self.calls.take().into_values().map(|(_, call)| call)
    }

    fn take_of(&self, key: TimerKey) -> Option<Callback> {
        let mut calls = self.calls.borrow_mut();
        // Another timer may have the slot by now.
        let is_there = calls.get(&key.slot()).is_some_and(|(found, _)| *found == key);
        if is_there { calls.remove(&key.slot()).map(|(_, call)| call) } else { None }
    }
}

impl LoopCore {
    /// Calls `f` at `deadline`, as an entry of the ready queue. A loop that is shut before, or is already, drops it.
    pub(crate) fn call_at(self: &Rc<Self>, deadline: Instant, f: Callback) -> Alarm {
        let core = Rc::clone(self);
        if self.is_shut() {
            // Nobody would ever take it out, and it may hold the one who holds the alarm.
            drop(f);
            return Alarm { core, key: None };
        }
        let key = self.insert_timer(deadline, Waker::noop().clone());
        self.alarms.calls.borrow_mut().insert(key.slot(), (key, f));
        Alarm { core, key: Some(key) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(key) = self.key
            && let Some(call) = self.core.alarms.take_of(key)
        {
            self.core.cancel_timer(key);
            drop(call);
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
