//! A run as a list of phases, each of which leaves its trace in the result.
//!
//! ```text
//! doctor → noise → floor → server, preload → probe → points → files
//! ```
//! The probe is a closed loop that estimates the capacity; it runs if a rate is given in percent of
//! it. A point of the quick look that the machine spoiled is tried once more. The floor is a null server under the lightest load; it is printed, never subtracted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock;
use crate::console::Console;
use crate::doctor;
use crate::layout::Layout;
use crate::noise::{self, Noise};
use crate::plan::{Arrival, Rate};
use crate::point::{Conditions, Mode, PointSpec, run_point};
use crate::record::Metric;
use crate::report::{self, Artifacts, Floor, Recorded, RunResult, SCHEMA, Tool, Workload};
use crate::serve::{Server, ServerSpec, SyntheticSpec, Target, Wire};
use crate::subject::{Counting, Subject, preload};
use crate::verdict::{Status, Verdict};

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
        addr: std::net::SocketAddr,
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
    /// How long to listen to the machine before the run; zero for not at all.
    pub(crate) noise: Duration,
    /// Whether to fill the keyspace before the run, where there is one.
    pub(crate) preload: bool,
    /// Directory of the results; `None` for no files.
    pub(crate) out: Option<PathBuf>,
    /// Whether to draw pictures.
    pub(crate) svg: bool,
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
    mut conditions: Conditions,
    console: &Console,
) -> io::Result<RunOutcome> {
    let environment = doctor::examine();
    console.note(&format!("doctor   {}", environment.summary()));
    let started_unix_ns = clock::unix_ns();
    let id = format!("{}-{}", clock::utc_stamp(started_unix_ns), plan.name);
    let noise = listen(plan, &conditions.layout, console)?;
    conditions.hiccup_us = noise.iter().map(|noise| noise.max_us).reduce(f64::max);
    let floor = match &plan.aim {
        Aim::Embedded(spec) => Some(floor(plan, spec, &conditions, console)?),
        Aim::External { .. } => None,
    };
    let mut subject = prepare(plan, console)?;
    let mut result = RunResult {
        schema: SCHEMA.to_owned(),
        tool: Tool {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        id,
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
        artifacts: Artifacts::default(),
    };
    let mut recorded = Vec::new();
    let failure = measure(plan, &mut subject, &conditions, console, &mut recorded).err();
    let interrupted = conditions.interrupted.load(Ordering::Relaxed);
    result.complete = failure.is_none() && !interrupted;
    if let Some(out) = &plan.out {
        write_files(out, plan, &mut result, &mut recorded, started_unix_ns)?;
    }
    result.points = recorded.iter().map(|recorded| recorded.point.clone()).collect();
    Ok(RunOutcome { result, recorded, failure })
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
        warmup: FLOOR.1,
        traffic,
        ..plan.point.clone()
    };
    let recorded = run_point(&spec, &mut subject, conditions, &mut |_, _| {})?;
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
                Target::Http => Counting::Unknown,
                _ => Counting::Pipe,
            };
            Subject::embedded(Server::start(spec)?, counting)
        }
        Aim::External { addr, .. } => {
            let counting = match plan.point.traffic.wire() {
                Wire::Resp => Counting::Info,
                Wire::Memcache => Counting::Stats,
                Wire::Echo | Wire::Http => Counting::Unknown,
            };
            Subject::external(*addr, counting)
        }
    };
    if plan.preload && plan.point.traffic.workload().is_some() {
        console.status("writing the keys once");
        preload(subject.addr(), &plan.point.traffic)?;
    }
    Ok(subject)
}

fn measure(
    plan: &RunPlan,
    subject: &mut Subject,
    conditions: &Conditions,
    console: &Console,
    recorded: &mut Vec<Recorded>,
) -> io::Result<()> {
    let relative = |load: &LoadPlan| matches!(load, LoadPlan::Open(RatePlan::OfProbe(_), _));
    let mut capacity = None;
    if plan.loads.iter().any(relative) {
        let spec = PointSpec {
            label: "closed".to_owned(),
            mode: Mode::Closed,
            depth: plan.closed_depth,
            warmup: PROBE_WARMUP,
            duration: plan.probe,
            ..plan.point.clone()
        };
        capacity = Some(measure_point(&spec, subject, conditions, console, recorded)?);
    }
    for load in &plan.loads {
        if conditions.interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let spec = resolve(plan, *load, capacity)?;
        for attempt in 0..plan.tries {
            let before = recorded.len();
            measure_point(&spec, subject, conditions, console, recorded)?;
            keep_the_better(recorded, before, attempt);
            let Some(last) = recorded.last().filter(|_| attempt + 1 < plan.tries) else { break };
            let verdict = &last.point.verdict;
            if !worth_another_try(verdict) || conditions.interrupted.load(Ordering::Relaxed) {
                break;
            }
            let reasons = verdict.reasons.join("; ");
            console.note(&format!("{}: once more, because {reasons}", spec.label));
        }
    }
    Ok(())
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
            let rate =
                Rate::per_second(capacity.unwrap_or(0.0) * percent / 100.0).map_err(|error| {
                    io::Error::other(format!("the probe found no capacity: {error}"))
                })?;
            (format!("open {percent}%"), Mode::Open(rate, arrival), plan.point.depth)
        }
    };
    Ok(PointSpec { label, mode, depth, ..plan.point.clone() })
}

/// Runs one point and keeps it; returns what it achieved.
fn measure_point(
    spec: &PointSpec,
    subject: &mut Subject,
    conditions: &Conditions,
    console: &Console,
    recorded: &mut Vec<Recorded>,
) -> io::Result<f64> {
    let mut bar = console.bar(&spec.label, spec.warmup + spec.duration);
    let point = run_point(spec, subject, conditions, &mut |share, done| bar.set(share, done))?;
    bar.finish();
    let achieved = point.point.achieved_rps;
    let lost = point.point.connections.lost;
    let reason = point.point.connections.reason.clone().unwrap_or_default();
    recorded.push(point);
    if lost == spec.connections && lost > 0 {
        return Err(io::Error::other(format!("every connection was lost: {reason}")));
    }
    Ok(achieved)
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
    let description = format!(
        "{target}  {traffic} · {} connections{}",
        plan.point.connections,
        arrival.unwrap_or_default()
    );
    Workload { target, protocol: protocol.to_owned(), description }
}

fn write_files(
    out: &Path,
    plan: &RunPlan,
    result: &mut RunResult,
    recorded: &mut [Recorded],
    started_unix_ns: u64,
) -> io::Result<()> {
    fs::create_dir_all(out)?;
    let names = log_names(recorded);
    for (recorded, name) in recorded.iter_mut().zip(names) {
        let mut file = BufWriter::new(File::create(out.join(&name))?);
        let begin_unix_ns = started_unix_ns + (recorded.point.begin_s * 1e9) as u64;
        let comment = format!("{}: {}", result.workload.description, recorded.point.label);
        crate::hlog::write(&mut file, &recorded.recording, begin_unix_ns, &comment)?;
        file.flush()?;
        recorded.point.hlog = Some(name.clone());
        result.artifacts.hlog.push(name);
    }
    if plan.svg {
        result.artifacts.svg = write_pictures(out, &result.workload.description, recorded)?;
    }
    result.points = recorded.iter().map(|recorded| recorded.point.clone()).collect();
    let mut file = BufWriter::new(File::create(out.join("result.json"))?);
    report::write_json(&mut file, result)?;
    file.flush()
}

/// Draws what can be drawn and returns the names of the files.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write_pictures(
    out: &Path,
    title: &str,
    recorded: &[Recorded],
) -> io::Result<Vec<String>> {
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let names = ["latency.svg", "timeline.svg"];
    report::write_percentiles(&out.join(names[0]), title, &curves(recorded))?;
    report::write_timeline(&out.join(names[1]), title, recorded)?;
    Ok(names.map(str::to_owned).to_vec())
}

/// The response of each point under its label; that of an invalid point says so.
pub(crate) fn curves(recorded: &[Recorded]) -> Vec<(String, hdrhistogram::Histogram<u64>)> {
    recorded
        .iter()
        .map(|recorded| {
            let point = &recorded.point;
            let mark = if point.verdict.status == Status::Invalid { " (invalid)" } else { "" };
            (format!("{}{mark}", point.label), recorded.recording.total(Metric::Response))
        })
        .collect()
}

/// A file name for the log of each point, made of its label; the same load run twice gets a number.
fn log_names(recorded: &[Recorded]) -> Vec<String> {
    if recorded.len() == 1 {
        return vec!["latency.hlog".to_owned()];
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let mut names: Vec<String> = Vec::with_capacity(recorded.len());
    for recorded in recorded {
        let stem: String = recorded.point.label.chars().map(plain).collect();
        let stem = stem.trim_matches('-');
        let mut name = format!("{stem}.hlog");
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{stem}-{number}.hlog");
            number += 1;
        }
        names.push(name);
    }
    names
}
