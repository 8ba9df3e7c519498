//! The command line: one file a command, options to a plan, a plan to a result.

mod ab;
mod about;
mod aim;
mod attack;
mod compare;
mod count;
mod doctor;
mod load_args;
mod look;
mod max_rate;
mod merge;
mod micro;
mod noise;
mod output_args;
mod placement_args;
mod present;
mod report;
mod run;
mod selftest;
mod serve;
mod sweep;
mod talk;
mod workload_args;

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
    #[command(flatten)]
    talk: talk::Talk,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 failed to run, or a ledger that does not balance, or a failed selftest
            2 wrong usage · 3 a measurement is not valid, with --strict
            4 a condition of --slo is missed, or max-rate found no rate that passes
            5 worse than before (compare, ab) · 6 cannot be judged, with --strict (compare, ab)
            130 interrupted; what was measured until then is written and marked as incomplete

Examples: bench-harness                                         a look at this machine in 15 s
          bench-harness attack http://127.0.0.1:8080/ --rate 5k   your own server
          bench-harness max-rate --url redis://127.0.0.1:6379 --slo 'p99<1ms'
          bench-harness ab --a 'run echo' --b 'run echo --runtime tokio'";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start an embedded pinned server, load it and report
    ///
    /// Three times are taken of each request: when it should have been sent (the plan is made before
    /// the run and never adapts), when it was sent, and when the last byte of its answer was read.
    /// Response is the first to the last: what a user feels. Service is the second to the last: what
    /// most tools print. What lies between the first two is client_queue, if every window was full
    /// and so the server was slow, and else lag, the generator's own lateness.
    ///
    /// Each load point has a verdict. valid: nothing speaks against it. indicative: right in kind,
    /// doubtful in size; the reason says up to which percentile the numbers are the server's. invalid:
    /// the generator or the machine spoiled it. capacity: a closed loop, which says how much and not
    /// how long. overloaded: the server answered less than was asked of it, and the numbers count.
    ///
    /// The directory of a run holds result.json (see schema), one .hlog for each load point from which
    /// report makes everything else again, .hgrm, intervals.csv, pictures and report.html.
    Run(run::Run),
    /// Load a server that runs already: redis://, memcache://, echo:// or http://
    Attack(attack::Attack),
    /// Measure latency against throughput
    ///
    /// Without --rate: even steps from --from to --to. With --repeat, the first time upwards and then in
    /// random order: where the two differ, the server remembers the load before. Points that are
    /// invalid are hollow in curve.svg, and no line goes through them.
    Sweep(sweep::Sweep),
    /// Search the highest rate that keeps the conditions of --slo
    ///
    /// Rates double from a quarter of what a closed loop reaches until one fails; then the bracket is
    /// halved, and its lower edge is tried at full length. A trial passes if all conditions hold, its
    /// verdict is not invalid and the server kept up. The answer is the bracket, with the reason why
    /// its upper edge fails: a limit of the generator is none of the server.
    MaxRate(max_rate::MaxRate),
    /// Run two configurations in turn and tell whether they differ
    ///
    /// The unit is the run: with a million requests every difference is significant, because those
    /// of one run share its fate. Each pair is a run of A and one of B in random order, each in a
    /// process of its own. The change is the mean of the logarithms of their ratios, its 95 %
    /// interval is Student's, and p is the share of all exchanges of A and B within the pairs that
    /// are as far from nothing. worse or better: the interval leaves out nothing and the change is
    /// above the threshold and the noise floor; worse must be confirmed by other pairs. same: the
    /// interval lies within the threshold. unclear: neither.
    Ab(ab::Ab),
    /// Compare recordings of two configurations
    ///
    /// With several runs of each, the groups are compared (Welch's interval of the logarithms, exact p
    /// of Mann and Whitney: three against three can never be below 0.10). With one run of each, the
    /// interval comes from resampling whole intervals of both recordings, which cannot see what
    /// differs from run to run; so the exit code is never 5 without --force-single.
    Compare(compare::Compare),
    /// Add up the recordings of several generators
    Merge(merge::Merge),
    /// Only run a server; prints one JSON line once it is ready
    Serve(serve::Serve),
    /// Make table and pictures again from the recording in a directory
    Report(report::Report),
    /// Validate the generator against servers whose latencies are known
    Selftest(selftest::Selftest),
    /// Micro-benchmarks of the runtime beside tokio's, and beside more with the feature `rivals`
    Micro(micro::Micro),
    /// Count the instructions and allocations of structures in memory, under valgrind
    ///
    /// The same numbers on any machine that runs the same program, however busy it is: for a gate where
    /// times are too noisy. Each case runs with a number of operations and with twice as many; what the
    /// second needs more is theirs. Caches and the kernel are not seen.
    Count(count::Count),
    /// Show what the machine is and what about it spoils a measurement
    Doctor(doctor::Doctor),
    /// Listen to what the machine takes from threads that only spin
    Noise(noise::Noise),
    /// Print the JSON Schema of result.json or compare.json
    Schema(about::Schema),
    /// Print completions for a shell
    Completions(about::Completions),
    /// Print the manual page, such as: bench-harness man | man -l -
    Man(about::Man),
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
    /// A condition of `--slo` is missed.
    SloMissed,
    /// A comparison found something worse.
    Regression,
    /// A comparison found nothing out and `--strict` was given.
    Inconclusive,
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
            Exit::SloMissed => 4,
            Exit::Regression => 5,
            Exit::Inconclusive => 6,
            Exit::Interrupted => 130,
        }
    }
}

/// Reads the arguments, runs the command and turns its end into an exit code.
pub(crate) fn main() -> ExitCode {
    let Cli { command, talk } = Cli::parse();
    let result = match command {
        None => run::Run::quick_look().execute(&talk),
        Some(Command::Run(run)) => run.execute(&talk),
        Some(Command::Attack(attack)) => attack.execute(&talk),
        Some(Command::Serve(serve)) => serve.execute(),
        Some(Command::Report(report)) => report.execute(&talk),
        Some(Command::Selftest(selftest)) => selftest.execute(&talk),
        Some(Command::Micro(micro)) => micro.execute(&talk),
        Some(Command::Count(count)) => count.execute(&talk),
        Some(Command::Doctor(doctor)) => doctor.execute(),
        Some(Command::Sweep(sweep)) => sweep.execute(&talk),
        Some(Command::MaxRate(max_rate)) => max_rate.execute(&talk),
        Some(Command::Ab(ab)) => ab.execute(&talk),
        Some(Command::Compare(compare)) => compare.execute(&talk),
        Some(Command::Merge(merge)) => merge.execute(&talk),
        Some(Command::Noise(noise)) => noise.execute(),
        Some(Command::Schema(schema)) => schema.execute(),
        Some(Command::Completions(completions)) => completions.execute(),
        Some(Command::Man(man)) => man.execute(),
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
