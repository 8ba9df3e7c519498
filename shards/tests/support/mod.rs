//! What tests of shards share: small runs without pins and signals, and one shard that calls the others.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Duration;

use corelane::sim::Simulation;
use corelane::{Error, Result};
use corelane_shards::{Builder, CallError, Ending, Placement, Shard, ShardId, Shards};

/// How many seeds a test is run with in simulation.
const SEED_COUNT: u64 = 40;
/// How often everywhere is.
pub(crate) const RUN_COUNT: usize = 1 + SEED_COUNT as usize;

/// The shard next to the first.
pub(crate) const FAR: ShardId = ShardId::new(1);

pub(crate) fn shards(count: usize) -> Builder {
    Shards::builder().placement(Placement::Unpinned(count)).handle_signals(false)
}

/// Runs `main` on shard 0; the others only answer.
pub(crate) fn on_first<T: Send + Default + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> T {
    let run = builder.run(async move |shard: Shard| match shard.id().index() {
        0 => main(shard).await,
        _ => Ok(T::default()),
    });
    run.expect("no main fails").swap_remove(0)
}

/// The same on threads and then in simulation, under many seeds: the answer is the same everywhere.
pub(crate) fn everywhere<T: Send + Default + PartialEq + fmt::Debug + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> T {
    let answer = on_first(builder.clone(), main.clone());
    for seed in 0..SEED_COUNT {
        let main = main.clone();
        let first = async move |shard: Shard| match shard.id().index() {
            0 => main(shard).await,
            _ => Ok(T::default()),
        };
        let run = simulated(builder.clone(), seed, first).into_result();
        let simulated = run.unwrap_or_else(|error| panic!("seed {seed}: {error}")).swap_remove(0);
        assert_eq!(simulated, answer, "seed {seed}");
    }
    answer
}

/// Runs `main` on all shards, on threads and then in simulation: it ends in the same way everywhere.
pub(crate) fn run_everywhere<T: Send + fmt::Debug + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> Result<Vec<T>> {
    let tell = |run: &Result<Vec<T>>| match run {
        Ok(values) => format!("{values:?}"),
        // Which of several mains has failed first may differ.
        Err(_) => "failed".to_owned(),
    };
    let run = builder.clone().run(main.clone());
    for seed in 0..SEED_COUNT {
        let again = simulated(builder.clone(), seed, main.clone()).into_result();
        assert_eq!(tell(&again), tell(&run), "seed {seed}: {again:?}");
    }
    run
}

/// Runs `main` on all shards that might hang, on threads and then in simulation: each end is as `check` has it.
pub(crate) fn ends_everywhere<T: Send + 'static, F>(
    builder: &Builder,
    make: impl Fn() -> F,
    check: impl Fn(Ending<T>),
) where
    F: AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
{
    check(run_to_end(builder.clone(), make()));
    for seed in 0..SEED_COUNT {
        let ending = simulated(builder.clone(), seed, make());
        let checked = catch_unwind(AssertUnwindSafe(|| check(ending)));
        checked.unwrap_or_else(|payload| {
            eprintln!("seed {seed}");
            resume_unwind(payload)
        });
    }
}

/// One run in simulation.
pub(crate) fn simulated<T: 'static>(
    builder: Builder,
    seed: u64,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + 'static,
) -> Ending<T> {
    let mut sim = Simulation::new(seed);
    let host = sim.host("only").expect("a host of a new world can be made");
    let site = builder.simulate(&mut sim, host, main).expect("the shards start");
    site.join_to_end(&mut sim).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Waits until it is so; fails after a minute, so that what hangs is a failure with a name.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "it is no shard's thread")]
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not in a minute: {what}");
}

/// Runs shards that might hang.
pub(crate) fn run_to_end<T: Send + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> Ending<T> {
    let running = builder.start(main).expect("the shards start");
    wait_until("the run ends", || running.is_over());
    running.join_to_end().expect("this is no shard's thread")
}

pub(crate) fn call_error(error: &Error) -> &CallError {
    error.downcast_ref().unwrap_or_else(|| panic!("not a call error: {error:?}"))
}
