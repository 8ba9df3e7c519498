//! What a server pays for a request and for a connection, on the echo servers of `serve`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Sample;
use crate::clock;
use crate::generator::Pacing;
use crate::layout::Layout;
use crate::point::{Conditions, Mode, PointSpec, Traffic, run_point};
use crate::procfs::thread_use;
use crate::serve::{Server, ServerSpec, SyntheticSpec, Target, Wire};
use crate::subject::Subject;
use crate::threads;

const FRAME_BYTES: usize = 64;
const CONNECTIONS: usize = 64;
/// Connections that are made and closed one after the other.
const ACCEPTS: u64 = 5_000;

fn start(layout: &Layout, target: Target) -> io::Result<Server> {
    Server::start(&ServerSpec {
        target,
        cpus: layout.server_cpus.iter().take(1).copied().collect(),
        frame_bytes: FRAME_BYTES,
        synthetic: SyntheticSpec::null(Wire::Echo, FRAME_BYTES),
    })
}

/// Microseconds of server CPU for a request of a saturating closed loop.
pub(super) fn echo(layout: &Layout, target: Target) -> Sample {
    let mut subject = Subject::embedded(start(layout, target)?, false);
    let load_cpus = layout.load_cpus.iter().take(1).copied().collect();
    let conditions = Conditions {
        layout: Layout { load_cpus, ..layout.clone() },
        hiccup_us: None,
        began_ns: clock::now_ns(),
        interrupted: Arc::new(AtomicBool::new(false)),
    };
    let spec = PointSpec {
        label: "echo".to_owned(),
        mode: Mode::Closed,
        traffic: Traffic::Echo { frame_bytes: FRAME_BYTES },
        connections: CONNECTIONS,
        depth: 1,
        warmup: Duration::from_millis(200),
        duration: Duration::from_millis(800),
        drain: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        pacing: Pacing::Hybrid,
        interval: Duration::from_millis(200),
        seed: 1,
    };
    let point = run_point(&spec, &mut subject, &conditions, &mut |_, _| {})?.point;
    if !point.balanced || point.connections.lost > 0 {
        return Err(io::Error::other(format!("requests were lost: {:?}", point.ledger)));
    }
    let each = point
        .server
        .iter()
        .map(|shard| Some((shard.user_ns_per_req? + shard.sys_ns_per_req?) / 1e3));
    each.sum::<Option<f64>>().ok_or_else(|| io::Error::other("the server's CPU is unknown"))
}

/// Microseconds of server CPU for a connection that is made, used once and closed.
pub(super) fn accept(layout: &Layout, target: Target) -> Sample {
    let server = start(layout, target)?;
    if let Some(cpu) = layout.load_cpus.first() {
        threads::pin(*cpu);
    }
    let pid = server.ready().pid;
    let shard = server.ready().shards.first().copied();
    let unknown = || io::Error::other("the server's CPU is unknown");
    let used = || shard.and_then(|shard| thread_use(pid, shard.tid)).ok_or_else(unknown);
    let before = used()?;
    let mut frame = [7; FRAME_BYTES];
    for _ in 0..ACCEPTS {
        let mut stream = TcpStream::connect(server.ready().addr)?;
        stream.write_all(&frame)?;
        stream.read_exact(&mut frame)?;
    }
    Ok(used()?.since(&before).cpu_ns as f64 / ACCEPTS as f64 / 1e3)
}
