//! The simulated net: listeners, and connections as two ends that send each other events.
//!
//! ```text
//!  client end ── Syn ───────────────▶ listener: a server end waits there to be accepted
//!       ◀── Connected, or Refused ────┘
//!  one end ── Bytes … Fin, or Reset ─▶ the other end's inbox
//!       ◀────────── Room ─────────────┘ when they were read
//! ```
//!
//! What one end sends arrives in the order in which it was sent. An end that has gone answers bytes with a reset.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use super::datagrams::Parcel;
use super::rules::{Blow, Cargo, no_descriptors};
use super::wire::Wire;
use super::world::{HostId, Route, SeatId, State};
use crate::driver::source::SourceId;
use crate::util::chance::Chance;
use crate::util::instant::Instant;
use crate::util::slab::Key;

/// Who is told of what happens: a loop, and its name for the source.
pub(super) type Owner = (SeatId, SourceId);

/// One end of a connection.
pub(super) struct End {
    pub(super) owner: Owner,
    pub(super) host: HostId,
    pub(super) other_host: HostId,
    pub(super) names: Names,
    /// The end at the other side, once there is one. It may have gone.
    pub(super) other: Key,
    pub(super) link: Link,
    inbox: VecDeque<u8>,
    /// How what is received ends, behind what is in the inbox.
    last: Last,
    /// What the other end has sent and this one not read yet, and those bytes of it that are on their way.
    unread_limit_bytes: usize,
    /// Bytes that were sent and not said to be read.
    unread_bytes: usize,
    /// Nothing may be sent any more: the reason.
    sends_no_more: Option<ErrorKind>,
    /// When the last thing that was sent arrives.
    last_arrival: Instant,
    /// A close throws away what was not sent, and resets.
    pub(super) resets: bool,
    pub(super) wire: Wire,
    /// After so much silence it asks whether somebody is there.
    pub(super) keep_alive: Option<Duration>,
}

/// The addresses of an end and of the other one.
#[derive(Clone, Debug)]
pub(super) enum Names {
    Internet {
        local: SocketAddr,
        peer: SocketAddr,
    },
    /// And which loop the other one is of.
    Unix {
        local: UnixAddr,
        peer: UnixAddr,
        of_peer: SeatId,
    },
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Connecting,
    Made,
    Failed(ErrorKind),
}

/// How what is received ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It goes on.
    Open,
    Ended,
    /// It was reset, or the other side was not heard of for too long, and nobody was told of that yet.
    Failed(ErrorKind),
}

/// Something on its way.
pub(super) enum Event {
    Syn {
        client: Key,
        host: HostId,
    },
    Connected {
        to: Key,
        from: Key,
    },
    Refused {
        to: Key,
        why: ErrorKind,
    },
    Bytes {
        to: Key,
        from: Key,
        bytes: Vec<u8>,
    },
    Fin {
        to: Key,
        from: Key,
    },
    Reset {
        to: Key,
    },
    Room {
        to: Key,
        count: usize,
    },
    /// An end has heard nothing for so long.
    GiveUp {
        end: Key,
        patience: Duration,
    },
    /// A partition begins or ends.
    Look,
    Parcel(Parcel),
    /// Nobody has the address that a datagram was sent to.
    Unreachable {
        to: Key,
    },
}

/// What a receive finds.
pub(super) enum Received {
    /// So many bytes, and whether that was all there is.
    Bytes(usize, bool),
    End,
    Nothing,
}

impl State {
    /// Begins a connection.
    pub(super) fn connect(
        &mut self,
        seat: SeatId,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        if self.lacks_descriptors(host) {
            return Err(no_descriptors());
        }
        let mut own = local.unwrap_or_else(|| {
            let is_loopback = peer.ip().is_loopback() || peer.ip().is_unspecified();
            SocketAddr::new(if is_loopback { peer.ip() } else { self.hosts[host.0].ip }, 0)
        });
        if self.host_at(own.ip(), host) != Some(host) {
            return Err(refusal("cannot connect to", peer, ErrorKind::AddrNotAvailable));
        }
        if own.port() == 0 {
            own.set_port(self.free_port(host));
        }
        let to = self.host_at(peer.ip(), host);
        let other_host = to.unwrap_or(host);
        let client = self.insert_end(host, other_host, Names::Internet { local: own, peer });
        let event = match to {
            Some(host) => Event::Syn { client, host },
            None => Event::Refused { to: client, why: ErrorKind::HostUnreachable },
        };
        self.post((host, other_host), event);
        Ok(client)
    }

    pub(super) fn insert_end(&mut self, host: HostId, other_host: HostId, names: Names) -> Key {
        self.ends.insert(End {
            owner: (SeatId(0), SourceId::NONE),
            host,
            other_host,
            names,
            other: Key::NOWHERE,
            link: Link::Connecting,
            inbox: VecDeque::new(),
            last: Last::Open,
            unread_limit_bytes: self.settings.buffer_bytes,
            unread_bytes: 0,
            sends_no_more: None,
            last_arrival: self.now,
            resets: false,
            wire: Wire::Whole,
            keep_alive: None,
        })
    }

    /// Sends what there is room for, and says how much that was.
    pub(super) fn transmit(&mut self, key: Key, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = self.ends.get_mut(key) else {
            return Err(ErrorKind::NotConnected.into());
        };
        if let Last::Failed(why) = end.last {
            end.last = Last::Ended;
            return Err(why.into());
        }
        match end.link {
            Link::Failed(why) => return Err(why.into()),
            Link::Connecting => return Ok(0),
            Link::Made => {}
        }
        if let Some(why) = end.sends_no_more {
            return Err(why.into());
        }
        let room = end.unread_limit_bytes.saturating_sub(end.unread_bytes).min(bytes.len());
        if room == 0 {
            return Ok(0);
        }
        let to = end.other;
        let mut count = room;
        if self.draws.happens("short write", self.settings.short) {
            count = 1 + self.draws.below("bytes to write", room as u64) as usize;
        }
        self.draws.note_bytes(&bytes[..count]);
        if let Some(end) = self.ends.get_mut(key) {
            end.unread_bytes += count;
        }
        // What was written by one call may arrive in two pieces.
        let mut cut = 0;
        if self.draws.happens("cut", self.settings.short) {
            cut = self.draws.below("where to cut", count as u64) as usize;
        }
        for piece in [&bytes[..cut], &bytes[cut..count]] {
            if !piece.is_empty() {
                self.follow(key, Event::Bytes { to, from: key, bytes: piece.to_vec() });
            }
        }
        Ok(count)
    }

    /// Has `event` arrive after everything that this end has sent before.
    pub(super) fn follow(&mut self, key: Key, event: Event) {
        let Some(end) = self.ends.get_mut(key) else { return };
        let route = (end.host, end.other_host);
        if end.wire == Wire::Broken {
            // What follows a hole must not arrive.
            return;
        }
        if end.wire == Wire::Silent {
            if let Some((_, patience)) = event.waiter() {
                self.happen_at(self.now + patience, Event::GiveUp { end: key, patience });
            }
            return;
        }
        if self.hosts[route.0.0].is_down {
            return;
        }
        let at = self.now + self.latency(route.0, route.1);
        let fate = self.fate(route, event.cargo(), at);
        match fate.blow {
            Blow::None => {}
            Blow::Reset => return self.break_off(key),
            Blow::HalfOpen => {
                self.mute(key);
                return self.follow(key, event);
            }
        }
        let Some(end) = self.ends.get_mut(key) else { return };
        end.last_arrival = end.last_arrival.max(fate.at);
        let at = end.last_arrival;
        self.send(at, route, event);
    }

    /// Sends what need not keep its place behind other things.
    pub(super) fn post(&mut self, route: Route, event: Event) {
        if self.hosts[route.0.0].is_down {
            return;
        }
        let at = self.now + self.latency(route.0, route.1);
        let fate = self.fate(route, Cargo::Control, at);
        self.send(fate.at, route, event);
    }

    /// Whether a try to send would do something or fail.
    pub(super) fn may_send(&self, key: Key) -> bool {
        self.ends.get(key).is_none_or(|end| match end.link {
            Link::Connecting => false,
            Link::Failed(_) => true,
            Link::Made => {
                end.unread_bytes < end.unread_limit_bytes
                    || end.sends_no_more.is_some()
                    || matches!(end.last, Last::Failed(_))
            }
        })
    }

    /// Whether a try to receive would find something.
    pub(super) fn may_receive(&self, key: Key) -> bool {
        self.ends.get(key).is_none_or(|end| !end.inbox.is_empty() || end.last != Last::Open)
    }

    /// Receives up to `limit` bytes into `into`; they stay if `keeps`.
    pub(super) fn receive(
        &mut self,
        key: Key,
        limit: usize,
        keeps: bool,
        mut into: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        let draws = &self.draws;
        let Some(end) = self.ends.get_mut(key) else {
            return Err(ErrorKind::NotConnected.into());
        };
        if end.inbox.is_empty() {
            return match end.last {
                Last::Open => Ok(Received::Nothing),
                Last::Ended => Ok(Received::End),
                Last::Failed(why) => {
                    end.last = Last::Ended;
                    end.sends_no_more = Some(ErrorKind::BrokenPipe);
                    Err(why.into())
                }
            };
        }
        let mut count = limit.min(end.inbox.len());
        if draws.happens("short read", self.settings.short) {
            count = 1 + draws.below("bytes to read", count as u64) as usize;
        }
        let (front, back) = end.inbox.as_slices();
        let in_front = front.len().min(count);
        into(&front[..in_front]);
        if in_front < count {
            into(&back[..count - in_front]);
        }
        if !keeps {
            end.inbox.drain(..count);
        }
        let is_all = end.inbox.is_empty() && end.last == Last::Open;
        let (route, to, wire) = ((end.host, end.other_host), end.other, end.wire);
        if !keeps && wire != Wire::Silent {
            self.post(route, Event::Room { to, count });
        }
        Ok(Received::Bytes(count, is_all))
    }

    /// Sends no more: the other end will see the end of the stream.
    pub(super) fn half_close(&mut self, key: Key) -> io::Result<()> {
        let end = self.ends.get_mut(key).ok_or(ErrorKind::NotConnected)?;
        if end.link != Link::Made || matches!(end.last, Last::Failed(_)) {
            return Err(ErrorKind::NotConnected.into());
        }
        let to = end.other;
        if end.sends_no_more.replace(ErrorKind::BrokenPipe).is_none() {
            self.follow(key, Event::Fin { to, from: key });
        }
        Ok(())
    }

    /// Receives no more: what came and will come is thrown away.
    pub(super) fn deafen(&mut self, key: Key) {
        if let Some(end) = self.ends.get_mut(key) {
            end.inbox.clear();
            end.last = Last::Ended;
        }
    }

    /// Ends an end. With bytes unread, or when it was told to, that is a reset.
    pub(super) fn close(&mut self, key: Key) {
        let Some(end) = self.ends.get(key) else { return };
        let resets = end.resets || !end.inbox.is_empty();
        if resets {
            return self.reset(key);
        }
        // Fails if there is nobody to tell.
        let _ = self.half_close(key);
        self.ends.remove(key);
    }

    /// Ends an end at once; the other one gets an error.
    pub(super) fn reset(&mut self, key: Key) {
        let Some(to) = self.ends.get(key).map(|end| end.other) else { return };
        self.follow(key, Event::Reset { to });
        self.ends.remove(key);
    }

    /// How much may be on its way or unread; less than before has what is there go first.
    pub(super) fn set_buffer(&mut self, key: Key, bytes: usize) {
        if let Some(end) = self.ends.get_mut(key) {
            end.unread_limit_bytes = bytes.max(1);
        }
    }

    /// Something arrives.
    pub(super) fn happen(&mut self, event: Event) {
        self.draws.note(self.now.as_nanos());
        match event {
            Event::Syn { client, host } => self.be_asked(client, host),
            Event::Connected { to, from } => self.be_connected(to, from),
            Event::Refused { to, why } => self.arrive(to, None, |end| {
                if end.link == Link::Connecting {
                    end.link = Link::Failed(why);
                }
            }),
            Event::Bytes { to, from, bytes } => self.arrive(to, Some(from), |end| {
                if end.last == Last::Open {
                    end.inbox.extend(bytes);
                }
            }),
            Event::Fin { to, .. } => self.arrive(to, None, |end| {
                if end.last == Last::Open {
                    end.last = Last::Ended;
                }
            }),
            Event::Reset { to } => {
                self.arrive(to, None, |end| end.fail(ErrorKind::ConnectionReset))
            }
            Event::Room { to, count } => self.arrive(to, None, |end| {
                end.unread_bytes = end.unread_bytes.saturating_sub(count);
            }),
            Event::GiveUp { end, patience } => self.give_up(end, patience),
            Event::Look => self.let_pass(),
            Event::Parcel(parcel) => self.be_sent(parcel),
            Event::Unreachable { to } => self.be_told(to),
        }
    }

    /// Something arrives at an end. If it has gone, `from` is told by a reset.
    fn arrive(&mut self, to: Key, from: Option<Key>, change: impl FnOnce(&mut End)) {
        if let Some(end) = self.ends.get_mut(to) {
            if end.wire == Wire::Silent {
                return;
            }
            change(end);
            let owner = end.owner;
            return self.heat(owner);
        }
        let Some(from) = from else { return };
        if let Some(end) = self.ends.get(from).filter(|end| end.wire != Wire::Silent) {
            let route = (end.other_host, end.host);
            self.post(route, Event::Reset { to: from });
        }
    }

    /// A listener has taken a connection. Its client may have given up meanwhile, and says so.
    fn be_connected(&mut self, to: Key, from: Key) {
        let waits = self.ends.get(to).is_none_or(|end| end.link == Link::Connecting);
        if !waits && let Some(end) = self.ends.get(to) {
            let route = (end.host, end.other_host);
            return self.post(route, Event::Reset { to: from });
        }
        self.arrive(to, Some(from), |end| {
            end.link = Link::Made;
            end.other = from;
        });
    }
}

impl End {
    /// It has ended with an error. What was received before can still be read.
    pub(super) fn fail(&mut self, why: ErrorKind) {
        self.last = Last::Failed(why);
        self.sends_no_more = Some(ErrorKind::BrokenPipe);
    }
}

impl Event {
    /// What it is, as far as rules are concerned.
    fn cargo(&self) -> Cargo {
        match self {
            Self::Bytes { bytes, .. } => Cargo::Stream(bytes.len()),
            _ => Cargo::Control,
        }
    }
}

/// An error of the simulated system that names the address.
pub(super) fn refusal(tried: &str, addr: impl fmt::Display, kind: ErrorKind) -> io::Error {
    io::Error::new(kind, format!("{tried} {addr}: {}", io::Error::from(kind)))
}
