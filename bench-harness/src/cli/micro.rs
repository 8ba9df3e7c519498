//! `micro`: micro-benchmarks of the runtime beside its rivals.

use std::io::{self, IsTerminal, Write, stdout};

use clap::Args;

use super::Exit;
use super::talk::Talk;
use crate::micro::{Options, Side, heaviest_overhead, render, run, sample};

#[cfg(feature = "rivals")]
const RIVALS: &str = "\
Beside tokio also glommio, monoio, smol, compio, async-channel, local-channel and local-sync, each
where it has the operation. A bare program is shown where there is one, and is no rival.
The features `perf` and `allocations` add what an operation needs beside time.";

#[cfg(not(feature = "rivals"))]
const RIVALS: &str = "\
Beside tokio and, where there is one, a bare program. For glommio, monoio, smol, compio and more queues:
cargo run --release -p bench-harness --features rivals -- micro
The features `perf` and `allocations` add what an operation needs beside time: instructions and cycles
where the kernel and the hypervisor count them, and calls of the allocator.";

/// Percent of a mean time that the measurement itself may take.
const MOST_OVERHEAD: f64 = 10.0;

/// Options of `micro`.
#[derive(Debug, Clone, Args)]
#[command(after_help = RIVALS)]
pub(crate) struct Micro {
    /// Only the benchmark of this name, or else those whose names contain it
    filter: Option<String>,
    /// Rounds of a sample of ours, of each rival, and of ours again
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Exit with 3 if to look at the clock is more than a tenth of the times of which there is a histogram
    #[arg(long)]
    check: bool,
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
    pub(super) fn execute(self, talk: &Talk) -> io::Result<Exit> {
        let filter = self.filter.unwrap_or_default();
        if let Some(side) = self.sample {
            println!("{}", sample(&filter, side)?.line());
            return Ok(Exit::Done);
        }
        let rows = run(&Options { filter, rounds: self.rounds }, &talk.console())?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &rows)?;
            writeln!(out)?;
        } else {
            let ascii = self.ascii || !stdout().is_terminal();
            out.write_all(render(&rows, ascii).as_bytes())?;
        }
        // A rival may be missing, for its row says why; without ours nothing has been measured.
        let ours_is_missing = rows.iter().any(|row| row.corelane.not_available.is_some());
        if ours_is_missing {
            return Ok(Exit::Failed);
        }
        let heavy =
            heaviest_overhead(&rows).filter(|(_, percent)| self.check && *percent > MOST_OVERHEAD);
        let Some((name, percent)) = heavy else { return Ok(Exit::Done) };
        eprintln!(
            "error: of the mean time of {name} {percent:.0} % is the clock's, more than {MOST_OVERHEAD} %"
        );
        Ok(Exit::Invalid)
    }
}
