//! Unix sockets of the simulated net: names on a host, and the files that stand for some of them.
//!
//! A file is one of the world, on its host, and not of the system. It goes with its listener, and stays behind when
//! the process of that is killed: then a connection to it is refused, and the next listener replaces it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;

use super::listeners::Bound;
use super::net::{Link, Names, refusal};
use super::rules::no_descriptors;
use super::world::{HostId, SeatId, State};
use crate::driver::source::PeerCredentials;
use crate::util::slab::Key;

/// A name on one host: the bytes of a path, or a NUL and those of an abstract name.
pub(super) type UnixName = Vec<u8>;

/// An address as people write it.
struct Written<'a>(&'a UnixAddr);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_pathname(), self.0.as_abstract_name()) {
            (Some(path), _) => write!(f, "{}", path.display()),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("a socket without a name"),
        }
    }
}

fn name_of(addr: &UnixAddr) -> UnixName {
    match (addr.as_pathname(), addr.as_abstract_name()) {
        (Some(path), _) => path.as_os_str().as_bytes().to_vec(),
        (None, Some(name)) => [&[0], name].concat(),
        (None, None) => Vec::new(),
    }
}

/// The address of an end that nobody gave one.
fn unnamed() -> UnixAddr {
    UnixAddr::from_pathname("").expect("an empty path is an address without a name")
}

/// The user that all simulated processes run as.
const USER: u32 = 1_000;

/// The process that a loop is, as its peers see it.
pub(super) fn credentials(seat: SeatId) -> PeerCredentials {
    let process_id = u32::try_from(seat.0 + 1).ok();
    PeerCredentials { process_id, user_id: USER, group_id: USER }
}

impl State {
    /// Binds a listener to a name on its host.
    pub(super) fn bind_unix(&mut self, seat: SeatId, addr: &UnixAddr) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        if self.lacks_descriptors(host) {
            return Err(no_descriptors());
        }
        let name = name_of(addr);
        let there = self.hosts[host.0].unix.get(&name).copied();
        if there.is_some_and(|key| self.listeners.get(key).is_some()) {
            return Err(refusal("cannot listen on", Written(addr), ErrorKind::AddrInUse));
        }
        let key = self.insert_listener(seat, Bound::Unix(addr.clone()), false);
        self.hosts[host.0].unix.insert(name, key);
        Ok(key)
    }

    /// A listener has gone: its file too, unless its process was killed.
    pub(super) fn unbind_unix(&mut self, host: HostId, key: Key, addr: &UnixAddr, is_killed: bool) {
        let name = name_of(addr);
        let files = &mut self.hosts[host.0].unix;
        let leaves_a_file = is_killed && addr.as_pathname().is_some();
        if !leaves_a_file && files.get(&name) == Some(&key) {
            files.remove(&name);
        }
    }

    /// Makes a connection at once, or not at all.
    pub(super) fn connect_unix(&mut self, seat: SeatId, addr: &UnixAddr) -> io::Result<Key> {
        let host = self.seats[seat.0].host;
        if self.lacks_descriptors(host) {
            return Err(no_descriptors());
        }
        let refused = |kind| refusal("cannot connect to", Written(addr), kind);
        let key = self.hosts[host.0].unix.get(&name_of(addr)).copied();
        let is_missing = key.is_none() && addr.as_pathname().is_some();
        if is_missing {
            return Err(refused(ErrorKind::NotFound));
        }
        let listener = key.and_then(|key| Some((key, self.listeners.get(key)?)));
        let Some((key, listener)) = listener.filter(|(_, listener)| listener.listens()) else {
            return Err(refused(ErrorKind::ConnectionRefused));
        };
        if listener.is_full() {
            return Err(refused(ErrorKind::WouldBlock));
        }
        let client =
            Names::Unix { local: unnamed(), peer: addr.clone(), of_peer: listener.owner.0 };
        let server = Names::Unix { local: addr.clone(), peer: unnamed(), of_peer: seat };
        let client = self.insert_end(host, host, client);
        let server = self.insert_end(host, host, server);
        for (key, other) in [(client, server), (server, client)] {
            if let Some(end) = self.ends.get_mut(key) {
                end.link = Link::Made;
                end.other = other;
            }
        }
        self.queue_up(key, server);
        Ok(client)
    }
}
