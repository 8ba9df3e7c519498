//! `selftest`: is the generator right?

use std::io;

use clap::Args;

use super::Exit;
use super::talk::Talk;
use crate::selftest::{Options, run};

/// Options of `selftest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selftest {
    /// Only checks whose name contains this
    filter: Option<String>,
    /// How often a check is tried when the machine spoils it
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
}

impl Selftest {
    /// Runs the checks.
    ///
    /// # Errors
    /// If a server cannot be started.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let options = Options { filter: self.filter.unwrap_or_default(), tries: self.tries };
        Ok(if run(&options, talk.console())? { Exit::Done } else { Exit::Failed })
    }
}
