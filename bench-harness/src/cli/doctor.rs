//! `doctor`: what the machine is.

use std::io::{self, Write, stdout};

use clap::Args;

use super::Exit;
use crate::doctor::examine;

/// Options of `doctor`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Exit with 3 if something spoils a measurement
    #[arg(long)]
    strict: bool,
}

impl Doctor {
    /// Looks around and reports.
    ///
    /// # Errors
    /// As [`examine`], and if the standard output is closed.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let environment = examine()?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &environment)?;
            writeln!(out)?;
        } else {
            writeln!(out, "doctor   {}", environment.summary())?;
        }
        let warned = self.strict && !environment.warnings.is_empty();
        Ok(if warned { Exit::Invalid } else { Exit::Done })
    }
}
