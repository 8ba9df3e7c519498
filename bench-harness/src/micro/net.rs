//! What a server pays for a request and for a connection, on the echo servers of `serve`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Laps, Reading, Sample, Timed};
use crate::layout::Layout;
use crate::point::{Conditions, Mode, PointSpec, run_point};
use crate::procfs::{ThreadUse, resident_bytes, thread_use};
use crate::record::Metric;
use crate::report::Recorded;
use crate::serve::{Server, ServerSpec, SyntheticSpec, Target, Wire};
use crate::subject::{Counting, Subject};
use crate::threads;
use crate::traffic::Traffic;
use corelane_shards::Accept;

/// The load of an echo benchmark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Connections at once.
    pub(super) connections: usize,
    /// Length of a request and of its answer.
    pub(super) frame_bytes: usize,
    /// Requests in flight on each connection.
    pub(super) depth: usize,
}

/// Length of a frame where a connection itself is measured.
const FRAME_BYTES: usize = 64;
/// Connections that are made and closed one after the other.
const ACCEPTS: u64 = 5_000;
/// Connections that stay.
const IDLE: u64 = 10_000;

/// Starts a server on the first CPU for servers.
pub(super) fn start(layout: &Layout, target: Target, frame_bytes: usize) -> io::Result<Server> {
    Server::start(&ServerSpec {
        target,
        cpus: layout.server_cpus.iter().take(1).copied().collect(),
        pin: layout.pin,
        accept: Accept::default(),
        frame_bytes,
        synthetic: SyntheticSpec::null(Wire::Echo, frame_bytes),
    })
}

/// Microseconds of server CPU for a request of a saturating closed loop.
pub(super) fn echo(layout: &Layout, target: Target, shape: Shape) -> Sample {
    let point = load(layout, target, shape)?.point;
    let each = point
        .server
        .iter()
        .map(|shard| Some((shard.user_ns_per_req? + shard.sys_ns_per_req?) / 1e3));
    each.sum::<Option<f64>>().ok_or_else(|| io::Error::other("the server's CPU is unknown"))
}

/// Microseconds from a request to its answer, median, and how long each took.
pub(super) fn echo_rtt(layout: &Layout, target: Target) -> Timed {
    let shape = Shape { connections: 1, frame_bytes: FRAME_BYTES, depth: 1 };
    let times = load(layout, target, shape)?.recording.total(Metric::Service);
    let value = times.value_at_percentile(50.0) as f64 / 1e3;
    Ok(Reading { times: Some(times), ..Reading::from(value) })
}

/// A saturating closed loop that has lost nothing.
fn load(layout: &Layout, target: Target, shape: Shape) -> io::Result<Recorded> {
    let Shape { connections, frame_bytes, depth } = shape;
    let mut subject = Subject::embedded(start(layout, target, frame_bytes)?, Counting::Pipe);
    let load_cpus = layout.load_cpus.iter().take(1).copied().collect();
    let conditions = Conditions::new(Layout { load_cpus, ..layout.clone() }, Arc::default());
    let traffic = Traffic::Echo { frame_bytes, verify_every: 1_024 };
    let spec = PointSpec {
        connections,
        depth,
        duration: Duration::from_millis(800),
        drain: Duration::from_secs(1),
        ..PointSpec::new("echo", Mode::Closed, traffic)
    };
    let recorded = run_point(&spec, &mut subject, &conditions, &mut |_| {})?;
    let point = &recorded.point;
    if !point.balanced || point.connections.lost > 0 {
        return Err(io::Error::other(format!("requests were lost: {:?}", point.ledger)));
    }
    Ok(recorded)
}

/// Microseconds of server CPU for a connection that is made, used once and closed.
pub(super) fn accept(layout: &Layout, target: Target) -> Sample {
    let server = start(layout, target, FRAME_BYTES)?;
    if let Some(cpu) = layout.load_cpus.first() {
        threads::pin(*cpu);
    }
    let before = shard_use(&server)?;
    for _ in 0..ACCEPTS {
        drop(connect_and_echo(&server)?);
    }
    Ok(shard_use(&server)?.since(&before).cpu_ns as f64 / ACCEPTS as f64 / 1e3)
}

/// Microseconds for a connection that is made, used once and closed, and how long each took.
pub(super) fn accept_rtt(layout: &Layout, target: Target) -> Timed {
    let server = start(layout, target, FRAME_BYTES)?;
    if let Some(cpu) = layout.load_cpus.first() {
        threads::pin(*cpu);
    }
    let mut laps = Laps::begin(ACCEPTS);
    for _ in 0..ACCEPTS {
        drop(connect_and_echo(&server)?);
        laps.lap();
    }
    Ok(laps.end())
}

/// What the one shard of a server has used.
pub(super) fn shard_use(server: &Server) -> io::Result<ThreadUse> {
    let shard = server.ready().shards.first();
    let used = shard.and_then(|shard| thread_use(server.ready().pid, shard.tid));
    used.ok_or_else(|| io::Error::other("the server's CPU is unknown"))
}

/// A connection on which one frame went there and back.
fn connect_and_echo(server: &Server) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server.ready().addr)?;
    let mut frame = [7; FRAME_BYTES];
    stream.write_all(&frame)?;
    stream.read_exact(&mut frame)?;
    Ok(stream)
}

/// Resident bytes of the server for a connection on which nothing moves any more.
pub(super) fn idle(layout: &Layout, target: Target) -> Sample {
    // Each of the two processes has an end of each connection.
    raise_descriptor_limit(IDLE + 100)?;
    let server = start(layout, target, FRAME_BYTES)?;
    let unknown = || io::Error::other("the server's memory is unknown");
    let resident = || resident_bytes(server.ready().pid).ok_or_else(unknown);
    // What the server makes for its first connection it would have with any number of them.
    let mut streams = vec![connect_and_echo(&server)?];
    let before = resident()?;
    for _ in 0..IDLE {
        streams.push(connect_and_echo(&server)?);
    }
    Ok(resident()?.saturating_sub(before) as f64 / IDLE as f64)
}

/// Allows this process and those that it starts `count` descriptors, if it may.
fn raise_descriptor_limit(count: u64) -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < count) {
        let text = format!("{count} descriptors are needed and {maximum} are allowed (ulimit -Hn)");
        return Err(io::Error::other(text));
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum: limit.maximum })?)
}
