//! The command line: one file a command, options to a plan, a plan to a result.

mod attack;
mod doctor;
mod load_args;
mod micro;
mod report;
mod run;
mod selftest;
mod serve;
mod units;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Latency histograms of sharded servers, without coordinated omission.
///
/// Without a command: a quick look at the embedded key-value server, in less than 30 seconds.
/// Results go to the standard output, progress to the standard error, recordings to bench-out/.
#[derive(Debug, Parser)]
#[command(name = "bench-harness", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed to run, or a ledger that does not balance, or a failed selftest
            2 wrong usage · 3 a measurement is not valid, with --strict · 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start an embedded pinned server, load it and report
    Run(run::Run),
    /// Load a server that runs already: redis://HOST:PORT or echo://HOST:PORT
    Attack(attack::Attack),
    /// Only run a server; prints one JSON line once it is ready
    Serve(serve::Serve),
    /// Make table and pictures again from the recording in a directory
    Report(report::Report),
    /// Validate the generator against servers whose latencies are known
    Selftest(selftest::Selftest),
    /// Micro-benchmarks of the runtime beside tokio's, and beside more with the feature `rivals`
    Micro(micro::Micro),
    /// Show what the machine is and what about it spoils a measurement
    Doctor(doctor::Doctor),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for holds.
    Done,
    /// It could not run, or a check failed.
    Failed,
    /// The arguments make no sense together.
    Usage,
    /// A measurement is not valid and `--strict` was given.
    Invalid,
    /// A signal ended it; what was measured is kept.
    Interrupted,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Invalid => 3,
            Exit::Interrupted => 130,
        }
    }
}

/// Reads the arguments, runs the command and turns its end into an exit code.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        None => run::Run::quick_look().execute(),
        Some(Command::Run(run)) => run.execute(),
        Some(Command::Attack(attack)) => attack.execute(),
        Some(Command::Serve(serve)) => serve.execute(),
        Some(Command::Report(report)) => report.execute(),
        Some(Command::Selftest(selftest)) => selftest.execute(),
        Some(Command::Micro(micro)) => micro.execute(),
        Some(Command::Doctor(doctor)) => doctor.execute(),
    };
    let exit = result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        Exit::Failed
    });
    ExitCode::from(exit.code())
}

/// Reports a contradiction between arguments, as clap reports a wrong one.
fn usage(text: &str) -> Exit {
    eprintln!("error: {text}\n\nFor more information, try '--help'.");
    Exit::Usage
}

/// A flag that the first SIGINT or SIGTERM raises; the second one ends the process at once.
fn catch_interrupts() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(
            signal,
            i32::from(Exit::Interrupted.code()),
            Arc::clone(&flag),
        )?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
