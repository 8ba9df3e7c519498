//! `run`: an embedded server on its own CPUs, and a load on others.

use std::io;

use clap::{Args, CommandFactory, FromArgMatches, ValueEnum};
use corelane_shards::Accept;

use super::load_args::LoadArgs;
use super::placement_args::check_pins;
use super::talk::Talk;
use super::{Exit, usage};
use crate::layout::{self, Layout, allowed_cpus};
use crate::phases::{Aim, RunPlan};
use crate::protocol::HOP_FRAME_BYTES;
use crate::serve::{Driver, Fault, ServerSpec, Service, Stall, SyntheticSpec, Target, Wire};
use crate::units;

/// Options of `run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct Run {
    /// Which server
    #[arg(value_enum, default_value_t = Target::Kv)]
    target: Target,
    /// What the server runs on; another than ours is there for echo, to compare
    #[arg(long, value_enum, default_value_t = Runtime::Corelane)]
    runtime: Runtime,
    /// What the server's loops wait with: auto or epoll, which is the only one there is
    #[arg(long, default_value = "auto", value_parser = units::driver)]
    driver: Driver,
    /// The quick look: a probe, then 50 % and 80 % of what it reached
    #[arg(long, conflicts_with_all = ["rate", "mode"])]
    quick: bool,
    /// Shards of the server [default: one for each of its cpus]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    shards: Option<u16>,
    /// CPUs of the server, such as 1,3 [default: two thirds of the allowed cores]
    #[arg(long, value_parser = units::cpus)]
    server_cpus: Option<units::CpuList>,
    /// How connections come to the shards: reuse-port, by-cpu, in-turn or least-loaded
    #[arg(long, default_value_t)]
    accept: Accept,
    #[command(flatten)]
    synthetic: SyntheticArgs,
    #[command(flatten)]
    load: LoadArgs,
}

/// What an embedded server runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// The runtime of this project.
    Corelane,
    /// tokio, with one current-thread runtime a CPU.
    Tokio,
    /// A thread for each connection, and blocking calls.
    Threads,
}

impl Runtime {
    /// The server that speaks as `target` does, on this runtime.
    fn target(self, target: Target) -> Result<Target, String> {
        match (self, target) {
            (Runtime::Corelane, target) => Ok(target),
            (Runtime::Tokio, Target::Echo) => Ok(Target::TokioEcho),
            (Runtime::Threads, Target::Echo) => Ok(Target::ThreadEcho),
            (_, target) => {
                Err(format!("{target} runs only on its own runtime; --runtime is for echo"))
            }
        }
    }
}

/// Only the servers on the runtime of this project have a choice of how they accept.
pub(super) fn check_accept(target: Target, accept: Accept) -> Result<(), String> {
    if accept == Accept::default()
        || matches!(target, Target::Kv | Target::Echo | Target::Http | Target::Hello | Target::Hop)
    {
        return Ok(());
    }
    Err(format!("{target} accepts in one way only; --accept is for kv, echo, hop, http and hello"))
}

/// Options of the synthetic server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The synthetic server")]
pub(super) struct SyntheticArgs {
    /// What the synthetic server speaks
    #[arg(long, value_enum, default_value_t = Wire::Echo)]
    pub(super) wire: Wire,
    /// How long the synthetic server spins for each request: 200us or fixed:200us, exp:200us for exponential times,
    /// bimodal:100us/10ms/1% for the second time in place of the first for so many requests, drawn at random
    #[arg(long, default_value = "0s", value_parser = units::service)]
    service_time: Service,
    /// The synthetic server does not spin for its requests one after the other, but holds the answer to each back by a
    /// timer, many at the same time; those of one connection keep their order
    #[arg(long)]
    parallel: bool,
    /// What the synthetic server does wrong to its n-th request: drop:N (it and what follows on its
    /// connection gets no answer), wrong:N (a wrong byte) or die:N
    #[arg(long, value_parser = units::fault)]
    fault: Option<Fault>,
    /// Freezes of the synthetic server, as LENGTH/EVERY, such as 100ms/1s
    #[arg(long, value_parser = units::stall)]
    stall: Option<Stall>,
    /// The synthetic server never sleeps
    #[arg(long)]
    spin: bool,
}

impl SyntheticArgs {
    pub(super) fn spec(&self, frame_bytes: usize) -> SyntheticSpec {
        SyntheticSpec {
            wire: self.wire,
            frame_bytes,
            service: self.service_time,
            parallel: self.parallel,
            fault: self.fault,
            stall: self.stall,
            spin: self.spin,
        }
    }
}

impl Run {
    /// What is run without a command.
    pub(super) fn quick_look() -> Self {
        let command = Run::augment_args(clap::Command::new("run"));
        let matches = command.get_matches_from(["run", "--quick"]);
        Run::from_arg_matches(&matches)
            .unwrap_or_else(|error| error.format(&mut super::Cli::command()).exit())
    }

    /// Runs it.
    ///
    /// # Errors
    /// If nothing could be measured.
    pub(super) fn execute(mut self, talk: &Talk) -> io::Result<Exit> {
        if self.quick {
            self.load.make_quick();
        }
        match self.prepare()? {
            Ok((plan, layout)) => self.load.execute(&plan, layout, talk),
            Err(text) => Ok(usage(&text)),
        }
    }

    /// Whether the two points of the quick look were asked for.
    pub(super) fn is_quick(&self) -> bool {
        self.quick
    }

    /// The load.
    pub(super) fn load(&self) -> &LoadArgs {
        &self.load
    }

    /// The load, to be changed.
    pub(super) fn load_mut(&mut self) -> &mut LoadArgs {
        &mut self.load
    }

    /// A plan, or a text for the user.
    ///
    /// # Errors
    /// If the kernel does not tell which CPUs there are.
    pub(super) fn prepare(&self) -> io::Result<Result<(RunPlan, Layout), String>> {
        let layout = match self.layout()? {
            Ok(layout) => layout,
            Err(text) => return Ok(Err(text)),
        };
        let target = match self.runtime.target(self.target) {
            Ok(target) => target,
            Err(text) => return Ok(Err(text)),
        };
        if let Err(text) = check_accept(target, self.accept) {
            return Ok(Err(text));
        }
        if let Err(text) = self.driver.check(target) {
            return Ok(Err(text));
        }
        if target == Target::Hop && layout.server_cpus.len() < 2 {
            let text = "hop needs two shards, for example --server-cpus 0,1 with --load-cpus 0";
            return Ok(Err(text.to_owned()));
        }
        let frame_bytes = match target {
            Target::Hop => HOP_FRAME_BYTES,
            _ => self.load.workload.frame_size as usize,
        };
        let spec = ServerSpec {
            target,
            cpus: layout.server_cpus.clone(),
            pin: layout.pin,
            accept: self.accept,
            frame_bytes,
            synthetic: self.synthetic.spec(frame_bytes),
        };
        let wire = match target {
            Target::Kv => Wire::Resp,
            target if target.is_http() => Wire::Http,
            Target::Synthetic => self.synthetic.wire,
            // The others are echo servers on one runtime or another.
            _ => Wire::Echo,
        };
        let plan = self.load.plan(Aim::Embedded(spec), wire, None, &layout);
        Ok(plan.map(|plan| (plan, layout)))
    }

    fn layout(&self) -> io::Result<Result<Layout, String>> {
        let allowed = allowed_cpus()?;
        let automatic = layout::automatic()?;
        let mut server_cpus = self.server_cpus.clone().map_or(automatic.server_cpus, |list| list.0);
        let load_cpus =
            self.load.placement.load_cpus.clone().map_or(automatic.load_cpus, |list| list.0);
        for cpu in server_cpus.iter().chain(&load_cpus) {
            if !allowed.contains(cpu) {
                return Ok(Err(format!("this process may not use cpu {cpu}, only {allowed:?}")));
            }
        }
        if let Some(shards) = self.shards.map(usize::from) {
            if shards > server_cpus.len() {
                return Ok(Err(format!(
                    "{shards} shards need {shards} server cpus; there are {server_cpus:?}"
                )));
            }
            server_cpus.truncate(shards);
        }
        if self.target == Target::Synthetic {
            // The synthetic server is one thread.
            server_cpus.truncate(1);
        }
        let shared = automatic.shared
            && self.server_cpus.is_none()
            && self.load.placement.load_cpus.is_none()
            || server_cpus.iter().any(|cpu| load_cpus.contains(cpu));
        let pin = self.load.placement.pin;
        let layout = Layout { pin, ..Layout::new(server_cpus, load_cpus, shared) };
        Ok(check_pins(&layout)?.map(|()| layout))
    }
}
