//! Whether two configurations differ: the results of whole runs, held against each other.
//!
//! The effect is the logarithm of a ratio, so that twice as slow and twice as fast are alike far from
//! nothing. Paired runs (`ab`) are judged by their differences, several runs of each side by the two
//! groups, and one run of each only within the runs, which cannot see what differs from run to run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use comfy_table::{Cell, CellAlignment, Table, presets};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::overlay::overlay;
use crate::record::Metric as Distribution;
use crate::report::{Point, Recorded, RunResult, format_ns, format_rate, load};
use crate::statistics::rank::{Estimate, mann_whitney, paired, unpaired};
use crate::statistics::{Blocks, median};
use crate::verdict::Status;

/// Name and version of the layout of a comparison as JSON.
pub(crate) const SCHEMA: &str = "corelane.bench.compare/1";

/// What is compared of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Metric {
    /// Answers a second.
    Rps,
    /// Median of the response.
    P50,
    /// 90th percentile.
    P90,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    #[value(name = "p99.9")]
    P999,
}

impl Metric {
    /// Its name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::Rps => "rps",
            Metric::P50 => "p50",
            Metric::P90 => "p90",
            Metric::P99 => "p99",
            Metric::P999 => "p99.9",
        }
    }

    fn of(self, point: &Point) -> Option<f64> {
        let value = match self {
            Metric::Rps => Some(point.achieved_rps),
            _ => point.response.percentile(&self.name()[1..]).map(|ns| ns as f64),
        };
        value.filter(|value| *value > 0.0)
    }

    fn percentile(self) -> Option<f64> {
        self.name().strip_prefix('p')?.parse().ok()
    }

    /// How much worse a change of the logarithm by one is.
    fn worse(self) -> f64 {
        if self == Metric::Rps { -1.0 } else { 1.0 }
    }

    fn format(self, value: f64) -> String {
        if self == Metric::Rps { format_rate(value) } else { format_ns(value.round() as u64) }
    }
}

/// What counts as a change.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Limits {
    /// A smaller change, as a share, does not matter.
    pub(crate) threshold: f64,
    /// What two runs of the very same thing may differ by here, as a share, for each metric.
    pub(crate) floors: Vec<(String, f64)>,
}

impl Limits {
    fn floor(&self, metric: Metric) -> f64 {
        let known = self.floors.iter().find(|(name, _)| name == metric.name());
        known.map_or(DEFAULT_FLOOR, |(_, floor)| *floor)
    }
}

/// The noise floor where none was measured.
const DEFAULT_FLOOR: f64 = 0.03;

/// With six pairs a change of 10 % is found in more than 95 of 100 cases at 3 % noise; with five, not
/// quite.
pub(crate) const DEFAULT_PAIRS: usize = 6;

/// What became of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// B is worse than A by more than the threshold and the noise floor.
    Worse,
    /// B is better, likewise.
    Better,
    /// They differ by less than the threshold, for sure.
    Same,
    /// The runs do not tell.
    Unclear,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Worse => "worse",
            Change::Better => "better",
            Change::Same => "same",
            Change::Unclear => "unclear",
        }
    }
}

/// One metric of one load point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Comparison {
    /// The load point, as A calls it.
    pub(crate) point: String,
    /// `rps` or a percentile of the response.
    pub(crate) metric: String,
    /// Median over the runs of A, in nanoseconds or requests a second.
    pub(crate) a: f64,
    /// Median over the runs of B.
    pub(crate) b: f64,
    /// Change from A to B in percent; above zero where B has more.
    pub(crate) change_pct: f64,
    /// Its 95 % confidence interval.
    pub(crate) ci95_pct: (f64, f64),
    /// How likely a difference like this is if A and B are the same: by exchanging A and B within the
    /// pairs, or by Mann and Whitney; `null` for single runs.
    pub(crate) p: Option<f64>,
    /// The verdict.
    pub(crate) verdict: Change,
    /// About how many pairs would tell, if the verdict is unclear.
    pub(crate) pairs_needed: Option<u64>,
}

/// A whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CompareResult {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// Runs of A and of B.
    pub(crate) runs: (usize, usize),
    /// `paired`, `groups`, or `within-run`: how the intervals were found.
    pub(crate) method: String,
    /// A change below this share does not matter.
    pub(crate) threshold: f64,
    /// Load points in runs of either side whose verdict is invalid.
    pub(crate) invalid_points: usize,
    /// Every metric of every load point.
    pub(crate) comparisons: Vec<Comparison>,
}

/// A run that was read back.
pub(crate) struct Run {
    /// Its result.
    pub(crate) result: RunResult,
    recorded: Vec<Recorded>,
}

impl Run {
    /// Reads a run directory, or the `result.json` in one.
    ///
    /// # Errors
    /// If it holds no recording that can be read.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let is_file = path.file_name().is_some_and(|name| name == "result.json");
        let directory: PathBuf =
            if is_file { path.parent().unwrap_or(path).to_owned() } else { path.to_owned() };
        let directory =
            if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let (result, recorded) = load(&directory)?;
        Ok(Run { result, recorded })
    }

    fn blocks(&self, point: &Point) -> Option<Blocks> {
        let recorded = self.recorded.iter().find(|one| one.point.hlog == point.hlog)?;
        Some(Blocks::new(recorded.recording.span(Distribution::Response), Distribution::Response))
    }
}

/// How two sets of runs belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    /// The n-th of A ran beside the n-th of B.
    Pairs,
    /// Two groups, or one run of each.
    Groups,
}

/// Compares every metric of every load point.
///
/// # Errors
/// A text for the user, if the runs do not have the same number of load points.
pub(crate) fn compare(
    a: &[Run],
    b: &[Run],
    pairing: Pairing,
    metrics: &[Metric],
    limits: &Limits,
) -> Result<CompareResult, String> {
    let points = a.first().map_or(0, |run| run.result.points.len());
    let differs = |run: &&Run| run.result.points.len() != points;
    if let Some(other) = a.iter().chain(b).find(differs) {
        return Err(format!(
            "{} has {} load points and {} has {points}: compare runs of one command",
            other.result.id,
            other.result.points.len(),
            a[0].result.id
        ));
    }
    let method = match (pairing, a.len() > 1 && b.len() > 1) {
        (Pairing::Pairs, _) => "paired",
        (Pairing::Groups, true) => "groups",
        (Pairing::Groups, false) => "within-run",
    };
    let mut comparisons = Vec::new();
    for index in 0..points {
        for metric in metrics {
            let values = |runs: &[Run]| -> Vec<Option<f64>> {
                runs.iter().map(|run| metric.of(&run.result.points[index])).collect()
            };
            let (of_a, of_b) = (values(a), values(b));
            let estimate = match method {
                "paired" => from_pairs(&of_a, &of_b),
                "groups" => from_groups(&of_a, &of_b),
                _ => within(&a[0], &b[0], index, *metric).map(|estimate| (estimate, None)),
            };
            let Some((estimate, p)) = estimate else { continue };
            let point = &a[0].result.points[index].label;
            comparisons.push(judged(point, *metric, (of_a, of_b), estimate, p, limits));
        }
    }
    let invalid = |run: &Run| {
        run.result.points.iter().filter(|p| p.verdict.status == Status::Invalid).count()
    };
    Ok(CompareResult {
        schema: SCHEMA.to_owned(),
        runs: (a.len(), b.len()),
        method: method.to_owned(),
        threshold: limits.threshold,
        invalid_points: a.iter().chain(b).map(invalid).sum(),
        comparisons,
    })
}

type Values = Vec<Option<f64>>;
type Found = Option<(Estimate, Option<f64>)>;

fn from_pairs(a: &Values, b: &Values) -> Found {
    let logs: Vec<f64> = a.iter().zip(b).filter_map(|(a, b)| Some(((*b)? / (*a)?).ln())).collect();
    paired(&logs).map(|(estimate, p)| (estimate, Some(p)))
}

fn from_groups(a: &Values, b: &Values) -> Found {
    let logs = |values: &Values| values.iter().flatten().map(|v| v.ln()).collect::<Vec<_>>();
    let (a, b) = (logs(a), logs(b));
    unpaired(&a, &b).map(|estimate| (estimate, mann_whitney(&a, &b)))
}

/// The change between two runs with the interval that their own blocks vouch for.
fn within(a: &Run, b: &Run, index: usize, metric: Metric) -> Option<Estimate> {
    let (point_a, point_b) = (&a.result.points[index], &b.result.points[index]);
    let value = (metric.of(point_b)? / metric.of(point_a)?).ln();
    let (blocks_a, blocks_b) = (a.blocks(point_a)?, b.blocks(point_b)?);
    let (low, high) = Blocks::ratio_interval(&blocks_a, &blocks_b, metric.percentile(), 1)?;
    // A percentile moves in steps of its buckets, which the interval may end short of.
    Some(Estimate { value, low: low.min(value), high: high.max(value) })
}

fn judged(
    point: &str,
    metric: Metric,
    (a, b): (Values, Values),
    estimate: Estimate,
    p: Option<f64>,
    limits: &Limits,
) -> Comparison {
    let middle = |values: Values| {
        median(&mut values.into_iter().flatten().collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let percent = |log: f64| (log.exp() - 1.0) * 100.0;
    let pairs = a.len().min(b.len());
    let verdict = change(estimate, metric.worse(), limits.threshold, limits.floor(metric));
    let half = (estimate.high - estimate.low) / 2.0;
    let pairs_needed = (verdict == Change::Unclear && pairs > 1)
        .then(|| more_pairs(pairs as u64, half, (1.0 + limits.threshold).ln()));
    Comparison {
        point: point.to_owned(),
        metric: metric.name().to_owned(),
        a: middle(a),
        b: middle(b),
        change_pct: percent(estimate.value),
        ci95_pct: (percent(estimate.low), percent(estimate.high)),
        p,
        verdict,
        pairs_needed,
    }
}

/// The verdict on a change of the logarithm; `worse` is 1 where more is worse and -1 where it is
/// better.
pub(crate) fn change(estimate: Estimate, worse: f64, threshold: f64, floor: f64) -> Change {
    let matters = (1.0 + threshold.max(floor)).ln();
    let differs = estimate.low > 0.0 || estimate.high < 0.0;
    if differs && estimate.value.abs() > matters {
        return if estimate.value * worse > 0.0 { Change::Worse } else { Change::Better };
    }
    let limit = (1.0 + threshold).ln();
    if estimate.low > -limit && estimate.high < limit { Change::Same } else { Change::Unclear }
}

/// The interval shrinks with the square root of the pairs; half the threshold is narrow enough.
fn more_pairs(pairs: u64, half: f64, limit: f64) -> u64 {
    let factor = (half / (limit / 2.0)).powi(2).clamp(1.0, 1e6);
    ((pairs as f64 * factor).ceil() as u64).max(pairs + 1)
}

impl CompareResult {
    /// Whether some metric became worse.
    pub(crate) fn regressed(&self) -> bool {
        self.comparisons.iter().any(|one| one.verdict == Change::Worse)
    }

    /// Whether some metric cannot be judged.
    pub(crate) fn inconclusive(&self) -> bool {
        self.comparisons.is_empty()
            || self.comparisons.iter().any(|one| one.verdict == Change::Unclear)
    }

    /// Of the metrics that became worse or better here, keeps the verdict only where `again`, made of
    /// other runs, agrees.
    pub(crate) fn confirmed_by(&mut self, again: &CompareResult) {
        for one in &mut self.comparisons {
            let other = again
                .comparisons
                .iter()
                .find(|other| other.point == one.point && other.metric == one.metric);
            let decided = matches!(one.verdict, Change::Worse | Change::Better);
            if decided && other.is_none_or(|other| other.verdict != one.verdict) {
                one.verdict = Change::Unclear;
            }
        }
    }

    /// As a table for people.
    pub(crate) fn table(&self, ascii: bool) -> String {
        let mut table = Table::new();
        let style =
            if ascii { presets::ASCII_FULL_CONDENSED } else { presets::UTF8_FULL_CONDENSED };
        table.load_style(style);
        table.set_header(HEADERS);
        for one in &self.comparisons {
            let cells = one.cells().into_iter().enumerate().map(|(column, text)| {
                let words = column < 2 || column == HEADERS.len() - 1;
                let side = if words { CellAlignment::Left } else { CellAlignment::Right };
                Cell::new(text).set_alignment(side)
            });
            table.add_row(cells);
        }
        let text = format!("{table}\n{}", self.remarks());
        if ascii { crate::report::to_ascii(&text) } else { text }
    }

    /// As a table for a page in markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|---|---|--:|--:|--:|--:|--:|---|\n", HEADERS.join(" | "));
        for one in &self.comparisons {
            let _ = writeln!(text, "| {} |", one.cells().join(" | "));
        }
        text.push('\n');
        text.push_str(&self.remarks());
        text
    }

    fn remarks(&self) -> String {
        let mut text = match self.method.as_str() {
            "paired" => format!("{} interleaved pairs", self.runs.0),
            "groups" => format!("{} runs of A, {} of B", self.runs.0, self.runs.1),
            _ => "one run of each: within-run only, cannot see run-to-run noise; \
                  for a verdict compare several runs, or use ab"
                .to_owned(),
        };
        let _ = writeln!(text, " · changes below {:.1} % do not matter", self.threshold * 100.0);
        if self.invalid_points > 0 {
            let count = self.invalid_points;
            let _ =
                writeln!(text, "{count} load points of these runs are invalid: see their reports");
        }
        text
    }
}

const HEADERS: [&str; 8] = ["load", "metric", "A", "B", "change", "95 % CI", "p", "verdict"];

impl Comparison {
    fn cells(&self) -> Vec<String> {
        let metric = [Metric::Rps, Metric::P50, Metric::P90, Metric::P99, Metric::P999]
            .into_iter()
            .find(|metric| metric.name() == self.metric)
            .unwrap_or(Metric::P50);
        let verdict = match self.pairs_needed {
            Some(pairs) => format!("{} (about {pairs} pairs may tell)", self.verdict.name()),
            None => self.verdict.name().to_owned(),
        };
        vec![
            self.point.clone(),
            self.metric.clone(),
            metric.format(self.a),
            metric.format(self.b),
            format!("{:+.1} %", self.change_pct),
            format!("[{:+.1}, {:+.1}]", self.ci95_pct.0, self.ci95_pct.1),
            self.p.map_or_else(|| "–".to_owned(), |p| format!("{p:.3}")),
            verdict,
        ]
    }
}

/// What two runs of the very same thing differed by, kept for later comparisons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoiseFloor {
    schema: String,
    floors: Vec<(String, f64)>,
}

const NOISE_SCHEMA: &str = "corelane.bench.noise/1";

impl NoiseFloor {
    /// The floor of each metric: what its interval reaches to, whatever the load point.
    pub(crate) fn of(result: &CompareResult) -> Self {
        let mut floors: Vec<(String, f64)> = Vec::new();
        for one in &result.comparisons {
            let reach = one.ci95_pct.0.abs().max(one.ci95_pct.1.abs()) / 100.0;
            match floors.iter_mut().find(|(name, _)| *name == one.metric) {
                Some((_, floor)) => *floor = floor.max(reach),
                None => floors.push((one.metric.clone(), reach)),
            }
        }
        NoiseFloor { schema: NOISE_SCHEMA.to_owned(), floors }
    }

    /// The floors by metric.
    pub(crate) fn into_floors(self) -> Vec<(String, f64)> {
        self.floors
    }

    /// Reads a file that `ab --save-noise` wrote.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let explain = |text: String| {
            let text = format!("{}: {text}; make one with ab --save-noise", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let text = fs::read(path).map_err(|error| explain(error.to_string()))?;
        let floor: Self =
            serde_json::from_slice(&text).map_err(|error| explain(error.to_string()))?;
        if floor.schema != NOISE_SCHEMA {
            return Err(explain(format!("schema {:?} instead of {NOISE_SCHEMA:?}", floor.schema)));
        }
        Ok(floor)
    }
}

mod overlay;
#[cfg(test)]
mod tests;
