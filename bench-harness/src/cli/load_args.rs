//! Options that `run` and `attack` share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::look::Look;
use crate::clock;
use crate::files::Files;
use crate::generator::Pacing;
use crate::layout::Layout;
use crate::phases::{Aim, LoadPlan, RatePlan, RunPlan};
use crate::plan::Arrival;
use crate::point::{Mode, PointSpec};
use crate::serve::{Target, Wire};
use crate::slo::Slo;
use crate::traffic::Traffic;
use crate::units::{self, StartAt};
use crate::warmup::Warmup;
use crate::workload::{
    KeyDistribution, MAX_KEY_BYTES, MIN_KEY_BYTES, Remote, SizeDistribution, Workload,
};

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
    /// What an HTTP server is asked for, where no URL says so [default: /]
    #[arg(long)]
    path: Option<String>,
    /// Bytes of an echo frame
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    pub(super) frame_size: u32,
    /// Share of the requests that another shard answers than the one that reads them, for the embedded kv and hop
    /// [default: 50% of hop; what the keys make of it of kv]
    #[arg(long, value_name = "PERCENT", value_parser = units::whole_percent)]
    remote: Option<u32>,
    /// Length of the recorded intervals; where there would be more than 512 it doubles
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
    pub(super) format: Format,
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
    #[command(flatten)]
    pub(super) look: Look,
    /// Exit with 3 if a measurement is not valid
    #[arg(long)]
    pub(super) strict: bool,
    /// Allow a load point to last longer than ten minutes
    #[arg(long)]
    long: bool,
    /// How often an open loop is tried until it is valid.
    #[arg(skip = 1_u32)]
    tries: u32,
}

/// Longer runs need `--long`, so that a slip of the finger does not load a server for hours.
const MAX_DURATION: Duration = Duration::from_secs(600);

/// The longest that `--long` allows: a month.
const MAX_LONG: Duration = Duration::from_secs(31 * 86_400);

/// Requests on their way, over all connections.
const MAX_IN_FLIGHT: u64 = 1_000_000;

/// Shorter ones cost more than they tell.
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
        self.name.get_or_insert_with(|| name.to_owned());
    }

    /// The path that was asked for, if any was.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
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
        !self.slo.is_empty()
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
        if self.interval < MIN_INTERVAL {
            return Err("an interval is at least 10ms long".to_owned());
        }
        // Few servers take a second HTTP/1 request before they have answered the first.
        let default_depth = if wire == Wire::Http { 1 } else { OPEN_DEPTH };
        let depth = self.depth.unwrap_or(default_depth);
        if u64::from(depth) * u64::from(self.connections) > MAX_IN_FLIGHT {
            return Err(format!(
                "{} connections with {depth} requests each are more than a million on their way at once; see \
                 --connections and --depth",
                self.connections
            ));
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
                requests_each: self.reconnect,
                ramp: self.ramp,
                warmup: self.warmup.unwrap_or(Warmup::Automatic),
                duration,
                requests: self.requests,
                think: self.think,
                begin_ns: None,
                drain: self.drain,
                timeout: self.timeout,
                pacing: self.pacing.unwrap_or(default_pacing),
                interval: self.interval,
                seed: self.seed,
                percentiles: self.look.percentiles(),
            },
            begin_unix_ns: self.begin_unix_ns(),
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

    fn traffic(
        &self,
        aim: &Aim,
        wire: Wire,
        page: Option<(String, String)>,
    ) -> Result<Traffic, String> {
        let knows_nothing = matches!(aim, Aim::Embedded(spec) if spec.target == Target::Synthetic);
        let unknown = wire != Wire::Echo && (self.no_preload || knows_nothing);
        let verify_every = self.verify.unwrap_or(if unknown { 0 } else { VERIFY_EVERY });
        let hops = matches!(aim, Aim::Embedded(spec) if spec.target == Target::Hop);
        if hops {
            return Ok(Traffic::Hop { remote_percent: self.remote.unwrap_or(50) });
        }
        let remote = self.remote.map(|percent| self.remote(percent, aim)).transpose()?;
        if wire == Wire::Echo {
            return Ok(Traffic::Echo { frame_bytes: self.frame_size as usize, verify_every });
        }
        if wire == Wire::Http {
            let (host, path) = page.unwrap_or_else(|| {
                let path = self.path.clone().unwrap_or_else(|| "/".to_owned());
                ("localhost".to_owned(), path)
            });
            if !path.starts_with('/') || path.contains(char::is_whitespace) {
                return Err(format!("a path begins with / and has no blanks: {path:?}"));
            }
            let one_each = self.reconnect == Some(1);
            return Ok(Traffic::Http { host, path, one_each });
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
            remote,
        };
        if let Some(shard) = remote.and_then(|remote| without_keys(&workload, remote.shards)) {
            return Err(format!(
                "with --keys {} shard {shard} has none; --remote needs more",
                self.keys
            ));
        }
        Ok(if wire == Wire::Memcache {
            Traffic::Memcache(workload)
        } else {
            Traffic::Resp(workload)
        })
    }

    /// What `--remote` means for the embedded key-value server.
    fn remote(&self, percent: u32, aim: &Aim) -> Result<Remote, String> {
        let shards = match aim {
            Aim::Embedded(spec) if spec.target == Target::Kv => spec.cpus.len(),
            _ => {
                let text = "--remote is for the embedded kv and hop: where others have their keys is not known";
                return Err(text.to_owned());
            }
        };
        if self.reconnect.is_some() {
            let text =
                "--remote asks each connection for its shard before the run; leave out --reconnect";
            return Err(text.to_owned());
        }
        let several = u16::try_from(shards).ok().filter(|shards| *shards > 1);
        let shards = several
            .ok_or("--remote needs two shards, for example --server-cpus 0,1 with --load-cpus 0")?;
        Ok(Remote { percent, shards })
    }

    fn directory(&self, name: &str) -> PathBuf {
        let stamp = clock::utc_stamp(clock::unix_ns());
        let default = || PathBuf::from("bench-out").join(format!("{stamp}-{name}"));
        self.out.clone().unwrap_or_else(default)
    }
}

/// A shard that no key belongs to.
fn without_keys(workload: &Workload, shards: u16) -> Option<u16> {
    let mut missing: BTreeSet<u16> = (0..shards).collect();
    for owner in workload.owners(shards) {
        missing.remove(&owner);
        if missing.is_empty() {
            break;
        }
    }
    missing.first().copied()
}
