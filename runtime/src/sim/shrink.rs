//! From the faults of a run that fails to fewer and smaller ones with which it still does.

use std::fmt::Write as _;
use std::time::Duration;

use super::Builder;
use super::check::{self, Program};
use super::fault::{Fault, What};
use crate::driver::sim::Harm;

/// A fault, and with which call of [`faults`](super::Simulation::faults) it was given.
pub(super) type Planned = (usize, Fault);

/// How many more runs may be spent on one failure.
const RUN_LIMIT: usize = 150;
/// A time below this is not made shorter.
const SHORT: Duration = Duration::from_millis(1);

/// What a search for fewer faults has come to.
struct Search<'a, 'b> {
    world: &'a Builder,
    failure: &'a check::Ending,
    program: Program<'b>,
    plan: Vec<Planned>,
    run_count: usize,
}

/// Looks for fewer and smaller faults with which the program fails in the same way, and says what there is left;
/// nothing if there were none.
pub(super) fn shrink(
    world: &Builder,
    plan: Vec<Planned>,
    failure: &check::Ending,
    program: Program<'_>,
) -> String {
    if plan.is_empty() {
        return String::new();
    }
    let count = plan.len();
    let mut search = Search { world, failure, program, plan, run_count: 0 };
    // With all of them once more: a program that fails by chance cannot be searched.
    if !search.fails_with(search.plan.clone()) {
        return "\nwith the same faults it did not fail again: the program depends on more than the seed".into();
    }
    search.leave_out();
    search.make_smaller();
    search.leave_out();
    let Search { plan, run_count, .. } = search;
    if plan.is_empty() {
        return format!("\nit fails without any of its {count} faults too ({run_count} more runs)");
    }
    let mut text = format!(
        "\n{} of its {count} faults are enough ({run_count} more runs); with these instead it fails too:\n\
         Faults::new()",
        plan.len(),
    );
    for (_, fault) in plan {
        // Writing to a string does not fail.
        let _ = write!(text, "\n    .and({fault})");
    }
    text
}

impl Search<'_, '_> {
    fn fails_with(&mut self, plan: Vec<Planned>) -> bool {
        if self.run_count >= RUN_LIMIT {
            return false;
        }
        self.run_count += 1;
        let (_, _, outcome) = check::attempt(self.world, Some(plan), self.program);
        outcome.is_err_and(|failure| failure.is_like(self.failure))
    }

    /// Keeps `plan` if the program fails with it too.
    fn keeps(&mut self, plan: Vec<Planned>) -> bool {
        let fails = self.fails_with(plan.clone());
        if fails {
            self.plan = plan;
        }
        fails
    }

    /// Leaves faults out: first all but a half, then a quarter, and at last single ones.
    fn leave_out(&mut self) {
        let mut size = self.plan.len();
        while size > 0 {
            let mut start = 0;
            while start < self.plan.len() {
                let mut fewer = self.plan.clone();
                fewer.drain(start..(start + size).min(fewer.len()));
                if !self.keeps(fewer) {
                    start += size;
                }
            }
            size /= 2;
        }
    }

    /// Makes single faults shorter, later, or rarer, for as long as it goes.
    fn make_smaller(&mut self) {
        for place in 0..self.plan.len() {
            for smaller in [shorter, later, less, once] {
                while let Some(fault) = smaller(&self.plan[place].1) {
                    let mut plan = self.plan.clone();
                    plan[place].1 = fault;
                    if !self.keeps(plan) {
                        break;
                    }
                }
            }
        }
    }
}

/// It ends in the middle of its time.
fn shorter(fault: &Fault) -> Option<Fault> {
    let window = fault.window.clone();
    let length = window.end.checked_sub(window.start)?;
    let is_open = window.end == Duration::MAX;
    (!is_open && length > SHORT)
        .then(|| fault.clone().during(window.start..window.start + length / 2))
}

/// It begins in the middle of its time.
fn later(fault: &Fault) -> Option<Fault> {
    let window = fault.window.clone();
    let length = window.end.checked_sub(window.start)?;
    let is_open = window.end == Duration::MAX;
    (!is_open && length > SHORT)
        .then(|| fault.clone().during(window.start + length / 2..window.end))
}

/// What it does for a time it does for half of that.
fn less(fault: &Fault) -> Option<Fault> {
    let mut fault = fault.clone();
    let time = match &mut fault.what {
        What::Ahead(_, time) | What::Stall(_, time) => time,
        What::Kill { down, .. } | What::Crash { down, .. } => down,
        _ => return None,
    };
    *time /= 2;
    (*time >= SHORT).then_some(fault)
}

/// Of what happens to single messages, only one does.
fn once(fault: &Fault) -> Option<Fault> {
    let is_single = matches!(
        fault.what,
        What::Harm(Harm::Delay(_) | Harm::Loss | Harm::Duplication | Harm::Reset | Harm::HalfOpen)
    );
    (is_single && fault.times > 1).then(|| fault.clone().times(1))
}
