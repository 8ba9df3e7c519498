//! Who listens where in the simulated net, and takes connections.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use super::net::{Event, Link, Names, Owner, refusal};
use super::rules::no_descriptors;
use super::spread;
use super::world::{HostId, SeatId, State};
use crate::driver::source::{CpuSteering, SourceId};
use crate::util::slab::Key;

/// After this time a client asks again at a listener whose queue was full.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A listening socket.
pub(super) struct Listener {
    pub(super) owner: Owner,
    pub(super) host: HostId,
    pub(super) bound: Bound,
    shares: bool,
    /// How many connections may wait to be accepted, besides one; `None` while it is only bound.
    backlog: Option<usize>,
    queue: VecDeque<Key>,
}

/// Where a listener is.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Internet(SocketAddr),
    Unix(UnixAddr),
}

/// Those that are bound to one address of a host.
#[derive(Default)]
pub(super) struct Group {
    /// Those that listen in the order in which they began to, or as the last one took the place of one that went.
    listeners: Vec<Key>,
    /// Who gets what comes in on which CPU, if somebody has said so.
    steering: Option<CpuSteering>,
}

impl Listener {
    pub(super) fn listens(&self) -> bool {
        self.backlog.is_some()
    }

    /// Whether it keeps no more connections waiting. As on Linux there is always room for one more than it said.
    pub(super) fn is_full(&self) -> bool {
        self.backlog.is_some_and(|backlog| self.queue.len() > backlog)
    }
}

impl State {
    /// Binds a listener.
    pub(super) fn bind(
        &mut self,
        seat: SeatId,
        mut addr: SocketAddr,
        shares: bool,
    ) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        if self.lacks_descriptors(host) {
            return Err(no_descriptors());
        }
        let is_here = addr.ip().is_loopback() || addr.ip().is_unspecified();
        if !is_here && self.hosts[host.0].ip != addr.ip() {
            return Err(refusal("cannot listen on", addr, ErrorKind::AddrNotAvailable));
        }
        if addr.port() == 0 {
            addr.set_port(self.free_port(host));
        }
        if self.is_taken(host, addr, shares) {
            return Err(refusal("cannot listen on", addr, ErrorKind::AddrInUse));
        }
        let key = self.insert_listener(seat, Bound::Internet(addr), shares);
        self.hosts[host.0].bound.entry(addr).or_default().listeners.push(key);
        Ok(key)
    }

    pub(super) fn insert_listener(&mut self, seat: SeatId, bound: Bound, shares: bool) -> Key {
        self.listeners.insert(Listener {
            owner: (seat, SourceId::NONE),
            host: self.seats[seat.0].host,
            bound,
            shares,
            backlog: None,
            queue: VecDeque::new(),
        })
    }

    /// Ends a listener: who waits there is reset.
    pub(super) fn unbind(&mut self, key: Key) {
        let Some(listener) = self.listeners.remove(key) else { return };
        match &listener.bound {
            Bound::Unix(addr) => {
                let is_killed = self.seats[listener.owner.0.0].is_killed;
                self.unbind_unix(listener.host, key, addr, is_killed);
            }
            Bound::Internet(addr) => {
                let bound = &mut self.hosts[listener.host.0].bound;
                if let Some(group) = bound.get_mut(addr) {
                    // As the system does it: the last one takes the number of the one that goes.
                    if let Some(number) = group.listeners.iter().position(|other| *other == key) {
                        group.listeners.swap_remove(number);
                    }
                    if group.listeners.is_empty() {
                        bound.remove(addr);
                    }
                }
            }
        }
        for waiting in listener.queue {
            self.reset(waiting);
        }
    }

    /// Whether somebody listens on the host where `addr` would. Who is only bound is in nobody's way.
    fn is_taken(&self, host: HostId, addr: SocketAddr, shares: bool) -> bool {
        let is_in_the_way = |key: &Key| {
            let other = self.listeners.get(*key);
            other.is_some_and(|other| other.listens() && !(shares && other.shares))
        };
        let mut bound = self.hosts[host.0].bound.iter();
        bound.any(|(at, group)| overlap(*at, addr) && group.listeners.iter().any(is_in_the_way))
    }

    /// Lets a listener take connections.
    pub(super) fn listen(&mut self, key: Key, backlog: u32) -> io::Result<()> {
        let Some(listener) = self.listeners.get(key) else {
            return Err(ErrorKind::NotConnected.into());
        };
        if let Bound::Internet(addr) = listener.bound
            && !listener.listens()
        {
            let host = listener.host;
            if self.is_taken(host, addr, listener.shares) {
                return Err(refusal("cannot listen on", addr, ErrorKind::AddrInUse));
            }
            // They are numbered as they begin to listen.
            let group = self.hosts[host.0].bound.entry(addr).or_default();
            group.listeners.retain(|other| *other != key);
            group.listeners.push(key);
        }
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.backlog = Some(backlog as usize);
        }
        Ok(())
    }

    /// Takes the connection that has waited longest.
    ///
    /// # Errors
    /// If one waits and there is no descriptor for it.
    pub(super) fn accept(&mut self, key: Key) -> io::Result<Option<Key>> {
        let Some(listener) = self.listeners.get(key).filter(|one| !one.queue.is_empty()) else {
            return Ok(None);
        };
        if self.lacks_descriptors(listener.host) {
            return Err(no_descriptors());
        }
        Ok(self.listeners.get_mut(key).and_then(|listener| listener.queue.pop_front()))
    }

    /// A client asks for a connection.
    pub(super) fn be_asked(&mut self, client: Key, host: HostId) {
        let asking = self.ends.get(client).filter(|end| end.link == Link::Connecting);
        let Some(asking) = asking else { return };
        let Names::Internet { local, peer } = asking.names else { return };
        let from = asking.host;
        let chosen = self.who_takes(local, peer, host);
        let Some((chosen, listener)) = chosen.and_then(|key| Some((key, self.listeners.get(key)?)))
        else {
            let why = ErrorKind::ConnectionRefused;
            return self.post((host, from), Event::Refused { to: client, why });
        };
        if listener.is_full() {
            return self.send(self.now + ASK_AGAIN, (from, host), Event::Syn { client, host });
        }
        let names = Names::Internet { local: peer, peer: local };
        let server = self.insert_end(host, from, names);
        if let Some(end) = self.ends.get_mut(server) {
            end.link = Link::Made;
            end.other = client;
        }
        self.follow(server, Event::Connected { to: client, from: server });
        self.queue_up(chosen, server);
    }

    /// A connection waits to be accepted.
    pub(super) fn queue_up(&mut self, listener: Key, end: Key) {
        let Some(listener) = self.listeners.get_mut(listener) else { return };
        listener.queue.push_back(end);
        let owner = listener.owner;
        self.heat(owner);
    }

    /// The listener that takes a connection from one address to another, which is of the host: each time the same,
    /// also if it has no room and another one has.
    fn who_takes(&self, from: SocketAddr, to: SocketAddr, host: HostId) -> Option<Key> {
        let listens = |key: &&Key| self.listeners.get(**key).is_some_and(Listener::listens);
        let bound = self.hosts[host.0].bound.iter();
        let meant = bound.filter(|(at, group)| {
            overlap(**at, to) && group.listeners.iter().any(|key| listens(&key))
        });
        // Who listens on this very address goes before who listens on any.
        let (_, group) = meant.min_by_key(|(at, _)| at.ip().is_unspecified())?;
        let listening: Vec<Key> = group.listeners.iter().filter(listens).copied().collect();
        let (salt, count) = (self.settings.seed, listening.len());
        let place = match &group.steering {
            Some(steering) => spread::steered_place(salt, from, to, count, steering),
            None => spread::place(salt, from, to, count),
        };
        listening.get(place).copied()
    }

    /// Has those that share an address with a listener chosen as `steering` says.
    ///
    /// # Errors
    /// `InvalidInput` if it does not share its address.
    pub(super) fn steer(&mut self, key: Key, steering: &CpuSteering) -> io::Result<()> {
        let listener = self.listeners.get(key).filter(|listener| listener.shares);
        let group = listener.and_then(|listener| match &listener.bound {
            Bound::Internet(addr) => self.hosts[listener.host.0].bound.get_mut(addr),
            Bound::Unix(_) => None,
        });
        group.ok_or(ErrorKind::InvalidInput)?.steering = Some(steering.clone());
        Ok(())
    }

    /// Whether a listener has a connection to give.
    pub(super) fn may_accept(&self, key: Key) -> bool {
        self.listeners.get(key).is_some_and(|listener| !listener.queue.is_empty())
    }
}

/// Whether what comes to one address comes to who is bound to the other.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let either_is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (either_is_any || one.ip() == other.ip())
}
