//! Options that `run` and `attack` share.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::output_args::OutputArgs;
use super::placement_args::PlacementArgs;
use super::workload_args::WorkloadArgs;
use crate::clock;
use crate::generator::Pacing;
use crate::layout::Layout;
use crate::phases::{Aim, LoadPlan, RatePlan, RunPlan};
use crate::plan::Arrival;
use crate::point::{Mode, PointSpec};
use crate::serve::Wire;
use crate::units::{self, StartAt};
use crate::warmup::Warmup;

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
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Whether requests wait for answers [default: open if a rate is given, else closed]
    #[arg(long, value_enum)]
    mode: Option<LoopMode>,
    /// Requests a second: 50k, 0.5/s, or 60% of what a closed-loop probe reaches; repeatable
    #[arg(short, long, value_parser = units::rate, allow_negative_numbers = true)]
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
    /// End each connection after so many requests, and open another for the next: 1 is a connection for each request.
    /// To open it is a part of that request's time; how many are refused, reset or closed is counted
    #[arg(long, value_name = "REQUESTS", value_parser = units::positive_count)]
    reconnect: Option<u64>,
    /// Measured time of each load point [default: 10s, or 5s for the quick look]
    #[arg(short, long, value_parser = units::positive_duration)]
    duration: Option<Duration>,
    /// So many measured requests end each load point; those of the warm-up come before them
    #[arg(short = 'n', long, conflicts_with = "duration", value_parser = units::positive_count)]
    requests: Option<u64>,
    /// Time under the same load before anything is measured; auto: until it is steady, 3s at most
    /// [default: auto, or 600ms for the quick look]
    #[arg(long, value_parser = units::warmup)]
    warmup: Option<Warmup>,
    /// Time before the warm-up in which the rate of an open loop rises evenly, or the connections of a
    /// closed one begin one after the other
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    ramp: Duration,
    /// How long each user of a closed loop thinks between an answer and its next request
    #[arg(long, default_value = "0s", value_parser = units::duration)]
    think: Duration,
    /// When the first request is due, for several generators that begin together: seconds since 1970,
    /// or a time from now such as +5s
    #[arg(long, value_name = "WHEN", value_parser = units::start_at)]
    start_at: Option<StartAt>,
    /// How long answers are waited for at the end
    #[arg(long, default_value = "2s", value_parser = units::duration)]
    drain: Duration,
    /// A later answer counts as a timeout
    #[arg(long, default_value = "2s", value_parser = units::positive_duration)]
    timeout: Duration,
    /// Seed of arrivals and keys
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests on their way at once, over all connections: more are refused before the run, as most of the time they
    /// are a slip of the finger. What finds no room waits in the generator, and is counted
    #[arg(long, value_name = "REQUESTS", default_value = "1M", value_parser = units::positive_count)]
    max_inflight: u64,
    /// Allow a load point to last longer than ten minutes
    #[arg(long)]
    long: bool,
    #[command(flatten)]
    pub(super) placement: PlacementArgs,
    #[command(flatten)]
    pub(super) workload: WorkloadArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// How often an open loop is tried until it is valid.
    #[arg(skip = 1_u32)]
    tries: u32,
}

/// Longer runs need `--long`, so that a slip of the finger does not load a server for hours.
const MAX_DURATION: Duration = Duration::from_secs(600);

/// The longest that `--long` allows: a month.
const MAX_LONG: Duration = Duration::from_secs(31 * 86_400);

/// Depth of open loops: deep enough that the window is full only when the server is stuck.
const OPEN_DEPTH: u32 = 64;

/// Length of a closed-loop probe.
const PROBE: Duration = Duration::from_millis(1_500);

impl LoadArgs {
    /// The two points of the quick look, which is to end within half a minute.
    pub(super) fn make_quick(&mut self) {
        self.rate = vec![RatePlan::OfProbe(50.0), RatePlan::OfProbe(80.0)];
        self.output.name_it("quick");
        self.duration.get_or_insert(Duration::from_secs(5));
        self.warmup.get_or_insert(Warmup::Fixed(Duration::from_millis(600)));
        self.tries = 2;
    }

    /// The rates as they were given.
    pub(super) fn rates(&self) -> &[RatePlan] {
        &self.rate
    }

    /// Chooses the rates, and the name of a run that has none.
    pub(super) fn set_rates(&mut self, rates: Vec<RatePlan>, name: &str) {
        self.rate = rates;
        self.output.name_it(name);
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
            .chain([
                ("--duration", self.duration.is_some()),
                ("--requests", self.requests.is_some()),
            ])
            .find_map(|(name, given)| given.then_some(name))
    }

    /// Whether there is a condition.
    pub(super) fn has_slo(&self) -> bool {
        !self.output.slos().is_empty()
    }

    fn loads(&self) -> Result<Vec<LoadPlan>, String> {
        match (self.mode, self.rate.is_empty()) {
            (None | Some(LoopMode::Closed), true) => Ok(vec![LoadPlan::Closed]),
            (Some(LoopMode::Closed), false) => {
                Err("a closed loop has no rate; leave out --rate, or --mode".to_owned())
            }
            (Some(LoopMode::Open), true) => {
                Err("an open loop needs a rate, such as --rate 10k or --rate 50%".to_owned())
            }
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
        let duration = self.length(&loads)?;
        self.check_thinking(&loads)?;
        let interval = self.output.interval()?;
        // Few servers take a second HTTP/1 request before they have answered the first.
        let default_depth = if wire == Wire::Http { 1 } else { OPEN_DEPTH };
        let depth = self.depth.unwrap_or(default_depth);
        self.check_window(depth)?;
        let traffic = self.workload.traffic(&aim, wire, page, self.reconnect)?;
        let default_name = match &aim {
            Aim::Embedded(spec) => spec.target.to_string(),
            Aim::External { .. } => "attack".to_owned(),
        };
        let name = self.output.name().map_or(default_name, str::to_owned);
        let default_pacing = if layout.shared { Pacing::Sleep } else { Pacing::Hybrid };
        Ok(RunPlan {
            labels: self.output.labels(),
            aim,
            loads,
            point: PointSpec {
                label: String::new(),
                mode: Mode::Closed,
                traffic,
                connections: self.connections as usize,
                depth: depth as usize,
                requests_each: self.reconnect,
                ramp: self.ramp,
                warmup: self.warmup.unwrap_or(Warmup::Automatic),
                duration,
                requests: self.requests,
                think: self.think,
                begin_ns: None,
                drain: self.drain,
                timeout: self.timeout,
                pacing: self.placement.pacing.unwrap_or(default_pacing),
                interval,
                digits: self.output.digits,
                seed: self.seed,
                percentiles: self.output.look.percentiles(),
            },
            begin_unix_ns: self.begin_unix_ns(),
            closed_depth: self.depth.unwrap_or(1) as usize,
            tries: self.tries,
            probe: PROBE,
            noise: self.placement.noise,
            preload: self.workload.preloads(),
            out: self.output.directory(&name),
            files: self.output.files(),
            slos: self.output.slos().to_vec(),
            name,
        })
    }

    /// How long a load point lasts; at most, if its requests are counted.
    fn length(&self, loads: &[LoadPlan]) -> Result<Duration, String> {
        let limit = if self.long { MAX_LONG } else { MAX_DURATION };
        let too_long = || Err("more than ten minutes need --long".to_owned());
        let Some(requests) = self.requests else {
            let duration = self.duration.unwrap_or(Duration::from_secs(10));
            return if duration > limit { too_long() } else { Ok(duration) };
        };
        let takes_too_long = |load: &LoadPlan| match load {
            LoadPlan::Open(RatePlan::Exact(rate), _) => {
                requests as f64 / rate.as_per_second() > limit.as_secs_f64()
            }
            _ => false,
        };
        if loads.iter().any(takes_too_long) { too_long() } else { Ok(limit) }
    }

    fn check_window(&self, depth: u32) -> Result<(), String> {
        let most = u64::from(depth) * u64::from(self.connections);
        if most > self.max_inflight {
            return Err(format!(
                "{} connections with {depth} requests each are up to {most} on their way at once, more than \
                 --max-inflight {} allows; take fewer --connections, less --depth, or raise it",
                self.connections, self.max_inflight
            ));
        }
        Ok(())
    }

    fn check_thinking(&self, loads: &[LoadPlan]) -> Result<(), String> {
        let thinks = !self.think.is_zero();
        if thinks && loads.iter().any(|load| *load != LoadPlan::Closed) {
            return Err(
                "--think is for closed loops: in an open one nobody waits for answers".to_owned()
            );
        }
        if thinks && self.depth.unwrap_or(1) > 1 {
            return Err("with --think there is one request on its way per connection".to_owned());
        }
        Ok(())
    }

    fn begin_unix_ns(&self) -> Option<u64> {
        self.start_at.map(|at| match at {
            StartAt::Unix(seconds) => (seconds * 1e9) as u64,
            StartAt::After(length) => clock::unix_ns().saturating_add(clock::ns(length)),
        })
    }
}
