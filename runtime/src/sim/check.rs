//! Many seeds of one program.

use std::ops::Range;

use super::failure::replay;
use super::{Failure, Simulation};

/// Runs `program` with the seeds from 0 to `count`, each in a world of its own, and shuts the world down after it.
///
/// `CORELANE_SEED` in the environment is the one seed to run instead, `CORELANE_SEEDS` another count.
///
/// # Panics
/// At the first seed that fails, with the report on it; if one of those variables is no number.
pub fn check(count: u64, mut program: impl FnMut(&mut Simulation) -> Result<(), Failure>) {
    for seed in seeds(count) {
        run_one(seed, &mut program);
    }
}

/// The same, and each seed is run twice: what has happened must be the same.
///
/// # Panics
/// As [`check`], and at the first seed whose runs differ: then the program depends on something that is not the
/// simulation's.
pub fn check_twice(count: u64, mut program: impl FnMut(&mut Simulation) -> Result<(), Failure>) {
    for seed in seeds(count) {
        let traces = [run_one(seed, &mut program), run_one(seed, &mut program)];
        assert!(
            traces[0] == traces[1],
            "two runs with one seed differ ({:016x} and {:016x}): the program depends on something that the \
             simulation does not own, such as the system's clock, a thread, or the order of a hash map\n{}",
            traces[0],
            traces[1],
            replay(seed),
        );
    }
}

/// One run; gives its trace.
fn run_one(seed: u64, program: &mut impl FnMut(&mut Simulation) -> Result<(), Failure>) -> u64 {
    let mut sim = Simulation::new(seed);
    let outcome = program(&mut sim).and_then(|()| sim.shut_down());
    match outcome {
        Ok(()) => sim.trace(),
        Err(failure) if failure.has_report() => panic!("{failure}"),
        Err(failure) => panic!("{failure}{}", replay(seed)),
    }
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
