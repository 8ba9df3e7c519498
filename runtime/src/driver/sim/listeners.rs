//! Who listens where in the simulated net, and takes connections.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::net::{Event, Link, Owner, refusal};
use super::rules::no_descriptors;
use super::world::{HostId, SeatId, State};
use crate::driver::source::SourceId;
use crate::util::chance::Chance;
use crate::util::slab::Key;

/// After this time a client asks again at a listener whose queue was full.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A listening socket.
pub(super) struct Listener {
    pub(super) owner: Owner,
    pub(super) host: HostId,
    pub(super) addr: SocketAddr,
    pub(super) shares: bool,
    /// How many connections wait to be accepted; `None` while it is only bound.
    backlog: Option<usize>,
    queue: VecDeque<Key>,
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
        let listener = Listener {
            owner: (seat, SourceId::NONE),
            host,
            addr,
            shares,
            backlog: None,
            queue: VecDeque::new(),
        };
        let key = self.listeners.insert(listener);
        self.hosts[host.0].bound.entry(addr).or_default().push(key);
        Ok(key)
    }

    /// Ends a listener: who waits there is reset.
    pub(super) fn unbind(&mut self, key: Key) {
        let Some(listener) = self.listeners.remove(key) else { return };
        let bound = &mut self.hosts[listener.host.0].bound;
        if let Some(all) = bound.get_mut(&listener.addr) {
            all.retain(|other| *other != key);
            if all.is_empty() {
                bound.remove(&listener.addr);
            }
        }
        for waiting in listener.queue {
            self.reset(waiting);
        }
    }

    /// Whether somebody listens on the host where `addr` would. Who is only bound is in nobody's way.
    fn is_taken(&self, host: HostId, addr: SocketAddr, shares: bool) -> bool {
        let overlaps = |other: &Listener| {
            let either_is_any = other.addr.ip().is_unspecified() || addr.ip().is_unspecified();
            other.addr.port() == addr.port()
                && other.addr.is_ipv4() == addr.is_ipv4()
                && (either_is_any || other.addr.ip() == addr.ip())
        };
        let is_in_the_way = |other: &Listener| {
            other.backlog.is_some() && overlaps(other) && !(shares && other.shares)
        };
        let others = self.hosts[host.0].bound.values().flatten();
        others.filter_map(|key| self.listeners.get(*key)).any(is_in_the_way)
    }

    /// Lets a listener take connections.
    pub(super) fn listen(&mut self, key: Key, backlog: u32) -> io::Result<()> {
        let Some(listener) = self.listeners.get(key) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let (host, addr, shares) = (listener.host, listener.addr, listener.shares);
        if listener.backlog.is_none() && self.is_taken(host, addr, shares) {
            return Err(refusal("cannot listen on", addr, ErrorKind::AddrInUse));
        }
        if let Some(listener) = self.listeners.get_mut(key) {
            listener.backlog = Some((backlog as usize).max(1));
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
        let (from, local, peer) = (asking.host, asking.local, asking.peer);
        let listening = self.who_listens(peer, host);
        if listening.is_empty() {
            let why = ErrorKind::ConnectionRefused;
            return self.post((host, from), Event::Refused { to: client, why });
        }
        let chosen = listening[self.draws.below("listener", listening.len() as u64) as usize];
        let Some(listener) = self.listeners.get(chosen) else { return };
        if listener.queue.len() >= listener.backlog.unwrap_or(0) {
            return self.send(self.now + ASK_AGAIN, (from, host), Event::Syn { client, host });
        }
        let owner = listener.owner;
        let server = self.insert_end(host, from, peer, local);
        if let Some(end) = self.ends.get_mut(server) {
            end.link = Link::Made;
            end.other = client;
        }
        self.follow(server, Event::Connected { to: client, from: server });
        if let Some(listener) = self.listeners.get_mut(chosen) {
            listener.queue.push_back(server);
        }
        self.heat(owner);
    }

    /// The listeners that take connections to an address of a host.
    fn who_listens(&self, addr: SocketAddr, host: HostId) -> Vec<Key> {
        let bound = self.hosts[host.0].bound.iter();
        let is_meant = |at: &SocketAddr| {
            at.port() == addr.port()
                && at.is_ipv4() == addr.is_ipv4()
                && (at.ip() == addr.ip() || at.ip().is_unspecified() || addr.ip().is_unspecified())
        };
        let keys = bound.filter(|(at, _)| is_meant(at)).flat_map(|(_, keys)| keys);
        let listens = |key: &Key| self.listeners.get(*key).is_some_and(|one| one.backlog.is_some());
        keys.copied().filter(listens).collect()
    }

    /// Whether a listener has a connection to give.
    pub(super) fn may_accept(&self, key: Key) -> bool {
        self.listeners.get(key).is_some_and(|listener| !listener.queue.is_empty())
    }
}
