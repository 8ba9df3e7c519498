//! Servers that bring their own threads: started in the background, watched until they listen.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use corelane_shards::{Accept, Placement};
use socket2::{Domain, Protocol, Socket, Type};

use super::control::Tally;
use super::{PATIENCE, Ready, ServerSpec, ShardInfo};
use crate::clock;
use crate::layout::Pin;
use crate::threads;

/// What a hosted server is given. It names the thread of its n-th shard `shard-n`.
pub(super) struct Host {
    /// Where the shards run.
    pub(super) place: Place,
    /// How connections come to the shards.
    pub(super) accept: Accept,
    /// Where to listen.
    pub(super) addr: SocketAddr,
    /// Length of an echo frame.
    pub(super) frame_bytes: usize,
    /// One for each shard.
    pub(super) tallies: Vec<Arc<Tally>>,
}

/// Where shards run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Each on a CPU of its own.
    Pinned(Vec<usize>),
    /// So many, wherever the kernel likes.
    Free(usize),
}

impl Place {
    fn of(spec: &ServerSpec) -> Self {
        if spec.cpus.is_empty() || spec.pin == Pin::Off {
            Place::Free(spec.cpus.len().max(1))
        } else {
            Place::Pinned(spec.cpus.clone())
        }
    }

    /// The same for a server on the runtime.
    pub(super) fn placement(self) -> Placement {
        match self {
            Place::Pinned(cpus) => Placement::Cores(cpus),
            Place::Free(count) => Placement::Unpinned(count),
        }
    }

    fn cpu(&self, shard: usize) -> Option<usize> {
        match self {
            Place::Pinned(cpus) => cpus.get(shard).copied(),
            Place::Free(_) => None,
        }
    }
}

/// Runs `serve` on a thread of its own and waits until it accepts connections.
///
/// # Errors
/// If it ends before it listens, or does not listen in time.
pub(super) fn start(
    spec: &ServerSpec,
    addr: SocketAddr,
    serve: fn(Host) -> io::Result<()>,
) -> io::Result<(Ready, Vec<Arc<Tally>>)> {
    // Shards that share a port must know its number first.
    let addr = TcpListener::bind(addr)?.local_addr()?;
    let shard_count = spec.cpus.len().max(1);
    let tallies: Vec<Arc<Tally>> = (0..shard_count).map(|_| Arc::default()).collect();
    let host = Host {
        place: Place::of(spec),
        accept: spec.accept,
        addr,
        frame_bytes: spec.frame_bytes,
        tallies: tallies.clone(),
    };
    let (sender, ended) = channel();
    threads::spawn("server", None, move || {
        let result = serve(host);
        if let Err(error) = &result {
            eprintln!("error: the server ended: {error}");
        }
        // While the server is being started this tells why it will never listen; later nobody
        // waits, and a process without its server has nothing to live for.
        let code = i32::from(result.is_err());
        if sender.send(result).is_err() {
            std::process::exit(code);
        }
    })?;
    let limit_ns = clock::now_ns() + clock::ns(PATIENCE);
    while TcpStream::connect(addr).is_err() || shards(spec).len() < shard_count {
        match ended.recv_timeout(Duration::from_millis(2)) {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(())) | Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the server ended before it listened"));
            }
            Err(RecvTimeoutError::Timeout) if clock::now_ns() > limit_ns => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not listen"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    Ok((Ready { addr, pid: std::process::id(), shards: shards(spec) }, tallies))
}

/// What the servers of the examples are told of their shards.
pub(super) fn shard_arguments(place: &Place, accept: Accept) -> Vec<String> {
    let mut arguments = vec![format!("--accept={accept}")];
    match place {
        Place::Free(count) => {
            arguments.extend([format!("--shards={count}"), "--unpinned".to_owned()]);
        }
        Place::Pinned(cpus) => {
            let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
            arguments.push(format!("--cores={}", cpus.join(",")));
        }
    }
    arguments
}

/// Length of the buffer that a connection of an echo server has on a runtime where it must have one.
///
/// Small, because it counts when the connection is idle, and longer than a frame, because a runtime
/// knows from a read that did not fill its buffer that no more is there.
pub(super) fn buffer_bytes(frame_bytes: usize) -> usize {
    frame_bytes.saturating_add(64).max(4_096)
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Runs `serve` on a thread for each CPU, or on one that is not pinned, until one ends. It is given
/// where to listen, the length of a frame, and where to count frames.
///
/// # Errors
/// If a thread cannot be started, and what `serve` fails with.
pub(super) fn on_each_cpu(
    host: Host,
    serve: fn(SocketAddr, usize, &Arc<Tally>) -> io::Result<()>,
) -> io::Result<()> {
    let threads = host
        .tallies
        .into_iter()
        .enumerate()
        .map(|(shard, tally)| {
            let (cpu, addr, frame_bytes) = (host.place.cpu(shard), host.addr, host.frame_bytes);
            let name = format!("shard-{shard}");
            threads::spawn(&name, cpu, move || serve(addr, frame_bytes, &tally))
        })
        .collect::<io::Result<Vec<_>>>()?;
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a server thread panicked"))??;
    }
    Ok(())
}

/// A listener that does not block and shares its port with those of the other shards.
///
/// # Errors
/// As `bind` and `listen`.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The threads of this process that are shards, found by their names.
fn shards(spec: &ServerSpec) -> Vec<ShardInfo> {
    let mut shards: Vec<ShardInfo> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = std::fs::read_to_string(entry.path().join("comm")).ok()?;
            let shard = name.trim().strip_prefix("shard-")?.parse().ok()?;
            let tid = entry.file_name().to_str()?.parse().ok()?;
            Some(ShardInfo { shard, cpu: spec.pinned_cpu(shard), tid })
        })
        .collect();
    shards.sort_unstable_by_key(|shard| shard.shard);
    shards
}
