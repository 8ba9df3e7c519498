//! What the servers here have in common: which shards run where, what is logged, how they begin.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::{Result, StreamReader, sleep, timeout};
use corelane_shards::{Accept, Placement, Shard};
use tracing_subscriber::EnvFilter;

/// Which shards run where, as the command line of every sharded server here takes it.
#[derive(Clone, Debug, clap::Args)]
pub struct PlacementOptions {
    /// Number of shards; one on each core that the process may use, unless given.
    #[arg(long, conflicts_with = "cores")]
    pub shards: Option<usize>,
    /// Cores to pin the shards to, one each, such as 0,2,3.
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Do not pin: for laptops and machines that others share.
    #[arg(long, conflicts_with = "cores")]
    pub unpinned: bool,
    /// How connections come to the shards: reuse-port, by-cpu, in-turn or least-loaded.
    #[arg(long, default_value_t)]
    pub accept: Accept,
}

/// The options that servers with a limit on each shard have in common.
#[derive(Clone, Debug, clap::Args)]
pub struct ShardOptions {
    /// Which shards run where.
    #[command(flatten)]
    pub placement: PlacementOptions,
    /// Most connections at a time on each shard; further ones wait until one ends.
    #[arg(long, default_value_t = 10_000)]
    pub max_connections: usize,
    /// Seconds after which a connection over which nothing moves is ended.
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub idle_timeout: f64,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as
    /// corelane=debug.
    #[arg(long, default_value = "warn")]
    pub log: String,
}

/// Seconds that make sense as a timeout.
///
/// # Errors
/// What is wrong with them.
pub fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 1e9 => Ok(value),
        Ok(value) => Err(format!("{value} is not between 0 and 1e9 seconds")),
        Err(error) => Err(error.to_string()),
    }
}

impl PlacementOptions {
    /// Which shards run where.
    #[must_use]
    pub fn placement(&self) -> Placement {
        match self.shards {
            _ if !self.cores.is_empty() => Placement::Cores(self.cores.clone()),
            Some(count) if self.unpinned => Placement::Unpinned(count),
            Some(count) => Placement::Count(count),
            None if self.unpinned => {
                Placement::Unpinned(std::thread::available_parallelism().map_or(1, usize::from))
            }
            None => Placement::PerCore,
        }
    }
}

impl ShardOptions {
    /// Which shards run where.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement.placement()
    }

    /// The idle timeout.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.idle_timeout)
    }
}

/// Runs a program named `name`: sets up its log, and prints what it fails with.
pub fn run_program(name: &str, log: &str, serve: impl FnOnce() -> Result<()>) -> ExitCode {
    let result = match EnvFilter::try_new(log) {
        Ok(filter) => {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
            serve().map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("--log {log}: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{name}: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Refuses an address that somebody listens on already: shards share their port, and so the system would let
/// them share it with a stranger.
///
/// # Errors
/// What the system says, with the address.
pub fn check_free(addr: SocketAddr) -> io::Result<()> {
    match TcpListener::bind(addr) {
        Ok(listener) => {
            drop(listener);
            Ok(())
        }
        Err(error) => {
            Err(io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))
        }
    }
}

/// Counts the shards that listen, and prints one line when the last of them does: where, and on which cores. Who
/// connects before that line gets one of those that listened first.
pub fn announce(name: &str, listening: &Arc<AtomicUsize>, shard: &Shard, addrs: &[SocketAddr]) {
    let is_last = listening.fetch_add(1, Ordering::Relaxed) + 1 == shard.count();
    let (Some(addr), true) = (addrs.first(), is_last) else { return };
    let report = shard.report();
    for warning in report.warnings() {
        tracing::warn!("{warning}");
    }
    // Whoever has closed our standard output does not want to know.
    let _ = writeln!(io::stdout(), "{name} listening on {addr}, {report}");
}

/// How long a peer that was told that nothing more will come has to end the connection from its side.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// Waits a while for a peer that was told that nothing more will come to end the connection too, whatever it still
/// sends. To close it from here while something is unread, or still comes, is to reset it, and with that what the peer
/// has not taken yet may be lost: the last answers.
///
/// # Cancel safety
/// Safe: what came is thrown away in any case.
pub async fn hear_out(reader: &mut StreamReader) {
    let heard_out = timeout(FAREWELL, async |_| {
        loop {
            match reader.fill_buf().await?.len() {
                0 => return Ok(()),
                length => reader.consume(length),
            }
        }
    });
    // A peer that takes longer, or has reset the connection, wants no more of it.
    let _ = heard_out.await;
}

/// Whether anything has moved on a connection lately.
#[derive(Clone, Debug, Default)]
pub struct Activity(Rc<Cell<bool>>);

impl Activity {
    /// Something has.
    pub fn note(&self) {
        self.0.set(true);
    }

    /// Waits until nothing has moved for `timeout`, or for a quarter more at most: so nobody has to look at a
    /// clock when something moves.
    ///
    /// # Cancel safety
    /// Safe: a later wait begins anew.
    pub async fn quiet(&self, timeout: Duration) {
        let mut quiet_count = 0;
        while quiet_count < 4 {
            sleep(timeout / 4).await;
            quiet_count = if self.0.replace(false) { 0 } else { quiet_count + 1 };
        }
    }
}
