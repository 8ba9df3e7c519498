//! UDP in the simulated net: each datagram has a time of its own on its way, so that they overtake each other, but
//! within a host.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::listeners::overlap;
use super::net::{Event, Owner, refusal};
use super::rules::{Cargo, no_descriptors};
use super::spread;
use super::world::{HostId, SeatId, State};
use crate::driver::DATAGRAM_BATCH_COUNT;
use crate::driver::op::Datagram;
use crate::driver::source::SourceId;
use crate::util::chance::Chance;
use crate::util::instant::Instant;
use crate::util::slab::Key;

/// The most bytes of a datagram over IPv4.
const MOST_BYTES: usize = 65_507;
/// What a datagram takes of a socket's buffer besides its bytes: the system counts its own records too.
const OVERHEAD_BYTES: usize = 256;

/// A UDP socket.
pub(super) struct Socket {
    pub(super) owner: Owner,
    pub(super) host: HostId,
    pub(super) local: SocketAddr,
    pub(super) peer: Option<SocketAddr>,
    shares: bool,
    inbox: VecDeque<io::Result<Datagram>>,
    inbox_bytes: usize,
    /// When the last one that it has sent to its own host arrives.
    last_arrival: Instant,
}

/// A datagram on its way.
#[derive(Clone)]
pub(super) struct Parcel {
    host: HostId,
    to: SocketAddr,
    from: SocketAddr,
    sender: Key,
    bytes: Bytes,
}

impl State {
    pub(super) fn bind_datagrams(
        &mut self,
        seat: SeatId,
        mut local: SocketAddr,
        shares: bool,
    ) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        if self.lacks_descriptors(host) {
            return Err(no_descriptors());
        }
        let refused = |addr: SocketAddr, kind| refusal("cannot bind a UDP socket to", addr, kind);
        let ip = local.ip();
        if !ip.is_loopback() && !ip.is_unspecified() && self.hosts[host.0].ip != ip {
            return Err(refused(local, ErrorKind::AddrNotAvailable));
        }
        if local.port() == 0 {
            local.set_port(self.free_port(host));
        }
        let is_in_the_way = |other: &Socket| {
            other.host == host && overlap(other.local, local) && !(shares && other.shares)
        };
        if self.sockets.iter().any(|(_, other)| is_in_the_way(other)) {
            return Err(refused(local, ErrorKind::AddrInUse));
        }
        Ok(self.sockets.insert(Socket {
            owner: (seat, SourceId::NONE),
            host,
            local,
            peer: None,
            shares,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            last_arrival: self.now,
        }))
    }

    /// Sends a datagram to `to`, or to the peer of the socket.
    pub(super) fn send_datagram(
        &mut self,
        key: Key,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<()> {
        let Some(socket) = self.sockets.get(key) else {
            return Err(ErrorKind::NotConnected.into());
        };
        if bytes.len() > MOST_BYTES {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let Some(to) = to.or(socket.peer) else {
            return Err(io::Error::from_raw_os_error(libc::EDESTADDRREQ));
        };
        let (host, local) = (socket.host, socket.local);
        self.draws.note_bytes(bytes);
        // One to nowhere is lost like any other.
        let Some(to_host) = self.host_at(to.ip(), host) else { return Ok(()) };
        let from = SocketAddr::new(self.seen_ip(local.ip(), to.ip(), host), local.port());
        if self.hosts[host.0].is_down {
            return Ok(());
        }
        let route = (host, to_host);
        let mut at = self.now + self.latency(host, to_host);
        if host == to_host
            && let Some(socket) = self.sockets.get_mut(key)
        {
            at = at.max(socket.last_arrival);
            socket.last_arrival = at;
        }
        let fate = self.fate(route, Cargo::Datagram(bytes.len()), at);
        let bytes = Bytes::copy_from_slice(bytes);
        let parcel = Parcel { host: to_host, to, from, sender: key, bytes };
        if let Some(at) = fate.again_at {
            self.send(at, route, Event::Parcel(parcel.clone()));
        }
        if !fate.is_lost {
            self.send(fate.at, route, Event::Parcel(parcel));
        }
        Ok(())
    }

    /// From which address a receiver sees what a socket sends.
    fn seen_ip(&self, local: IpAddr, to: IpAddr, host: HostId) -> IpAddr {
        match local {
            ip if !ip.is_unspecified() => ip,
            _ if to.is_loopback() => to,
            _ => self.hosts[host.0].ip,
        }
    }

    /// A datagram arrives.
    pub(super) fn be_sent(&mut self, parcel: Parcel) {
        let Parcel { host, to, from, sender, bytes } = parcel;
        let is_meant = |socket: &Socket| {
            socket.host == host
                && overlap(socket.local, to)
                && socket.peer.is_none_or(|peer| peer == from)
        };
        let meant = || self.sockets.iter().filter(|(_, socket)| is_meant(socket));
        // Who is connected to the sender goes before who is not, and who has this very address before who has any.
        let rank = |socket: &Socket| (socket.peer.is_some(), !socket.local.ip().is_unspecified());
        let Some(best) = meant().map(|(_, socket)| rank(socket)).max() else {
            return self.tell_nobody_is_there(host, sender, to);
        };
        let meant = meant().filter(|(_, socket)| rank(socket) == best).map(|(key, _)| key);
        let meant: Vec<Key> = meant.collect();
        let place = spread::place(self.settings.seed, from, to, meant.len());
        let limit_bytes = self.settings.buffer_bytes;
        let Some(socket) = self.sockets.get_mut(meant[place]) else { return };
        let cost = bytes.len() + OVERHEAD_BYTES;
        // One always fits; what else is too much is lost.
        if socket.inbox.is_empty() || socket.inbox_bytes + cost <= limit_bytes {
            socket.inbox_bytes += cost;
            socket.inbox.push_back(Ok(Datagram { bytes, from }));
            let owner = socket.owner;
            self.heat(owner);
        }
    }

    /// Who has a peer is told that nobody is there.
    fn tell_nobody_is_there(&mut self, host: HostId, sender: Key, to: SocketAddr) {
        let Some(socket) = self.sockets.get(sender) else { return };
        if socket.peer == Some(to) {
            let route = (host, socket.host);
            self.post(route, Event::Unreachable { to: sender });
        }
    }

    /// A socket is told that nobody is where it has sent to.
    pub(super) fn be_told(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let is_told = socket.inbox.iter().any(Result::is_err);
        if !is_told {
            // An error comes before what was received.
            socket.inbox.push_front(Err(ErrorKind::ConnectionRefused.into()));
        }
        let owner = socket.owner;
        self.heat(owner);
    }

    /// Receives what is there, up to a bounded number; `None` if nothing is.
    pub(super) fn receive_datagrams(&mut self, key: Key) -> Option<Vec<io::Result<Datagram>>> {
        let draws = &self.draws;
        let socket = self.sockets.get_mut(key)?;
        let mut count = socket.inbox.len().min(DATAGRAM_BATCH_COUNT);
        if count > 1 && draws.happens("short batch", self.settings.short) {
            count = 1 + draws.below("datagrams", count as u64) as usize;
        }
        let received: Vec<_> = socket.inbox.drain(..count).collect();
        let bytes = received.iter().flatten().map(|one| one.bytes.len() + OVERHEAD_BYTES);
        socket.inbox_bytes -= bytes.sum::<usize>();
        if received.is_empty() { None } else { Some(received) }
    }

    pub(super) fn may_receive_datagram(&self, key: Key) -> bool {
        self.sockets.get(key).is_some_and(|socket| !socket.inbox.is_empty())
    }

    /// It sends to this peer and hears no other.
    pub(super) fn set_datagram_peer(&mut self, key: Key, peer: SocketAddr) {
        let Some(socket) = self.sockets.get(key) else { return };
        let ip = self.seen_ip(socket.local.ip(), peer.ip(), socket.host);
        if let Some(socket) = self.sockets.get_mut(key) {
            socket.peer = Some(peer);
            socket.local.set_ip(ip);
        }
    }
}
