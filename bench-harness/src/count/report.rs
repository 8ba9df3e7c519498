//! Counts beside a baseline.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{Count, Counts};

/// How a count differs from the one of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Within the tolerance.
    Same,
    /// Fewer instructions or allocations, and none more.
    Less,
    /// More of one of them.
    More,
    /// The baseline does not have it.
    New,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Same => "same",
            Change::Less => "less",
            Change::More => "MORE",
            Change::New => "new",
        }
    }
}

/// So much of an allocation is none: that of a growing list, say, which is divided among many operations.
const PART_OF_AN_ALLOCATION: f64 = 0.02;

/// Instructions that are more or less by chance, however few there are.
const FEW: f64 = 1.0;

/// A case and what the baseline says of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compared {
    name: String,
    count: Count,
    before: Option<Count>,
    /// How they differ.
    pub(crate) change: Change,
}

impl Compared {
    /// Holds each count against the baseline's, if there is one; a share of `tolerance` more or less is the same.
    pub(crate) fn all(counts: &Counts, baseline: Option<&Counts>, tolerance: f64) -> Vec<Self> {
        let compare = |(name, count): (&String, &Count)| {
            let before = baseline.and_then(|baseline| baseline.cases.get(name)).copied();
            let change = before.map_or(Change::New, |before| change(*count, before, tolerance));
            Compared { name: name.clone(), count: *count, before, change }
        };
        counts.cases.iter().map(compare).collect()
    }

    fn cells(&self) -> Vec<String> {
        let before = self.before;
        let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let change = before.filter(|before| before.instructions > 0.0).map(|before| {
            format!("{:+.1} %", (self.count.instructions / before.instructions - 1.0) * 100.0)
        });
        vec![
            self.name.clone(),
            number(self.count.instructions),
            known(before.map(|before| before.instructions)),
            change.unwrap_or_else(|| "-".to_owned()),
            number(self.count.allocations),
            known(before.map(|before| before.allocations)),
            before.map_or_else(String::new, |_| self.change.name().to_owned()),
        ]
    }
}

fn change(count: Count, before: Count, tolerance: f64) -> Change {
    let allowed = (before.instructions * tolerance).max(FEW);
    let instructions = count.instructions - before.instructions;
    let allocations = count.allocations - before.allocations;
    if instructions > allowed || allocations > PART_OF_AN_ALLOCATION {
        Change::More
    } else if instructions < -allowed || allocations < -PART_OF_AN_ALLOCATION {
        Change::Less
    } else {
        Change::Same
    }
}

fn number(value: f64) -> String {
    if value < 99.95 { format!("{value:.2}") } else { format!("{value:.0}") }
}

const HEADERS: [&str; 7] =
    ["case", "instructions", "before", "change", "allocations", "before", ""];

/// A row for each case.
pub(crate) fn render(compared: &[Compared], ascii: bool) -> String {
    let mut table = Table::new();
    let style = if ascii { presets::ASCII_FULL_CONDENSED } else { presets::UTF8_FULL_CONDENSED };
    table.load_style(style);
    table.set_header(HEADERS);
    for one in compared {
        let cells = one.cells();
        let last = cells.len() - 1;
        table.add_row(cells.into_iter().enumerate().map(|(column, text)| {
            let is_word = column == 0 || column == last;
            Cell::new(text).set_alignment(if is_word {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            })
        }));
    }
    format!("{table}\nof one operation; fewer is better\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(instructions: f64, allocations: f64) -> Count {
        Count { instructions, allocations }
    }

    #[test]
    fn more_of_either_is_more_and_what_lies_within_the_tolerance_is_the_same() {
        let before = count(1_000.0, 2.0);
        for (now, expected) in [
            (count(1_000.0, 2.0), Change::Same),
            (count(1_019.0, 2.01), Change::Same),
            (count(1_021.0, 2.0), Change::More),
            (count(900.0, 3.0), Change::More),
            (count(979.0, 2.0), Change::Less),
            (count(1_000.0, 1.0), Change::Less),
        ] {
            assert_eq!(change(now, before, 0.02), expected, "{now:?}");
        }
        // One instruction of ten is ten percent, and nothing.
        assert_eq!(change(count(11.0, 0.0), count(10.0, 0.0), 0.02), Change::Same);
    }

    #[test]
    fn what_the_baseline_does_not_have_is_new() {
        let cases = [("a".to_owned(), count(5.0, 0.0)), ("b".to_owned(), count(200.0, 1.0))];
        let counts = Counts { compiler: None, cases: cases.clone().into() };
        let baseline = Counts { compiler: None, cases: cases[1..].iter().cloned().collect() };
        let compared = Compared::all(&counts, Some(&baseline), 0.02);
        let changes: Vec<Change> = compared.iter().map(|one| one.change).collect();
        assert_eq!(changes, [Change::New, Change::Same]);
        let table = render(&compared, true);
        assert!(table.contains("200") && table.contains("+0.0 %") && table.is_ascii(), "{table}");
    }
}
