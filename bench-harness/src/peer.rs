//! Where a server listens: an address of the network, or a path of this machine.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// An address of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Peer {
    /// A connection that blocks and sends what it is given at once.
    ///
    /// # Errors
    /// If nobody accepts there within `limit`.
    pub(crate) fn connect(&self, limit: Duration) -> io::Result<Socket> {
        match self {
            Peer::Tcp(addr) => {
                let socket = Socket::new(Domain::for_address(*addr), Type::STREAM, None)?;
                socket.connect_timeout(&SockAddr::from(*addr), limit)?;
                socket.set_tcp_nodelay(true)?;
                Ok(socket)
            }
            Peer::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                // A connect waits for a place in the backlog, and this limits the wait.
                socket.set_write_timeout(Some(limit))?;
                socket.connect(&SockAddr::unix(path)?)?;
                Ok(socket)
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(addr) => addr.fmt(out),
            Peer::Unix(path) => path.display().fmt(out),
        }
    }
}
