//! Samples to rows, and rows to tables.

use comfy_table::{Cell, CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::benches::Bench;
use super::costs::Costs;
use super::reading::Reading;
use super::side::Side;
use crate::clock::read_cost_ns;
use crate::report::{Summary, format_ns, to_ascii};
use crate::statistics::median;

/// The samples of one side, or why there are none.
pub(super) struct Taken {
    side: Side,
    samples: Vec<f64>,
    /// Single times of all samples.
    times: Option<Histogram<u64>>,
    /// What an operation of each needed beside time.
    costs: Vec<Costs>,
    not_available: Option<String>,
}

impl Taken {
    /// None yet.
    pub(super) fn new(side: Side) -> Self {
        Taken { side, samples: Vec::new(), times: None, costs: Vec::new(), not_available: None }
    }

    /// Whose.
    #[cfg(test)]
    pub(super) fn side(&self) -> Side {
        self.side
    }

    /// Takes one more, unless an earlier one could not be taken.
    ///
    /// # Errors
    /// As `sample`, whose inner error is the reason why there is none.
    pub(super) fn add<E>(
        &mut self,
        sample: impl FnOnce(Side) -> Result<Result<Reading, String>, E>,
    ) -> Result<(), E> {
        if self.not_available.is_none() {
            match sample(self.side)? {
                Ok(reading) => {
                    self.samples.push(reading.value);
                    self.costs.push(reading.costs);
                    self.add_times(reading.times);
                }
                Err(reason) => self.not_available = Some(reason),
            }
        }
        Ok(())
    }

    fn add_times(&mut self, more: Option<Histogram<u64>>) {
        self.times = match (self.times.take(), more) {
            (Some(mut sum), Some(more)) => {
                // All have the same bounds, and so there is room.
                let _ = sum.add(&more);
                Some(sum)
            }
            (sum, more) => sum.or(more),
        };
    }
}

/// What one side needs; smaller is better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Who.
    pub(crate) side: String,
    /// Median of the samples; `None` if it is not available.
    pub(crate) median: Option<f64>,
    /// Best sample.
    pub(crate) best: Option<f64>,
    /// Worst sample.
    pub(crate) worst: Option<f64>,
    /// Half of the samples lie no farther from the median.
    pub(crate) median_deviation: Option<f64>,
    /// By how much the worst sample exceeds the best.
    pub(crate) spread_pct: Option<f64>,
    /// Median of ours in units of this one.
    pub(crate) ratio: Option<f64>,
    /// Single times of all samples, where they are taken.
    pub(crate) times: Option<Summary>,
    /// Percent of their mean that is a look at the clock.
    pub(crate) overhead_pct: Option<f64>,
    /// What an operation needs beside time; the mean of all samples.
    pub(crate) costs: Costs,
    /// Why there are no samples, or no more of them.
    pub(crate) not_available: Option<String>,
}

impl Figures {
    fn of(mut taken: Taken, ours: Option<f64>) -> Self {
        let median = median(&mut taken.samples);
        let (best, worst) = (taken.samples.first().copied(), taken.samples.last().copied());
        let spread = |(best, worst): (f64, f64)| (best > 0.0).then(|| (worst / best - 1.0) * 100.0);
        let mut deviations: Vec<f64> = median
            .iter()
            .flat_map(|middle| taken.samples.iter().map(move |it| (it - middle).abs()))
            .collect();
        let times = taken.times.as_ref().map(Summary::new);
        let mean_ns = times.as_ref().and_then(|times| times.mean_ns);
        Figures {
            side: taken.side.name().to_owned(),
            median,
            best,
            worst,
            median_deviation: crate::statistics::median(&mut deviations),
            overhead_pct: mean_ns.map(|mean_ns| read_cost_ns() / mean_ns * 100.0),
            times,
            costs: Costs::mean(&taken.costs),
            spread_pct: best.zip(worst).and_then(spread),
            ratio: ours.zip(median.filter(|median| *median > 0.0)).map(|(ours, it)| ours / it),
            not_available: taken.not_available,
        }
    }
}

/// One benchmark.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What is measured.
    pub(crate) what: String,
    /// Unit of the numbers.
    pub(crate) unit: String,
    /// Ours.
    pub(crate) corelane: Figures,
    /// How far the medians of two runs of ours lie apart.
    pub(crate) a_a_pct: Option<f64>,
    /// The others, in the order of their names in the code.
    pub(crate) others: Vec<Figures>,
    /// Who of the others needs least; the bare program is no rival.
    pub(crate) best_rival: Option<String>,
}

impl Row {
    /// The row of a benchmark from the samples of its sides; ours are the first and the last.
    pub(super) fn of(bench: &Bench, taken: Vec<Taken>) -> Self {
        let (mut ours, others): (Vec<Taken>, Vec<Taken>) =
            taken.into_iter().partition(|taken| taken.side == Side::Corelane);
        let medians: Vec<Option<f64>> =
            ours.iter_mut().map(|taken| median(&mut taken.samples)).collect();
        let a_a_pct = match medians[..] {
            [Some(first), Some(second)] if first > 0.0 => {
                Some((second / first - 1.0).abs() * 100.0)
            }
            _ => None,
        };
        let mut all = Taken::new(Side::Corelane);
        for taken in ours {
            all.samples.extend(taken.samples);
            all.costs.extend(taken.costs);
            all.add_times(taken.times);
            all.not_available = all.not_available.or(taken.not_available);
        }
        let ours = median(&mut all.samples);
        let others: Vec<Figures> =
            others.into_iter().map(|taken| Figures::of(taken, ours)).collect();
        Row {
            name: bench.name.to_owned(),
            what: bench.what.to_owned(),
            unit: bench.unit.to_owned(),
            corelane: Figures::of(all, ours),
            a_a_pct,
            best_rival: best(&others),
            others,
        }
    }

    /// Ours and the others.
    pub(super) fn sides(&self) -> impl Iterator<Item = &Figures> {
        [&self.corelane].into_iter().chain(&self.others)
    }

    fn other(&self, side: &str) -> Option<&Figures> {
        self.others.iter().find(|figures| figures.side == side)
    }

    /// Whether ours and theirs lie closer together than two runs of ours.
    fn is_level(&self, figures: &Figures) -> bool {
        let within = |(ratio, a_a): (f64, f64)| (ratio - 1.0).abs() * 100.0 <= a_a;
        figures.ratio.zip(self.a_a_pct).is_some_and(within)
    }

    /// The ratio to another side as it is printed.
    fn ratio(&self, figures: Option<&Figures>) -> String {
        let Some(figures) = figures else { return "-".to_owned() };
        let mark = if self.is_level(figures) { "~" } else { "" };
        figures.ratio.map_or("-".to_owned(), |ratio| format!("{mark}{ratio:.2}"))
    }
}

fn best(others: &[Figures]) -> Option<String> {
    let rivals = others.iter().filter(|figures| figures.side != Side::Bare.name());
    let known = rivals.filter_map(|figures| Some((figures.median?, &figures.side)));
    known.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, side)| side.clone())
}

const HEADERS: [&str; 10] = [
    "bench",
    "unit",
    "corelane",
    "spread",
    "A/A",
    "best rival",
    "median",
    "spread",
    "corelane/rival",
    "corelane/bare",
];

const LEGEND: &str = "\
medians; smaller is better; below 1.00 corelane is ahead, ~ means within the A/A spread
";

/// A line for each benchmark with its best rival, then all sides of each, and what they mean.
pub(crate) fn render(rows: &[Row], ascii: bool) -> String {
    let mut table = table(ascii, &HEADERS);
    for row in rows {
        let rival = row.best_rival.as_deref().and_then(|side| row.other(side));
        add(
            &mut table,
            2,
            [
                row.name.clone(),
                row.unit.clone(),
                number(row.corelane.median),
                percent(row.corelane.spread_pct),
                percent(row.a_a_pct),
                row.best_rival.clone().unwrap_or("-".to_owned()),
                number(rival.and_then(|rival| rival.median)),
                percent(rival.and_then(|rival| rival.spread_pct)),
                row.ratio(rival),
                row.ratio(row.other(Side::Bare.name())),
            ],
        );
    }
    let mut text = format!("{table}\n{LEGEND}");
    for row in rows {
        text.push_str(&format!("  {:16} {}\n", row.name, row.what));
    }
    if rows.iter().any(|row| row.others.len() > 1) {
        text.push_str(&format!("\n{}\n", everybody(rows, ascii)));
    }
    if let Some(table) = times(rows, ascii) {
        let table = table.to_string();
        let table = if ascii { to_ascii(&table) } else { table };
        text.push_str(&format!("\n{table}\n{TIMES_LEGEND}"));
    }
    text + &super::costs::render(rows, ascii) + &reasons(rows)
}

/// Of what times are taken one by one, and of whom to look at the clock takes most: its name and the percentage.
pub(crate) fn heaviest_overhead(rows: &[Row]) -> Option<(String, f64)> {
    let sides = rows.iter().flat_map(|row| row.sides().map(move |figures| (row, figures)));
    let known = sides.filter_map(|(row, figures)| {
        Some((format!("{} on {}", row.name, figures.side), figures.overhead_pct?))
    });
    known.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

const TIMES_HEADERS: [&str; 8] = ["bench", "side", "times", "p50", "p90", "p99", "max", "clock"];

const TIMES_LEGEND: &str =
    "single times of all samples; clock is the share of a look at it in their mean\n";

/// How the single times of those benchmarks lie that take them.
fn times(rows: &[Row], ascii: bool) -> Option<Table> {
    let mut table = table(ascii, &TIMES_HEADERS);
    let mut is_empty = true;
    for row in rows {
        for figures in row.sides() {
            let Some(times) = &figures.times else { continue };
            let value = |value: Option<u64>| value.map_or("-".to_owned(), format_ns);
            let [p50, p90, p99] = ["50", "90", "99"].map(|name| value(times.percentile(name)));
            let (count, clock) = (times.count.to_string(), percent(figures.overhead_pct));
            let (name, side) = (row.name.clone(), figures.side.clone());
            add(&mut table, 2, [name, side, count, p50, p90, p99, value(times.max_ns), clock]);
            is_empty = false;
        }
    }
    (!is_empty).then_some(table)
}

const SIDE_HEADERS: [&str; 8] =
    ["bench", "side", "median", "deviation", "min", "max", "corelane/side", "unit"];

/// All sides of all benchmarks, the best first.
fn everybody(rows: &[Row], ascii: bool) -> Table {
    let mut table = table(ascii, &SIDE_HEADERS);
    for row in rows {
        let mut sides: Vec<&Figures> = row.others.iter().chain([&row.corelane]).collect();
        sides.sort_by(|a, b| {
            let key = |figures: &Figures| figures.median.unwrap_or(f64::INFINITY);
            key(a).total_cmp(&key(b))
        });
        for (place, figures) in sides.into_iter().enumerate() {
            let ours = figures.side == row.corelane.side;
            add(
                &mut table,
                2,
                [
                    if place == 0 { row.name.clone() } else { String::new() },
                    figures.side.clone(),
                    figures
                        .median
                        .map_or("not available".to_owned(), |median| number(Some(median))),
                    number(figures.median_deviation),
                    number(figures.best),
                    number(figures.worst),
                    if ours { String::new() } else { row.ratio(Some(figures)) },
                    row.unit.clone(),
                ],
            );
        }
    }
    table
}

/// A line for each side that gave no samples.
fn reasons(rows: &[Row]) -> String {
    let sides = rows.iter().flat_map(|row| row.sides().map(move |figures| (&row.name, figures)));
    let lines = sides.filter_map(|(name, figures)| {
        let reason = figures.not_available.as_ref()?;
        Some(format!("  {name} on {}: not available: {reason}\n", figures.side))
    });
    lines.collect()
}

pub(super) fn table(ascii: bool, headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(if ascii {
        presets::ASCII_FULL_CONDENSED
    } else {
        presets::UTF8_FULL_CONDENSED
    });
    let centred = |text: &&str| Cell::new(*text).set_alignment(CellAlignment::Center);
    table.set_header(headers.iter().map(centred));
    table
}

/// Adds a row whose first `words` cells, and those without digits, are words.
pub(super) fn add(table: &mut Table, words: usize, cells: impl IntoIterator<Item = String>) {
    table.add_row(cells.into_iter().enumerate().map(|(column, text)| {
        let left = column < words || text.starts_with(|first: char| first.is_ascii_alphabetic());
        let alignment = if left { CellAlignment::Left } else { CellAlignment::Right };
        Cell::new(text).set_alignment(alignment)
    }));
}

pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 9.995 => format!("{value:.2}"),
        Some(value) if value < 99.95 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |percent| format!("{percent:.0} %"))
}

#[cfg(test)]
mod tests;
