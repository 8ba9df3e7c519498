//! What sources are called: their addresses, and who is at the other end.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddr;

use super::descriptors::unsupported;
use super::listeners::Bound;
use super::net::{Link, Names};
use super::source::What;
use super::unix;
use super::world::State;
use crate::driver::source::{End, PeerCredentials};
use crate::util::slab::Key;

impl State {
    /// The addresses of a connection.
    fn names(&self, end: Key) -> io::Result<&Names> {
        self.ends.get(end).map(|end| &end.names).ok_or_else(nothing)
    }

    fn bound(&self, listener: Key) -> io::Result<&Bound> {
        self.listeners.get(listener).map(|listener| &listener.bound).ok_or_else(nothing)
    }

    pub(super) fn local_addr(&self, what: What) -> io::Result<SocketAddr> {
        match what {
            What::End(key) => match self.names(key)? {
                Names::Internet { local, .. } => Ok(*local),
                Names::Unix { .. } => Err(no_internet()),
            },
            What::Listener(key) => match self.bound(key)? {
                Bound::Internet(addr) => Ok(*addr),
                Bound::Unix(_) => Err(no_internet()),
            },
            What::Socket(key) => {
                self.sockets.get(key).map(|socket| socket.local).ok_or_else(nothing)
            }
            What::Signal(_) => Err(no_internet()),
        }
    }

    pub(super) fn peer_addr(&self, what: What) -> io::Result<SocketAddr> {
        match what {
            What::End(key) => match self.names(key)? {
                Names::Internet { peer, .. } => {
                    let link = self.ends.get(key).map(|end| end.link);
                    if link == Some(Link::Made) { Ok(*peer) } else { Err(nothing()) }
                }
                Names::Unix { .. } => Err(no_internet()),
            },
            What::Socket(key) => {
                self.sockets.get(key).and_then(|socket| socket.peer).ok_or_else(nothing)
            }
            What::Listener(_) | What::Signal(_) => Err(nothing()),
        }
    }

    pub(super) fn unix_addr(&self, what: What, end: End) -> io::Result<UnixAddr> {
        match what {
            What::End(key) => match (self.names(key)?, end) {
                (Names::Unix { local, .. }, End::Local) => Ok(local.clone()),
                (Names::Unix { peer, .. }, End::Peer) => Ok(peer.clone()),
                (Names::Internet { .. }, _) => Err(no_unix()),
            },
            What::Listener(key) => match self.bound(key)? {
                Bound::Unix(addr) if end == End::Local => Ok(addr.clone()),
                Bound::Unix(_) => Err(nothing()),
                Bound::Internet(_) => Err(no_unix()),
            },
            What::Socket(_) | What::Signal(_) => Err(no_unix()),
        }
    }

    pub(super) fn peer_credentials(&self, what: What) -> io::Result<PeerCredentials> {
        match what {
            What::End(key) => match self.names(key)? {
                Names::Unix { of_peer, .. } => Ok(unix::credentials(*of_peer)),
                Names::Internet { .. } => Err(no_unix()),
            },
            What::Listener(_) | What::Socket(_) | What::Signal(_) => Err(no_unix()),
        }
    }
}

fn nothing() -> io::Error {
    ErrorKind::NotConnected.into()
}

fn no_internet() -> io::Error {
    unsupported("not an internet socket")
}

fn no_unix() -> io::Error {
    unsupported("not a Unix socket")
}
