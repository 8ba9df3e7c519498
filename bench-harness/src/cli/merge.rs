//! `merge`: recordings of several generators become one.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::look::Look;
use super::present::print_table;
use super::talk::Talk;
use super::{Exit, usage};
use crate::files::Files;
use crate::merge::merge;
use crate::phases::RunOutcome;
use crate::report::load;

/// Options of `merge`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Merge {
    /// Directories of runs that loaded one server at the same time
    #[arg(required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Directory of the sum
    #[arg(short, long)]
    out: PathBuf,
    #[command(flatten)]
    look: Look,
}

impl Merge {
    /// Adds the runs up, writes the sum as a run of its own and prints it.
    ///
    /// # Errors
    /// If a recording cannot be read or the sum cannot be written.
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let runs = self.runs.iter().map(|path| load(path)).collect::<io::Result<Vec<_>>>()?;
        let (mut result, mut recorded) = match merge(runs, &self.look.percentiles()) {
            Ok(sum) => sum,
            Err(text) => return Ok(usage(&text)),
        };
        result.command = std::env::args().collect();
        Files { svg: true, html: true }.write(&self.out, &mut result, &mut recorded)?;
        print_table(&RunOutcome { result, recorded, failure: None }, &self.look.style(talk))?;
        Ok(Exit::Done)
    }
}
