//! The end of a loop.

use super::core::LoopCore;
use super::inbox::Inbox;
use crate::driver::{self, Driver, DriverKind};
use crate::util::instant::Instant;

impl LoopCore {
    /// Drops what is left of a loop that will not turn again, and closes its sources: peers see the end of
    /// their connections. Must run inside the loop's context, as the guards of user code do.
    pub(super) fn shut(&self) {
        let home = &self.home;
        home.close();
        let letters = self.inbox.take().map(Inbox::take_all).unwrap_or_default();
        for letter in letters {
            home.guarded(|| drop(letter));
        }
        let calls = self.groups.take_calls();
        for call in calls.into_iter().chain(std::iter::from_fn(|| home.take_call())) {
            home.guarded(|| drop(call));
        }
        for flush in self.flushes.take() {
            // What guards wrote while they were dropped is still sent, as far as it needs no waiting.
            home.guarded(|| flush.flush());
        }
        self.is_shut.set(true);
        for flush in self.flushes.take() {
            home.guarded(|| drop(flush));
        }
        let owners = self.ops.borrow_mut().take_owners();
        for owner in owners {
            home.guarded(|| owner.abandoned());
        }
        for poller in self.pollers.take() {
            home.guarded(|| drop(poller));
        }
        let companions = self.companions.take();
        home.guarded(|| drop(companions));
        home.guarded(|| drop(self.completions.take()));
        for call in self.alarms.take_all() {
            home.guarded(|| drop(call));
        }
        home.guarded(|| drop(self.timers.take()));
        home.guarded(|| drop(self.retire_driver()));
        home.end_lease();
    }

    /// Puts a driver without sockets in the place of the one that ends, at the same time of day.
    fn retire_driver(&self) -> Option<Box<dyn Driver>> {
        let now = self.now();
        let mut retired = driver::open(DriverKind::VirtualClock).ok()?;
        retired.advance(now - Instant::ZERO);
        Some(self.driver.replace(retired))
    }
}
