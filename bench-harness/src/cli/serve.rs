//! `serve`: only the server.

use std::io;
use std::net::SocketAddr;

use clap::Args;
use corelane_shards::Accept;

use super::placement_args::check_pins;
use super::run::{SyntheticArgs, check_accept};
use super::{Exit, usage};
use crate::layout::{Layout, Pin, allowed_cpus};
use crate::serve::{Driver, ServerSpec, Target, start};
use crate::units;

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Which server
    #[arg(value_enum, default_value_t = Target::Kv)]
    target: Target,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// CPUs of the shards, such as 1,3; one shard for each [default: one shard, not pinned]
    #[arg(long, value_parser = units::cpus)]
    server_cpus: Option<units::CpuList>,
    /// Bytes of an echo frame
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    frame_size: u32,
    /// How connections come to the shards: reuse-port, by-cpu, in-turn or least-loaded
    #[arg(long, default_value_t)]
    accept: Accept,
    /// Whether the shards are bound to their CPUs
    #[arg(long, value_enum, default_value_t = Pin::Prefer)]
    pin: Pin,
    /// What the loops wait with: auto or epoll, which is the only one there is
    #[arg(long, default_value = "auto", value_parser = units::driver)]
    driver: Driver,
    #[command(flatten)]
    synthetic: SyntheticArgs,
    /// Obey the parent process over the standard input
    #[arg(long, hide = true)]
    child: bool,
}

impl Serve {
    /// Serves until told to end.
    ///
    /// # Errors
    /// If the server cannot be started.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let cpus = self.server_cpus.clone().map_or(Vec::new(), |list| list.0);
        let allowed = allowed_cpus()?;
        if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            return Ok(usage(&format!("this process may not use cpu {cpu}, only {allowed:?}")));
        }
        if let Err(text) = check_accept(self.target, self.accept) {
            return Ok(usage(&text));
        }
        if let Err(text) = self.driver.check(self.target) {
            return Ok(usage(&text));
        }
        let pin = self.pin;
        let layout = Layout { pin, ..Layout::new(cpus.clone(), Vec::new(), false) };
        if let Err(text) = check_pins(&layout)? {
            return Ok(usage(&text));
        }
        let frame_bytes = self.frame_size as usize;
        let synthetic = self.synthetic.spec(frame_bytes);
        let spec = ServerSpec {
            target: self.target,
            cpus,
            pin,
            accept: self.accept,
            frame_bytes,
            synthetic,
        };
        start(&spec, self.addr, self.child)?;
        Ok(Exit::Done)
    }
}
