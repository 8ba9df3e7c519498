//! A server as its shards run it: opens the port on all of them, serves, and ends them in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corelane::{Error, Result, Server, StreamReader, StreamWriter, sleep, spawn};
use corelane_shards::{Accept, Shard, ShardServer, Sharded};

use super::caller::Door;
use super::cluster::{Cluster, Reloader};
use super::connection::handle;
use super::home::Facts;
use super::lobby::meet;
use super::local::Local;
use super::manager;
use super::options::Options;
use super::slots::Slots;
use crate::common::FAREWELL;
use crate::place::Place;

/// A server before it runs: each of its shards is given one, and [runs](Self::run) it.
#[derive(Clone, Debug)]
pub struct Program {
    options: Options,
    place: Place,
    /// Keys the hashes of the stores.
    seed: u64,
    origin: Origin,
}

/// Whose program it is.
#[derive(Clone, Debug)]
enum Origin {
    /// The process's: its shards' ports are bound before they start, and it says when it listens.
    Process,
    /// Somebody's who has shards: each binds its port by itself.
    Guest { topology: Option<Arc<str>> },
}

impl Program {
    /// What the process runs.
    pub(crate) fn of_process(options: Options, place: Place, seed: u64) -> Self {
        Self { options, place, seed, origin: Origin::Process }
    }

    /// A server in somebody else's program, or in a simulation: it listens as `options` say, asks nothing of the
    /// process and prints nothing. The hashes are keyed by `options.hash_seed`, 0 unless given. `topology` is what
    /// would stand in the file of a cluster, of which this is the machine `options.cluster.cluster_self`.
    pub fn guest(options: Options, topology: Option<&str>) -> Self {
        let place = Place::at(SocketAddr::new(options.bind, options.port));
        let seed = options.hash_seed.unwrap_or_default();
        Self { options, place, seed, origin: Origin::Guest { topology: topology.map(Arc::from) } }
    }

    /// Serves on all shards until the end of the run is asked for, then answers what has come. It is to be each
    /// shard's main: the first one has all of them serve, itself included, and the others' have nothing to do.
    ///
    /// # Errors
    /// What keeps a shard from listening; a topology in which something is wrong.
    ///
    /// # Cancel safety
    /// The server ends.
    pub async fn run(&self, shard: Shard) -> Result<()> {
        if shard.id().index() != 0 {
            return Ok(());
        }
        let common = Arc::new(Common::open(self, shard.count())?);
        let make = {
            let (common, seed) = (Arc::clone(&common), self.seed);
            async move |shard: Shard| {
                let index = shard.id().index();
                let seed = seed.wrapping_add(index as u64);
                let slots = common.slots(shard.count());
                Ok(Local::new(Arc::clone(&common.facts), index, slots, seed))
            }
        };
        // When it has started every shard has its store: it can be asked for keys.
        let all = Sharded::start(&shard, make).await?;
        let serve = {
            let all = all.clone();
            async move |local: Rc<Local>| {
                let shard = Shard::current().ok_or_else(|| Error::runtime("this is no shard"))?;
                local.join(shard.clone(), all.clone());
                run_shard(&shard, &local, &all, &common).await
            }
        };
        all.call_on_all(serve).fold((), |(), ()| ()).await
    }
}

/// Serves the connections that come by one door.
fn handler(
    local: &Rc<Local>,
    door: Door,
) -> impl AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static {
    let local = Rc::clone(local);
    async move |reader: StreamReader, writer: StreamWriter| {
        handle(Rc::clone(&local), door, reader, writer).await
    }
}

/// What the first shard makes for all of them.
struct Common {
    facts: Arc<Facts>,
    cluster: Option<Cluster>,
    place: Place,
    accept: Accept,
    /// How long the end waits for connections that have not asked for anything.
    first_request: Duration,
    idle_timeout: Duration,
    /// Whether it says on standard output when it listens.
    announces: bool,
    prints_host: bool,
}

impl Common {
    fn open(program: &Program, shard_count: usize) -> Result<Self> {
        let Program { options, place, origin, .. } = program;
        let facts = Facts::new(shard_count, options.max_clients, options.bind.to_string());
        let cluster = match origin {
            Origin::Process => Cluster::open(&options.cluster, place.address(), shard_count)?,
            Origin::Guest { topology: None } => None,
            Origin::Guest { topology: Some(text) } => {
                let machine = options.cluster.cluster_self.as_deref().unwrap_or_default();
                Some(Cluster::given(text, machine, shard_count)?)
            }
        };
        Ok(Self {
            facts: Arc::new(facts),
            cluster,
            place: place.clone(),
            accept: options.placement.accept,
            first_request: Duration::from_secs_f64(options.first_request),
            idle_timeout: Duration::from_secs_f64(options.idle_timeout),
            announces: matches!(origin, Origin::Process),
            prints_host: options.host_report,
        })
    }

    fn slots(&self, shard_count: usize) -> Slots {
        match &self.cluster {
            Some(cluster) => Slots::Cluster(Arc::clone(&cluster.map)),
            None => Slots::even(shard_count),
        }
    }
}

/// Serves on one shard.
async fn run_shard(
    shard: &Shard,
    local: &Rc<Local>,
    all: &Sharded<Local>,
    common: &Common,
) -> Result<()> {
    let (place, cluster) = (&common.place, common.cluster.as_ref());
    let plain = handler(local, Door::Plain);
    let server = place.serve(shard, common.accept, Server::builder(), plain).await?;
    let node = match cluster {
        Some(cluster) => Some(serve_node(shard, cluster, handler(local, Door::Node)).await?),
        None => None,
    };
    if let Some(address) = server.local_addrs().first() {
        local.facts().port.store(address.port(), Ordering::Relaxed);
    }
    let is_first = shard.id().index() == 0;
    let source = cluster.filter(|_| is_first);
    let reloader = source.map(|cluster| Reloader::new(all, cluster)).transpose()?.flatten();
    // Nobody says that the server listens before every shard does.
    meet(shard, all).await?;
    if is_first && common.announces {
        let port = local.facts().port.load(Ordering::Relaxed);
        announce(shard, SocketAddr::new(place.address().ip(), port), common);
    }
    // These go on until the run ends them, which is when no shard has connections any more: until then connections of
    // other shards may ask for keys of this one.
    let sweeping = Rc::clone(local);
    drop(spawn(async move { sweeping.sweep_forever().await }));
    let (looking, idle_timeout) = (Rc::clone(local), common.idle_timeout);
    drop(spawn(async move { looking.end_still_ones(idle_timeout).await }));
    let reloader = reloader.map(|reloader| spawn(reloader.run()));
    if is_first {
        let shard = shard.clone();
        drop(spawn(async move { manager::keep_alive(&shard).await }));
    }
    shard.shutdown().requested().await;
    if is_first {
        manager::stopping();
    }
    if let Some(reloader) = reloader {
        reloader.cancel();
    }
    local.drain();
    drop(spawn(drain_left(Rc::clone(local))));
    drop(spawn(drain_unheard(Rc::clone(local), common.first_request)));
    server.wait_closed().await;
    if let Some(node) = node {
        node.wait_closed().await;
    }
    Ok(())
}

/// The port that is this shard's alone.
async fn serve_node<H>(shard: &Shard, cluster: &Cluster, handler: H) -> io::Result<ShardServer>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    let index = shard.id().index();
    if let Some(listener) = cluster.take_listener(index) {
        return shard.adopt(Server::builder(), listener, handler);
    }
    let node = cluster.map.node_of(index).ok_or(io::ErrorKind::NotFound)?;
    shard.serve((node.host.as_str(), node.port), handler).await
}

/// Ends the connections whose peers do not end them, after a while.
async fn drain_left(local: Rc<Local>) {
    sleep(FAREWELL).await;
    local.drain_left();
}

/// Ends the connections that have not asked for anything, after a while.
async fn drain_unheard(local: Rc<Local>, first_request: Duration) {
    sleep(first_request).await;
    local.drain_unheard();
}

/// Says where the server is to be found, and what a user should know of its cores.
fn announce(shard: &Shard, address: SocketAddr, common: &Common) {
    let report = shard.report();
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    let nodes = common.cluster.as_ref().map(|cluster| {
        let nodes: Vec<String> = cluster.map.own_nodes().iter().map(ToString::to_string).collect();
        format!(", cluster nodes {}", nodes.join(" "))
    });
    let nodes = nodes.unwrap_or_default();
    // Whoever has closed our standard output does not want to know.
    if common.prints_host {
        let host = serde_json::to_string(&report.host()).expect("it has plain fields only");
        let _ = writeln!(io::stdout(), "{host}");
    }
    let _ = writeln!(io::stdout(), "kv listening on {address}, {report}{nodes}");
    manager::ready(&format_args!("listening on {address}, {report}"));
}
