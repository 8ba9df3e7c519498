//! What an operation needs beside time, where it can be counted: instructions and cycles in user mode with the feature
//! `perf` on a machine whose kernel and hypervisor allow it, allocations with the feature `allocations`. The whole sample
//! is counted, its beginning included, which among so many operations is little.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::report::{Row, add, number, table};

/// Operations of the sample that is taken in this process; zero as long as nobody has said.
static OPERATIONS: AtomicU64 = AtomicU64::new(0);

/// Says how many operations the sample had, for whoever divides by them.
pub(super) fn note_operations(count: u64) {
    // Relaxed: whoever noted it has been joined or awaited when it is read.
    OPERATIONS.store(count, Ordering::Relaxed);
}

/// What an operation needed; unknown where it was not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Costs {
    /// Instructions in user mode.
    pub(crate) instructions: Option<f64>,
    /// Cycles in user mode.
    pub(crate) cycles: Option<f64>,
    /// Calls of the allocator that give memory.
    pub(crate) allocations: Option<f64>,
}

impl Costs {
    /// Whether something is known.
    pub(super) fn are_known(&self) -> bool {
        *self != Costs::default()
    }

    /// The same for each of the operations that were noted.
    fn of_each(self) -> Self {
        let count = OPERATIONS.load(Ordering::Relaxed);
        let each =
            |value: Option<f64>| value.filter(|_| count > 0).map(|value| value / count as f64);
        Costs {
            instructions: each(self.instructions),
            cycles: each(self.cycles),
            allocations: each(self.allocations),
        }
    }

    /// Words for the line that a child prints, each with its letter.
    pub(super) fn words(&self) -> String {
        let word = |letter: char, value: Option<f64>| {
            value.map_or_else(String::new, |value| format!(" {letter}={value}"))
        };
        word('i', self.instructions) + &word('c', self.cycles) + &word('a', self.allocations)
    }

    /// Takes such a word; false if it is none.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let Some((letter, digits)) = word.split_once('=') else { return false };
        let Ok(value) = digits.parse::<f64>() else { return false };
        let place = match letter {
            "i" => &mut self.instructions,
            "c" => &mut self.cycles,
            "a" => &mut self.allocations,
            _ => return false,
        };
        *place = Some(value);
        true
    }

    /// Means of several samples, where all of them know.
    pub(super) fn mean(of: &[Costs]) -> Self {
        let mean = |value: fn(&Costs) -> Option<f64>| {
            let sum: Option<f64> = of.iter().map(value).sum();
            sum.filter(|_| !of.is_empty()).map(|sum| sum / of.len() as f64)
        };
        Costs {
            instructions: mean(|costs| costs.instructions),
            cycles: mean(|costs| costs.cycles),
            allocations: mean(|costs| costs.allocations),
        }
    }
}

const HEADERS: [&str; 5] = ["bench", "side", "inst/op", "cycles/op", "allocs/op"];

/// A row for each side of which something was counted; where nothing was, why.
pub(super) fn render(rows: &[Row], ascii: bool) -> String {
    let mut table = table(ascii, &HEADERS);
    let sides = rows.iter().flat_map(|row| row.sides().map(move |figures| (row, figures)));
    let known: Vec<_> = sides.filter(|(_, figures)| figures.costs.are_known()).collect();
    for (row, figures) in &known {
        let Costs { instructions, cycles, allocations } = figures.costs;
        let numbers = [instructions, cycles, allocations].map(number);
        let names = [row.name.clone(), figures.side.clone()];
        add(&mut table, 2, names.into_iter().chain(numbers));
    }
    let has_instructions = known.iter().any(|(_, figures)| figures.costs.instructions.is_some());
    let why_not = why_not().filter(|_| !has_instructions);
    let reason = why_not.map(|why| format!("inst/op and cycles/op are not counted: {why}\n"));
    let table = if known.is_empty() { String::new() } else { format!("\n{table}\n") };
    table + &reason.unwrap_or_default()
}

/// Counts from its beginning on, also in threads that are started meanwhile.
pub(super) struct Meter {
    #[cfg(feature = "perf")]
    perf: [Option<perf_event::Counter>; 2],
    #[cfg(feature = "allocations")]
    allocations: stats_alloc::Region<'static, std::alloc::System>,
}

impl Meter {
    /// Begins to count what can be counted here.
    pub(super) fn begin() -> Self {
        Meter {
            #[cfg(feature = "perf")]
            perf: perf::begin(),
            #[cfg(feature = "allocations")]
            allocations: stats_alloc::Region::new(ALLOCATOR),
        }
    }

    /// What each operation needed.
    #[allow(unused_mut, reason = "a plain build counts nothing")]
    pub(super) fn end(self) -> Costs {
        let mut costs = Costs::default();
        #[cfg(feature = "allocations")]
        {
            let change = self.allocations.change();
            costs.allocations = Some((change.allocations + change.reallocations) as f64);
        }
        #[cfg(feature = "perf")]
        {
            [costs.instructions, costs.cycles] = perf::end(self.perf);
        }
        costs.of_each()
    }
}

/// Why there are no instructions and cycles here, if so.
pub(super) fn why_not() -> Option<String> {
    #[cfg(feature = "perf")]
    {
        perf::why_not()
    }
    #[cfg(not(feature = "perf"))]
    {
        // The help says how to build one that counts.
        None
    }
}

#[cfg(feature = "allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

#[cfg(feature = "perf")]
mod perf {
    use std::io;

    use perf_event::events::Hardware;
    use perf_event::{Builder, Counter};

    fn counter(kind: Hardware) -> io::Result<Counter> {
        let mut builder = Builder::new().kind(kind);
        builder.inherit(true);
        let mut counter = builder.build()?;
        counter.enable()?;
        Ok(counter)
    }

    /// Instructions and cycles from now on, as far as they may be counted.
    pub(super) fn begin() -> [Option<Counter>; 2] {
        [Hardware::INSTRUCTIONS, Hardware::CPU_CYCLES].map(|kind| counter(kind).ok())
    }

    /// Their numbers.
    pub(super) fn end(counters: [Option<Counter>; 2]) -> [Option<f64>; 2] {
        counters.map(|counter| counter?.read().ok().map(|count| count as f64))
    }

    pub(super) fn why_not() -> Option<String> {
        counter(Hardware::INSTRUCTIONS).err().map(|error| {
            format!("{error}; see /proc/sys/kernel/perf_event_paranoid, or the hypervisor hides the counters")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_the_same_behind_the_pipe() {
        let costs = Costs { instructions: Some(12.5), cycles: None, allocations: Some(0.0) };
        let mut read = Costs::default();
        assert!(costs.words().split_whitespace().all(|word| read.take(word)));
        assert_eq!(read, costs);
        for wrong in ["7:1", "x=1", "i=many", "i"] {
            assert!(!read.take(wrong), "{wrong:?}");
        }
        assert_eq!(
            (Costs::default().words(), Costs::default().are_known()),
            (String::new(), false)
        );
    }

    #[test]
    fn a_mean_is_known_where_every_sample_knows() {
        let sample = |instructions, allocations| Costs { instructions, cycles: None, allocations };
        let mean = Costs::mean(&[sample(Some(1.0), Some(2.0)), sample(Some(3.0), None)]);
        assert_eq!(mean, sample(Some(2.0), None));
        assert_eq!(Costs::mean(&[]), Costs::default());
    }
}
