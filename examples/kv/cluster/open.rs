//! The way into a cluster: the listeners of the shards, bound before the first shard serves, so
//! that the map is true from the start.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{Source, check_host};
use super::map::ClusterMap;
use super::options::ClusterOptions;

/// A process's part of a cluster, before it serves.
pub(crate) struct Cluster {
    /// Who has which slots.
    pub(crate) map: Arc<ClusterMap>,
    /// Where the map comes from, if it is a file.
    pub(crate) source: Option<Source>,
    /// By shard; each takes its own.
    listeners: Vec<Mutex<Option<TcpListener>>>,
}

impl Cluster {
    /// Binds a port for each of `shard_count` shards; `None` if no cluster was asked for. `plain`
    /// is where the server listens for everybody.
    ///
    /// # Errors
    /// A port that is taken, and settings that do not go together.
    pub(crate) fn open(
        options: &ClusterOptions,
        plain: SocketAddr,
        shard_count: usize,
    ) -> io::Result<Option<Self>> {
        if let (Some(path), Some(machine)) = (&options.cluster_file, &options.cluster_self) {
            let source = Source { path: path.clone(), machine: machine.clone() };
            return Self::from_file(source, plain.ip(), shard_count).map(Some);
        }
        if !options.cluster {
            return Ok(None);
        }
        let host = match &options.cluster_announce {
            Some(host) => {
                check_host(host).map_err(|text| invalid(format!("--cluster-announce {text}")))?;
                host.clone()
            }
            None if plain.ip().is_unspecified() => {
                return Err(invalid(format!(
                    "clients of a cluster must be told where its nodes are: --bind {} needs \
                     --cluster-announce",
                    plain.ip()
                )));
            }
            None => plain.ip().to_string(),
        };
        let ports = ports(options.cluster_port, plain.port(), shard_count)?;
        let listeners = listen(plain.ip(), &ports)?;
        let bound = listeners.iter().map(|listener| Ok(listener.local_addr()?.port()));
        let map = ClusterMap::even(&host, &bound.collect::<io::Result<Vec<u16>>>()?);
        Ok(Some(Self::new(map, None, listeners)))
    }

    fn from_file(source: Source, bind: IpAddr, shard_count: usize) -> io::Result<Self> {
        let text = std::fs::read_to_string(&source.path);
        let map = source.parse(text, 1).map_err(invalid)?;
        check_count(&source, &map, shard_count)?;
        let own = map.own_nodes();
        for node in &own {
            let told = node.host.parse::<IpAddr>();
            if told.is_ok_and(|told| !bind.is_unspecified() && told != bind) {
                tracing::warn!("clients are told to come to {node}, and --bind is {bind}");
            }
        }
        let ports: Vec<u16> = own.iter().map(|node| node.port).collect();
        let listeners = listen(bind, &ports)?;
        Ok(Self::new(map, Some(source), listeners))
    }

    /// The part that `machine` has in a cluster whose topology file says `text`. Its shards bind their ports by
    /// themselves.
    ///
    /// # Errors
    /// What is wrong with the topology.
    pub(crate) fn given(text: &str, machine: &str, shard_count: usize) -> io::Result<Self> {
        let source = Source { path: "topology".into(), machine: machine.to_owned() };
        let map = source.parse(Ok(text.to_owned()), 1).map_err(invalid)?;
        check_count(&source, &map, shard_count)?;
        Ok(Self::new(map, None, Vec::new()))
    }

    fn new(map: ClusterMap, source: Option<Source>, listeners: Vec<TcpListener>) -> Self {
        let listeners = listeners.into_iter().map(|listener| Mutex::new(Some(listener))).collect();
        Self { map: Arc::new(map), source, listeners }
    }

    /// The listener of `shard`, once, if it was bound for it.
    pub(crate) fn take_listener(&self, shard: usize) -> Option<TcpListener> {
        self.listeners.get(shard)?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether the machine has as many shards in the topology as it has here.
fn check_count(source: &Source, map: &ClusterMap, shard_count: usize) -> io::Result<()> {
    let (machine, count) = (&source.machine, map.own_nodes().len());
    if count == shard_count {
        return Ok(());
    }
    Err(invalid(source.error(&format!(
        "the machine {machine:?} has {count} shards, this process {shard_count}: see --shards"
    ))))
}

/// The ports to ask for; 0 is any.
fn ports(first: Option<u16>, plain_port: u16, shard_count: usize) -> io::Result<Vec<u16>> {
    let first = match first {
        Some(first) => usize::from(first),
        None if plain_port == 0 => 0,
        None => usize::from(plain_port) + 1,
    };
    if first == 0 {
        return Ok(vec![0; shard_count]);
    }
    let ports = (first..first + shard_count).map(u16::try_from).collect::<Result<_, _>>();
    ports.map_err(|_| invalid(format!("{shard_count} ports from {first} on: 65535 is the last")))
}

/// Binds the ports. Unlike the plain one they are not shared, so a taken one is an error.
fn listen(ip: IpAddr, ports: &[u16]) -> io::Result<Vec<TcpListener>> {
    let bind = |port: &u16| {
        let address = SocketAddr::new(ip, *port);
        TcpListener::bind(address).map_err(|error| {
            let text = format!("cannot listen on {address} for a shard: {error}");
            io::Error::new(error.kind(), text)
        })
    };
    ports.iter().map(bind).collect()
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}
