//! One load point: connect, warm up, measure, drain, and judge.

mod connect;
mod control;
mod doubts;

pub(crate) use control::Progress;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backlog::Backlog;
use crate::clock::{self, ns};
use crate::generator::{Censored, Generator, Load, Pacing, ThreadOutcome, Times, Work};
use crate::layout::Layout;
use crate::plan::{Arrival, Rate, Schedule};
use crate::poller::RealWorld;
use crate::record::{DIGITS, Intervals, Metric, Recording, recorders};
use crate::report::{Connections, GeneratorUse, Point, Recorded, ShardUse, Stationary, Summary};
use crate::statistics::{Percentile, drift_percent, percentile_interval};
use crate::subject::Subject;
use crate::threads;
use crate::traffic::Traffic;
use crate::usage::{Usage, Used};
use crate::verdict::{DRIFT_PERCENT, Evidence, Lag, judge};
use crate::warmup::Warmup;
use connect::connect;
use control::{Control, LOOK};
use doubts::with_doubts;

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// When the plan says so.
    Open(Rate, Arrival),
    /// When an answer has made room.
    Closed,
}

/// A load point to be run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PointSpec {
    /// Its name in the table.
    pub(crate) label: String,
    /// When requests are sent.
    pub(crate) mode: Mode,
    /// What they are.
    pub(crate) traffic: Traffic,
    /// Connections, divided among the load threads.
    pub(crate) connections: usize,
    /// Requests on their way per connection.
    pub(crate) depth: usize,
    /// After so many requests a connection ends, and the next request opens another.
    pub(crate) requests_each: Option<u64>,
    /// Time in which the load rises from nothing, before the warm-up.
    pub(crate) ramp: Duration,
    /// Time before the measurement, under the same load.
    pub(crate) warmup: Warmup,
    /// Measured time; the most it may last if requests are counted.
    pub(crate) duration: Duration,
    /// So many measured requests end the load point, if given.
    pub(crate) requests: Option<u64>,
    /// In a closed loop, from an answer to the next request of its connection.
    pub(crate) think: Duration,
    /// Monotonic time of the first request; as soon as possible if not given.
    pub(crate) begin_ns: Option<u64>,
    /// How long answers are waited for afterwards.
    pub(crate) drain: Duration,
    /// A later answer counts as a timeout.
    pub(crate) timeout: Duration,
    /// How the load threads wait.
    pub(crate) pacing: Pacing,
    /// Length of the recorded intervals.
    pub(crate) interval: Duration,
    /// Significant digits of what is recorded.
    pub(crate) digits: u8,
    /// Seed of arrivals and keys.
    pub(crate) seed: u64,
    /// Percentiles that are reported beside the usual ones.
    pub(crate) percentiles: Vec<Percentile>,
}

impl PointSpec {
    /// A load point of one second that verifies nothing, counts nothing and has nothing of what only a command line
    /// asks for; its name is for messages.
    pub(crate) fn new(label: &str, mode: Mode, traffic: Traffic) -> Self {
        PointSpec {
            label: label.to_owned(),
            mode,
            traffic,
            connections: 1,
            depth: 1,
            requests_each: None,
            ramp: Duration::ZERO,
            warmup: Warmup::Fixed(Duration::from_millis(200)),
            duration: Duration::from_secs(1),
            requests: None,
            think: Duration::ZERO,
            begin_ns: None,
            drain: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            pacing: Pacing::Hybrid,
            interval: Duration::from_millis(200),
            digits: DIGITS,
            seed: 1,
            percentiles: Vec::new(),
        }
    }

    /// The most that ramp, warm-up and measurement take.
    pub(crate) fn longest(&self) -> Duration {
        self.ramp + self.warmup.longest() + self.duration
    }
}

/// What all points of a run have in common.
#[derive(Debug, Clone)]
pub(crate) struct Conditions {
    /// Who runs where.
    pub(crate) layout: Layout,
    /// The longest gap seen on a used CPU before the run.
    pub(crate) hiccup_us: Option<f64>,
    /// Monotonic time at which the run began.
    pub(crate) began_ns: u64,
    /// Set by a signal: end early and keep what there is.
    pub(crate) interrupted: Arc<AtomicBool>,
}

impl Conditions {
    /// Those of a run that begins now on a machine that nobody has listened to.
    pub(crate) fn new(layout: Layout, interrupted: Arc<AtomicBool>) -> Self {
        Conditions { layout, hiccup_us: None, began_ns: clock::now_ns(), interrupted }
    }
}

/// Threads need this long to start before the first request is due.
const LEAD: Duration = Duration::from_millis(30);

/// Runs a load point. `progress` is told how far it is.
///
/// # Errors
/// If the server cannot be reached or a thread cannot be started. A server that dies during the run
/// is no error here: the point says so.
pub(crate) fn run_point(
    spec: &PointSpec,
    subject: &mut Subject,
    conditions: &Conditions,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<Recorded> {
    let threads = conditions.layout.load_cpus.len().clamp(1, spec.connections.max(1));
    let mut count_before = subject.count()?;
    let dealt = connect(spec, subject, threads)?;
    if spec.traffic.workload().is_some_and(|workload| workload.remote.is_some()) {
        // The connections have been asked for their shards.
        count_before = subject.count()?;
    }
    let encoders = spec.traffic.encoders(threads, spec.seed);
    let length_ns = ns(spec.interval).max(1);
    // Megabytes are written to for the first time here, before the clock is set.
    let (mut recorders, mut collector) =
        recorders(threads, Intervals { origin_ns: 0, length_ns, digits: spec.digits });
    let origin_ns = wait_for_begin(spec, conditions);
    let before = Usage::take(subject);
    let times = times(spec, origin_ns);
    recorders.iter_mut().for_each(|recorder| recorder.begin_at(origin_ns));
    let control = Control {
        times,
        measure_from: Arc::new(AtomicU64::new(match spec.warmup {
            Warmup::Fixed(_) => times.measure_ns,
            Warmup::Automatic => 0,
        })),
        stop: Arc::new(AtomicBool::new(false)),
    };

    let mut handles = Vec::with_capacity(threads);
    let shares = dealt.into_iter().zip(recorders).zip(encoders);
    for (thread, ((dealt, recorder), protocol)) in shares.enumerate() {
        let load = Load {
            world: RealWorld::new(&dealt.streams, subject.peer().clone())?,
            streams: dealt.streams,
            shards: dealt.shards,
            requests_each: spec.requests_each,
            depth: spec.depth,
            work: work(spec, times, (thread as u64, threads as u64)),
            protocol,
            recorder,
            times,
            timeout_ns: ns(spec.timeout),
            pacing: spec.pacing,
            measure_from: Arc::clone(&control.measure_from),
            stop: Arc::clone(&control.stop),
        };
        handles.push(start(load, conditions.layout.load_cpu(thread))?);
    }
    let times = control.collect(&mut collector, spec, &conditions.interrupted, progress);
    let (outcome, busiest) = join(handles)?;
    let used = before.until_now(subject);
    let measured_ns = measured_ns(spec, times, &outcome, &conditions.interrupted);
    let count_after = subject.count().unwrap_or(None);
    let executed = count_before.zip(count_after).and_then(|(before, after)| after.since(before));
    let server_hops = executed.and_then(|executed| executed.hops);
    let mut run = Run { spec, conditions, times, measured_ns, outcome, used, busiest, server_hops };
    let sent = run.outcome.ledger.sent;
    let count = executed.map(|executed| executed.requests);
    run.outcome.ledger.server_count = believed(count, subject.is_ours(), sent);
    let mut recording = collector.into_recording();
    if spec.mode == Mode::Closed {
        recording.take_response_for_service();
    }
    Ok(Recorded { point: run.point(&recording), recording })
}

/// When the first request is due: soon, or when all generators of a run begin together.
fn wait_for_begin(spec: &PointSpec, conditions: &Conditions) -> u64 {
    if let Some(begin_ns) = spec.begin_ns {
        while clock::now_ns().saturating_add(ns(LEAD)) < begin_ns {
            if conditions.interrupted.load(Ordering::Relaxed) {
                break;
            }
            let left_ns = begin_ns.saturating_sub(clock::now_ns() + ns(LEAD));
            threads::sleep(LOOK.min(Duration::from_nanos(left_ns)));
        }
    }
    (clock::now_ns() + ns(LEAD)).max(spec.begin_ns.unwrap_or(0))
}

/// How long the measurement took.
fn measured_ns(
    spec: &PointSpec,
    times: Times,
    outcome: &ThreadOutcome,
    interrupted: &AtomicBool,
) -> u64 {
    let until_ns = match (spec.requests, spec.mode) {
        _ if interrupted.load(Ordering::Relaxed) => clock::now_ns().min(times.end_ns),
        (None, _) => clock::now_ns().min(times.end_ns),
        (Some(_), Mode::Closed) => outcome.last_done_ns,
        (Some(requests), Mode::Open(rate, _)) => {
            let planned_ns = times.measure_ns.saturating_add(rate.offset_ns(requests));
            outcome.last_done_ns.max(planned_ns)
        }
    };
    until_ns.saturating_sub(times.measure_ns).max(1)
}

/// The times if the warm-up takes as long as it may.
fn times(spec: &PointSpec, start_ns: u64) -> Times {
    let measure_ns =
        start_ns.saturating_add(ns(spec.ramp)).saturating_add(ns(spec.warmup.longest()));
    let end_ns = measure_ns.saturating_add(ns(spec.duration));
    Times { start_ns, measure_ns, end_ns, drain_end_ns: end_ns.saturating_add(ns(spec.drain)) }
}

fn work(spec: &PointSpec, times: Times, (thread, threads): (u64, u64)) -> Work {
    match spec.mode {
        Mode::Closed => Work::Closed {
            requests: spec.requests.map_or(u64::MAX, |requests| {
                requests / threads + u64::from(thread < requests % threads)
            }),
            think_ns: ns(spec.think),
            ramp_ns: ns(spec.ramp),
        },
        Mode::Open(rate, arrival) => {
            let schedule = |end_ns, share| {
                let span = (times.start_ns, end_ns);
                Schedule::new(rate, arrival, spec.seed, span, share).ramped(ns(spec.ramp))
            };
            let backlog = Backlog::new(schedule(times.end_ns, (thread, threads)));
            Work::Open(match spec.requests {
                Some(requests) => backlog.counted(schedule(u64::MAX, (0, 1)), requests),
                None => backlog,
            })
        }
    }
}

fn start(load: Load<RealWorld>, cpu: Option<usize>) -> io::Result<JoinHandle<ThreadOutcome>> {
    threads::spawn("load", cpu, move || {
        threads::sharpen_timers();
        let mut outcome = Generator::new(load).run();
        outcome.cpu_ns = clock::thread_cpu_ns();
        outcome
    })
}

/// Adds up the threads' outcomes; also the CPU time of the busiest.
fn join(handles: Vec<JoinHandle<ThreadOutcome>>) -> io::Result<(ThreadOutcome, u64)> {
    let mut sum: Option<ThreadOutcome> = None;
    let mut busiest_ns = 0;
    for handle in handles {
        let outcome = handle.join().map_err(|_| io::Error::other("a load thread panicked"))?;
        busiest_ns = busiest_ns.max(outcome.cpu_ns);
        match &mut sum {
            Some(sum) => sum.add(outcome),
            None => sum = Some(outcome),
        }
    }
    Ok((sum.unwrap_or_default(), busiest_ns))
}

/// A load point that has run.
struct Run<'a> {
    spec: &'a PointSpec,
    conditions: &'a Conditions,
    times: Times,
    measured_ns: u64,
    outcome: ThreadOutcome,
    used: Used,
    busiest: u64,
    server_hops: Option<u64>,
}

impl Run<'_> {
    fn point(&self, recording: &Recording) -> Point {
        let spec = self.spec;
        let duration_s = self.measured_ns as f64 / 1e9;
        let (mode, arrival, offered_rps) = match spec.mode {
            Mode::Closed => ("closed", None, None),
            Mode::Open(rate, arrival) => {
                ("open", Some(arrival.to_string()), Some(rate.as_per_second()))
            }
        };
        let summary = |metric| self.summary(recording, metric);
        let response = self.response(recording);
        let client_queue = summary(Metric::ClientQueue);
        let generator_lag = summary(Metric::GeneratorLag);
        let stationary = stationary(recording);
        let achieved_rps = self.outcome.done_in_window as f64 / duration_s;
        let evidence = Evidence {
            offered: offered_rps.unwrap_or(achieved_rps),
            achieved: achieved_rps,
            lag: lag(&generator_lag),
            client_queue_p99_ns: client_queue.percentile("99").or(client_queue.max_ns),
            response_p50_ns: response.percentile("50"),
            response_p90_ns: response.percentile("90"),
            response_p99_ns: response.percentile("99"),
            drift_p50_percent: stationary.drift_p50_pct,
            ..self.evidence_without_histograms()
        };
        Point {
            label: spec.label.clone(),
            mode: mode.to_owned(),
            arrival,
            offered_rps,
            achieved_rps,
            duration_s,
            warmup_s: self.times.measure_ns.saturating_sub(self.times.start_ns) as f64 / 1e9,
            interval_ns: recording.interval_ns,
            begin_s: self.times.start_ns.saturating_sub(self.conditions.began_ns) as f64 / 1e9,
            connections: self.connections(),
            depth: spec.depth,
            digits: spec.digits,
            ledger: self.outcome.ledger,
            balanced: self.outcome.ledger.balanced(),
            response,
            service: censored(summary(Metric::Service), self.outcome.censored_service),
            client_queue,
            generator_lag,
            send_gap_cv: self.outcome.send_gaps.variation(),
            hops: self.outcome.hops.as_ref().and_then(|hops| hops.breakdown()),
            split: self.outcome.hops.as_ref().and_then(|hops| hops.split(self.server_hops)),
            server: self.server(),
            generator: self.generator(),
            steal: self.used.steal,
            throttled_us: self.used.throttled_us,
            stationary,
            verdict: with_doubts(judge(&evidence), &self.conditions.layout),
            slo: Vec::new(),
            hlog: None,
        }
    }

    fn summary(&self, recording: &Recording, metric: Metric) -> Summary {
        Summary::with(&recording.total(metric), &self.spec.percentiles)
    }

    fn connections(&self) -> Connections {
        let losses = &self.outcome.losses;
        Connections {
            asked: self.spec.connections,
            established: self.spec.connections,
            requests_each: self.spec.requests_each,
            opened: self.outcome.opened,
            lost: losses.all,
            refused: losses.refused,
            reset: losses.reset,
            closed: losses.closed,
            wrong_replies: losses.wrong_replies,
            unopened: losses.unopened,
            reason: losses.reason.clone(),
        }
    }

    fn response(&self, recording: &Recording) -> Summary {
        let mut summary = self.summary(recording, Metric::Response);
        let blocks = recording.span(Metric::Response);
        for (name, percentile) in [("50", 50.0), ("99", 99.0)] {
            let enough = summary.percentile(name).is_some();
            let interval =
                percentile_interval(blocks, Metric::Response, percentile, self.spec.seed);
            if let Some(interval) = interval.filter(|_| enough) {
                summary.ci95.insert(name.to_owned(), interval);
            }
        }
        summary.overflow = recording.overflow();
        censored(summary, self.outcome.censored)
    }

    fn server(&self) -> Vec<ShardUse> {
        let requests = self.outcome.ledger.sent;
        let each = |total_ns: u64| (requests > 0).then(|| total_ns as f64 / requests as f64);
        self.used
            .shards
            .iter()
            .map(|(shard, cpu, used)| ShardUse {
                shard: *shard,
                cpu: *cpu,
                busy: used.cpu_ns as f64 / self.used.elapsed_ns as f64,
                user_ns_per_req: each(used.user_ns()),
                sys_ns_per_req: each(used.cpu_ns - used.user_ns()),
                ctx_involuntary: used.involuntary_switches,
            })
            .collect()
    }

    fn generator(&self) -> GeneratorUse {
        let threads = self.conditions.layout.load_cpus.len().clamp(1, self.spec.connections.max(1));
        let each_ns = self.outcome.cpu_ns as f64 / threads as f64;
        GeneratorUse {
            cpus: self.conditions.layout.load_cpus.clone(),
            busy: Some(each_ns / self.used.elapsed_ns as f64),
            loop_gap_max_us: self.outcome.loop_gap_max_ns as f64 / 1e3,
        }
    }

    fn evidence_without_histograms(&self) -> Evidence {
        let (asked, losses) = (self.spec.connections, &self.outcome.losses);
        // Where another one is opened for the next request, a lost connection is an error and no more.
        let lost = if self.spec.requests_each.is_some() { 0 } else { losses.all as usize };
        Evidence {
            open: matches!(self.spec.mode, Mode::Open(..)),
            offered: 0.0,
            achieved: 0.0,
            lag: None,
            client_queue_p99_ns: None,
            left_over: self.outcome.ledger.unsent + self.outcome.ledger.unfinished,
            response_p50_ns: None,
            response_p90_ns: None,
            response_p99_ns: None,
            pacing: self.spec.pacing,
            generator_busy: Some(self.busiest as f64 / self.used.elapsed_ns as f64),
            steal: self.used.steal,
            throttled_us: self.used.throttled_us,
            connections: (asked, asked.saturating_sub(lost)),
            unopened: losses.unopened,
            shared_cpu: self.conditions.layout.shared,
            hiccup_us: self.conditions.hiccup_us,
            drift_p50_percent: None,
        }
    }
}

fn censored(summary: Summary, censored: Censored) -> Summary {
    let Censored { count, least_ns } = censored;
    Summary { censored: count, lower_bound_from_ns: least_ns, ..summary }
}

/// What the server counted, as far as it says something about our requests: one of somebody else's may have other
/// clients, whose requests are in what it counts beyond ours.
fn believed(count: Option<u64>, is_ours: bool, sent: u64) -> Option<u64> {
    count.filter(|count| is_ours || *count <= sent)
}

/// With too few samples for a percentile the maximum stands in for it.
fn lag(generator_lag: &Summary) -> Option<Lag> {
    let max_ns = generator_lag.max_ns?;
    let at = |name| generator_lag.percentile(name).unwrap_or(max_ns);
    Some(Lag { p90_ns: at("90"), p99_ns: at("99"), max_ns })
}

fn stationary(recording: &Recording) -> Stationary {
    let blocks = recording.span(Metric::Response);
    let drift = |percentile| drift_percent(blocks, Metric::Response, percentile);
    let (drift_p50_pct, drift_p99_pct) = (drift(50.0), drift(99.0));
    let ok = drift_p50_pct.is_none_or(|percent| percent.abs() <= DRIFT_PERCENT);
    Stationary { ok, drift_p50_pct, drift_p99_pct }
}

#[cfg(test)]
mod tests;
