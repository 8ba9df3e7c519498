//! Sockets from a [`SourceSpec`]: made, given their options, bound, listening or connecting.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};

use crate::driver::mio::calls;
use crate::driver::mio::slots::Source;
use crate::driver::source::{End, PeerCredentials, SocketOption, SourceKind, SourceSpec};

/// Makes the source that `spec` describes. It is not registered yet.
pub(super) fn open(spec: SourceSpec) -> io::Result<Source> {
    match spec {
        SourceSpec::Listen { addr, backlog, reuse_port } => bind(addr, backlog, reuse_port)
            .map(|socket| Source::new(socket, SourceKind::Listener, false, false))
            .map_err(|error| name("cannot listen on", addr, error)),
        SourceSpec::ListenUnix { addr, backlog } => bind_unix(&addr, backlog)
            .map(|socket| Source::new(socket, SourceKind::Listener, false, false))
            .map_err(|error| name("cannot listen on", Unix(&addr), error)),
        SourceSpec::Connect { addr, local } => {
            connect(addr, local).map(|socket| Source::new(socket, SourceKind::Stream, false, false))
        }
        SourceSpec::ConnectUnix { addr } => connect_unix(&addr)
            .map(|socket| Source::new(socket, SourceKind::UnixStream, false, true))
            .map_err(|error| name("cannot connect to", Unix(&addr), error)),
        SourceSpec::Datagrams { addr, reuse_port } => bind_datagrams(addr, reuse_port)
            .map(|socket| Source::new(socket, SourceKind::Datagrams, false, true))
            .map_err(|error| name("cannot bind a UDP socket to", addr, error)),
        SourceSpec::Signal { .. } => Err(io::ErrorKind::Unsupported.into()),
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

fn bind(addr: SocketAddr, backlog: Option<u32>, reuse_port: bool) -> io::Result<OwnedFd> {
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
    if let Some(backlog) = backlog {
        listen(&socket, backlog)?;
    }
    Ok(socket)
}

fn bind_datagrams(addr: SocketAddr, reuse_port: bool) -> Result<OwnedFd, Errno> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    rustix::net::bind(&socket, &addr)?;
    Ok(socket)
}

/// Connects a UDP socket, which is done at once.
pub(super) fn set_peer(socket: impl AsFd, peer: SocketAddr) -> io::Result<()> {
    calls::retry(|| rustix::net::connect(&socket, &peer))
        .map_err(|error| name("cannot connect a UDP socket to", peer, error))
}

fn bind_unix(addr: &UnixAddr, backlog: Option<u32>) -> io::Result<OwnedFd> {
    let socket = unix_socket()?;
    rustix::net::bind(&socket, &to_system(addr)?)?;
    if let Some(backlog) = backlog {
        listen(&socket, backlog)?;
    }
    Ok(socket)
}

/// Lets a bound socket take connections.
pub(super) fn listen(socket: impl AsFd, backlog: u32) -> Result<(), Errno> {
    rustix::net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// The same for a socket that was bound earlier; the error names its address.
pub(super) fn listen_later(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    listen(&socket, backlog).map_err(|error| {
        match (local_addr(&socket), unix_addr(&socket, End::Local)) {
            (Ok(addr), _) => name("cannot listen on", addr, error),
            (_, Ok(addr)) => name("cannot listen on", Unix(&addr), error),
            _ => error.into(),
        }
    })
}

/// Connects at once or not at all: a Unix socket has no half-made connections.
fn connect_unix(addr: &UnixAddr) -> io::Result<OwnedFd> {
    let socket = unix_socket()?;
    let addr = to_system(addr)?;
    calls::retry(|| rustix::net::connect(&socket, &addr))?;
    Ok(socket)
}

fn unix_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
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
        SocketOption::Linger(limit) => sockopt::set_socket_linger(socket, limit)?,
        SocketOption::TimeToLive(count) => match sockopt::socket_domain(&socket)? {
            AddressFamily::INET6 => sockopt::set_ipv6_unicast_hops(socket, Some(count))?,
            _ => sockopt::set_ip_ttl(socket, count.into())?,
        },
        SocketOption::Broadcast(on) => sockopt::set_socket_broadcast(socket, on)?,
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

/// The address of one end of a Unix socket.
pub(super) fn unix_addr(socket: impl AsFd, end: End) -> io::Result<UnixAddr> {
    let addr = match end {
        End::Local => Some(rustix::net::getsockname(socket)?),
        End::Peer => rustix::net::getpeername(socket)?,
    };
    match addr {
        Some(addr) => from_system(addr),
        // An end without a name has no address, in the eyes of some systems.
        None => UnixAddr::from_pathname(""),
    }
}

/// Who is at the other end of a Unix socket.
pub(super) fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    // Other sockets answer as well, with the number of nobody.
    if sockopt::socket_domain(&socket)? != AddressFamily::UNIX {
        return Err(not_unix());
    }
    calls::peer_credentials(socket.as_fd())
}

fn to_system(addr: &UnixAddr) -> Result<SocketAddrUnix, Errno> {
    match (addr.as_pathname(), addr.as_abstract_name()) {
        (Some(path), _) => SocketAddrUnix::new(path),
        (None, Some(name)) => SocketAddrUnix::new_abstract_name(name),
        (None, None) => Err(Errno::INVAL),
    }
}

fn from_system(addr: SocketAddrAny) -> io::Result<UnixAddr> {
    let addr: SocketAddrUnix = addr.try_into().map_err(|_| not_unix())?;
    match (addr.path_bytes(), addr.abstract_name()) {
        (Some(path), _) => UnixAddr::from_pathname(OsStr::from_bytes(path)),
        // An empty name is how rustix shows that there is none.
        (None, Some(name)) if !name.is_empty() => UnixAddr::from_abstract_name(name),
        _ => UnixAddr::from_pathname(""),
    }
}

fn not_unix() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "not a Unix socket")
}

fn internet_addr(addr: Result<SocketAddr, Errno>) -> io::Result<SocketAddr> {
    addr.map_err(|_| io::Error::new(io::ErrorKind::Unsupported, "not an internet socket"))
}

/// Adds to an error what was tried with which address; kind and cause stay.
fn name(tried: &'static str, addr: impl fmt::Display, cause: impl Into<io::Error>) -> io::Error {
    let cause = cause.into();
    // A kind of its own for addresses of a family that the system was built or booted without: the standard
    // library has none.
    let kind = match cause.raw_os_error() {
        Some(libc::EAFNOSUPPORT) => io::ErrorKind::Unsupported,
        _ => cause.kind(),
    };
    io::Error::new(kind, AddressError { tried, addr: addr.to_string(), cause })
}

/// A Unix address as people write it: abstract names begin with an `@`.
struct Unix<'a>(&'a UnixAddr);

impl fmt::Display for Unix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_pathname(), self.0.as_abstract_name()) {
            (Some(path), _) => write!(f, "{}", path.display()),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("a socket without a name"),
        }
    }
}

/// An error of the system and the address it is about.
#[derive(Debug)]
struct AddressError {
    tried: &'static str,
    addr: String,
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
