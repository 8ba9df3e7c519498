//! What can go wrong in a simulated world, when the test says so.

use std::time::Duration;

use super::{Place, Simulation};
use crate::error::Result;

impl Simulation {
    /// Lets nothing pass between the hosts of two places until [`heal`](Self::heal). What is sent meanwhile is not
    /// lost, as TCP sends it again: it arrives when the partition ends. Nobody is told, so who needs to know has a
    /// timeout.
    pub fn partition(&mut self, one: Place, other: Place) {
        self.set_cut(one, other, true);
    }

    /// Ends a [`partition`](Self::partition).
    pub fn heal(&mut self, one: Place, other: Place) {
        self.set_cut(one, other, false);
    }

    fn set_cut(&mut self, one: Place, other: Place, is_cut: bool) {
        let (one, other) = (self.machines[one.index].host, self.machines[other.index].host);
        self.world.set_cut(one, other, is_cut);
    }

    /// Has the loop at `place` make no turn for so long, as one whose core is taken from it.
    pub fn stall(&mut self, place: Place, duration: Duration) {
        self.world.stall(self.machines[place.index].seat, duration);
    }

    /// Ends the loop at `place` at once, as a process that is killed: nothing of it is cancelled or waits, its
    /// futures are dropped, its connections end or are reset, what it had not sent is lost. The place has a new loop
    /// then, with nothing to do.
    ///
    /// # Errors
    /// An I/O error if the new loop cannot be made; the old one has ended all the same.
    pub fn restart(&mut self, place: Place) -> Result<()> {
        self.machines[place.index].restart(&self.world)
    }
}
