//! Sockets from a [`SourceSpec`]: made, given their options, bound, listening or connecting.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::driver::mio::slots::Source;
use crate::driver::source::{SocketOption, SourceKind, SourceSpec};

/// Makes the source that `spec` describes. It is not registered yet.
pub(super) fn open(spec: SourceSpec) -> io::Result<Source> {
    match spec {
        SourceSpec::Listen { addr, backlog, reuse_port } => listen(addr, backlog, reuse_port)
            .map(|socket| Source::new(socket, SourceKind::Listener, false, false))
            .map_err(|error| name("cannot listen on", addr, error)),
        SourceSpec::Connect { addr, local } => {
            connect(addr, local).map(|socket| Source::new(socket, SourceKind::Stream, false, false))
        }
        SourceSpec::Adopt { descriptor, kind } => {
            rustix::io::ioctl_fionbio(&descriptor, true)?;
            let is_tcp = kind == SourceKind::Stream
                && sockopt::socket_protocol(&descriptor)? == Some(ipproto::TCP);
            let mut source = Source::new(descriptor, kind, true, true);
            if !is_tcp {
                source.distrust_short_reads();
            }
            Ok(source)
        }
    }
}

fn listen(addr: SocketAddr, backlog: u32, reuse_port: bool) -> Result<OwnedFd, Errno> {
    let socket = tcp_socket(addr)?;
    if addr.is_ipv6() {
        // One listener, one family: so that the same port can be had for both, whatever the system's
        // default is.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &addr)?;
    rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn connect(addr: SocketAddr, local: Option<SocketAddr>) -> io::Result<OwnedFd> {
    let begin = || {
        let socket = tcp_socket(addr)?;
        if let Some(local) = local {
            rustix::net::bind(&socket, &local)?;
        }
        match rustix::net::connect(&socket, &addr) {
            // Interrupted, it goes on in the background just the same.
            Ok(()) | Err(Errno::INPROGRESS | Errno::INTR) => Ok(socket),
            Err(error) => Err(error),
        }
    };
    begin().map_err(|error| name("cannot connect to", addr, error))
}

/// A socket that never blocks, is closed when the process executes another, and sends small segments at
/// once. Accepted sockets inherit the last from their listener, which saves a system call for each.
fn tcp_socket(addr: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    Ok(socket)
}

/// Changes a property of a socket.
pub(super) fn set_option(socket: impl AsFd, option: SocketOption) -> io::Result<()> {
    match option {
        SocketOption::NoDelay(on) => sockopt::set_tcp_nodelay(socket, on)?,
        SocketOption::KeepAlive(None) => sockopt::set_socket_keepalive(socket, false)?,
        SocketOption::KeepAlive(Some(idle)) => {
            // The system counts in whole seconds and refuses none at all.
            let idle = Duration::from_secs(idle.as_secs().max(1));
            sockopt::set_tcp_keepidle(&socket, idle)?;
            sockopt::set_socket_keepalive(&socket, true)?;
        }
        SocketOption::SendBufferBytes(bytes) => {
            sockopt::set_socket_send_buffer_size(socket, bytes)?
        }
        SocketOption::ReceiveBufferBytes(bytes) => {
            sockopt::set_socket_recv_buffer_size(socket, bytes)?;
        }
    }
    Ok(())
}

/// The address a socket is bound to.
pub(super) fn local_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    internet_addr(rustix::net::getsockname(socket)?.try_into())
}

/// The address of a socket's other end.
pub(super) fn peer_addr(socket: impl AsFd) -> io::Result<SocketAddr> {
    match rustix::net::getpeername(socket)? {
        Some(addr) => internet_addr(addr.try_into()),
        None => internet_addr(Err(Errno::AFNOSUPPORT)),
    }
}

fn internet_addr(addr: Result<SocketAddr, Errno>) -> io::Result<SocketAddr> {
    addr.map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "not an internet socket"))
}

/// Adds to an error what was tried with which address; kind and cause stay.
fn name(tried: &'static str, addr: SocketAddr, cause: impl Into<io::Error>) -> io::Error {
    let cause = cause.into();
    io::Error::new(cause.kind(), AddressError { tried, addr, cause })
}

/// An error of the system and the address it is about.
#[derive(Debug)]
struct AddressError {
    tried: &'static str,
    addr: SocketAddr,
    cause: io::Error,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.tried, self.addr, self.cause)
    }
}

impl Error for AddressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}
