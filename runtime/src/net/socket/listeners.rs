//! Listening sockets.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::os::unix::net::{self as unix_net, SocketAddr as UnixAddr};
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use super::connection::Patience;
use super::streams::{TcpStream, UnixStream};
use crate::driver::{End, Op, OpId, Outcome, SourceId, SourceKind, SourceSpec, Started};
use crate::executor::{IoHandle, OpOwner, current_io};
use crate::net::resolve::{ToSocketAddrs, resolve};
use crate::net::server::DEFAULT_BACKLOG;
use crate::net::server::listener::stop_listening;
use crate::net::tcp::adopt;
use crate::net::unix::{SocketFile, clear_stale, unix_addr};
use crate::sync::Lock;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// A listening TCP socket: gives its connections one by one, as [`TcpStream`]s.
///
/// [`start_server`](crate::start_server) is what most programs want. What it accepts has `TCP_NODELAY`. Several tasks
/// may accept at the same time; they take turns in the order in which they asked. Dropping it stops listening.
pub struct TcpListener {
    acceptor: Acceptor,
}

/// A listening Unix socket: gives its connections one by one, as [`UnixStream`]s.
///
/// It makes a socket file and removes it when it is dropped, if it is still the same file (rules S101, S102).
pub struct UnixListener {
    acceptor: Acceptor,
    file: Option<SocketFile>,
}

impl TcpListener {
    /// Listens. Port 0 lets the system choose: see [`local_addr`](Self::local_addr). Of several addresses that a
    /// name stands for it takes the first that works. `SO_REUSEADDR` is set.
    ///
    /// # Errors
    /// What the resolver or the system says, with the address.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_to(addr, false).await
    }

    /// The same, at an address that others of this kind may listen on too: the system spreads connections over
    /// them (`SO_REUSEPORT`), so that each shard can have its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn bind_shared(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_to(addr, true).await
    }

    async fn bind_to(addr: impl ToSocketAddrs, reuse_port: bool) -> io::Result<Self> {
        let io = current_io()?;
        let backlog = Some(DEFAULT_BACKLOG);
        let listen = |addr| io.open(SourceSpec::Listen { addr, backlog, reuse_port });
        let source = resolve(addr).await?.first(listen)?;
        Ok(Self { acceptor: Acceptor::new(io, source, false) })
    }

    /// Takes over a listener that was made elsewhere. It becomes non-blocking, and what it accepts gets
    /// `TCP_NODELAY`.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        let io = current_io()?;
        let source = adopt(&io, listener.into(), SourceKind::Listener)?;
        Ok(Self { acceptor: Acceptor::new(io, source, true) })
    }

    /// Gives the listener away. It stays non-blocking until it is told otherwise.
    ///
    /// # Errors
    /// `NotConnected` when the loop has ended.
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        Ok(self.acceptor.take()?.into())
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// What the system says, for instance that the process has no descriptors left: the connection is still there,
    /// so whoever goes on at once does nothing else. `ConnectionAborted` when the loop has ended.
    ///
    /// # Cancel safety
    /// Safe: a connection that came is there for the next call.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let source = self.acceptor.accept().await?;
        Ok(TcpStream::of(Rc::clone(&self.acceptor.io), source))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the loop has ended.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.io.local_addr(self.acceptor.source)
    }
}

impl UnixListener {
    /// Listens at a path; one that begins with a NUL is an abstract name, which has no file. A socket file that
    /// is there already and that nobody listens on is removed first.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens there, or if there is a file that is no socket; what else the system
    /// says; `InvalidInput` for a path that is empty, too long or has a NUL inside.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let io = current_io()?;
        let addr = unix_addr(path.as_ref())?;
        clear_stale(&io, &addr)?;
        let backlog = Some(DEFAULT_BACKLOG);
        let source = io.open(SourceSpec::ListenUnix { addr: addr.clone(), backlog })?;
        Ok(Self { acceptor: Acceptor::new(io, source, false), file: SocketFile::at(&addr) })
    }

    /// Takes over a listener that was made elsewhere. It becomes non-blocking; its file belongs to who made it.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn from_std(listener: unix_net::UnixListener) -> io::Result<Self> {
        let io = current_io()?;
        let (descriptor, kind) = (listener.into(), SourceKind::Listener);
        let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
        Ok(Self { acceptor: Acceptor::new(io, source, true), file: None })
    }

    /// Gives the listener away, with its file. It stays non-blocking until it is told otherwise.
    ///
    /// # Errors
    /// `NotConnected` when the loop has ended.
    pub fn into_std(mut self) -> io::Result<unix_net::UnixListener> {
        self.file = None;
        Ok(self.acceptor.take()?.into())
    }

    /// Waits for the next connection.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    ///
    /// # Cancel safety
    /// Safe: a connection that came is there for the next call.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        let source = self.acceptor.accept().await?;
        Ok(UnixStream::of(Rc::clone(&self.acceptor.io), source))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the loop has ended.
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        self.acceptor.io.unix_addr(self.acceptor.source, End::Local)
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        // Before the socket goes: as long as that lives nobody else's file can have its number.
        if let Some(file) = self.file.take() {
            file.remove();
        }
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener")
            .field("local_addr", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener")
            .field("local_addr", &self.local_addr().ok())
            .finish_non_exhaustive()
    }
}

/// A listening socket and the connection that it gave while nobody waited for it.
struct Acceptor {
    io: IoHandle,
    source: SourceId,
    is_adopted: bool,
    is_given_away: Cell<bool>,
    /// Made for the first wait.
    op: Cell<Option<OpId>>,
    waiting: Rc<Waiting>,
    accepting: Lock<()>,
    patience: Patience,
}

/// Apart from the listener, because the loop's op table keeps it alive.
#[derive(Default)]
struct Waiting {
    in_flight: Cell<bool>,
    accepted: Cell<Option<Outcome>>,
    /// Of the one task whose turn it is.
    waker: RefCell<Option<Waker>>,
}

impl Acceptor {
    fn new(io: IoHandle, source: SourceId, is_adopted: bool) -> Self {
        Self {
            io,
            source,
            is_adopted,
            is_given_away: Cell::new(false),
            op: Cell::new(None),
            waiting: Rc::default(),
            accepting: Lock::new(()),
            patience: Patience::default(),
        }
    }

    async fn accept(&self) -> io::Result<SourceId> {
        let _turn = self.accepting.acquire().await;
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<SourceId>> {
        ready!(self.patience.poll(context));
        loop {
            let outcome = match self.waiting.accepted.take() {
                Some(outcome) => outcome,
                None if self.waiting.in_flight.get() => {
                    let replaced = self.waiting.waker.replace(Some(context.waker().clone()));
                    drop(replaced);
                    self.patience.renew();
                    cancel::note_wait(WaitKind::Accept);
                    return Poll::Pending;
                }
                None => match self.start() {
                    Started::Done(outcome) => outcome,
                    Started::Parked => {
                        self.waiting.in_flight.set(true);
                        continue;
                    }
                },
            };
            return match outcome {
                Outcome::Accepted { source } => Poll::Ready(Ok(source)),
                Outcome::Failed(error, _) if !self.io.is_shut() => Poll::Ready(Err(error)),
                _ => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            };
        }
    }

    fn start(&self) -> Started {
        let op = self.op.get().unwrap_or_else(|| {
            let op = self.io.register(Rc::clone(&self.waiting) as Rc<dyn OpOwner>, 0);
            self.op.set(Some(op));
            op
        });
        self.io.start(op, Op::Accept { source: self.source })
    }

    /// Gives the descriptor away. A connection that came and was not asked for is closed.
    fn take(&self) -> io::Result<std::os::fd::OwnedFd> {
        self.is_given_away.set(true);
        self.let_go();
        self.io.take(self.source)
    }

    fn let_go(&self) {
        if let Some(op) = self.op.take() {
            self.io.release(op);
        }
        if let Some(Outcome::Accepted { source }) = self.waiting.accepted.take() {
            self.io.close(source);
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        if !self.is_given_away.get() {
            self.let_go();
            stop_listening(&self.io, self.source, self.is_adopted);
        }
    }
}

impl OpOwner for Waiting {
    fn complete(self: Rc<Self>, _tag: u32, outcome: Outcome) {
        self.in_flight.set(false);
        self.accepted.set(Some(outcome));
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn abandoned(self: Rc<Self>) {
        self.complete(0, Outcome::Cancelled(None));
    }
}
