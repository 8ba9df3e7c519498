//! Where a server listens: an address of the network, or a path of this machine.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
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
    /// A connection that does not block, and that may not be there yet: it becomes writable when it is.
    ///
    /// # Errors
    /// If it is refused at once, or nothing is left to open it with.
    pub(crate) fn begin_to_connect(&self) -> io::Result<Socket> {
        let (domain, addr) = match self {
            Peer::Tcp(addr) => (Domain::for_address(*addr), SockAddr::from(*addr)),
            Peer::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), None)?;
        if domain != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
        }
        match socket.connect(&addr) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => Ok(socket),
            // What TCP would wait for, a Unix socket refuses.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let text = "the server's queue of connections is full";
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, text))
            }
            other => other.map(|()| socket),
        }
    }

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
