//! `result.json`: everything about a run but its histograms, which are in the interval logs.
//!
//! Times are integer nanoseconds unless the name says otherwise. What is not known is `null`, never
//! a number that means it. Fields may be added; a change of meaning gets a new schema number.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::doctor::Environment;
use crate::hops::{Breakdown, Split};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::noise::Noise;
use crate::record::DIGITS;
use crate::search::Bracket;
use crate::slo::SloResult;
use crate::statistics::{PERCENTILES, Percentile, min_samples};
use crate::verdict::Verdict;

/// Name and version of the layout of `result.json`.
pub(crate) const SCHEMA: &str = "corelane.bench.result/1";

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RunResult {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// What measured.
    pub(crate) tool: Tool,
    /// Start time and name.
    pub(crate) id: String,
    /// Name of the run.
    pub(crate) name: String,
    /// Labels given on the command line.
    pub(crate) labels: BTreeMap<String, String>,
    /// False if the run was interrupted or failed.
    pub(crate) complete: bool,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Seconds since 1970.
    pub(crate) started_unix: f64,
    /// Seed of arrivals and keys.
    pub(crate) seed: u64,
    /// The machine.
    pub(crate) environment: Environment,
    /// Who ran where.
    pub(crate) layout: Layout,
    /// What was asked for.
    pub(crate) workload: Workload,
    /// What the machine took from spinning threads before the run.
    pub(crate) noise: Vec<Noise>,
    /// What network and generator take alone; `null` for a server that somebody else runs.
    pub(crate) floor: Option<Floor>,
    /// The load points in the order in which they ran.
    pub(crate) points: Vec<Point>,
    /// What `max-rate` found; `null` for other commands.
    #[serde(default)]
    pub(crate) bracket: Option<Bracket>,
    /// The other files, relative to the directory of this one.
    pub(crate) artifacts: Artifacts,
}

/// Name and version of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
}

/// What the requests were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Workload {
    /// Which server, or its address.
    pub(crate) target: String,
    /// `echo`, `resp`, `http` or `memcache`.
    pub(crate) protocol: String,
    /// One line for a reader.
    pub(crate) description: String,
}

/// A null server under the lightest load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Floor {
    /// Median.
    pub(crate) p50_ns: Option<u64>,
    /// 99th percentile.
    pub(crate) p99_ns: Option<u64>,
}

/// One load point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Point {
    /// Its name in the table.
    pub(crate) label: String,
    /// `open` or `closed`.
    pub(crate) mode: String,
    /// `constant`, `poisson`, `uniform:…` or `burst:…`; `null` for a closed loop.
    pub(crate) arrival: Option<String>,
    /// Requests a second by plan; `null` for a closed loop.
    pub(crate) offered_rps: Option<f64>,
    /// Requests a second answered within the measured time.
    pub(crate) achieved_rps: f64,
    /// Measured time in seconds.
    pub(crate) duration_s: f64,
    /// Time before it in seconds, whose requests are tagged `warmup`.
    pub(crate) warmup_s: f64,
    /// Length of the recorded intervals.
    pub(crate) interval_ns: u64,
    /// Seconds from the start of the run to the first interval.
    pub(crate) begin_s: f64,
    /// Asked for, established, lost.
    pub(crate) connections: Connections,
    /// Requests on their way per connection.
    pub(crate) depth: usize,
    /// Significant digits of the recorded latencies.
    #[serde(default = "digits")]
    pub(crate) digits: u8,
    /// What became of each request.
    pub(crate) ledger: Ledger,
    /// Whether the ledger balances.
    pub(crate) balanced: bool,
    /// From the intended start to the last byte; for a closed loop the same as the service.
    pub(crate) response: Summary,
    /// From the sending to the last byte.
    pub(crate) service: Summary,
    /// Waiting for a place in a window.
    pub(crate) client_queue: Summary,
    /// The generator's own lateness.
    pub(crate) generator_lag: Summary,
    /// Coefficient of variation of the gaps between sends; `null` with several load threads and in a closed loop.
    pub(crate) send_gap_cv: Option<f64>,
    /// Where the time of requests goes that another shard answers; `null` if the server does not tell.
    #[serde(default)]
    pub(crate) hops: Option<Breakdown>,
    /// Responses by who answers, where `--remote` chooses that.
    #[serde(default)]
    pub(crate) split: Option<Split>,
    /// The embedded server's shards.
    pub(crate) server: Vec<ShardUse>,
    /// The load threads together.
    pub(crate) generator: GeneratorUse,
    /// Share of all CPU time that the hypervisor took.
    pub(crate) steal: Option<f64>,
    /// Time for which the cgroup's quota stopped this process.
    pub(crate) throttled_us: Option<u64>,
    /// Whether the first half of the run was like the second.
    pub(crate) stationary: Stationary,
    /// Whether it counts.
    pub(crate) verdict: Verdict,
    /// The conditions that were asked for.
    #[serde(default)]
    pub(crate) slo: Vec<SloResult>,
    /// Its interval log.
    pub(crate) hlog: Option<String>,
}

/// Those of recordings that do not say.
fn digits() -> u8 {
    DIGITS
}

/// Connections of a load point.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Connections {
    /// Asked for.
    pub(crate) asked: usize,
    /// Made before the run; of one whose connections are opened anew, those that there are at any moment.
    pub(crate) established: usize,
    /// After so many requests each ends and another is opened; `null` if they are for good.
    #[serde(default)]
    pub(crate) requests_each: Option<u64>,
    /// Begun during the run, in place of others; of these some may be among the lost ones.
    #[serde(default)]
    pub(crate) opened: u64,
    /// Broken before the end, or never there: those of the following five kinds, and others.
    pub(crate) lost: u64,
    /// Nobody listened.
    #[serde(default)]
    pub(crate) refused: u64,
    /// The server broke them off.
    #[serde(default)]
    pub(crate) reset: u64,
    /// The server closed them before it had answered.
    #[serde(default)]
    pub(crate) closed: u64,
    /// What the server sent is no reply to the request.
    #[serde(default)]
    pub(crate) wrong_replies: u64,
    /// The generator had no port or descriptor left for them.
    #[serde(default)]
    pub(crate) unopened: u64,
    /// Why the first one broke.
    pub(crate) reason: Option<String>,
}

impl Connections {
    /// Adds another generator's.
    pub(crate) fn add(&mut self, more: &Connections) {
        self.asked += more.asked;
        self.established += more.established;
        self.requests_each = self.requests_each.or(more.requests_each);
        self.opened += more.opened;
        self.lost += more.lost;
        self.refused += more.refused;
        self.reset += more.reset;
        self.closed += more.closed;
        self.wrong_replies += more.wrong_replies;
        self.unopened += more.unopened;
        if self.reason.is_none() {
            self.reason.clone_from(&more.reason);
        }
    }
}

/// A distribution in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Summary {
    /// Samples.
    pub(crate) count: u64,
    /// Mean.
    pub(crate) mean_ns: Option<f64>,
    /// Standard deviation.
    pub(crate) stdev_ns: Option<f64>,
    /// Smallest.
    pub(crate) min_ns: Option<u64>,
    /// Largest.
    pub(crate) max_ns: Option<u64>,
    /// Samples above the largest value that a histogram holds.
    pub(crate) overflow: u64,
    /// Percentiles; `null` where there are too few samples.
    pub(crate) percentiles: BTreeMap<String, Option<u64>>,
    /// 95 % confidence intervals of some percentiles.
    pub(crate) ci95: BTreeMap<String, (u64, u64)>,
    /// Samples that are the ages of requests without an answer.
    pub(crate) censored: u64,
    /// Percentiles from here on are lower bounds, because a censored sample lies below them.
    pub(crate) lower_bound_from_ns: Option<u64>,
}

impl Summary {
    /// The numbers of a histogram. Intervals and censoring are added by those who know them.
    pub(crate) fn new(histogram: &Histogram<u64>) -> Self {
        let count = histogram.len();
        let some = |value: u64| (count > 0).then_some(value);
        let percentiles = PERCENTILES.iter().map(|(name, percentile)| {
            let enough = count >= min_samples(*percentile);
            let value = enough.then(|| histogram.value_at_percentile(*percentile));
            ((*name).to_owned(), value)
        });
        Summary {
            count,
            mean_ns: (count > 0).then(|| histogram.mean()),
            stdev_ns: (count > 1).then(|| histogram.stdev()),
            min_ns: some(histogram.min()),
            max_ns: some(histogram.max()),
            percentiles: percentiles.collect(),
            ..Summary::default()
        }
    }

    /// The same, with more percentiles.
    pub(crate) fn with(histogram: &Histogram<u64>, more: &[Percentile]) -> Self {
        let mut summary = Summary::new(histogram);
        for Percentile { name, value } in more {
            let enough = summary.count >= min_samples(*value);
            let found = enough.then(|| histogram.value_at_percentile(*value));
            summary.percentiles.insert(name.clone(), found);
        }
        summary
    }

    /// A percentile by its name; `None` if there are too few samples.
    pub(crate) fn percentile(&self, name: &str) -> Option<u64> {
        self.percentiles.get(name).copied().flatten()
    }

    /// Whether a value is only a lower bound of the truth.
    pub(crate) fn is_lower_bound(&self, value_ns: u64) -> bool {
        self.lower_bound_from_ns.is_some_and(|least_ns| value_ns >= least_ns)
    }
}

/// What a shard used while it was measured, warm-up included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShardUse {
    /// Its number.
    pub(crate) shard: usize,
    /// Its CPU.
    pub(crate) cpu: Option<usize>,
    /// Share of the time on a CPU.
    pub(crate) busy: f64,
    /// CPU time in user mode for each request of the whole server.
    pub(crate) user_ns_per_req: Option<f64>,
    /// CPU time in kernel mode for each request of the whole server.
    pub(crate) sys_ns_per_req: Option<f64>,
    /// Times the kernel took the CPU away.
    pub(crate) ctx_involuntary: u64,
}

/// What the load threads used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GeneratorUse {
    /// Their CPUs.
    pub(crate) cpus: Vec<usize>,
    /// Share of the time on a CPU, averaged over the threads.
    pub(crate) busy: Option<f64>,
    /// The longest turn of a load loop, waiting not counted.
    pub(crate) loop_gap_max_us: f64,
}

/// How the two halves of a run compare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stationary {
    /// The medians are alike.
    pub(crate) ok: bool,
    /// Change of the median in percent.
    pub(crate) drift_p50_pct: Option<f64>,
    /// Change of the 99th percentile in percent.
    pub(crate) drift_p99_pct: Option<f64>,
}

/// Files beside `result.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Artifacts {
    /// Interval logs, one for each load point.
    pub(crate) hlog: Vec<String>,
    /// Percentile tables, one for each load point.
    #[serde(default)]
    pub(crate) hgrm: Vec<String>,
    /// Intervals as CSV.
    #[serde(default)]
    pub(crate) csv: Vec<String>,
    /// Pictures.
    pub(crate) svg: Vec<String>,
    /// The page with everything.
    #[serde(default)]
    pub(crate) html: Vec<String>,
}

impl Artifacts {
    /// Every file.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.hlog, &self.hgrm, &self.csv, &self.svg, &self.html];
        lists.into_iter().flatten().map(String::as_str)
    }
}

/// Writes the result as indented JSON.
///
/// # Errors
/// As the writer.
pub(crate) fn write_json(out: &mut impl io::Write, result: &RunResult) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, result)?;
    out.write_all(b"\n")
}

/// Reads a run directory: the result and, for each point, its recording.
///
/// # Errors
/// If a file is missing, damaged, or of another schema.
pub(crate) fn load(directory: &Path) -> io::Result<(RunResult, Vec<Recorded>)> {
    let path = directory.join("result.json");
    let explain = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let text = std::fs::read(&path).map_err(|error| {
        explain(&path, &format!("{error}; the directory of a run is wanted, as --out names it"))
    })?;
    let result: RunResult =
        serde_json::from_slice(&text).map_err(|error| explain(&path, &error))?;
    if result.schema != SCHEMA {
        return Err(explain(&path, &format!("schema {:?} instead of {SCHEMA:?}", result.schema)));
    }
    let mut recorded = Vec::with_capacity(result.points.len());
    for point in &result.points {
        let Some(name) = &point.hlog else { continue };
        let path = directory.join(name);
        let recording = std::fs::read(&path)
            .and_then(|log| crate::hlog::read(&log, point.interval_ns))
            .map_err(|error| explain(&path, &error))?;
        recorded.push(Recorded { point: point.clone(), recording });
    }
    Ok((result, recorded))
}

#[cfg(test)]
mod tests;
