//! Embedded servers. Each runs in a child process of its own, the same binary, so that its CPU time
//! and switches are its own, a test can freeze one side only, and its crash cannot take the
//! recording down.
//!
//! ```text
//!  parent                                   child: bench-harness serve TARGET --child
//!    │ ◀── one JSON line: Ready ──────────────┤ pinned shards run
//!    ├──── "count\n" on its standard input ──▶│
//!    │ ◀── one JSON line: Counters ───────────┤ read from per-shard tallies
//!    ├──── end of its standard input ────────▶│ exits
//! ```

mod bare;
mod child;
mod control;
mod echo;
mod greeting;
mod hello;
mod hop;
mod hosted;
mod http;
mod kv;
#[cfg(feature = "rivals")]
mod rivals;
mod synthetic;
mod thread_echo;
mod tokio_echo;
mod tokio_http;

pub(crate) use child::Server;
pub(crate) use synthetic::{Fault, FaultKind, Service, Stall, SyntheticSpec};

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use corelane_shards::Accept;
use serde::{Deserialize, Serialize};

use crate::layout::Pin;
use crate::threads;
use control::Tally;

/// Which server to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// The sharded key-value server of the examples (RESP).
    Kv,
    /// A sharded TCP echo server on the runtime.
    Echo,
    /// A sharded server that hands requests to other shards and tells how long each step took.
    Hop,
    /// The sharded HTTP/1.1 server of the examples.
    Http,
    /// A greeting over HTTP on the runtime, without what the example has besides.
    Hello,
    /// The same echo server on tokio's current-thread runtime, to compare.
    TokioEcho,
    /// The same echo server with a thread for each connection and blocking calls.
    ThreadEcho,
    /// The HTTP server of the examples on tokio's current-thread runtime, to compare.
    TokioHttp,
    /// The same greeting on tokio's current-thread runtime, to compare.
    TokioHello,
    /// The same echo server without any runtime, on epoll: the limit.
    BareEcho,
    /// The same echo server on monoio's epoll driver, to compare.
    #[cfg(feature = "rivals")]
    MonoioEcho,
    /// The same echo server on smol, to compare.
    #[cfg(feature = "rivals")]
    SmolEcho,
    /// The same echo server on compio's poll driver, to compare.
    #[cfg(feature = "rivals")]
    CompioEcho,
    /// A server with a known service time and known stalls, independent of the runtime.
    Synthetic,
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Target::Kv => "kv",
            Target::Echo => "echo",
            Target::Hop => "hop",
            Target::Http => "http",
            Target::Hello => "hello",
            Target::TokioEcho => "tokio-echo",
            Target::ThreadEcho => "thread-echo",
            Target::TokioHttp => "tokio-http",
            Target::TokioHello => "tokio-hello",
            Target::BareEcho => "bare-echo",
            #[cfg(feature = "rivals")]
            Target::MonoioEcho => "monoio-echo",
            #[cfg(feature = "rivals")]
            Target::SmolEcho => "smol-echo",
            #[cfg(feature = "rivals")]
            Target::CompioEcho => "compio-echo",
            Target::Synthetic => "synthetic",
        })
    }
}

impl Target {
    /// Whether it speaks HTTP.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Hello | Self::TokioHttp | Self::TokioHello)
    }
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Wire {
    /// Frames of a fixed length come back as they were.
    Echo,
    /// The Redis protocol.
    Resp,
    /// HTTP/1.1.
    Http,
    /// memcached's text protocol.
    Memcache,
}

impl Wire {
    /// Its name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Echo => "echo",
            Wire::Resp => "resp",
            Wire::Http => "http",
            Wire::Memcache => "memcache",
        }
    }
}

/// A server to be started on some CPUs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerSpec {
    /// Which one.
    pub(crate) target: Target,
    /// One shard on each; none means one shard that is not pinned.
    pub(crate) cpus: Vec<usize>,
    /// Whether the shards are bound to those.
    pub(crate) pin: Pin,
    /// How connections come to the shards of a server on the runtime; others have one way.
    pub(crate) accept: Accept,
    /// Length of an echo frame.
    pub(crate) frame_bytes: usize,
    /// What the synthetic server does; ignored by the others.
    pub(crate) synthetic: SyntheticSpec,
}

impl ServerSpec {
    /// The arguments of the child process.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "serve".to_owned(),
            self.target.to_string(),
            "--child".to_owned(),
            format!("--frame-size={}", self.frame_bytes),
            format!("--accept={}", self.accept),
            format!("--pin={}", if self.pin == Pin::Off { "off" } else { "prefer" }),
        ];
        if !self.cpus.is_empty() {
            let cpus: Vec<String> = self.cpus.iter().map(usize::to_string).collect();
            arguments.push(format!("--server-cpus={}", cpus.join(",")));
        }
        if self.target == Target::Synthetic {
            self.synthetic.add_arguments(&mut arguments);
        }
        arguments
    }

    /// The CPU that a shard is bound to.
    fn pinned_cpu(&self, shard: usize) -> Option<usize> {
        self.cpus.get(shard).copied().filter(|_| self.pin != Pin::Off)
    }
}

/// What the loops of a server wait with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// What there is.
    Auto,
    /// epoll, as all of them do.
    Epoll,
}

impl Driver {
    /// Whether a server can have it.
    ///
    /// # Errors
    /// A text for the user, if it cannot.
    pub(crate) fn check(self, target: Target) -> Result<(), String> {
        if self == Driver::Epoll && target == Target::ThreadEcho {
            return Err(format!(
                "{target} blocks in its calls and has no loop; leave out --driver"
            ));
        }
        Ok(())
    }
}

/// A shard of a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShardInfo {
    /// Its number.
    pub(crate) shard: usize,
    /// The CPU it is pinned to.
    pub(crate) cpu: Option<usize>,
    /// Its thread, to read its CPU time.
    pub(crate) tid: u32,
}

/// The line that a server prints once it accepts connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// Its process.
    pub(crate) pid: u32,
    /// Its shards.
    pub(crate) shards: Vec<ShardInfo>,
}

/// What a server counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Requests executed.
    pub(crate) requests: u64,
    /// Time spent on them, from the read to the write; only the synthetic server keeps it.
    pub(crate) busy_ns: u64,
}

/// A stretch of monotonic time in which a spinning server did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    /// When it last looked at the clock.
    pub(crate) begin_ns: u64,
    /// When it did so again.
    pub(crate) end_ns: u64,
}

/// The gaps that a synthetic server saw that never sleeps; its own freezes are none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gaps {
    /// In their order.
    pub(crate) gaps: Vec<Gap>,
}

/// How long a server may take to print its ready line or to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a server in this process: until the parent closes the pipe if this is a `child`, else until
/// a signal.
///
/// # Errors
/// If the address cannot be bound or a thread cannot be started.
pub(crate) fn start(spec: &ServerSpec, addr: SocketAddr, child: bool) -> io::Result<()> {
    let (ready, tallies) = match spec.target {
        Target::Synthetic => start_synthetic(spec, addr)?,
        Target::Echo => hosted::start(spec, addr, echo::run)?,
        Target::Hop => hosted::start(spec, addr, hop::run)?,
        Target::Http => hosted::start(spec, addr, http::run)?,
        Target::Hello => hosted::start(spec, addr, hello::run)?,
        Target::TokioEcho => hosted::start(spec, addr, tokio_echo::run)?,
        Target::ThreadEcho => hosted::start(spec, addr, thread_echo::run)?,
        Target::TokioHttp => hosted::start(spec, addr, tokio_http::limited)?,
        Target::TokioHello => hosted::start(spec, addr, tokio_http::hello)?,
        Target::BareEcho => hosted::start(spec, addr, bare::run)?,
        #[cfg(feature = "rivals")]
        Target::MonoioEcho => hosted::start(spec, addr, rivals::monoio)?,
        #[cfg(feature = "rivals")]
        Target::SmolEcho => hosted::start(spec, addr, rivals::smol)?,
        #[cfg(feature = "rivals")]
        Target::CompioEcho => hosted::start(spec, addr, rivals::compio)?,
        Target::Kv => hosted::start(spec, addr, kv::run)?,
    };
    if child { control::attend(&ready, &tallies) } else { control::wait_for_signal(&ready) }
}

fn start_synthetic(spec: &ServerSpec, addr: SocketAddr) -> io::Result<(Ready, Vec<Arc<Tally>>)> {
    let listener = synthetic::bind(addr)?;
    let addr = listener.local_addr()?;
    let tally = Arc::new(Tally::default());
    let cpu = spec.pinned_cpu(0);
    let (sender, tids) = channel();
    let (synthetic, of_thread) = (spec.synthetic, Arc::clone(&tally));
    threads::spawn("synthetic", cpu, move || {
        let _ = sender.send(own_tid());
        if let Err(error) = synthetic::run(&listener, synthetic, &of_thread) {
            eprintln!("error: the synthetic server ended: {error}");
            std::process::exit(1);
        }
    })?;
    let tid = tids.recv().map_err(|_| io::Error::other("the server's thread did not start"))?;
    let shards = vec![ShardInfo { shard: 0, cpu, tid }];
    Ok((Ready { addr, pid: std::process::id(), shards }, vec![tally]))
}

fn own_tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}
