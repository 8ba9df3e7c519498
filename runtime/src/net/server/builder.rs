//! What a server is started with, and its sockets before it has a handler.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::listener::{ListenAddr, Unstarted};
use super::service::{Begin, Service, handle};
use super::{ConnectionChange, Server};
use crate::driver::{End, SourceId, SourceKind, SourceSpec};
use crate::error::{Error, Result};
use crate::executor::{IoHandle, current_io, task_at};
use crate::io::stream::{DEFAULT_BOUND_BYTES, DEFAULT_LIMIT_BYTES};
use crate::io::{StreamReader, StreamWriter};
use crate::net::resolve::{ToSocketAddrs, resolve};
use crate::net::tcp::{adopt, check_limit, streams};
use crate::net::unix::{SocketFile, clear_stale, unix_addr};
use crate::task::ReportKind;

/// Connections that the system keeps waiting unless told otherwise.
pub(in crate::net) const DEFAULT_BACKLOG: u32 = 1024;

/// Limits of a service.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Of each reader.
    pub(super) read_bytes: usize,
    /// Of each writer: bytes that may wait to be sent.
    pub(super) write_bytes: usize,
    /// Of each listener: connections that the system keeps waiting.
    pub(super) backlog: u32,
    /// Of the service.
    pub(super) max_connections: usize,
}

/// What a server is started with.
///
/// [`start`](Self::start) and [`start_unix`](Self::start_unix) do all in one. In two steps,
/// [`bind`](Self::bind), [`bind_unix`](Self::bind_unix) or [`adopt`](Self::adopt) give the sockets, and
/// [`BoundServer::start`] their handler.
#[derive(Debug, Clone)]
#[must_use = "a builder starts nothing by itself"]
pub struct ServerBuilder {
    limits: Limits,
    observer: Option<Observer>,
    reuse_port: bool,
    start_serving: bool,
    cleanup_socket: bool,
    location: Option<&'static Location<'static>>,
}

impl ServerBuilder {
    pub(super) fn new() -> Self {
        let limits = Limits {
            read_bytes: DEFAULT_LIMIT_BYTES,
            write_bytes: DEFAULT_BOUND_BYTES,
            backlog: DEFAULT_BACKLOG,
            max_connections: usize::MAX,
        };
        Self {
            limits,
            observer: None,
            reuse_port: false,
            start_serving: true,
            cleanup_socket: true,
            location: None,
        }
    }

    /// How many bytes may come before a separator; twice as many are read ahead. 64 KiB by default; must not
    /// be 0.
    pub fn limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.limits.read_bytes = limit_bytes;
        self
    }

    /// How many bytes may wait to be sent to a peer that does not read before a further write ends its connection:
    /// [`StreamWriter::set_write_buffer_bound`] for each. 64 MiB by default.
    pub fn write_buffer_bound(mut self, bytes: usize) -> Self {
        self.limits.write_bytes = bytes;
        self
    }

    /// How many connections the system keeps waiting until they are accepted; 1024 by default, and the
    /// system may cap it.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.limits.backlog = backlog;
        self
    }

    /// Whether several listeners may share the address, with connections spread over them by the system
    /// (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// The most connections at a time; further ones wait in the backlog, of which the log tells. Unlimited by
    /// default. Each listener but the first may exceed it by one.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.limits.max_connections = max_connections;
        self
    }

    /// Calls `observer`, on the server's thread, when a connection has come and when one is gone: each exactly
    /// once. It must be short and not panic. With an atomic number in it other threads know how busy a server
    /// is. A further observer is called after the earlier ones.
    pub fn observe(mut self, observer: impl Fn(ConnectionChange) + Send + Sync + 'static) -> Self {
        self.observer = Some(Observer(match self.observer.take() {
            None => Arc::new(observer),
            Some(Observer(earlier)) => Arc::new(move |change| {
                earlier(change);
                observer(change);
            }),
        }));
        self
    }

    /// Whether it serves as soon as it is started, which is the default. If not, it is bound to its addresses
    /// and connections are refused until [`Server::start_serving`] or [`Server::serve_forever`] (rule S10).
    pub fn start_serving(mut self, start_serving: bool) -> Self {
        self.start_serving = start_serving;
        self
    }

    /// Whether closing the server removes the file of its Unix socket, which is the default (rule S102).
    pub fn cleanup_socket(mut self, cleanup_socket: bool) -> Self {
        self.cleanup_socket = cleanup_socket;
        self
    }

    /// Where the tasks of handlers are said to be created; where the server was started unless told otherwise. For
    /// those who start servers for others.
    pub fn location(mut self, location: &'static Location<'static>) -> Self {
        self.location = Some(location);
        self
    }

    fn located(&self, location: &'static Location<'static>) -> Self {
        let location = Some(self.location.unwrap_or(location));
        Self { location, ..self.clone() }
    }

    /// Binds, listens, and serves when it returns (rule S10). Port 0 lets the system choose: see
    /// [`Server::local_addrs`]. An address that stands for several gets a listener on each; those that this
    /// machine does not have, such as all of a family that it was booted without, are passed over beside one that
    /// it has.
    ///
    /// `handler` runs as a task of its own for each connection (rules S11 to S14). If it fails or panics, that
    /// is reported with kind `client-callback` and the connection is closed; if it is cancelled, the
    /// connection is closed. Other connections go on. When it returns, the connection belongs to whoever
    /// has kept the writer, and is closed if nobody has. Every handler begins with what the [`LocalKey`]s were, and
    /// in the [`SchedulingGroup`] that was current, when the server began to serve.
    ///
    /// [`LocalKey`]: crate::LocalKey
    /// [`SchedulingGroup`]: crate::SchedulingGroup
    ///
    /// # Errors
    /// What the resolver or the system says, with the address; `InvalidInput` for what is no address or a
    /// limit of 0.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    #[track_caller]
    pub fn start<H>(
        &self,
        handler: H,
        addr: impl ToSocketAddrs,
    ) -> impl Future<Output = io::Result<Server>>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let located = self.located(Location::caller());
        async move { Ok(located.bind(addr).await?.start(handler)?) }
    }

    /// The same on a Unix socket (rules S100 to S103).
    ///
    /// A path that begins with a NUL is an abstract name, which has no file. Otherwise the server makes a
    /// socket file, and removes it when it is closed, if it is still the same file. A socket file that is there
    /// already and that nobody listens on is removed first.
    ///
    /// # Errors
    /// `AddrInUse` if a server listens there, or if there is a file that is no socket; what else the system
    /// says; `InvalidInput` for a path that is empty, too long or has a NUL inside, or a limit of 0.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    #[track_caller]
    pub fn start_unix<H>(
        &self,
        handler: H,
        path: impl AsRef<Path>,
    ) -> impl Future<Output = io::Result<Server>>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let located = self.located(Location::caller());
        async move { Ok(located.bind_unix(path)?.start(handler)?) }
    }

    /// Binds the sockets of a server that gets its handler later. Connections are refused until then. Another
    /// server may bind to the same address meanwhile; who listens first has it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Safe: nothing is bound if it is given up.
    pub async fn bind(&self, addr: impl ToSocketAddrs) -> io::Result<BoundServer> {
        let mut unstarted = self.unstarted()?;
        let resolved = resolve(addr).await?;
        let mut missing = None;
        for addr in resolved.addrs {
            let reuse_port = self.reuse_port;
            match unstarted.io.open(SourceSpec::Listen { addr, backlog: None, reuse_port }) {
                Ok(source) => unstarted.add(source, false, internet_addr)?,
                Err(error) if is_missing(&error) => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if unstarted.listeners.is_empty() => Err(error),
            _ => Ok(BoundServer { builder: self.clone(), unstarted }),
        }
    }

    /// The same at a Unix address.
    ///
    /// # Errors
    /// As [`start_unix`](Self::start_unix).
    pub fn bind_unix(&self, path: impl AsRef<Path>) -> io::Result<BoundServer> {
        let mut unstarted = self.unstarted()?;
        let addr = unix_addr(path.as_ref())?;
        clear_stale(&unstarted.io, &addr)?;
        let spec = SourceSpec::ListenUnix { addr: addr.clone(), backlog: None };
        let source = unstarted.io.open(spec)?;
        unstarted.add(source, false, |_, _| {
            let file = if self.cleanup_socket { SocketFile::at(&addr) } else { None };
            Ok(ListenAddr::Unix(addr, file))
        })?;
        Ok(BoundServer { builder: self.clone(), unstarted })
    }

    /// A server without an address: it serves the connections that it is given by [`Server::admit`].
    ///
    /// # Errors
    /// `InvalidInput` for a limit of 0; Runtime, off a loop.
    pub fn unbound(&self) -> io::Result<BoundServer> {
        Ok(BoundServer { builder: self.clone(), unstarted: self.unstarted()? })
    }

    /// Takes over a listener that was made elsewhere. What it accepts gets `TCP_NODELAY`, and its backlog
    /// becomes this builder's.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a limit of 0.
    pub fn adopt(&self, listener: TcpListener) -> io::Result<BoundServer> {
        let mut unstarted = self.unstarted()?;
        let source = adopt(&unstarted.io, listener.into(), SourceKind::Listener)?;
        unstarted.add(source, true, internet_addr)?;
        Ok(BoundServer { builder: self.clone(), unstarted })
    }

    /// The same with a Unix listener. Its file belongs to who made it.
    ///
    /// # Errors
    /// As [`adopt`](Self::adopt).
    pub fn adopt_unix(&self, listener: UnixListener) -> io::Result<BoundServer> {
        let mut unstarted = self.unstarted()?;
        let (descriptor, kind) = (listener.into(), SourceKind::Listener);
        let source = unstarted.io.open(SourceSpec::Adopt { descriptor, kind })?;
        unstarted.add(source, true, |io, source| {
            Ok(ListenAddr::Unix(io.unix_addr(source, End::Local)?, None))
        })?;
        Ok(BoundServer { builder: self.clone(), unstarted })
    }

    fn unstarted(&self) -> io::Result<Unstarted> {
        check_limit(self.limits.read_bytes)?;
        Ok(Unstarted::new(current_io()?))
    }
}

/// Who is told of connections that come and go.
#[derive(Clone)]
pub(super) struct Observer(pub(super) Arc<dyn Fn(ConnectionChange) + Send + Sync>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Whether an address is none of this machine's, or of a family that it does not have.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}

fn internet_addr(io: &IoHandle, source: SourceId) -> io::Result<ListenAddr> {
    io.local_addr(source).map(ListenAddr::Internet)
}

/// A server that is bound to its addresses and has no handler yet. Dropping it gives them back.
pub struct BoundServer {
    builder: ServerBuilder,
    unstarted: Unstarted,
}

impl BoundServer {
    /// Where it will listen, as far as that are internet addresses.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.unstarted.listeners.iter().filter_map(|listener| listener.internet_addr()).collect()
    }

    /// Where it will listen, as far as that are Unix addresses.
    #[must_use]
    pub fn unix_addrs(&self) -> Vec<UnixAddr> {
        self.unstarted.listeners.iter().filter_map(|listener| listener.unix_addr()).collect()
    }

    /// Starts the server: [`ServerBuilder::start`] says what becomes of `handler`.
    ///
    /// # Errors
    /// What the system says when it will not listen.
    #[track_caller]
    pub fn start<H>(self, handler: H) -> Result<Server>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let handler = Rc::new(handler);
        let location = self.builder.location.unwrap_or(Location::caller());
        self.start_with(Begin::Serve(Box::new(move |stream| {
            // On a loop that is closing there are no new tasks; the stream closes as it is dropped.
            drop(task_at(handle(Rc::clone(&handler), stream), location));
        })))
    }

    /// Starts a server that calls `callback` on the spot for each connection, without a task (rule S11). It must
    /// not block, and keeps or passes on what it is given: a dropped writer closes its connection. A panic is
    /// reported with kind `client-callback`.
    ///
    /// # Errors
    /// What the system says when it will not listen.
    pub fn start_inline(
        self,
        callback: impl Fn(StreamReader, StreamWriter) + 'static,
    ) -> Result<Server> {
        let io = Rc::clone(&self.unstarted.io);
        self.start_with(Begin::Serve(Box::new(move |stream| {
            let (reader, writer) = streams(stream);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(reader, writer))) {
                io.report(ReportKind::ClientCallback, Error::panicked(payload));
            }
        })))
    }

    /// Starts a server that only accepts: `callback` is called on the spot for each connection and may give it to
    /// whom it likes, such as [`Server::admit`] on another thread. The server counts none of them. A panic is
    /// reported with kind `client-callback`.
    ///
    /// # Errors
    /// What the system says when it will not listen; InvalidInput for Unix sockets.
    pub fn start_raw(self, callback: impl Fn(TcpStream) + 'static) -> Result<Server> {
        if !self.unix_addrs().is_empty() {
            let text = "connections of Unix sockets are not given away";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text).into());
        }
        let io = Rc::clone(&self.unstarted.io);
        self.start_with(Begin::Give(Box::new(move |descriptor| {
            let give = AssertUnwindSafe(|| callback(descriptor.into()));
            if let Err(payload) = catch_unwind(give) {
                io.report(ReportKind::ClientCallback, Error::panicked(payload));
            }
        })))
    }

    fn start_with(mut self, begin: Begin) -> Result<Server> {
        let io = Rc::clone(&self.unstarted.io);
        let limits = self.builder.limits.clone();
        let (observer, listeners) = (self.builder.observer.clone(), self.unstarted.take());
        let server = Server::new(Service::new(io, begin, limits, observer, listeners));
        if self.builder.start_serving {
            server.start_serving()?;
        }
        Ok(server)
    }
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("local_addrs", &self.local_addrs())
            .field("unix_addrs", &self.unix_addrs())
            .finish_non_exhaustive()
    }
}
