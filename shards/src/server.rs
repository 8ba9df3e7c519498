//! A TCP server on all shards.
//!
//! Each shard that calls [`Shard::serve`] with an address has a part of the server. [`Accept`] says how
//! connections come to the parts; one stays where it was given to. With port 0 all shards get the same port.

mod accept;
mod deal;
mod group;
mod seats;
mod steering;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use corelane::lowlevel::{CpuSteering, close_listeners};
use corelane::{
    ConnectionChange, Result, Server, ServerBuilder, StreamReader, StreamWriter, ToSocketAddrs,
    lookup_host,
};

pub use self::accept::{Accept, UnknownAccept};
use self::deal::Door;
pub(crate) use self::group::Groups;
use self::group::{Comer, Farewell, Group};
use crate::balance::Balance;
use crate::id::ShardId;
use crate::shard::Shard;
use crate::shutdown::{Stage, StageWatch, first_of};

/// This shard's part of a server. A handle: the server belongs to the shard, and goes on until
/// [`close`](Self::close) or the end of the run when all handles are dropped.
#[derive(Clone, Debug)]
pub struct ShardServer {
    part: Rc<Part>,
    watch: Rc<StageWatch>,
}

impl ShardServer {
    /// How a server is to be served: see [`Shard::serve_with`].
    pub fn builder() -> ShardServerBuilder {
        ShardServerBuilder::default()
    }

    /// Where it listens, or the shard that accepts for it; empty once closed.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        match &self.part.group {
            Some(group) if self.is_serving() => group.addrs().to_vec(),
            _ => self.part.server.local_addrs(),
        }
    }

    /// Whether it gets connections: until [`close`](Self::close) or the end of the run is asked for.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.part.server.is_serving()
    }

    /// How many connections of this shard are not gone yet.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.part.server.connection_count()
    }

    /// How connections come to the shards: what was asked for, or what was fallen back to.
    #[must_use]
    pub fn accept(&self) -> Accept {
        self.part.group.as_ref().map_or(Accept::ReusePort, |group| group.in_force())
    }

    /// How many connections each shard that serves here has at this moment, in their order. It asks nobody:
    /// the numbers are shared. A connection counts from the moment that it is given to a shard.
    #[must_use]
    pub fn balance(&self) -> Balance {
        match &self.part.group {
            Some(group) => group.seats.balance(),
            None => Balance::new(vec![self.connection_count() as f64]),
        }
    }

    /// Ends this shard's part: it gets no more connections, those that it has go on. Twice is once.
    pub fn close(&self) {
        self.part.close();
    }

    /// Waits until this shard's part is closed, by [`close`](Self::close) or by the end of the run,
    /// and all its connections are gone, or cut off by the run's deadline. A main that has nothing
    /// else to do ends with this.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn wait_closed(&self) {
        let time_is_up = self.watch.reached(Stage::Cancelling);
        first_of(self.part.server.wait_closed(), time_is_up).await;
    }
}

/// How a server is to be served. A [`ServerBuilder`] or an [`Accept`] may stand in its place, and the rest is
/// as usual then.
#[derive(Clone, Debug)]
#[must_use = "a builder starts nothing by itself"]
pub struct ShardServerBuilder {
    accept: Accept,
    limits: ServerBuilder,
}

impl Default for ShardServerBuilder {
    fn default() -> Self {
        Self { accept: Accept::default(), limits: Server::builder() }
    }
}

impl ShardServerBuilder {
    /// How connections come to the shards; [`Accept::ReusePort`] unless told otherwise. All shards say the
    /// same.
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// The limits of each shard's part. Its `reuse_port` and `start_serving` do not matter. Where one shard
    /// accepts for all, a shard that has its most connections is passed over, and when all have, further
    /// connections wait in the backlog, which is the accepting shard's.
    pub fn limits(mut self, limits: ServerBuilder) -> Self {
        self.limits = limits;
        self
    }
}

impl From<ServerBuilder> for ShardServerBuilder {
    fn from(limits: ServerBuilder) -> Self {
        Self::default().limits(limits)
    }
}

impl From<Accept> for ShardServerBuilder {
    fn from(accept: Accept) -> Self {
        Self::default().accept(accept)
    }
}

impl Shard {
    /// Serves on `addr`, together with the other shards that do the same, and calls `handler` for each
    /// connection that comes to this shard as a task of its own.
    ///
    /// When the end of the run is asked for it stops accepting, and the run waits for the
    /// connections until its deadline. A handler that may wait long for its peer asks
    /// [`unless_requested`](crate::Shutdown::unless_requested) for its reads.
    ///
    /// The system deals connections out by a hash. Few and long ones are spread unevenly by that, at times all to one
    /// shard: the page [`connections`](crate::connections) says when to take another way.
    ///
    /// A handler may be an `async fn`, or a closure in the call. One that stands in a `let` needs the types of its
    /// arguments: `async |mut reader: StreamReader, writer: StreamWriter| …`.
    ///
    /// With port 0 the shards get one port together: the n-th such call on one shard, failed ones included,
    /// listens where the n-th on every other does. A host name is looked up on another thread.
    ///
    /// # Errors
    /// What the resolver or the system says when it cannot listen there; `ConnectionAborted` when
    /// the end of the run has been asked for already.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    #[track_caller]
    pub fn serve<H>(
        &self,
        addr: impl ToSocketAddrs,
        handler: H,
    ) -> impl Future<Output = io::Result<ShardServer>>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        self.serve_with(ShardServer::builder(), addr, handler)
    }

    /// The same with a choice of how connections come to shards, and with limits of one's own.
    ///
    /// # Errors
    /// As [`serve`](Self::serve); `InvalidInput` if other shards serve there in another way.
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    ///
    /// # Examples
    /// ```
    /// use corelane_shards::{Accept, Placement, Shards};
    ///
    /// let counts = Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
    ///     let handler = async |mut reader: corelane::StreamReader, _writer| {
    ///         reader.read_to_end().await?;
    ///         Ok(())
    ///     };
    ///     let server = shard.serve_with(Accept::LeastLoaded, "127.0.0.1:0", handler).await?;
    ///     // Each shard makes a connection; whichever accepts them, each shard gets one.
    ///     while server.balance().shares().len() < 2 {
    ///         corelane::yield_now().await;
    ///     }
    ///     let _ends = corelane::open_connection(server.local_addrs()[0]).await?;
    ///     while server.connection_count() == 0 {
    ///         corelane::yield_now().await;
    ///     }
    ///     Ok(server.connection_count())
    /// })?;
    /// assert_eq!(counts, [1, 1]);
    /// # Ok::<(), corelane::Error>(())
    /// ```
    #[track_caller]
    pub fn serve_with<H>(
        &self,
        builder: impl Into<ShardServerBuilder>,
        addr: impl ToSocketAddrs,
        handler: H,
    ) -> impl Future<Output = io::Result<ShardServer>>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let ShardServerBuilder { accept, limits } = builder.into();
        let limits = limits.location(Location::caller());
        async move {
            let addrs = lookup_host(addr).await?;
            let comer = self.servers().group(&addrs, self.count())?;
            let group = Arc::clone(&comer.group);
            group.agree(accept, self.id())?;
            let limits = observed(limits.start_serving(true), accept, &group, self.id());
            let server = if accept.is_dealt() {
                let server = limits.unbound()?.start(handler)?;
                self.check_running()?;
                let open = |listeners| {
                    let door = Door::open(&limits, accept, &group, listeners)?;
                    self.servers().keep_door(door);
                    Ok(())
                };
                group.join_dealt(accept, self.id(), open)?;
                server
            } else {
                let bound = limits.reuse_port(true).bind(group.addrs()).await?;
                self.check_running()?;
                let listen = || Ok(bound.start(handler)?);
                if accept == Accept::ByCpu {
                    group.join_steered(self.id(), self.report(), listen, Server::steer)?
                } else {
                    let server = listen()?;
                    group.join(accept, self.id())?;
                    server
                }
            };
            Ok(self.hold(server, Some(group)))
        }
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
    #[track_caller]
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
        self.check_running()?;
        Ok(self.hold(bound.start(handler)?, None))
    }

    fn check_running(&self) -> io::Result<()> {
        if self.shutdown().is_requested() {
            let ending = "the end of the run has been asked for";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, ending));
        }
        Ok(())
    }

    /// Lists a server that has started, to end it with the run.
    fn hold(&self, server: Server, group: Option<Arc<Group>>) -> ShardServer {
        let part = Rc::new(Part { server, group, id: self.id() });
        self.servers().add(&part);
        part.say_limit(self);
        ShardServer { part, watch: Rc::clone(self.watch()) }
    }
}

/// `limits` with one who counts what comes to a shard and goes.
fn observed(
    limits: ServerBuilder,
    accept: Accept,
    group: &Arc<Group>,
    id: ShardId,
) -> ServerBuilder {
    let group = Arc::clone(group);
    limits.observe(move |change| match change {
        ConnectionChange::Ended => deal::ended(&group, id),
        // Counted by who has dealt it.
        ConnectionChange::Opened if accept.is_dealt() => {}
        ConnectionChange::Opened => {
            let accepted = group.seats.opened(id);
            if accept == Accept::ByCpu && group.falls_back(id, accepted) {
                steering::end(&group);
            }
        }
    })
}

/// One shard's part of a server.
struct Part {
    server: Server,
    /// `None` for a listener that is this shard's alone.
    group: Option<Arc<Group>>,
    id: ShardId,
}

impl Part {
    fn is_of(&self, group: &Arc<Group>) -> bool {
        self.group.as_ref().is_some_and(|own| Arc::ptr_eq(own, group))
    }

    fn close(&self) {
        let (Some(group), Some(shard)) = (&self.group, Shard::current()) else {
            return self.server.close();
        };
        if !self.server.is_serving() {
            return;
        }
        let steer = |steering: &CpuSteering| self.server.steer(steering);
        let farewell =
            group.leave(self.id, shard.report(), steer, || close_listeners(&self.server));
        self.server.close();
        match farewell {
            Farewell::Alone => {}
            Farewell::CloseDoorOf(acceptor) if acceptor == self.id => {
                shard.servers().close_door(group);
            }
            Farewell::CloseDoorOf(acceptor) => {
                let group = Arc::clone(group);
                // Refused means that the shard has ended, and its door with it.
                let _ = shard.remote(acceptor).submit(move || {
                    if let Some(shard) = Shard::current() {
                        shard.servers().close_door(&group);
                    }
                });
            }
        }
        self.say_limit(&shard);
        shard.servers().groups.tidy();
    }

    /// Tells the other shards how many connections this one may have.
    fn say_limit(&self, shard: &Shard) {
        let Some(group) = &self.group else { return };
        if group.seats.set_limit(self.id, shard.servers().limit_of(group)) {
            deal::ring(group);
        }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

/// One shard's servers.
pub(crate) struct Servers {
    running: RefCell<Vec<Rc<Part>>>,
    /// Of servers that this shard accepts for.
    doors: RefCell<Vec<Rc<Door>>>,
    groups: Groups,
    /// How often this shard has asked for a port of the system's choice, by addresses.
    asked: RefCell<BTreeMap<Vec<SocketAddr>, usize>>,
}

impl Servers {
    pub(crate) fn new(groups: Groups) -> Self {
        Self {
            running: RefCell::default(),
            doors: RefCell::default(),
            groups,
            asked: RefCell::default(),
        }
    }

    /// Stops accepting. A shard that ends alone has others go on with it.
    pub(crate) fn close(&self) {
        let doors = self.doors.take();
        self.running().iter().for_each(|part| part.close());
        let Some(lost) = Shard::current().filter(Shard::has_left) else { return };
        // Nobody else holds one: that happens only while its callback runs, and this is none.
        for door in doors.into_iter().filter_map(Rc::into_inner) {
            door.hand_over(&lost);
        }
    }

    /// Waits until every connection is gone.
    pub(crate) async fn wait_closed(&self) {
        for part in self.running() {
            part.server.wait_closed().await;
        }
    }

    /// Connections that are open.
    pub(crate) fn connection_count(&self) -> usize {
        self.running().iter().map(|part| part.server.connection_count()).sum()
    }

    fn add(&self, part: &Rc<Part>) {
        let mut running = self.running.borrow_mut();
        running.retain(|part| part.server.is_serving() || part.server.connection_count() > 0);
        running.push(Rc::clone(part));
    }

    fn running(&self) -> Vec<Rc<Part>> {
        self.running.borrow().clone()
    }

    fn group(&self, addrs: &[SocketAddr], shard_count: usize) -> io::Result<Comer> {
        let mut nth = 0;
        if addrs.iter().any(|addr| addr.port() == 0) {
            let mut asked = self.asked.borrow_mut();
            let count = asked.entry(addrs.to_vec()).or_default();
            nth = *count;
            *count += 1;
        }
        self.groups.find(addrs, nth, shard_count)
    }

    /// The parts of a group that get connections.
    fn serving(&self, group: &Arc<Group>) -> Vec<Rc<Part>> {
        let running = self.running.borrow();
        let serving = running.iter().filter(|part| part.is_of(group) && part.server.is_serving());
        serving.cloned().collect()
    }

    fn part_of(&self, group: &Arc<Group>) -> Option<Rc<Part>> {
        self.serving(group).into_iter().next()
    }

    fn limit_of(&self, group: &Arc<Group>) -> usize {
        let limits = self.serving(group).into_iter().map(|part| part.server.max_connections());
        limits.fold(0, usize::saturating_add)
    }

    fn keep_door(&self, door: Door) {
        self.doors.borrow_mut().push(Rc::new(door));
    }

    fn with_door(&self, group: &Arc<Group>, f: impl FnOnce(&Door)) {
        let door = self.doors.borrow().iter().find(|door| door.is_of(group)).cloned();
        if let Some(door) = door {
            f(&door);
        }
    }

    fn close_door(&self, group: &Arc<Group>) {
        let (closed, open) = self.doors.take().into_iter().partition(|door| door.is_of(group));
        self.doors.replace(open);
        drop::<Vec<Rc<Door>>>(closed);
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.running()).finish()
    }
}
