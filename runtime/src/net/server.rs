//! A server: listeners, an accept loop each, and a task for each connection.
//!
//! ```text
//!  ServerBuilder ─bind─▶ BoundServer ─start─▶ Server: Bound ─start_serving─▶ Serving ─close─▶ Closed
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::panic::Location;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

pub(super) use self::builder::DEFAULT_BACKLOG;
pub use self::builder::{BoundServer, ServerBuilder};
use self::service::{Phase, Service};
use super::resolve::ToSocketAddrs;
use crate::driver::CpuSteering;
use crate::error::{Error, Result};
use crate::group::{catch_cancel, catch_cancel_plain};
use crate::io::{StreamReader, StreamWriter};
use crate::time::sleep;

mod builder;
pub(super) mod listener;
mod origin;
mod service;

/// How long the end of a server waits for its connections before it says so.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// Starts a server with the usual options: see [`ServerBuilder::start`]. It accepts connections whether or not
/// anybody waits for its end, for as long as the [`Server`] lives.
///
/// A handler is an `async fn`, or a closure in the call. One that stands in a `let` needs the types of its arguments:
/// `async |mut reader: StreamReader, writer: StreamWriter| …`.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example() -> corelane::Result<()> {
/// let server = corelane::start_server(
///     async |mut reader, writer| {
///         while let Some(line) = reader.next_line().await? {
///             writer.write_bytes(line)?;
///             writer.drain().await?;
///         }
///         Ok(())
///     },
///     "127.0.0.1:0",
/// )
/// .await?;
/// println!("listening on {:?}", server.local_addrs());
/// // Until SIGTERM, or Ctrl-C, which cancels main. Then connections have ten seconds to end.
/// let mut terminate = corelane::signal(15)?;
/// server.serve_until(terminate.recv(), Duration::from_secs(10)).await
/// # }
/// # corelane::run(example).unwrap();
/// ```
///
/// # Errors
/// As [`ServerBuilder::start`].
///
/// # Cancel safety
/// Safe: nothing listens if it is given up.
#[track_caller]
pub fn start_server<H>(
    handler: H,
    addr: impl ToSocketAddrs,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    let builder = Server::builder().location(Location::caller());
    async move { builder.start(handler, addr).await }
}

/// Starts a server on a Unix socket with the usual options: see [`ServerBuilder::start_unix`].
///
/// ```
/// # async fn example(folder: &std::path::Path) -> corelane::Result<()> {
/// let path = folder.join("greeter");
/// let greeter = async |_reader, writer: corelane::StreamWriter| writer.write(b"hello\n");
/// let server = corelane::start_unix_server(greeter, &path).await?;
/// let (mut reader, _writer) = corelane::open_unix_connection(&path).await?;
/// assert_eq!(reader.read_line().await?, "hello\n");
/// server.close();
/// assert!(!path.exists());
/// # Ok(())
/// # }
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().to_owned();
/// # corelane::run(async move || example(&path).await)?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// As [`ServerBuilder::start_unix`].
///
/// # Cancel safety
/// Safe: nothing listens if it is given up.
#[track_caller]
pub fn start_unix_server<H>(
    handler: H,
    path: impl AsRef<Path>,
) -> impl Future<Output = io::Result<Server>>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    let builder = Server::builder().location(Location::caller());
    async move { builder.start_unix(handler, path).await }
}

/// What has become of a connection of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionChange {
    /// It has come.
    Opened,
    /// It is gone.
    Ended,
}

/// A server that was started. Dropping it stops listening and leaves connections alone (rule S29).
pub struct Server {
    service: Rc<Service>,
    /// Whether somebody waits in `serve_forever`.
    serves_forever: Cell<bool>,
}

impl Server {
    /// A server yet to be started.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    fn new(service: Rc<Service>) -> Self {
        Self { service, serves_forever: Cell::new(false) }
    }

    /// Whether it accepts connections: from [`start_serving`](Self::start_serving), which starting does unless
    /// told otherwise, until [`close`](Self::close) (rule S20).
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.service.phase() == Phase::Serving
    }

    /// Where it listens, or will, as far as that are internet addresses; empty once closed (rule S21).
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.service.map_listeners(|listener| listener.internet_addr())
    }

    /// Where it listens, or will, as far as that are Unix addresses; empty once closed (rule S21).
    #[must_use]
    pub fn unix_addrs(&self) -> Vec<UnixAddr> {
        self.service.map_listeners(|listener| listener.unix_addr())
    }

    /// How many of its connections are not gone yet.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.service.connection_count()
    }

    /// The most connections that it has at a time: see [`ServerBuilder::max_connections`].
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.service.max_connections()
    }

    /// Begins to accept connections, if it does not already (rule S23).
    ///
    /// # Errors
    /// Runtime if it is closed; what the system says when it will not listen, for instance that another
    /// listener on the same address was faster.
    pub fn start_serving(&self) -> Result<()> {
        self.service.serve()
    }

    /// Begins to accept connections, if it does not already, and waits until the task is cancelled or the
    /// server is closed. Either way it closes the server, waits until its connections are gone, and ends
    /// cancelled (rules S21, S24): it never returns `Ok`. A client that stays idle keeps it, as it does in asyncio;
    /// after a second a warning says so. [`serve_until`](Self::serve_until) waits no longer than it is told.
    ///
    /// # Errors
    /// Cancelled when the server was closed; Runtime if it is closed already or somebody else is in here; as
    /// [`start_serving`](Self::start_serving).
    ///
    /// # Cancel safety
    /// A cancellation closes the server and waits for its connections; another one gives up that wait. If
    /// the future is just dropped, the server goes on serving.
    pub async fn serve_forever(&self) -> Result<()> {
        if self.serves_forever.replace(true) {
            return Err(Error::runtime("serve_forever of this server is being awaited already"));
        }
        let _serving = Reset(&self.serves_forever);
        self.start_serving()?;
        let cancelled = catch_cancel_plain(self.service.wait_ended()).await;
        self.end().await;
        match cancelled {
            Ok(()) => Err(Error::cancelled()),
            Err(cancelled) => cancelled.resume().await,
        }
    }

    /// Begins to accept connections, if it does not already, until `stop` is ready, the task is cancelled or the
    /// server is closed. Then it stops accepting, gives its connections `grace` to end by themselves, aborts
    /// those that are left, and returns when all are gone. A handler whose connection was aborted meets its end, and
    /// goes on until it returns. asyncio has no such call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use corelane::{open_connection, sleep, start_server};
    /// # corelane::run(async || {
    /// let handler = async |mut reader: corelane::StreamReader, _writer| {
    ///     reader.read_line().await?;
    ///     Ok(())
    /// };
    /// let server = start_server(handler, "127.0.0.1:0").await?;
    /// let _idle = open_connection(server.local_addrs()[0]).await?;
    /// server.serve_until(sleep(Duration::from_millis(5)), Duration::from_millis(5)).await?;
    /// assert_eq!(server.connection_count(), 0);
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// Cancelled if the task was cancelled; Runtime if the server is closed already; as
    /// [`start_serving`](Self::start_serving).
    ///
    /// # Cancel safety
    /// A cancellation has the same effect as `stop`; another one, during `grace`, gives up the wait and leaves the
    /// connections alone. If the future is just dropped, the server goes on serving.
    pub async fn serve_until(&self, stop: impl Future<Output = ()>, grace: Duration) -> Result<()> {
        self.start_serving()?;
        let cancelled = catch_cancel_plain(first_of(stop, self.service.wait_ended())).await;
        self.close();
        first_of(self.wait_closed(), sleep(grace)).await;
        let left = self.connection_count();
        if left > 0 {
            __report!(WARN, "a server that ends aborts {}", connections(left));
            self.abort_clients();
            self.wait_closed().await;
        }
        match cancelled {
            Ok(()) => Ok(()),
            Err(cancelled) => cancelled.resume().await,
        }
    }

    /// Closes the server and waits until its connections are gone.
    async fn end(&self) {
        self.close();
        let io = &self.service.io;
        let service = Rc::downgrade(&self.service);
        let tell = move || {
            let left = service.upgrade().map_or(0, |service| service.connection_count());
            if left > 0 {
                __report!(WARN, "a server that ends waits for {}", connections(left));
            }
        };
        let _alarm = (self.connection_count() > 0)
            .then(|| io.call_at(io.now() + TELL_AFTER, Box::new(tell)));
        self.wait_closed().await;
    }

    /// Runs `body`, then closes the server and waits until its connections are gone, also if the body failed or
    /// was cancelled (rule S26): asyncio's `async with server`.
    ///
    /// # Errors
    /// What `body` returns.
    ///
    /// # Cancel safety
    /// A cancellation goes to the body first, then the server is closed and its connections are waited for;
    /// another one gives up that wait. If the future is just dropped, the server goes on.
    pub async fn scope<T>(&self, body: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let outcome = catch_cancel(body(self)).await;
        self.end().await;
        match outcome {
            Ok(outcome) => outcome,
            Err(cancelled) => cancelled.resume().await,
        }
    }

    /// Takes in a connection that was accepted elsewhere: another thread, another process. It becomes
    /// non-blocking, gets `TCP_NODELAY`, and is then as one that the server has accepted itself. The most
    /// connections at a time are for the caller to keep.
    ///
    /// ```
    /// # corelane::run(async || {
    /// let server = corelane::Server::builder()
    ///     .unbound()?
    ///     .start(async |_reader, writer| writer.write(b"hello\n"))?;
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let (mut reader, _writer) = corelane::open_connection(listener.local_addr()?).await?;
    /// let (accepted, _peer) = listener.accept()?;
    /// server.admit(accepted)?;
    /// assert_eq!(reader.read_line().await?, &b"hello\n"[..]);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `ConnectionAborted` if the server is closed; what the system says. The connection is closed then.
    pub fn admit(&self, connected: TcpStream) -> io::Result<()> {
        self.service.admit(connected)
    }

    /// Accepts no connection until [`resume`](Self::resume). Those who come meanwhile wait in the system's
    /// backlog; one that was being accepted already may still come. Twice is once.
    pub fn pause(&self) {
        self.service.pause(true);
    }

    /// Accepts connections again.
    pub fn resume(&self) {
        self.service.pause(false);
    }

    /// Has the system choose by the CPU that a connection comes in on, for all listeners that share this one's
    /// addresses by [`reuse_port`](ServerBuilder::reuse_port): `SO_ATTACH_REUSEPORT_CBPF`. It replaces what was
    /// said before, on whichever of them.
    ///
    /// # Errors
    /// What the system says, for instance that it has no packet filter, or that nothing listens there.
    pub fn steer(&self, steering: &CpuSteering) -> io::Result<()> {
        self.service.steer(steering)
    }

    /// Stops listening; connections go on (rule S21). Twice is once.
    pub fn close(&self) {
        self.service.close();
    }

    /// Stops listening, and leaves it to [`close`](Self::close) to tell those who wait for that: for a caller who
    /// holds something that their wakers, which may be anybody's code, could ask for.
    pub(crate) fn close_listeners(&self) {
        self.service.close_listeners();
    }

    /// Closes all connections when what was written to them is sent (rule S25).
    pub fn close_clients(&self) {
        for stream in self.service.streams() {
            stream.close();
        }
    }

    /// Ends all connections now; what was not sent is thrown away (rule S25).
    pub fn abort_clients(&self) {
        for stream in self.service.streams() {
            stream.abort();
        }
    }

    /// Waits until the server is closed and all its connections are gone, in whatever order (rules S22, S27).
    /// Any number of tasks may wait, also afterwards.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn wait_closed(&self) {
        self.service.wait_gone().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.service.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs())
            .field("unix_addrs", &self.unix_addrs())
            .field("connection_count", &self.connection_count())
            .finish_non_exhaustive()
    }
}

/// So many connections, in words.
fn connections(count: usize) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}

/// Waits for whichever of two ends first.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|context| match one.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => other.as_mut().poll(context),
    })
    .await;
}

/// Takes a mark back when its wait is over or given up.
struct Reset<'a>(&'a Cell<bool>);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
