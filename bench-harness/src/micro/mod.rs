//! Micro-benchmarks of the runtime, each beside tokio's current-thread runtime in the same run; with
//! the feature `rivals` also beside other thread-per-core runtimes and queues.
//!
//! A sample is a fresh process on one CPU (two for what crosses shards), so that no side inherits
//! the heap of another. A round is `ours, the others, ours`: the second `ours` shows what a
//! difference between two runs of the very same thing looks like here (A/A). Rounds alternate, the
//! cells are medians, and a ratio closer to 1 than the A/A spread means nothing. What happens on one
//! thread that never waits is measured in CPU time of that thread, so that a busy machine spoils less.

mod bare;
mod benches;
mod costs;
mod http;
mod local;
mod memory;
mod net;
mod parts;
mod process;
mod reading;
mod report;
#[cfg(feature = "rivals")]
mod rivals;
mod shards;
mod side;
mod sync;
mod timers;
mod twin;
mod udp;

pub(crate) use report::{Row, heaviest_overhead, render};
pub(crate) use side::Side;

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::console::Console;
use crate::layout;
use crate::threads;
use benches::{Bench, all};
use costs::{Meter, note_operations};
use reading::{Laps, Reading};
use report::Taken;

/// The result of a benchmark body that takes no single times.
type Sample = io::Result<f64>;

/// The result of any.
type Timed = io::Result<Reading>;

/// A sample that takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to run.
pub(crate) struct Options {
    /// Only benchmarks whose name contains this.
    pub(crate) filter: String,
    /// Rounds of a sample of each side and a second one of ours.
    pub(crate) rounds: u32,
}

/// Runs the rounds. Every benchmark has its turn in each round, so that a slow phase of the machine
/// hits all of them and all sides. A side that fails is left out from then on, and its row says why.
///
/// # Errors
/// If a process cannot be started, or no benchmark has this name.
pub(crate) fn run(options: &Options, console: &Console) -> io::Result<Vec<Row>> {
    let chosen = choose(all(), &options.filter)?;
    let mut taken: Vec<Vec<Taken>> = chosen.iter().map(places).collect();
    for round in 0..options.rounds {
        for (bench, taken) in chosen.iter().zip(&mut taken) {
            console.note(&format!("round {} of {}: {}", round + 1, options.rounds, bench.name));
            for taken in taken {
                taken.add(|side| sample_in_child(bench.name, side))?;
            }
        }
    }
    Ok(chosen.iter().zip(taken).map(|(bench, taken)| Row::of(bench, taken)).collect())
}

/// The benchmark of this name, or else all whose names contain it.
fn choose(benches: Vec<Bench>, filter: &str) -> io::Result<Vec<Bench>> {
    let names: Vec<&str> = benches.iter().map(|bench| bench.name).collect();
    if !names.iter().any(|name| name.contains(filter)) {
        let text = format!("no benchmark is named {filter:?}; there are {names:?}");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let exact = names.contains(&filter);
    let wanted =
        |bench: &Bench| if exact { bench.name == filter } else { bench.name.contains(filter) };
    Ok(benches.into_iter().filter(wanted).collect())
}

/// The samples of a round: one of each side, and a second one of ours at the end.
fn places(bench: &Bench) -> Vec<Taken> {
    let sides = bench.sides.iter().map(|(side, _)| *side);
    sides.chain([Side::Corelane]).map(Taken::new).collect()
}

/// Takes one sample in a process of its own; the inner error is the reason why it could not.
fn sample_in_child(name: &str, side: Side) -> io::Result<Result<Reading, String>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["micro", name, "--sample", side.name()])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(Reading::parse(text.trim())
        .map_err(|_| side::reason(&String::from_utf8_lossy(&output.stderr), output.status)))
}

/// Takes one sample in this process, for the parent.
///
/// # Errors
/// If there is no such benchmark, or its body fails.
pub(crate) fn sample(name: &str, side: Side) -> Timed {
    let benches = all();
    let bench = benches.iter().find(|bench| bench.name == name);
    let bench = bench.ok_or_else(|| io::Error::other(format!("no benchmark named {name:?}")))?;
    let body = bench.sides.iter().find(|(of, _)| *of == side);
    let (_, body) = body.ok_or_else(|| {
        let side = side.name();
        io::Error::other(format!("{name} has no {side}, or this build lacks the feature rivals"))
    })?;
    threads::spawn("watchdog", None, || {
        threads::sleep(PATIENCE);
        eprintln!("error: no result after {PATIENCE:?}");
        std::process::exit(1);
    })?;
    let layout = layout::automatic()?;
    // What starts threads or servers pins those itself, and must still see all CPUs to do so.
    let pins_itself =
        ["tcp_", "http_", "xshard_", "false_sharing"].iter().any(|kind| name.starts_with(kind));
    if let Some(cpu) = layout.load_cpus.first().filter(|_| !pins_itself) {
        threads::pin(*cpu);
    }
    let meter = Meter::begin();
    let reading = body(&layout)?;
    Ok(Reading { costs: meter.end(), ..reading })
}

/// The CPU time of each of `count` operations of this thread, since it had used `begin_ns`. Where only
/// one thread runs and never waits this is how long they took, less what other processes took away.
fn each_cpu_ns(begin_ns: u64, count: u64) -> f64 {
    note_operations(count);
    (crate::clock::thread_cpu_ns() - begin_ns) as f64 / count as f64
}

/// How long `count` operations took each.
fn each_ns(begin_ns: u64, count: u64) -> f64 {
    note_operations(count);
    (crate::clock::now_ns() - begin_ns) as f64 / count as f64
}

#[cfg(test)]
mod tests;
