//! `micro`: micro-benchmarks of the runtime beside tokio.

use std::io::{self, IsTerminal, Write, stdout};

use clap::Args;

use super::Exit;
use crate::console::Console;
use crate::micro::{Options, Side, render, run, sample};

/// Options of `micro`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Micro {
    /// Only benchmarks whose name contains this
    filter: Option<String>,
    /// Rounds of three samples: ours, tokio's, ours again
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Use only ASCII characters [default: where the output is no terminal]
    #[arg(long)]
    ascii: bool,
    /// Take one sample of one side in this process
    #[arg(long, hide = true, value_enum, requires = "filter")]
    sample: Option<Side>,
}

impl Micro {
    /// Runs it.
    ///
    /// # Errors
    /// If a benchmark fails or none has the name.
    pub(super) fn execute(self) -> io::Result<Exit> {
        let filter = self.filter.unwrap_or_default();
        if let Some(side) = self.sample {
            println!("{}", sample(&filter, side)?);
            return Ok(Exit::Done);
        }
        let rows = run(&Options { filter, rounds: self.rounds }, &Console::new(false))?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
        } else {
            let ascii = self.ascii || !stdout().is_terminal();
            out.write_all(render(&rows, ascii).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}
