//! Starts the shards, opens the port on all of them, and ends them in order.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use corelane::sync::Event;
use corelane::{Error, Result, Server, StreamReader, StreamWriter, Task, sleep, spawn};
use corelane_shards::{Accept, Shard, Shards};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::caller::Door;
use super::cluster::{Cluster, Reloader};
use super::connection::handle;
use super::home::Facts;
use super::local::Local;
use super::manager;
use super::options::Options;
use super::slots::Slots;
use crate::place::Place;

/// Descriptors that are not connections: listeners, pollers, streams of the process.
const OTHER_DESCRIPTORS: u64 = 64;

thread_local! {
    /// Where the shards meet; used on the first one.
    static LOBBY: Rc<Lobby> = Rc::default();
}

/// Serves until SIGINT or SIGTERM, then answers what has come, and returns. When every shard
/// listens it prints a line to standard output: where, and on which cores.
///
/// # Errors
/// What keeps the shards from starting (cores that may not be used, more shards than cores) or from
/// listening (the address is taken).
pub fn serve(options: Options) -> Result<()> {
    let seed = match options.hash_seed {
        Some(seed) => seed,
        None => chance()?,
    };
    raise_descriptor_limit(options.max_clients);
    let listen = SocketAddr::new(options.bind, options.port);
    let place = Place::open(&options.handed, listen)?;
    let address = place.address();
    let placement = options.placement.placement();
    let common: Arc<OnceLock<Result<Common>>> = Arc::default();
    let main = async move |shard: Shard| {
        let common = common.get_or_init(|| Common::open(&options, address, shard.count()));
        let common = common.as_ref().map_err(Error::clone)?;
        let seed = seed.wrapping_add(shard.id().index() as u64);
        let facts = Arc::clone(&common.facts);
        let open = Local::open(shard.clone(), facts, common.slots(&shard), seed);
        let accept = options.placement.accept;
        run_shard(&shard, open.local(), &place, accept, common).await
    };
    Shards::builder().placement(placement).run(main)?;
    Ok(())
}

/// What the first shard that starts makes for all of them.
struct Common {
    facts: Arc<Facts>,
    cluster: Option<Cluster>,
    /// How long the end waits for connections that have not asked for anything.
    first_request: Duration,
    prints_host: bool,
}

impl Common {
    fn open(options: &Options, address: SocketAddr, shard_count: usize) -> Result<Self> {
        let facts = Facts::new(shard_count, options.max_clients, options.bind.to_string());
        let cluster = Cluster::open(&options.cluster, address, shard_count)?;
        let first_request = Duration::from_secs_f64(options.first_request);
        Ok(Self {
            facts: Arc::new(facts),
            cluster,
            first_request,
            prints_host: options.host_report,
        })
    }

    fn slots(&self, shard: &Shard) -> Slots {
        match &self.cluster {
            Some(cluster) => Slots::Cluster(Arc::clone(&cluster.map)),
            None => Slots::even(shard.count()),
        }
    }
}

/// Serves on one shard.
async fn run_shard(
    shard: &Shard,
    local: &Rc<Local>,
    place: &Place,
    accept: Accept,
    common: &Common,
) -> Result<()> {
    let (cluster, first_request) = (common.cluster.as_ref(), common.first_request);
    meet(shard, Stage::Stored).await?;
    let handler = |door: Door| {
        let local = Rc::clone(local);
        async move |reader: StreamReader, writer: StreamWriter| {
            handle(Rc::clone(&local), door, reader, writer).await
        }
    };
    let server = place.serve(shard, accept, Server::builder(), handler(Door::Plain)).await?;
    let listener = cluster.and_then(|cluster| cluster.take_listener(shard.id().index()));
    let node = match listener {
        Some(listener) => Some(shard.adopt(Server::builder(), listener, handler(Door::Node))?),
        None => None,
    };
    if let Some(address) = server.local_addrs().first() {
        local.facts().port.store(address.port(), Ordering::Relaxed);
    }
    let is_first = shard.id().index() == 0;
    let source = cluster.filter(|_| is_first);
    let reloader = source.map(|cluster| Reloader::new(shard, cluster)).transpose()?.flatten();
    meet(shard, Stage::Listening).await?;
    if is_first {
        let port = local.facts().port.load(Ordering::Relaxed);
        announce(shard, SocketAddr::new(place.address().ip(), port), common);
    }
    let sweeper = {
        let local = Rc::clone(local);
        spawn(async move { local.sweep_forever().await })
    };
    let reloader = reloader.map(|reloader| spawn(reloader.run()));
    let alive = is_first.then(|| {
        let shard = shard.clone();
        spawn(async move { manager::keep_alive(&shard).await })
    });
    shard.shutdown().requested().await;
    if is_first {
        manager::stopping();
    }
    local.drain();
    if let Some(reloader) = reloader {
        reloader.cancel();
    }
    let unheard = drain_unheard(Rc::clone(local), first_request);
    server.wait_closed().await;
    if let Some(node) = node {
        node.wait_closed().await;
    }
    // Connections of other shards may still ask for keys of this one.
    meet(shard, Stage::Drained).await?;
    unheard.cancel();
    sweeper.cancel();
    if let Some(alive) = alive {
        alive.cancel();
    }
    Ok(())
}

/// Ends the connections that have not asked for anything, after a while.
fn drain_unheard(local: Rc<Local>, first_request: Duration) -> Task<()> {
    spawn(async move {
        sleep(first_request).await;
        local.drain_unheard();
    })
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

/// What the shards do together, each waiting for all others.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Every shard has its store: it can be asked for keys.
    Stored,
    /// Every shard listens.
    Listening,
    /// No shard has a connection any more.
    Drained,
}

/// Where shards wait for each other: for each stage, how many have come, and the bell for when all
/// have.
#[derive(Default)]
struct Lobby {
    stages: [(Cell<usize>, Event); 3],
}

/// Waits until every shard has come to `stage`.
async fn meet(shard: &Shard, stage: Stage) -> Result<()> {
    let shard_count = shard.count();
    let first = shard.all().next().expect("there is this shard at least");
    let arrive = move || async move {
        let lobby = LOBBY.with(Rc::clone);
        let (arrived, all_are_here) = &lobby.stages[stage as usize];
        arrived.set(arrived.get() + 1);
        if arrived.get() == shard_count {
            all_are_here.set();
        }
        all_are_here.wait().await;
        Ok(())
    };
    shard.call(first, arrive).await
}

/// A number that nobody can guess.
fn chance() -> io::Result<u64> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Asks the system for as many descriptors as the connections will take, as far as it allows.
fn raise_descriptor_limit(max_clients: usize) {
    let wanted = max_clients as u64 + OTHER_DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        let raised = setrlimit(Resource::Nofile, limit);
        tracing::debug!(?raised, allowed, "limit of descriptors");
    }
    if allowed < wanted {
        tracing::warn!(allowed, wanted, "the system allows fewer connections than --max-clients");
    }
}
