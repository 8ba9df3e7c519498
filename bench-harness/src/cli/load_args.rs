//! Options that `run` and `attack` share, and the way from a result to the screen.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Exit, catch_interrupts};
use crate::clock;
use crate::console::Console;
use crate::files::{Files, curves};
use crate::generator::Pacing;
use crate::layout::Layout;
use crate::phases::{self, Aim, LoadPlan, RatePlan, RunOutcome, RunPlan};
use crate::plan::Arrival;
use crate::point::{Conditions, Mode, PointSpec};
use crate::report::{intervals_csv, percentile_picture, render_table, write_json};
use crate::serve::{Target, Wire};
use crate::slo::Slo;
use crate::traffic::Traffic;
use crate::units;
use crate::verdict::Status;
use crate::workload::{KeyDistribution, MAX_KEY_BYTES, MIN_KEY_BYTES, SizeDistribution, Workload};

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table and a picture.
    Table,
    /// The content of result.json.
    Json,
    /// A line for each interval.
    Csv,
    /// Nothing.
    Quiet,
}

/// Whether requests wait for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoopMode {
    /// Requests leave when they are due.
    Open,
    /// A request leaves when an answer has made room.
    Closed,
}

/// Options of a load.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Whether requests wait for answers [default: open if a rate is given, else closed]
    #[arg(long, value_enum)]
    mode: Option<LoopMode>,
    /// Requests a second: 50k, 0.5/s, or 60% of what a closed-loop probe reaches; repeatable
    #[arg(short, long, value_parser = units::rate)]
    rate: Vec<RatePlan>,
    /// Spacing of the requests of an open loop: constant, poisson, uniform:SPREAD (gaps differ by up
    /// to that share of their mean) or burst:COUNT (so many at once)
    #[arg(long, default_value = "constant", value_parser = units::arrival)]
    arrival: Arrival,
    /// Connections, divided among the load threads
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Requests on their way per connection [default: 64 in an open loop, 1 in a closed one and in HTTP]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    depth: Option<u32>,
    /// Measured time of each load point [default: 10s, or 5s for the quick look]
    #[arg(short, long, value_parser = units::positive_duration)]
    duration: Option<Duration>,
    /// Time before it under the same load [default: 1s, or 600ms for the quick look]
    #[arg(long, value_parser = units::duration)]
    warmup: Option<Duration>,
    /// How long answers are waited for at the end
    #[arg(long, default_value = "2s", value_parser = units::duration)]
    drain: Duration,
    /// A later answer counts as a timeout
    #[arg(long, default_value = "2s", value_parser = units::positive_duration)]
    timeout: Duration,
    /// How load threads wait for the next request [default: hybrid, sleep on a shared cpu]
    #[arg(long, value_enum)]
    pacing: Option<Pacing>,
    /// Seed of arrivals and keys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CPUs of the load threads, such as 0,2-3 [default: a third of the allowed cores]
    #[arg(long, value_parser = units::cpus)]
    pub(super) load_cpus: Option<units::CpuList>,
    /// Distinct keys
    #[arg(long, default_value = "100k", value_parser = units::count)]
    keys: u64,
    /// Bytes of a key
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(MIN_KEY_BYTES as i64..=MAX_KEY_BYTES as i64))]
    key_size: u8,
    /// Which keys are asked for: uniform, zipf:EXPONENT, hotspot:KEYS/REQUESTS (two shares),
    /// gauss:MEAN/DEVIATION (shares of the keyspace) or seq
    #[arg(long, default_value = "zipf:0.99", value_parser = units::key_distribution)]
    key_dist: KeyDistribution,
    /// Bytes of the values that are written: 64, uniform:16-1024, lognormal:MEDIAN/SIGMA,
    /// list:32=80,1024=20 (sizes and their parts) or file:PATH (one size a line, or SIZE PARTS)
    #[arg(long, default_value = "64", value_parser = units::sizes)]
    value_size: SizeDistribution,
    /// Parts of GET and SET
    #[arg(long, default_value = "get=9,set=1", value_parser = units::mix)]
    mix: (u32, u32),
    /// Do not write every key once before the run
    #[arg(long)]
    no_preload: bool,
    /// One in how many replies is compared with what was written, such as 1/1024 or off [default:
    /// 1/1024; off for a server of which nobody knows what is stored there]
    #[arg(long, value_parser = units::verify)]
    verify: Option<u32>,
    /// What an embedded HTTP server is asked for
    #[arg(long, default_value = "/")]
    path: String,
    /// Bytes of an echo frame
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(super) frame_size: u32,
    /// Length of the recorded intervals
    #[arg(long, default_value = "200ms", value_parser = units::positive_duration)]
    interval: Duration,
    /// How long to listen to the idle machine before the run
    #[arg(long, default_value = "300ms", value_parser = units::duration)]
    noise: Duration,
    /// Directory of the results [default: bench-out/TIME-NAME]
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Name of the run
    #[arg(long)]
    name: Option<String>,
    /// A label for whoever compares runs, as KEY=VALUE; repeatable
    #[arg(long, value_parser = units::label)]
    label: Vec<(String, String)>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// What every load point must keep, such as 'p99<1ms', 'service.max<5ms', 'rps>100k' or
    /// 'errors<=0'; if not, the exit code is 4; repeatable
    #[arg(long, value_parser = Slo::parse)]
    slo: Vec<Slo>,
    /// Draw no pictures
    #[arg(long)]
    no_svg: bool,
    /// Write no report.html
    #[arg(long)]
    no_html: bool,
    /// Write no files at all
    #[arg(long, conflicts_with = "out")]
    no_files: bool,
    /// Use only ASCII characters [default: where the output is no terminal]
    #[arg(long)]
    ascii: bool,
    /// Exit with 3 if a measurement is not valid
    #[arg(long)]
    strict: bool,
    /// Allow a load point to last longer than ten minutes
    #[arg(long)]
    long: bool,
    /// How often an open loop is tried until it is valid.
    #[arg(skip = 1_u32)]
    tries: u32,
}

/// Longer runs need `--long`, so that a slip of the finger does not load a server for hours.
const MAX_DURATION: Duration = Duration::from_secs(600);

/// Requests on their way, over all connections.
const MAX_IN_FLIGHT: u64 = 1_000_000;

/// Every interval of every metric is kept until the end of a load point.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Depth of open loops: deep enough that the window is full only when the server is stuck.
const OPEN_DEPTH: u32 = 64;

/// One in so many replies is verified unless another share is asked for.
const VERIFY_EVERY: u32 = 1_024;

/// Length of a closed-loop probe.
const PROBE: Duration = Duration::from_millis(1_500);

impl LoadArgs {
    /// The two points of the quick look, which is to end within half a minute.
    pub(super) fn make_quick(&mut self) {
        self.rate = vec![RatePlan::OfProbe(50.0), RatePlan::OfProbe(80.0)];
        self.name.get_or_insert_with(|| "quick".to_owned());
        self.duration.get_or_insert(Duration::from_secs(5));
        self.warmup.get_or_insert(Duration::from_millis(600));
        self.tries = 2;
    }

    /// The rates as they were given.
    pub(super) fn rates(&self) -> &[RatePlan] {
        &self.rate
    }

    /// Chooses the rates, and the name of a run that has none.
    pub(super) fn set_rates(&mut self, rates: Vec<RatePlan>, name: &str) {
        self.rate = rates;
        self.name.get_or_insert_with(|| name.to_owned());
    }

    /// How requests are spaced.
    pub(super) fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// The seed of everything.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// What a search for a rate has no use for, if it was given.
    pub(super) fn not_for_search(&self) -> Option<&'static str> {
        [("--rate", !self.rate.is_empty()), ("--mode", self.mode.is_some())]
            .into_iter()
            .chain([("--duration", self.duration.is_some())])
            .find_map(|(name, given)| given.then_some(name))
    }

    /// Whether there is a condition.
    pub(super) fn has_slo(&self) -> bool {
        !self.slo.is_empty()
    }

    fn loads(&self) -> Result<Vec<LoadPlan>, String> {
        match (self.mode, self.rate.is_empty()) {
            (None | Some(LoopMode::Closed), true) => Ok(vec![LoadPlan::Closed]),
            (Some(LoopMode::Closed), false) => Err("a closed loop has no rate".to_owned()),
            (Some(LoopMode::Open), true) => Err("an open loop needs --rate".to_owned()),
            (None | Some(LoopMode::Open), false) => {
                Ok(self.rate.iter().map(|rate| LoadPlan::Open(*rate, self.arrival)).collect())
            }
        }
    }

    /// Turns the options into a plan. `page` is the host and the path that HTTP asks for.
    ///
    /// # Errors
    /// A text for the user, if options contradict each other.
    pub(super) fn plan(
        &self,
        aim: Aim,
        wire: Wire,
        page: Option<(String, String)>,
        layout: &Layout,
    ) -> Result<RunPlan, String> {
        let loads = self.loads()?;
        let duration = self.duration.unwrap_or(Duration::from_secs(10));
        if duration > MAX_DURATION && !self.long {
            return Err("more than ten minutes need --long".to_owned());
        }
        if self.interval < MIN_INTERVAL {
            return Err("an interval is at least 10ms long".to_owned());
        }
        // Few servers take a second HTTP/1 request before they have answered the first.
        let default_depth = if wire == Wire::Http { 1 } else { OPEN_DEPTH };
        let depth = self.depth.unwrap_or(default_depth);
        if u64::from(depth) * u64::from(self.connections) > MAX_IN_FLIGHT {
            return Err("more than a million requests on their way at once".to_owned());
        }
        let traffic = self.traffic(&aim, wire, page)?;
        let name = self.name.clone().unwrap_or_else(|| match &aim {
            Aim::Embedded(spec) => spec.target.to_string(),
            Aim::External { .. } => "attack".to_owned(),
        });
        let default_pacing = if layout.shared { Pacing::Sleep } else { Pacing::Hybrid };
        Ok(RunPlan {
            labels: BTreeMap::from_iter(self.label.iter().cloned()),
            aim,
            loads,
            point: PointSpec {
                label: String::new(),
                mode: Mode::Closed,
                traffic,
                connections: self.connections as usize,
                depth: depth as usize,
                warmup: self.warmup.unwrap_or(Duration::from_secs(1)),
                duration,
                drain: self.drain,
                timeout: self.timeout,
                pacing: self.pacing.unwrap_or(default_pacing),
                interval: self.interval,
                seed: self.seed,
            },
            closed_depth: self.depth.unwrap_or(1) as usize,
            tries: self.tries,
            probe: PROBE,
            noise: self.noise,
            preload: !self.no_preload,
            out: (!self.no_files).then(|| self.directory(&name)),
            files: Files { svg: !self.no_svg, html: !self.no_html && !self.no_svg },
            slos: self.slo.clone(),
            name,
        })
    }

    fn traffic(
        &self,
        aim: &Aim,
        wire: Wire,
        page: Option<(String, String)>,
    ) -> Result<Traffic, String> {
        let knows_nothing = matches!(aim, Aim::Embedded(spec) if spec.target == Target::Synthetic);
        let unknown = wire != Wire::Echo && (self.no_preload || knows_nothing);
        let verify_every = self.verify.unwrap_or(if unknown { 0 } else { VERIFY_EVERY });
        if wire == Wire::Echo {
            return Ok(Traffic::Echo { frame_bytes: self.frame_size as usize, verify_every });
        }
        if wire == Wire::Http {
            let (host, path) = page.unwrap_or_else(|| ("localhost".to_owned(), self.path.clone()));
            if !path.starts_with('/') || path.contains(char::is_whitespace) {
                return Err(format!("a path begins with / and has no blanks: {path:?}"));
            }
            return Ok(Traffic::Http { host, path });
        }
        let keys = u32::try_from(self.keys).ok().filter(|keys| (1..=100_000_000).contains(keys));
        let workload = Workload {
            keys: keys.ok_or("between one and 100 million keys are possible")?,
            key_bytes: usize::from(self.key_size),
            distribution: self.key_dist,
            sizes: self.value_size.clone(),
            get_parts: self.mix.0,
            set_parts: self.mix.1,
            verify_every,
        };
        Ok(if wire == Wire::Memcache {
            Traffic::Memcache(workload)
        } else {
            Traffic::Resp(workload)
        })
    }

    fn directory(&self, name: &str) -> PathBuf {
        let stamp = clock::utc_stamp(clock::unix_ns());
        let default = || PathBuf::from("bench-out").join(format!("{stamp}-{name}"));
        self.out.clone().unwrap_or_else(default)
    }

    /// Runs a plan and prints what came of it.
    ///
    /// # Errors
    /// If nothing could be measured or the result cannot be printed.
    pub(super) fn execute(&self, plan: &RunPlan, layout: Layout) -> io::Result<Exit> {
        let interrupted = catch_interrupts()?;
        let conditions = Conditions {
            layout,
            hiccup_us: None,
            began_ns: clock::now_ns(),
            interrupted: std::sync::Arc::clone(&interrupted),
        };
        let console = Console::new(self.format == Format::Quiet);
        let outcome = phases::run(plan, conditions, &console)?;
        self.present(plan, &outcome, interrupted.load(Ordering::Relaxed))
    }

    /// Prints what came of a plan.
    ///
    /// # Errors
    /// If the standard output is closed.
    pub(super) fn present(
        &self,
        plan: &RunPlan,
        outcome: &RunOutcome,
        interrupted: bool,
    ) -> io::Result<Exit> {
        match self.format {
            Format::Table => print_table(outcome, self.ascii)?,
            Format::Json => write_json(&mut stdout().lock(), &outcome.result)?,
            Format::Csv => {
                stdout().lock().write_all(intervals_csv(&outcome.recorded).as_bytes())?;
            }
            Format::Quiet => {}
        }
        if let Some(out) = plan.out.as_deref().filter(|_| self.format == Format::Table) {
            let names: Vec<&str> = outcome.result.artifacts.names().collect();
            println!("wrote {}/  result.json {}", out.display(), names.join(" "));
        }
        Ok(self.judge(outcome, interrupted))
    }

    fn judge(&self, outcome: &RunOutcome, interrupted: bool) -> Exit {
        let points = &outcome.result.points;
        if let Some(failure) = &outcome.failure {
            eprintln!("error: {failure}");
            return Exit::Failed;
        }
        if let Some(point) = points.iter().find(|point| !point.balanced) {
            eprintln!("error: the ledger of {} does not balance: {:?}", point.label, point.ledger);
            return Exit::Failed;
        }
        if let Some(point) = points.iter().find(|point| point.connections.wrong_replies > 0) {
            let reason = point.connections.reason.as_deref().unwrap_or_default();
            eprintln!("error: {} was answered wrongly: {reason}", point.label);
            return Exit::Failed;
        }
        if interrupted {
            return Exit::Interrupted;
        }
        let is_valid = |status| matches!(status, Status::Valid | Status::Capacity);
        if self.strict && points.iter().any(|point| !is_valid(point.verdict.status)) {
            return Exit::Invalid;
        }
        // The trials of a search are there to miss a condition; its bracket is the answer.
        if outcome.result.bracket.is_some() {
            return Exit::Done;
        }
        let missed = points.iter().flat_map(|point| {
            point.slo.iter().filter(|slo| !slo.holds).map(|slo| (&point.label, slo))
        });
        let mut exit = Exit::Done;
        for (label, slo) in missed {
            let measured = slo.measured.as_deref().unwrap_or("too few samples to tell");
            eprintln!("missed: {label}: {} ({measured})", slo.condition);
            exit = Exit::SloMissed;
        }
        exit
    }
}

/// Prints table and picture.
///
/// # Errors
/// If the standard output is closed.
pub(super) fn print_table(outcome: &RunOutcome, ascii: bool) -> io::Result<()> {
    let ascii = ascii || !stdout().is_terminal();
    let mut out = stdout().lock();
    writeln!(out, "\n{}", render_table(&outcome.result, ascii))?;
    out.write_all(percentile_picture(&curves(&outcome.recorded), ascii).as_bytes())
}
