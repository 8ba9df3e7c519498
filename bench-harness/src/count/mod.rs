//! How many instructions and allocations an operation needs, counted by valgrind: the same number on any machine that
//! runs the same program, however busy it is. It sees neither caches nor the kernel, so it is for structures in memory.
//!
//! Each case runs in a process of its own, once with a number of operations and once with twice as many. What the second
//! run needs more is what the operations need; whatever comes before and after them has gone.

mod cases;
mod report;
mod valgrind;

pub(crate) use report::{Change, Compared, render};

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::console::Console;
use cases::{Case, all};

/// What an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Count {
    /// Instructions.
    pub(crate) instructions: f64,
    /// Calls of the allocator that give memory.
    pub(crate) allocations: f64,
}

/// The counts of some cases: what is kept as a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// What the program was compiled with: other compilers make other programs.
    pub(crate) compiler: Option<String>,
    /// By name.
    pub(crate) cases: BTreeMap<String, Count>,
}

/// Counts all cases whose names contain `filter`.
///
/// # Errors
/// If there is no valgrind, no such case, or a case fails.
pub(crate) fn run(filter: &str, compiler: Option<String>, console: &Console) -> io::Result<Counts> {
    let chosen: Vec<Case> = all().into_iter().filter(|case| case.name.contains(filter)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all().iter().map(|case| case.name).collect();
        let text = format!("no case is named {filter:?}; there are {}", names.join(", "));
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut cases = BTreeMap::new();
    for case in chosen {
        console.note(&format!("{}: {}", case.name, case.what));
        cases.insert(case.name.to_owned(), count(&case)?);
    }
    Ok(Counts { compiler, cases })
}

fn count(case: &Case) -> io::Result<Count> {
    let each = |of: fn(&str, u64) -> io::Result<u64>| {
        let (once, twice) = (of(case.name, case.times)?, of(case.name, 2 * case.times)?);
        io::Result::Ok(twice.saturating_sub(once) as f64 / case.times as f64)
    };
    Ok(Count {
        instructions: rounded(each(valgrind::instructions)?),
        allocations: rounded(each(valgrind::allocations)?),
    })
}

/// To hundredths: what lies beyond is the beginning of a process, which is never quite the same.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Does the operations of one case in this process, for the parent.
///
/// # Errors
/// If there is no such case, or it fails.
pub(crate) fn repeat(name: &str, times: u64) -> io::Result<()> {
    let case = all().into_iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| io::Error::other(format!("no case is named {name:?}")))?;
    (case.run)(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_and_runs() {
        let mut names: Vec<&str> = all().iter().map(|case| case.name).collect();
        for name in &names {
            repeat(name, 3).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(repeat("tea", 1).is_err());
    }

    #[test]
    fn a_name_that_is_none_is_answered_with_those_that_there_are() {
        let console = Console::new(crate::console::Loudness::Quiet, crate::console::Progress::None);
        let error = run("tea", None, &console).unwrap_err().to_string();
        assert!(error.contains("spawn_join"), "{error}");
    }
}
