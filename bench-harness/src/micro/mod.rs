//! Micro-benchmarks of the runtime, each beside tokio's current-thread runtime in the same run.
//!
//! A sample is a fresh process on one CPU (two for what crosses shards), so that neither side
//! inherits the other's heap. A round is `ours, tokio, ours`: the second `ours` shows what a
//! difference between two runs of the very same thing looks like here (A/A). Rounds alternate, the
//! cells are medians, and a ratio closer to 1 than the A/A spread means nothing.

mod local;
mod memory;
mod net;
mod report;
mod shards;
mod sync;
mod timers;
mod twin;

pub(crate) use report::{Row, render};

use std::io;
use std::process::{Command, Stdio};

use crate::console::Console;
use crate::layout::{Layout, allowed_cpus, divide, physical_cores};
use crate::statistics::median;
use crate::threads;

/// Which runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    /// This project's.
    Corelane,
    /// tokio's current-thread runtime.
    Tokio,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Corelane => "corelane",
            Side::Tokio => "tokio",
        }
    }
}

/// The result of a benchmark body.
type Sample = io::Result<f64>;

/// One benchmark.
struct Bench {
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    corelane: fn(&Layout) -> Sample,
    tokio: fn(&Layout) -> Sample,
}

/// All of them; smaller is better in each.
const BENCHES: [Bench; 17] = [
    Bench {
        name: "spawn_join",
        unit: "ns",
        what: "spawn a task that ends at once, and await it",
        corelane: local::spawn_join,
        tokio: |_| twin::spawn_join(),
    },
    Bench {
        name: "yield_switch",
        unit: "ns",
        what: "two tasks that yield to each other, per switch",
        corelane: local::yield_switch,
        tokio: |_| twin::yield_switch(),
    },
    Bench {
        name: "token_ring",
        unit: "ns",
        what: "a token through 100 tasks, per hop",
        corelane: local::token_ring,
        tokio: |_| twin::token_ring(),
    },
    Bench {
        name: "pingpong_local",
        unit: "ns",
        what: "a number over two local queues and back",
        corelane: local::pingpong,
        tokio: |_| twin::pingpong(),
    },
    Bench {
        name: "lock_free",
        unit: "ns",
        what: "acquire and release a lock that nobody else wants",
        corelane: |_| sync::corelane_lock(),
        tokio: |_| sync::tokio_lock(),
    },
    Bench {
        name: "semaphore_free",
        unit: "ns",
        what: "take and give back a permit that is free",
        corelane: |_| sync::corelane_semaphore(),
        tokio: |_| sync::tokio_semaphore(),
    },
    Bench {
        name: "queue_put_get",
        unit: "ns",
        what: "put a number into a local queue and get it out",
        corelane: |_| sync::corelane_queue(),
        tokio: |_| sync::tokio_queue(),
    },
    Bench {
        name: "crowd_wake",
        unit: "ns",
        what: "wake one of 1000 who wait for a permit, until it waits again",
        corelane: |_| sync::corelane_crowd(),
        tokio: |_| sync::tokio_crowd(),
    },
    Bench {
        name: "timer_insert",
        unit: "ns",
        what: "start a timer; 10 000 for each task",
        corelane: |_| timers::corelane_insert(),
        tokio: |_| timers::tokio_insert(),
    },
    Bench {
        name: "timer_cancel",
        unit: "ns",
        what: "drop a timer that has not fired",
        corelane: |_| timers::corelane_cancel(),
        tokio: |_| timers::tokio_cancel(),
    },
    Bench {
        name: "timer_lateness",
        unit: "us",
        what: "how late a timer fires, 99th percentile",
        corelane: |_| timers::corelane_lateness(),
        tokio: |_| timers::tokio_lateness(),
    },
    Bench {
        name: "idle_task",
        unit: "B",
        what: "resident memory of a task that waits",
        corelane: |_| memory::corelane(),
        tokio: |_| memory::tokio(),
    },
    Bench {
        name: "xshard_rtt",
        unit: "us",
        what: "a call to another shard and back, both parking",
        corelane: shards::corelane_rtt,
        tokio: shards::tokio_rtt,
    },
    Bench {
        name: "xshard_rate",
        unit: "ns",
        what: "a call to another shard and its answer, 256 in flight",
        corelane: shards::corelane_rate,
        tokio: shards::tokio_rate,
    },
    Bench {
        name: "xshard_oneway",
        unit: "ns",
        what: "a message to another shard, unanswered, 256 in flight",
        corelane: shards::corelane_oneway,
        tokio: shards::tokio_oneway,
    },
    Bench {
        name: "tcp_echo",
        unit: "us",
        what: "server CPU for an echo of 64 B, 64 connections",
        corelane: |layout| net::echo(layout, crate::serve::Target::Echo),
        tokio: |layout| net::echo(layout, crate::serve::Target::TokioEcho),
    },
    Bench {
        name: "tcp_accept",
        unit: "us",
        what: "server CPU to accept a connection, echo 64 B and close",
        corelane: |layout| net::accept(layout, crate::serve::Target::Echo),
        tokio: |layout| net::accept(layout, crate::serve::Target::TokioEcho),
    },
];

/// What to run.
pub(crate) struct Options {
    /// Only benchmarks whose name contains this.
    pub(crate) filter: String,
    /// Rounds of three samples.
    pub(crate) rounds: u32,
}

/// Runs the rounds. Every benchmark has its turn in each round, so that a slow phase of the machine
/// hits all of them and both sides.
///
/// # Errors
/// If a sample cannot be taken, or no benchmark has this name.
pub(crate) fn run(options: &Options, console: &Console) -> io::Result<Vec<Row>> {
    let chosen: Vec<&Bench> =
        BENCHES.iter().filter(|bench| bench.name.contains(&options.filter)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        let text = format!("no benchmark is named {:?}; there are {names:?}", options.filter);
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut taken: Vec<[Vec<f64>; 3]> = chosen.iter().map(|_| Default::default()).collect();
    for round in 0..options.rounds {
        for (bench, taken) in chosen.iter().zip(&mut taken) {
            console.note(&format!("round {} of {}: {}", round + 1, options.rounds, bench.name));
            let order = [(0, Side::Corelane), (1, Side::Tokio), (2, Side::Corelane)];
            for (place, side) in order {
                taken[place].push(sample_in_child(bench, side)?);
            }
        }
    }
    Ok(chosen.iter().zip(taken).map(|(bench, taken)| row(bench, taken)).collect())
}

fn row(bench: &Bench, [mut first, mut tokio, mut second]: [Vec<f64>; 3]) -> Row {
    let spread = |samples: &[f64]| {
        let low = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = samples.iter().copied().fold(0.0, f64::max);
        (low > 0.0).then(|| (high / low - 1.0) * 100.0)
    };
    let mut both: Vec<f64> = first.iter().chain(&second).copied().collect();
    let a_a = median(&mut first).zip(median(&mut second)).map(|(a, b)| (b / a - 1.0).abs() * 100.0);
    Row {
        name: bench.name.to_owned(),
        what: bench.what.to_owned(),
        unit: bench.unit.to_owned(),
        corelane: median(&mut both),
        corelane_best: both.first().copied(),
        corelane_spread_pct: spread(&both),
        tokio: median(&mut tokio),
        tokio_best: tokio.first().copied(),
        tokio_spread_pct: spread(&tokio),
        a_a_pct: a_a,
    }
}

/// Takes one sample in a process of its own.
fn sample_in_child(bench: &Bench, side: Side) -> Sample {
    let output = Command::new(std::env::current_exe()?)
        .args(["micro", bench.name, "--sample", side.name()])
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| {
        let (name, side, status) = (bench.name, side.name(), output.status);
        io::Error::other(format!("{name} on {side} gave no number: {status}"))
    })
}

/// Takes one sample in this process, for the parent.
///
/// # Errors
/// If there is no such benchmark, or its body fails.
pub(crate) fn sample(name: &str, side: Side) -> Sample {
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench = bench.ok_or_else(|| io::Error::other(format!("no benchmark named {name:?}")))?;
    let layout = divide(&physical_cores(&allowed_cpus()?));
    // What starts threads or servers pins those itself, and must still see all CPUs to do so.
    let pins_itself = name.starts_with("tcp_") || name.starts_with("xshard_");
    if let Some(cpu) = layout.load_cpus.first().filter(|_| !pins_itself) {
        threads::pin(*cpu);
    }
    match side {
        Side::Corelane => (bench.corelane)(&layout),
        Side::Tokio => (bench.tokio)(&layout),
    }
}

/// How long `count` operations took each.
fn each_ns(begin_ns: u64, count: u64) -> f64 {
    (crate::clock::now_ns() - begin_ns) as f64 / count as f64
}
