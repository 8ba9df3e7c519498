//! A server: listeners, an accept loop each, and a task for each connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use self::service::{Limits, Listener, Service, handle};
use super::resolve::{Resolved, ToSocketAddrs, resolve};
use super::tcp::check_limit;
use crate::driver::SourceSpec;
use crate::error::Result;
use crate::executor::{IoHandle, current_io, try_create_task};
use crate::io::stream::DEFAULT_LIMIT_BYTES;
use crate::io::{StreamReader, StreamWriter};

mod service;

/// Connections that the system keeps waiting unless told otherwise.
const DEFAULT_BACKLOG: u32 = 1024;

/// Starts a server with the usual options: see [`ServerBuilder::start`].
///
/// ```
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
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ServerBuilder::start`].
///
/// # Cancel safety
/// Safe: nothing listens if it is given up.
pub async fn start_server<H>(handler: H, addr: impl ToSocketAddrs) -> io::Result<Server>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    Server::builder().start(handler, addr).await
}

/// What a server is started with.
#[derive(Debug, Clone)]
#[must_use = "a builder starts nothing by itself"]
pub struct ServerBuilder {
    limit_bytes: usize,
    backlog: u32,
    reuse_port: bool,
    max_connections: usize,
}

impl ServerBuilder {
    /// How many bytes may come before a separator; twice as many are read ahead. 64 KiB by default; must not
    /// be 0.
    pub fn limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// How many connections the system keeps waiting until they are accepted; 1024 by default, and the
    /// system may cap it.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = backlog;
        self
    }

    /// Whether several listeners may share the address, with connections spread over them by the system
    /// (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.reuse_port = reuse_port;
        self
    }

    /// The most connections at a time; further ones wait in the backlog. Unlimited by default. Each listener
    /// but the first may exceed it by one.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Binds, listens, and serves when it returns (rule S10). Port 0 lets the system choose: see
    /// [`Server::local_addrs`]. An address that stands for several gets a listener on each.
    ///
    /// `handler` runs as a task of its own for each connection (rules S11 to S14). If it fails or panics, that
    /// is reported with kind `client-callback` and the connection is closed; if it is cancelled, the
    /// connection is closed. Other connections go on. When it returns, the connection belongs to whoever
    /// has kept the writer, and is closed if nobody has.
    ///
    /// # Errors
    /// What the resolver or the system says, with the address; `InvalidInput` for what is no address or a
    /// limit of 0.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn start<H>(&self, handler: H, addr: impl ToSocketAddrs) -> io::Result<Server>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        check_limit(self.limit_bytes)?;
        let io = current_io()?;
        let resolved = resolve(addr).await?;
        let listeners = self.listen(&io, resolved)?;
        let handler = Rc::new(handler);
        let begin = move |stream| {
            // On a loop that is closing there are no new tasks; the stream closes as it is dropped.
            drop(try_create_task(handle(Rc::clone(&handler), stream)));
        };
        let limits = Limits { read_bytes: self.limit_bytes, max_connections: self.max_connections };
        let service = Service::new(io, Box::new(begin), limits, listeners);
        service.register();
        Ok(Server { service })
    }

    fn listen(&self, io: &IoHandle, resolved: Resolved) -> io::Result<Vec<Listener>> {
        let mut listeners = Unstarted { io, listeners: Vec::new() };
        let mut missing = None;
        for addr in resolved.addrs {
            let Self { backlog, reuse_port, .. } = *self;
            match io.open(SourceSpec::Listen { addr, backlog, reuse_port }) {
                Ok(source) => {
                    listeners.listeners.push(Listener::new(source, addr));
                    let addr = io.local_addr(source)?;
                    if let Some(listener) = listeners.listeners.last_mut() {
                        listener.addr = addr;
                    }
                }
                // A name may stand for addresses of a family that this machine does not have.
                Err(error)
                    if resolved.by_name && error.kind() == io::ErrorKind::AddrNotAvailable =>
                {
                    missing = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match missing {
            Some(error) if listeners.listeners.is_empty() => Err(error),
            _ => Ok(std::mem::take(&mut listeners.listeners)),
        }
    }
}

/// Listeners that are closed again if one of them cannot be opened.
struct Unstarted<'io> {
    io: &'io IoHandle,
    listeners: Vec<Listener>,
}

impl Drop for Unstarted<'_> {
    fn drop(&mut self) {
        for listener in &self.listeners {
            self.io.close(listener.source);
        }
    }
}

/// A server that was started. Dropping it stops listening and leaves connections alone (rule S29).
pub struct Server {
    service: Rc<Service>,
}

impl Server {
    /// A server yet to be started.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            limit_bytes: DEFAULT_LIMIT_BYTES,
            backlog: DEFAULT_BACKLOG,
            reuse_port: false,
            max_connections: usize::MAX,
        }
    }

    /// Whether it listens: until [`close`](Self::close) (rule S20).
    #[must_use]
    pub fn is_serving(&self) -> bool {
        !self.service.is_closed()
    }

    /// Where it listens; empty once closed (rule S21).
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.service.local_addrs()
    }

    /// How many of its connections are not gone yet.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.service.connection_count()
    }

    /// Stops listening; connections go on (rule S21). Twice is once.
    pub fn close(&self) {
        self.service.close();
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
            .field("connection_count", &self.connection_count())
            .finish_non_exhaustive()
    }
}
