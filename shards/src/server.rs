//! A TCP server with a listener on each shard.
//!
//! Each shard that calls [`Shard::serve`] with an address listens on it by itself (`SO_REUSEPORT`)
//! and the system deals the connections out by a hash of their addresses. A connection stays on the
//! shard that accepted it. Many short connections are spread evenly that way; a few long ones may
//! fall badly, and there is nothing yet that moves them.
//!
//! With port 0 all shards must get the same port. The first shard that asks reserves one, with a
//! socket that is bound and never listens, and keeps it until the run has ended.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use corelane::{
    Result, Server, ServerBuilder, StreamReader, StreamWriter, ToSocketAddrs, lookup_host,
};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

use crate::shard::Shard;
use crate::shutdown::{Stage, StageWatch, first_of};

/// This shard's part of a server. A handle: the server belongs to the shard, and goes on until
/// [`close`](Self::close) or the end of the run when all handles are dropped.
#[derive(Clone, Debug)]
pub struct ShardServer {
    server: Rc<Server>,
    watch: Rc<StageWatch>,
}

impl ShardServer {
    /// Where it listens; empty once closed.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.server.local_addrs()
    }

    /// Whether it listens: until [`close`](Self::close) or the end of the run is asked for.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.server.is_serving()
    }

    /// How many connections of this shard are not gone yet.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.server.connection_count()
    }

    /// Stops listening on this shard; connections go on. Twice is once.
    pub fn close(&self) {
        self.server.close();
    }

    /// Waits until this shard's part is closed, by [`close`](Self::close) or by the end of the run,
    /// and all its connections are gone, or cut off by the run's deadline. A main that has nothing
    /// else to do ends with this.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn wait_closed(&self) {
        let time_is_up = self.watch.reached(Stage::Cancelling);
        first_of(self.server.wait_closed(), time_is_up).await;
    }
}

impl Shard {
    /// Listens on `addr` on this shard, beside the other shards that do the same, and calls
    /// `handler` for each connection as a task of its own.
    ///
    /// When the end of the run is asked for it stops listening, and the run waits for the
    /// connections until its deadline. A handler that may wait long for its peer watches
    /// [`requested`](crate::Shutdown::requested) beside its reads.
    ///
    /// With port 0 the shards get one port together: the n-th such call on one shard listens where
    /// the n-th on every other does. A host name is looked up on another thread.
    ///
    /// # Errors
    /// What the resolver or the system says when it cannot listen there; `ConnectionAborted` when
    /// the end of the run has been asked for already.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn serve<H>(&self, addr: impl ToSocketAddrs, handler: H) -> io::Result<ShardServer>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        self.serve_with(Server::builder(), addr, handler).await
    }

    /// The same with limits of one's own. `reuse_port` and `start_serving` are set, whatever the builder says.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn serve_with<H>(
        &self,
        builder: ServerBuilder,
        addr: impl ToSocketAddrs,
        handler: H,
    ) -> io::Result<ShardServer>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let mut addrs = lookup_host(addr).await?;
        for addr in addrs.iter_mut().filter(|addr| addr.port() == 0) {
            addr.set_port(self.servers().shared_port(*addr)?);
        }
        let builder = builder.reuse_port(true).start_serving(true);
        self.hold(builder.start(handler, addrs.as_slice()).await?)
    }

    /// Takes over a listener that was made elsewhere, and serves on it as [`serve`](Self::serve) does: for a
    /// port that is this shard's alone, so that clients can choose the shard, or one that the process inherited.
    /// The limits are `builder`'s; `start_serving` is set, whatever it says.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a limit of 0; `ConnectionAborted` when the end of the run has
    /// been asked for already.
    ///
    /// # Examples
    /// ```
    /// use corelane_shards::{Placement, Shards};
    ///
    /// Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    ///     let own = shard.adopt(corelane::Server::builder(), listener, async |_, writer| {
    ///         writer.write(b"this shard, no other\n")
    ///     })?;
    ///     let (mut reader, _writer) = corelane::open_connection(own.local_addrs()[0]).await?;
    ///     assert_eq!(reader.read_line().await?, &b"this shard, no other\n"[..]);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub fn adopt<H>(
        &self,
        builder: ServerBuilder,
        listener: TcpListener,
        handler: H,
    ) -> io::Result<ShardServer>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let bound = builder.start_serving(true).adopt(listener)?;
        self.hold(bound.start(handler).map_err(io::Error::from)?)
    }

    /// Lists a server that has started, to end it with the run.
    fn hold(&self, server: Server) -> io::Result<ShardServer> {
        let server = Rc::new(server);
        if self.shutdown().is_requested() {
            let ending = "the end of the run has been asked for";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, ending));
        }
        self.servers().add(&server);
        Ok(ShardServer { server, watch: Rc::clone(self.watch()) })
    }
}

/// One shard's servers.
pub(crate) struct Servers {
    running: RefCell<Vec<Rc<Server>>>,
    ports: SharedPorts,
    /// How many ports this shard has asked for on each address.
    asked: RefCell<BTreeMap<IpAddr, usize>>,
}

impl Servers {
    pub(crate) fn new(ports: SharedPorts) -> Self {
        Self { running: RefCell::default(), ports, asked: RefCell::default() }
    }

    /// Stops listening.
    pub(crate) fn close(&self) {
        for server in self.running() {
            server.close();
        }
    }

    /// Waits until every connection is gone.
    pub(crate) async fn wait_closed(&self) {
        for server in self.running() {
            server.wait_closed().await;
        }
    }

    fn add(&self, server: &Rc<Server>) {
        let mut running = self.running.borrow_mut();
        running.retain(|server| server.is_serving() || server.connection_count() > 0);
        running.push(Rc::clone(server));
    }

    fn running(&self) -> Vec<Rc<Server>> {
        self.running.borrow().clone()
    }

    fn shared_port(&self, addr: SocketAddr) -> io::Result<u16> {
        let mut asked = self.asked.borrow_mut();
        let nth = asked.entry(addr.ip()).or_default();
        let port = self.ports.nth(addr, *nth)?;
        *nth += 1;
        Ok(port)
    }
}

/// The ports that the system chose for the shards of one run, by address and turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedPorts(Arc<Mutex<Reserved>>);

/// Each port, with the socket that keeps it.
type Reserved = BTreeMap<(IpAddr, usize), (u16, OwnedFd)>;

impl SharedPorts {
    /// The port that all shards get at their `nth` request for `addr`.
    fn nth(&self, addr: SocketAddr, nth: usize) -> io::Result<u16> {
        let mut reserved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((port, _)) = reserved.get(&(addr.ip(), nth)) {
            return Ok(*port);
        }
        let (port, socket) = reserve(addr)?;
        reserved.insert((addr.ip(), nth), (port, socket));
        Ok(port)
    }
}

/// Binds a socket that will not listen: it gets no connection, and nobody else gets its port.
fn reserve(addr: SocketAddr) -> io::Result<(u16, OwnedFd)> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &addr)?;
    let bound = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((bound.port(), socket))
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.running()).finish()
    }
}
