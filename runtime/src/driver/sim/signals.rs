//! Signals of simulated processes: those of all loops on a host are one.

use std::io;

use super::net::Owner;
use super::world::{HostId, SeatId, State};
use crate::driver::source::SourceId;
use crate::util::slab::Key;

/// Who waits for a signal.
pub(super) struct Ear {
    pub(super) owner: Owner,
    host: HostId,
    number: i32,
    /// It came. However often it does before somebody looks, it is one.
    has_come: bool,
}

impl State {
    /// Has a loop hear a signal of its process.
    pub(super) fn hear(&mut self, seat: SeatId, number: i32) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        let owner = (seat, SourceId::NONE);
        Ok(self.ears.insert(Ear { owner, host, number, has_come: false }))
    }

    /// A signal comes to the process on a host: whether somebody there hears it.
    pub(super) fn signal(&mut self, host: HostId, number: i32) -> bool {
        let is_meant = |ear: &Ear| ear.host == host && ear.number == number;
        let meant: Vec<Key> =
            self.ears.iter().filter(|(_, ear)| is_meant(ear)).map(|(key, _)| key).collect();
        for key in &meant {
            if let Some(ear) = self.ears.get_mut(*key) {
                ear.has_come = true;
                let owner = ear.owner;
                self.heat(owner);
            }
        }
        !meant.is_empty()
    }

    /// Whether the signal has come since the last look.
    pub(super) fn take_signal(&mut self, key: Key) -> bool {
        self.ears.get_mut(key).is_some_and(|ear| std::mem::take(&mut ear.has_come))
    }

    pub(super) fn may_take_signal(&self, key: Key) -> bool {
        self.ears.get(key).is_some_and(|ear| ear.has_come)
    }
}
