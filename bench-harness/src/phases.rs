//! A run as a list of phases, each of which leaves its trace in the result.
//!
//! ```text
//! doctor → noise → floor → server, preload → probe → points → files
//! ```
//! The probe is a closed loop that estimates the capacity; it runs if a rate is given in percent of
//! it. A point of the quick look that the machine spoiled is tried once more. The floor is a null server under the lightest load; it is printed, never subtracted.

mod detail;
mod silence;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::console::Console;
use crate::doctor;
use crate::files::{self, Files, Made};
use crate::layout::Layout;
use crate::noise::{self, Noise};
use crate::peer::Peer;
use crate::plan::{Arrival, Rate};
use crate::point::{Conditions, Mode, PointSpec, run_point};
use crate::report::{self, Artifacts, Floor, Point, Recorded, RunResult, SCHEMA, Tool, Workload};
use crate::search::Bracket;
use crate::serve::{Server, ServerSpec, SyntheticSpec, Target, Wire};
use crate::slo::Slo;
use crate::subject::{Counting, Subject, preload};
use crate::verdict::{Status, Verdict};
use crate::warmup::Warmup;
use corelane_shards::Accept;

/// A rate as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RatePlan {
    /// So many requests a second.
    Exact(Rate),
    /// So many percent of what the probe reached.
    OfProbe(f64),
}

/// One load point as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LoadPlan {
    /// An open loop.
    Open(RatePlan, Arrival),
    /// A closed loop.
    Closed,
}

/// Whom to load.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Aim {
    /// A server of ours, started for the run.
    Embedded(ServerSpec),
    /// A server that runs already.
    External {
        /// As it was written on the command line.
        url: String,
        /// Its address.
        peer: Peer,
    },
}

/// Everything that a run needs to know.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    /// Name of the run.
    pub(crate) name: String,
    /// Labels for whoever compares runs.
    pub(crate) labels: BTreeMap<String, String>,
    /// Whom to load.
    pub(crate) aim: Aim,
    /// With how much.
    pub(crate) loads: Vec<LoadPlan>,
    /// What all points have in common; label and mode are filled in for each. The depth is that of
    /// open loops.
    pub(crate) point: PointSpec,
    /// Requests on their way per connection in closed loops.
    pub(crate) closed_depth: usize,
    /// How often an open loop is tried until it is valid. The machine may be quieter the next time;
    /// what was measured has no say in which try is kept.
    pub(crate) tries: u32,
    /// Length of the probe.
    pub(crate) probe: Duration,
    /// When the first point begins, in nanoseconds since 1970; as soon as possible if not given.
    pub(crate) begin_unix_ns: Option<u64>,
    /// How long to listen to the machine before the run; zero for not at all.
    pub(crate) noise: Duration,
    /// Whether to fill the keyspace before the run, where there is one.
    pub(crate) preload: bool,
    /// Directory of the results; `None` for no files.
    pub(crate) out: Option<PathBuf>,
    /// Which files to make beside the recording.
    pub(crate) files: Files,
    /// What every load point must keep.
    pub(crate) slos: Vec<Slo>,
}

/// What a run leaves behind.
pub(crate) struct RunOutcome {
    /// The result, as it stands in the file.
    pub(crate) result: RunResult,
    /// The points with their histograms.
    pub(crate) recorded: Vec<Recorded>,
    /// What ended the run before its time.
    pub(crate) failure: Option<io::Error>,
}

/// Length of the floor measurement and of its warm-up.
const FLOOR: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(100));

/// Warm-up of the probe.
const PROBE_WARMUP: Duration = Duration::from_millis(300);

/// Runs all phases. What was measured before a failure or an interruption is kept.
///
/// # Errors
/// If nothing could be measured: no server, no directory for the results, no threads.
pub(crate) fn run(
    plan: &RunPlan,
    conditions: Conditions,
    console: &Console,
) -> io::Result<RunOutcome> {
    let mut session = Session::open(plan, conditions, console)?;
    let failure = session.measure().err();
    session.finish(failure)
}

/// A server that is ready, and what was measured of it so far.
pub(crate) struct Session<'a> {
    plan: &'a RunPlan,
    console: &'a Console,
    conditions: Conditions,
    subject: Subject,
    /// Directories that were made for the results.
    made: Made,
    /// When the first point begins.
    begin_unix_ns: Option<u64>,
    result: RunResult,
    recorded: Vec<Recorded>,
}

impl<'a> Session<'a> {
    /// Looks at the machine, measures the floor and starts the server.
    ///
    /// # Errors
    /// If there is no server or no thread.
    pub(crate) fn open(
        plan: &'a RunPlan,
        mut conditions: Conditions,
        console: &'a Console,
    ) -> io::Result<Self> {
        let environment = doctor::examine()?;
        console.note(&format!("doctor   {}", environment.summary()));
        let started_unix_ns = clock::unix_ns();
        let noise = listen(plan, &conditions.layout, console)?;
        conditions.hiccup_us = noise.iter().map(|noise| noise.max_us).reduce(f64::max);
        let floor = match &plan.aim {
            Aim::Embedded(spec) => Some(floor(plan, spec, &conditions, console)?),
            Aim::External { .. } => None,
        };
        let subject = prepare(plan, console)?;
        console.detail(&detail::places(&conditions.layout, &subject));
        // Now, and not after minutes of measuring.
        let made =
            plan.out.as_deref().map_or_else(|| Ok(Made::default()), files::make_directory)?;
        let result = RunResult {
            schema: SCHEMA.to_owned(),
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            id: format!("{}-{}", clock::utc_stamp(started_unix_ns), plan.name),
            name: plan.name.clone(),
            labels: plan.labels.clone(),
            complete: false,
            command: std::env::args().collect(),
            started_unix: started_unix_ns as f64 / 1e9,
            seed: plan.point.seed,
            environment,
            layout: conditions.layout.clone(),
            workload: workload(plan),
            noise,
            floor,
            points: Vec::new(),
            bracket: None,
            artifacts: Artifacts::default(),
        };
        let (begin_unix_ns, recorded) = (plan.begin_unix_ns, Vec::new());
        Ok(Session { plan, console, conditions, subject, made, begin_unix_ns, result, recorded })
    }

    /// Whether a signal has asked to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.conditions.interrupted.load(Ordering::Relaxed)
    }

    /// Measures a closed loop; its rate.
    ///
    /// # Errors
    /// If the server is gone.
    pub(crate) fn probe(&mut self) -> io::Result<f64> {
        let plan = self.plan;
        self.point(&PointSpec {
            label: "closed".to_owned(),
            mode: Mode::Closed,
            depth: plan.closed_depth,
            warmup: Warmup::Fixed(PROBE_WARMUP),
            duration: plan.probe,
            requests: None,
            think: Duration::ZERO,
            ..plan.point.clone()
        })
    }

    /// Measures one point and keeps it; what it achieved.
    ///
    /// # Errors
    /// If the server is gone.
    pub(crate) fn point(&mut self, spec: &PointSpec) -> io::Result<f64> {
        let spec = &PointSpec { begin_ns: self.begin_ns()?, ..spec.clone() };
        self.console.detail(&detail::begins(spec));
        let mut bar = self.console.bar(&spec.label, bar_length(spec));
        let (subject, conditions) = (&mut self.subject, &self.conditions);
        let mut point = run_point(spec, subject, conditions, &mut |progress| bar.set(progress))?;
        bar.finish();
        self.console.detail(&detail::ended(&point.point));
        self.tell_of_coarser_intervals(spec, &point);
        let slos = self.plan.slos.iter().map(|slo| slo.check(&point.point));
        // A closed loop is the probe of an open one, or says how much and not how long.
        let has_slos = spec.mode != Mode::Closed || self.plan.loads.contains(&LoadPlan::Closed);
        point.point.slo = slos.filter(|_| has_slos).collect();
        let achieved = point.point.achieved_rps;
        let error = silence::error_of(spec, &point.point).filter(|_| !self.interrupted());
        self.recorded.push(point);
        error.map_or(Ok(achieved), Err)
    }

    /// When the first point begins, if that was asked for; `None` for all others.
    fn begin_ns(&mut self) -> io::Result<Option<u64>> {
        let Some(begin_unix_ns) = self.begin_unix_ns.take() else { return Ok(None) };
        let (now_ns, now_unix_ns) = (clock::now_ns(), clock::unix_ns());
        match begin_unix_ns.checked_sub(now_unix_ns) {
            Some(left_ns) => Ok(Some(now_ns + left_ns)),
            None => Err(io::Error::other(format!(
                "the time of --start-at had passed by {} when everything was ready",
                report::format_ns(now_unix_ns - begin_unix_ns)
            ))),
        }
    }

    fn tell_of_coarser_intervals(&self, spec: &PointSpec, point: &Recorded) {
        let interval_ns = point.recording.interval_ns;
        if interval_ns > clock::ns(spec.interval) {
            let length = report::format_ns(interval_ns);
            self.console.note(&format!("{}: intervals became {length} long", spec.label));
        }
    }

    /// What was measured last.
    pub(crate) fn last(&self) -> Option<&Point> {
        self.recorded.last().map(|recorded| &recorded.point)
    }

    /// Keeps what a search found.
    pub(crate) fn set_bracket(&mut self, bracket: Bracket) {
        self.result.bracket = Some(bracket);
    }

    fn measure(&mut self) -> io::Result<()> {
        let plan = self.plan;
        let relative = |load: &LoadPlan| matches!(load, LoadPlan::Open(RatePlan::OfProbe(_), _));
        let capacity = if plan.loads.iter().any(relative) { Some(self.probe()?) } else { None };
        for load in &plan.loads {
            if self.interrupted() {
                return Ok(());
            }
            let spec = resolve(plan, *load, capacity)?;
            for attempt in 0..plan.tries {
                let before = self.recorded.len();
                self.point(&spec)?;
                keep_the_better(&mut self.recorded, before, attempt);
                let Some(last) = self.last().filter(|_| attempt + 1 < plan.tries) else { break };
                if !worth_another_try(&last.verdict) || self.interrupted() {
                    break;
                }
                let reasons = last.verdict.reasons.join("; ");
                self.console.note(&format!("{}: once more, because {reasons}", spec.label));
            }
        }
        Ok(())
    }

    /// Ends the run and writes its files. A failure before anything was measured leaves none.
    ///
    /// # Errors
    /// If nothing was measured, or a file cannot be written.
    pub(crate) fn finish(mut self, failure: Option<io::Error>) -> io::Result<RunOutcome> {
        let failure = match failure {
            Some(failure) if self.recorded.is_empty() => {
                self.made.undo();
                return Err(failure);
            }
            other => other,
        };
        self.result.complete = failure.is_none() && !self.interrupted();
        if let Some(out) = &self.plan.out {
            self.plan.files.write(out, &mut self.result, &mut self.recorded)?;
        }
        self.result.points = self.recorded.iter().map(|recorded| recorded.point.clone()).collect();
        Ok(RunOutcome { result: self.result, recorded: self.recorded, failure })
    }
}

/// How long a bar is; nothing for a point whose end is not known.
fn bar_length(spec: &PointSpec) -> Duration {
    if spec.requests.is_some() { Duration::ZERO } else { spec.longest() }
}

fn listen(plan: &RunPlan, layout: &Layout, console: &Console) -> io::Result<Vec<Noise>> {
    if plan.noise.is_zero() {
        return Ok(Vec::new());
    }
    let mut cpus = [&layout.load_cpus[..], &layout.server_cpus[..]].concat();
    cpus.sort_unstable();
    cpus.dedup();
    let noise = noise::measure(&cpus, plan.noise)?;
    let each: Vec<String> = noise
        .iter()
        .map(|n| format!("cpu{} max {:.0} µs, {:.2} % lost", n.cpu, n.max_us, n.lost_ppm / 1e4))
        .collect();
    console.note(&format!("noise    {}", each.join(" · ")));
    Ok(noise)
}

/// The response of a null server: what the generator and the kernel take alone.
fn floor(
    plan: &RunPlan,
    server: &ServerSpec,
    conditions: &Conditions,
    console: &Console,
) -> io::Result<Floor> {
    let traffic = plan.point.traffic.clone().unverified();
    let (wire, frame_bytes) = (traffic.wire(), server.frame_bytes);
    let null = ServerSpec {
        target: Target::Synthetic,
        cpus: server.cpus.iter().take(1).copied().collect(),
        pin: server.pin,
        accept: Accept::default(),
        frame_bytes,
        synthetic: SyntheticSpec::null(wire, frame_bytes),
    };
    let mut subject = Subject::embedded(Server::start(&null)?, Counting::Pipe);
    let spec = PointSpec {
        label: "floor".to_owned(),
        mode: Mode::Closed,
        connections: 1,
        depth: 1,
        duration: FLOOR.0,
        requests: None,
        think: Duration::ZERO,
        ramp: Duration::ZERO,
        warmup: Warmup::Fixed(FLOOR.1),
        traffic,
        ..plan.point.clone()
    };
    let recorded = run_point(&spec, &mut subject, conditions, &mut |_| {})?;
    let service = &recorded.point.service;
    let floor = Floor { p50_ns: service.percentile("50"), p99_ns: service.percentile("99") };
    let text = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), report::format_ns);
    console.note(&format!(
        "floor    null server, 1 connection: p50 {}, p99 {}",
        text(floor.p50_ns),
        text(floor.p99_ns)
    ));
    Ok(floor)
}

/// Starts the server, or takes the address of one, and fills its keyspace.
fn prepare(plan: &RunPlan, console: &Console) -> io::Result<Subject> {
    let subject = match &plan.aim {
        Aim::Embedded(spec) => {
            let counting = match spec.target {
                Target::Kv => Counting::Info,
                target if target.is_http() => Counting::Unknown,
                _ => Counting::Pipe,
            };
            Subject::embedded(Server::start(spec)?, counting)
        }
        Aim::External { peer, .. } => {
            let counting = match plan.point.traffic.wire() {
                Wire::Resp => Counting::Info,
                Wire::Memcache => Counting::Stats,
                Wire::Echo | Wire::Http => Counting::Unknown,
            };
            Subject::external(peer.clone(), counting)
        }
    };
    if let Some(workload) = plan.point.traffic.workload().filter(|_| plan.preload) {
        let text = format!("preload  {} keys are written once; see --no-preload", workload.keys);
        match plan.aim {
            Aim::Embedded(_) => console.detail(&text),
            // What is not ours gets keys that somebody may wonder about.
            Aim::External { .. } => console.note(&text),
        }
        preload(subject.peer(), &plan.point.traffic)?;
    }
    Ok(subject)
}

/// A server that cannot keep up will not do so the next time.
fn worth_another_try(verdict: &Verdict) -> bool {
    verdict.status > Status::Valid && !verdict.overloaded
}

/// Of a point that was tried again, keeps the try with the better verdict, and the later of equals.
fn keep_the_better(recorded: &mut Vec<Recorded>, before: usize, attempt: u32) {
    if attempt == 0 || before == 0 || recorded.len() <= before {
        return;
    }
    let status = |index: usize| recorded[index].point.verdict.status;
    let worse = if status(before) <= status(before - 1) { before - 1 } else { before };
    recorded.remove(worse);
}

/// Turns percentages into rates.
fn resolve(plan: &RunPlan, load: LoadPlan, capacity: Option<f64>) -> io::Result<PointSpec> {
    let (label, mode, depth) = match load {
        LoadPlan::Closed => ("closed".to_owned(), Mode::Closed, plan.closed_depth),
        LoadPlan::Open(RatePlan::Exact(rate), arrival) => (
            format!("open {}", report::format_rate(rate.as_per_second()).replace(' ', "")),
            Mode::Open(rate, arrival),
            plan.point.depth,
        ),
        LoadPlan::Open(RatePlan::OfProbe(percent), arrival) => {
            let rate = share_of(capacity, percent)?;
            (format!("open {percent}%"), Mode::Open(rate, arrival), plan.point.depth)
        }
    };
    Ok(PointSpec { label, mode, depth, ..plan.point.clone() })
}

fn share_of(capacity: Option<f64>, percent: f64) -> io::Result<Rate> {
    Rate::per_second(capacity.unwrap_or(0.0) * percent / 100.0)
        .map_err(|error| io::Error::other(format!("the probe found no capacity: {error}")))
}

fn workload(plan: &RunPlan) -> Workload {
    let target = match &plan.aim {
        Aim::Embedded(spec) => spec.target.to_string(),
        Aim::External { url, .. } => url.clone(),
    };
    let (protocol, traffic) = (plan.point.traffic.wire().name(), plan.point.traffic.describe());
    let arrival = plan.loads.iter().find_map(|load| match load {
        LoadPlan::Open(_, arrival) => Some(format!(" · {arrival} arrivals")),
        LoadPlan::Closed => None,
    });
    let each = plan.point.requests_each.map(|count| format!(" of {count} requests each"));
    let description = format!(
        "{target}  {traffic} · {} connections{}{}",
        plan.point.connections,
        each.unwrap_or_default(),
        arrival.unwrap_or_default()
    );
    Workload { target, protocol: protocol.to_owned(), description }
}

#[cfg(test)]
mod tests;
