//! What ops work on: listeners, connections, pipes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::time::Duration;

use crate::util::slab::Key;

/// Names a source of one driver. A stale one finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SourceId(pub(super) Key);

impl SourceId {
    /// No source.
    pub(super) const NONE: Self = Self(Key::NOWHERE);
}

/// A source to be opened.
#[derive(Debug)]
pub(crate) enum SourceSpec {
    /// A TCP listener: bound, with `SO_REUSEADDR`. IPv6 addresses take no IPv4 connections. What it accepts
    /// has `TCP_NODELAY`.
    Listen {
        /// Where; port 0 lets the system choose.
        addr: SocketAddr,
        /// Connections that the system keeps waiting; it may cap this. `None` only binds, and connections are
        /// refused until `Driver::listen` is called.
        backlog: Option<u32>,
        /// Several listeners share the address, and the system spreads connections over them.
        reuse_port: bool,
    },
    /// A listener on a Unix stream socket. A file at its path is in the way, whatever it is.
    ListenUnix {
        /// A path or an abstract name.
        addr: UnixAddr,
        /// As of `Listen`.
        backlog: Option<u32>,
    },
    /// A TCP connection with `TCP_NODELAY`. `open` starts it; `Op::Connected` waits for it.
    Connect {
        /// The peer.
        addr: SocketAddr,
        /// The address to connect from, if it matters.
        local: Option<SocketAddr>,
    },
    /// A connection to a Unix stream socket, waited for with `Op::Connected` as well. The system does not tell
    /// when a listener whose queue is full has room again, so opening fails with `WouldBlock` then.
    ConnectUnix {
        /// A path or an abstract name.
        addr: UnixAddr,
    },
    /// A UDP socket, bound. IPv6 addresses take no IPv4 datagrams.
    Datagrams {
        /// Where; port 0 lets the system choose.
        addr: SocketAddr,
        /// Several sockets share the address, and the system spreads peers over them.
        reuse_port: bool,
    },
    /// A signal of a simulated process: each time it has come a read ends. Handlers of the system can do no more than
    /// write into a pipe, and one adopts that.
    Signal {
        /// Which.
        #[cfg_attr(not(feature = "sim"), expect(dead_code, reason = "none is simulated"))]
        number: i32,
    },
    /// A descriptor that somebody else made. The driver makes it non-blocking and owns it from here on.
    Adopt {
        /// The descriptor.
        descriptor: OwnedFd,
        /// What it is.
        kind: SourceKind,
    },
}

/// What a descriptor is, as far as the system calls for it differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// A connected TCP socket. Others work too; what a receive gives from them may end where a message
    /// does.
    Stream,
    /// A connected Unix stream socket. What a receive gives may end where a message with descriptors
    /// ends, so only an empty one says that nothing is left.
    UnixStream,
    /// A listening stream socket, TCP or Unix.
    Listener,
    /// A pipe, or another descriptor that is read and written rather than received from and sent to.
    /// One that the system cannot wait for, as a file on a disk, is always ready.
    Pipe,
    /// The same in its sending end: it is written and watched.
    PipeEnd,
    /// A descriptor that stands for a process. It is watched.
    Process,
    /// A UDP socket.
    Datagrams,
}

/// Which end of a connection is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// This one.
    Local,
    /// The other one.
    Peer,
}

/// Which of the listeners that share an address takes a connection, by the CPU that its first packet came in
/// on. A CPU that is not named leaves the choice to the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSteering {
    cpus: Vec<(u32, u32)>,
}

impl CpuSteering {
    /// No CPU is named: the system chooses by its hash of the addresses.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the listener for a CPU: its number among those that share the address, in the order in which they
    /// began to listen. Where one stops, the last one takes its number.
    #[must_use]
    pub fn cpu(mut self, cpu: u32, listener: u32) -> Self {
        self.cpus.push((cpu, listener));
        self
    }

    /// The CPUs that are named, with their listeners.
    pub(crate) fn cpus(&self) -> &[(u32, u32)] {
        &self.cpus
    }
}

/// The process at the other end of a Unix socket, as it was when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// Its number; `None` if this process cannot see it, as from inside a container.
    pub process_id: Option<u32>,
    /// Its effective user.
    pub user_id: u32,
    /// Its effective group.
    pub group_id: u32,
}

/// A property of a socket that can be changed while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketOption {
    /// Whether small segments leave at once (`TCP_NODELAY`).
    NoDelay(bool),
    /// Probes a silent peer after this time; `None` never does.
    KeepAlive(Option<Duration>),
    /// How long a close waits for what was not sent yet; `None` lets it go on in the background. Zero resets
    /// the connection.
    Linger(Option<Duration>),
    /// How many routers a packet may pass.
    TimeToLive(u8),
    /// Whether datagrams may go to everybody in the network.
    Broadcast(bool),
    /// The size of the system's send buffer. The system may round it.
    SendBufferBytes(usize),
    /// The size of the system's receive buffer. The system may round it.
    ReceiveBufferBytes(usize),
}

impl SocketOption {
    /// How a close goes on. Only what keeps nobody waiting is allowed.
    pub(crate) fn linger(limit: Option<Duration>) -> io::Result<Self> {
        if limit.is_some_and(|limit| !limit.is_zero()) {
            let text = "a socket that lingers would block its loop";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self::Linger(limit))
    }
}
