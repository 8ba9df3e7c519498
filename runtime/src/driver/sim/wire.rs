//! What is between the two ends of a connection, and how long they wait for each other.

use std::io::ErrorKind;
use std::time::Duration;

use super::net::{Event, Link};
use super::world::State;
use crate::util::slab::Key;

/// What is between an end and the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Whole,
    /// Nothing that is sent arrives any more: a reset is on its way to both.
    Broken,
    /// Nothing that is sent arrives any more, on either side, and nobody is told.
    Silent,
}

/// Who asks for a connection and hears nothing gives up after this time, as Linux does after six more requests.
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);
/// And who sends and hears nothing after this one.
const SEND_PATIENCE: Duration = Duration::from_secs(924);
/// Nine probes of a silent peer, at Linux's intervals.
const PROBES: Duration = Duration::from_secs(9 * 75);

impl Event {
    /// The end that waits for it or for an answer to it, and how long.
    pub(super) fn waiter(&self) -> Option<(Key, Duration)> {
        match self {
            Self::Syn { client: end, .. }
            | Self::Connected { to: end, .. }
            | Self::Refused { to: end, .. } => Some((*end, CONNECT_PATIENCE)),
            Self::Bytes { from: end, .. }
            | Self::Fin { from: end, .. }
            | Self::Room { to: end, .. } => Some((*end, SEND_PATIENCE)),
            Self::Reset { .. }
            | Self::GiveUp { .. }
            | Self::Look
            | Self::Parcel(_)
            | Self::Unreachable { .. } => None,
        }
    }
}

impl State {
    /// Both ends of a connection get an error, as from something between them.
    pub(super) fn break_off(&mut self, key: Key) {
        let Some(other) = self.set_wire(key, Wire::Broken) else { return };
        let Some(end) = self.ends.get(key) else { return };
        let route = (end.host, end.other_host);
        self.post((route.1, route.0), Event::Reset { to: key });
        self.post(route, Event::Reset { to: other });
    }

    /// From now on neither end of a connection hears of the other.
    pub(super) fn mute(&mut self, key: Key) {
        let Some(other) = self.set_wire(key, Wire::Silent) else { return };
        self.watch_silence(key);
        self.watch_silence(other);
    }

    /// Changes what is between the two ends of a connection, of which this is one; gives the other.
    pub(super) fn set_wire(&mut self, key: Key, wire: Wire) -> Option<Key> {
        let other = self.ends.get(key)?.other;
        for key in [key, other] {
            if let Some(end) = self.ends.get_mut(key) {
                end.wire = wire;
            }
        }
        Some(other)
    }

    /// How long an end hears nothing until it asks whether somebody is there.
    pub(super) fn set_keep_alive(&mut self, key: Key, idle: Option<Duration>) {
        if let Some(end) = self.ends.get_mut(key) {
            end.keep_alive = idle;
            self.watch_silence(key);
        }
    }

    /// A mute end that probes its peer finds out some time.
    pub(super) fn watch_silence(&mut self, key: Key) {
        if let Some(end) = self.ends.get(key).filter(|end| end.wire == Wire::Silent)
            && let Some(idle) = end.keep_alive
        {
            let patience = idle + PROBES;
            self.happen_at(self.now + patience, Event::GiveUp { end: key, patience });
        }
    }

    /// Somebody has waited for an answer as long as that is sensible.
    pub(super) fn give_up(&mut self, waiter: Key, patience: Duration) {
        let is_held = self.is_held(waiter, patience);
        let Some(end) = self.ends.get_mut(waiter).filter(|end| end.wire == Wire::Silent || is_held)
        else {
            return;
        };
        match end.link {
            Link::Connecting => end.link = Link::Failed(ErrorKind::TimedOut),
            _ => end.fail(ErrorKind::TimedOut),
        }
        let owner = end.owner;
        self.heat(owner);
    }
}
