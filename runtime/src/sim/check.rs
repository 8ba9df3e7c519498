//! Many seeds of one program.

use std::any::Any;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::failure::replay;
use super::shrink::{self, Planned};
use super::{Builder, Failure, Simulation};
use crate::util::atomic::lock;

/// Runs `program` with the seeds from 0 to `count`, each in a world of its own, and shuts the world down after it.
///
/// `CORELANE_SEED` in the environment is the one seed to run instead, `CORELANE_SEEDS` another count. If a run
/// fails in which [faults](Simulation::faults) had to happen, it is run again with fewer and smaller ones, for as
/// long as it fails, and what is left is printed.
///
/// [`Check`] does the same on several threads, and in worlds of other settings.
///
/// # Panics
/// At the first seed that fails, with the report on it; if one of those variables is no number.
pub fn check(count: u64, program: impl FnMut(&mut Simulation) -> Result<(), Failure>) {
    check_alone(count, false, program);
}

/// The same, and each seed is run twice: what has happened must be the same.
///
/// # Panics
/// As [`check`], and at the first seed whose runs differ: then the program depends on something that is not the
/// simulation's.
pub fn check_twice(count: u64, program: impl FnMut(&mut Simulation) -> Result<(), Failure>) {
    check_alone(count, true, program);
}

fn check_alone(
    count: u64,
    is_twice: bool,
    mut program: impl FnMut(&mut Simulation) -> Result<(), Failure>,
) {
    for seed in seeds(count) {
        if let Err(defeat) = run_seed(&Simulation::builder(seed), is_twice, &mut program) {
            defeat.raise();
        }
    }
}

/// Many seeds of one program, on several threads: a [`check`] with settings.
///
/// ```
/// use corelane::sim::Check;
///
/// Check::new(100).threads(4).run(|sim| {
///     let host = sim.host("only")?;
///     sim.run(host, async || {
///         corelane::sleep(std::time::Duration::from_secs(3600)).await;
///         Ok(())
///     })
/// });
/// ```
#[derive(Clone, Debug)]
#[must_use = "settings run nothing"]
pub struct Check {
    count: u64,
    world: Builder,
    is_twice: bool,
    threads: Option<usize>,
}

impl Check {
    /// The seeds from 0 to `count`, unless `CORELANE_SEED` or `CORELANE_SEEDS` is set.
    pub fn new(count: u64) -> Self {
        Self { count, world: Simulation::builder(0), is_twice: false, threads: None }
    }

    /// In worlds of other settings than those of [`Simulation::new`]: with other limits, for instance.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use corelane::sim::Check;
    ///
    /// let minute = Duration::from_secs(60);
    /// Check::new(20).world(|world| world.time_limit(minute).step_limit(10_000)).run(|sim| {
    ///     let host = sim.host("only")?;
    ///     sim.run(host, async move || {
    ///         corelane::sleep(minute / 2).await;
    ///         Ok(())
    ///     })
    /// });
    /// ```
    pub fn world(mut self, settings: impl FnOnce(Builder) -> Builder) -> Self {
        self.world = settings(self.world);
        self
    }

    /// Each seed is run twice, as by [`check_twice`].
    pub fn twice(mut self) -> Self {
        self.is_twice = true;
        self
    }

    /// On so many threads: as many as the process may use cores unless told otherwise. `CORELANE_SIM_THREADS` in
    /// the environment goes before. What a seed does depends on it in no way.
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = Some(count.max(1));
        self
    }

    /// Runs `program` with each seed in a world of its own, and shuts the world down after it.
    ///
    /// # Panics
    /// If a seed fails, with the report on the lowest that does; if a variable of the environment is no number.
    pub fn run(self, program: impl Fn(&mut Simulation) -> Result<(), Failure> + Sync) {
        self.traces(program);
    }

    /// The same, and gives the [trace](Simulation::trace) of each seed, in their order.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    pub fn traces(
        self,
        program: impl Fn(&mut Simulation) -> Result<(), Failure> + Sync,
    ) -> Vec<u64> {
        let seeds = seeds(self.count);
        let work = Work {
            next: AtomicU64::new(seeds.start),
            lowest: AtomicU64::new(u64::MAX),
            ended: Mutex::new(Vec::new()),
        };
        let program =
            |seed| run_seed(&self.world.with_seed(seed), self.is_twice, &mut |sim| program(sim));
        work.spread(self.thread_count(), seeds.end, &program);
        let mut ended = work.ended.into_inner().unwrap_or_default();
        ended.sort_unstable_by_key(|(seed, _)| *seed);
        let raise = |(_, run): (u64, Run)| run.unwrap_or_else(|defeat| defeat.raise());
        ended.into_iter().map(raise).collect()
    }

    fn thread_count(&self) -> usize {
        let told = number("CORELANE_SIM_THREADS").and_then(|count| usize::try_from(count).ok());
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        told.or(self.threads).unwrap_or_else(cores).max(1)
    }
}

/// How a seed ended: its trace, or why it failed.
type Run = Result<u64, Defeat>;

/// Seeds that are dealt out to threads.
struct Work {
    next: AtomicU64,
    /// The lowest seed that has failed: those above need not be run.
    lowest: AtomicU64,
    ended: Mutex<Vec<(u64, Run)>>,
}

impl Work {
    /// Runs the seeds up to `end` on so many threads. No data travels by the counters, and the threads are joined.
    #[allow(clippy::disallowed_methods, reason = "whole worlds, each on one thread")]
    fn spread(&self, thread_count: usize, end: u64, program: &(impl Fn(u64) -> Run + Sync)) {
        // They have the test's name, so that a report says how to run it again.
        let name = thread::current().name().unwrap_or_default().to_owned();
        thread::scope(|scope| {
            let start = |_| {
                let worker = thread::Builder::new().name(name.clone());
                worker.spawn_scoped(scope, || self.take_part(end, program))
            };
            // If there are no threads to be had, this one does it all.
            let workers: Vec<_> = (1..thread_count).map_while(|count| start(count).ok()).collect();
            self.take_part(end, program);
            for worker in workers {
                worker.join().unwrap_or_else(|payload| resume_unwind(payload));
            }
        });
    }

    fn take_part(&self, end: u64, program: &impl Fn(u64) -> Run) {
        loop {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || seed > self.lowest.load(Ordering::Relaxed) {
                return;
            }
            let run = program(seed);
            if run.is_err() {
                self.lowest.fetch_min(seed, Ordering::Relaxed);
            }
            lock(&self.ended).push((seed, run));
        }
    }
}

/// How one run of a seed has ended badly.
pub(super) enum Ending {
    Failed(Failure),
    /// With what, and what there is to say about the run.
    Panicked(Box<dyn Any + Send>, String),
}

impl Ending {
    /// Whether the other one is as bad, as far as can be told.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Failed(one), Self::Failed(other)) => {
                std::mem::discriminant(one.reason()) == std::mem::discriminant(other.reason())
            }
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

/// A seed that has failed.
struct Defeat {
    text: String,
    /// What the program panicked with.
    payload: Option<Box<dyn Any + Send>>,
}

impl Defeat {
    fn raise(self) -> ! {
        let Self { text, payload } = self;
        match payload {
            Some(payload) => {
                eprintln!("{text}");
                resume_unwind(payload)
            }
            None => panic!("{text}"),
        }
    }
}

/// A program, as it is run again and again.
pub(super) type Program<'a> = &'a mut dyn FnMut(&mut Simulation) -> Result<(), Failure>;

/// One run: its trace, the faults of it, and how it ended.
pub(super) fn attempt(
    world: &Builder,
    instead: Option<Vec<Planned>>,
    program: Program<'_>,
) -> (u64, Vec<Planned>, Result<(), Ending>) {
    let mut sim = world.clone().build();
    sim.instead = instead;
    sim.is_checked = true;
    let run = AssertUnwindSafe(|| program(&mut sim).and_then(|()| sim.shut_down()));
    let outcome = match catch_unwind(run) {
        Ok(outcome) => outcome.map_err(Ending::Failed),
        Err(payload) => Err(Ending::Panicked(payload, sim.panic_report())),
    };
    (sim.trace(), std::mem::take(&mut sim.plan), outcome)
}

/// Runs one seed, and again if that is wanted.
fn run_seed(world: &Builder, is_twice: bool, program: Program<'_>) -> Run {
    let trace = run_once(world, program)?;
    if is_twice {
        let again = run_once(world, program)?;
        if trace != again {
            let text = format!(
                "two runs with one seed differ ({trace:016x} and {again:016x}): the program depends on something \
                 that the simulation does not own, such as the system's clock, a thread, or the order of a hash \
                 map\n{}",
                replay(world.seed()),
            );
            return Err(Defeat { text, payload: None });
        }
    }
    Ok(trace)
}

/// Runs one seed; if it fails with faults, looks for fewer.
fn run_once(world: &Builder, program: Program<'_>) -> Run {
    let (trace, plan, outcome) = attempt(world, None, program);
    let Err(fault) = outcome else { return Ok(trace) };
    let (shrunk, seed) = (shrink::shrink(world, plan, &fault, program), world.seed());
    Err(match fault {
        Ending::Panicked(payload, report) => {
            Defeat { text: format!("{report}{shrunk}"), payload: Some(payload) }
        }
        Ending::Failed(failure) if failure.has_report() => {
            Defeat { text: format!("{failure}{shrunk}"), payload: None }
        }
        Ending::Failed(failure) => {
            Defeat { text: format!("{failure}{}{shrunk}", replay(seed)), payload: None }
        }
    })
}

fn seeds(count: u64) -> Range<u64> {
    match (number("CORELANE_SEED"), number("CORELANE_SEEDS")) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some(count)) => 0..count,
        (None, None) => 0..count,
    }
}

/// The number that a variable of the environment holds, if there is such a one.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable}={text}: not a number"),
    }
}
