//! A server of ours or a URL, for the commands that take both.

use std::io;

use clap::Args;

use super::attack::Attack;
use super::load_args::LoadArgs;
use super::run::Run;
use super::talk::Talk;
use super::{Exit, usage};
use crate::layout::Layout;
use crate::phases::RunPlan;

/// What is for a server of ours: beside a URL it would do nothing.
const SERVER_OPTIONS: [&str; 12] = [
    "target",
    "runtime",
    "driver",
    "shards",
    "server_cpus",
    "accept",
    "wire",
    "service_time",
    "parallel",
    "stall",
    "fault",
    "spin",
];

/// Whom to load, and with what.
#[derive(Debug, Clone, Args)]
pub(super) struct Aimed {
    #[command(flatten)]
    run: Run,
    /// Load the server there instead of one of ours: redis://HOST:PORT and so on, as attack takes it
    #[arg(long, conflicts_with_all = SERVER_OPTIONS)]
    url: Option<String>,
    /// Allow an address that is not of this machine: be sure that you may load it
    #[arg(long, requires = "url")]
    allow_remote: bool,
}

impl Aimed {
    /// The load.
    pub(super) fn load(&self) -> &LoadArgs {
        self.run.load()
    }

    /// The load, to be changed.
    pub(super) fn load_mut(&mut self) -> &mut LoadArgs {
        self.run.load_mut()
    }

    /// A plan, or a text for the user.
    ///
    /// # Errors
    /// If the machine or the address cannot be found out about.
    pub(super) fn prepare(&self) -> io::Result<Result<(RunPlan, Layout), String>> {
        if self.run.is_quick() {
            return Ok(Err("--quick is for run alone".to_owned()));
        }
        match &self.url {
            None => self.run.prepare(),
            Some(url) => Attack::new(url, self.allow_remote, self.load().clone()).prepare(),
        }
    }

    /// Runs it and prints the result.
    ///
    /// # Errors
    /// If nothing could be measured.
    pub(super) fn execute(&self, talk: &Talk) -> io::Result<Exit> {
        match self.prepare()? {
            Ok((plan, layout)) => self.load().execute(&plan, layout, talk),
            Err(text) => Ok(usage(&text)),
        }
    }
}
