//! One load point: connect, warm up, measure, drain, and judge.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::backlog::Backlog;
use crate::clock::{self, ns};
use crate::generator::{Generator, Load, Pacing, ThreadOutcome, Times, Work};
use crate::layout::Layout;
use crate::plan::{Arrival, Rate, Schedule};
use crate::poller::RealWorld;
use crate::procfs::{self, ThreadUse};
use crate::record::{Collector, Intervals, Metric, Recording, recorders};
use crate::report::{Connections, GeneratorUse, Point, Recorded, ShardUse, Stationary, Summary};
use crate::statistics::{drift_percent, percentile_interval};
use crate::subject::Subject;
use crate::threads;
use crate::traffic::Traffic;
use crate::verdict::{DRIFT_PERCENT, Evidence, Lag, judge};

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
    /// Time before the measurement, under the same load.
    pub(crate) warmup: Duration,
    /// Measured time.
    pub(crate) duration: Duration,
    /// How long answers are waited for afterwards.
    pub(crate) drain: Duration,
    /// A later answer counts as a timeout.
    pub(crate) timeout: Duration,
    /// How the load threads wait.
    pub(crate) pacing: Pacing,
    /// Length of the recorded intervals.
    pub(crate) interval: Duration,
    /// Seed of arrivals and keys.
    pub(crate) seed: u64,
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

/// How far a load point is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Progress {
    /// Share of its time that has passed.
    pub(crate) share: f64,
    /// Seconds that have passed.
    pub(crate) passed_s: f64,
    /// Answers so far.
    pub(crate) done: u64,
    /// Median and 99th percentile of the response in the last interval of a thread, in nanoseconds.
    pub(crate) latest: Option<(u64, u64)>,
}

/// Threads need this long to start before the first request is due.
const LEAD: Duration = Duration::from_millis(30);

/// How often the control thread looks up when no interval arrives.
const LOOK: Duration = Duration::from_millis(50);

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
    let count_before = subject.count()?;
    let threads = conditions.layout.load_cpus.len().clamp(1, spec.connections.max(1));
    let streams = connect(spec, subject, threads)?;
    let encoders = spec.traffic.encoders(threads, spec.seed);
    let length_ns = ns(spec.interval).max(1);
    // Megabytes are written to for the first time here, before the clock is set.
    let (mut recorders, mut collector) = recorders(threads, Intervals { origin_ns: 0, length_ns });
    let before = Usage::take(subject);
    let origin_ns = clock::now_ns() + ns(LEAD);
    let times = times(spec, origin_ns);
    recorders.iter_mut().for_each(|recorder| recorder.begin_at(origin_ns));
    let stop = Arc::new(AtomicBool::new(false));

    let mut handles = Vec::with_capacity(threads);
    let shares = streams.into_iter().zip(recorders).zip(encoders);
    for (thread, ((streams, recorder), protocol)) in shares.enumerate() {
        let load = Load {
            world: RealWorld::new(&streams)?,
            streams,
            depth: spec.depth,
            work: work(spec, times, (thread as u64, threads as u64)),
            protocol,
            recorder,
            times,
            timeout_ns: ns(spec.timeout),
            pacing: spec.pacing,
            stop: Arc::clone(&stop),
        };
        handles.push(start(load, conditions.layout.load_cpus.get(thread).copied())?);
    }
    collect(&mut collector, times, &conditions.interrupted, &stop, progress);
    let (outcome, busiest) = join(handles)?;
    let used = before.until_now(subject);
    let ended_ns = clock::now_ns().min(times.end_ns);
    let measured_ns = ended_ns.saturating_sub(times.measure_ns).max(1);
    let count_after = subject.count().unwrap_or(None);
    let mut run = Run { spec, conditions, times, measured_ns, outcome, used, busiest };
    run.outcome.ledger.server_count = server_count(&run, subject, count_before, count_after);
    let recording = collector.into_recording();
    Ok(Recorded { point: run.point(&recording), recording })
}

/// The server's count of our requests. A server of somebody else's may have other clients: what
/// it counts beyond ours says nothing about ours.
fn server_count(
    run: &Run<'_>,
    subject: &Subject,
    before: Option<u64>,
    after: Option<u64>,
) -> Option<u64> {
    let count = after?.checked_sub(before?)?;
    (subject.is_ours() || count <= run.outcome.ledger.sent).then_some(count)
}

fn times(spec: &PointSpec, start_ns: u64) -> Times {
    let measure_ns = start_ns.saturating_add(ns(spec.warmup));
    let end_ns = measure_ns.saturating_add(ns(spec.duration));
    Times { start_ns, measure_ns, end_ns, drain_end_ns: end_ns.saturating_add(ns(spec.drain)) }
}

fn work(spec: &PointSpec, times: Times, share: (u64, u64)) -> Work {
    match spec.mode {
        Mode::Closed => Work::Closed,
        Mode::Open(rate, arrival) => {
            let span = (times.start_ns, times.end_ns);
            Work::Open(Backlog::new(Schedule::new(rate, arrival, spec.seed, span, share)))
        }
    }
}

/// Connects and deals the streams out to the threads.
fn connect(spec: &PointSpec, subject: &Subject, threads: usize) -> io::Result<Vec<Vec<TcpStream>>> {
    let mut streams: Vec<Vec<TcpStream>> = (0..threads).map(|_| Vec::new()).collect();
    for number in 0..spec.connections {
        let stream = TcpStream::connect_timeout(&subject.addr(), CONNECT_LIMIT)
            .map_err(|error| connect_error(&error, number, spec, subject))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        streams[number % threads].push(stream);
    }
    Ok(streams)
}

/// A server that does not accept within this time is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

fn connect_error(
    error: &io::Error,
    number: usize,
    spec: &PointSpec,
    subject: &Subject,
) -> io::Error {
    let text = format!(
        "connection {} of {} to {} failed: {error}",
        number + 1,
        spec.connections,
        subject.addr()
    );
    io::Error::new(error.kind(), text)
}

fn start(load: Load<RealWorld>, cpu: Option<usize>) -> io::Result<JoinHandle<ThreadOutcome>> {
    threads::spawn("load", cpu, move || {
        threads::sharpen_timers();
        let mut outcome = Generator::new(load).run();
        outcome.cpu_ns = clock::thread_cpu_ns();
        outcome
    })
}

fn collect(
    collector: &mut Collector,
    times: Times,
    interrupted: &AtomicBool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) {
    let mut done = 0;
    let mut latest = None;
    loop {
        match collector.collect(LOOK) {
            Ok(interval) => {
                done += interval.done;
                latest = interval.percentiles.or(latest);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if interrupted.load(Ordering::Relaxed) {
            stop.store(true, Ordering::Relaxed);
        }
        let passed_ns = clock::now_ns().saturating_sub(times.start_ns);
        let whole_ns = (times.end_ns - times.start_ns).max(1);
        let share = (passed_ns as f64 / whole_ns as f64).min(1.0);
        progress(Progress { share, passed_s: passed_ns as f64 / 1e9, done, latest });
    }
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

/// What the kernel has counted at one moment, or between two.
struct Usage {
    at_ns: u64,
    shards: Vec<Option<ThreadUse>>,
    stolen: Option<(u64, u64)>,
    throttled_us: Option<u64>,
}

impl Usage {
    fn take(subject: &Subject) -> Self {
        let (pid, shards) = subject.shards();
        Usage {
            at_ns: clock::now_ns(),
            shards: shards.iter().map(|shard| procfs::thread_use(pid, shard.tid)).collect(),
            stolen: procfs::stolen_ticks(),
            throttled_us: procfs::throttled_us(),
        }
    }

    fn until_now(&self, subject: &Subject) -> Used {
        let after = Usage::take(subject);
        let elapsed_ns = after.at_ns.saturating_sub(self.at_ns).max(1);
        let (_, infos) = subject.shards();
        let shards = infos.iter().zip(self.shards.iter().zip(&after.shards));
        let shards = shards
            .filter_map(|(info, (before, after))| {
                Some((info.shard, info.cpu, after.as_ref()?.since(before.as_ref()?)))
            })
            .collect();
        let steal = self.stolen.zip(after.stolen).and_then(|(before, after)| {
            let all = after.1.saturating_sub(before.1);
            (all > 0).then(|| after.0.saturating_sub(before.0) as f64 / all as f64)
        });
        let throttled_us =
            self.throttled_us.zip(after.throttled_us).map(|(a, b)| b.saturating_sub(a));
        Used { elapsed_ns, shards, steal, throttled_us }
    }
}

struct Used {
    elapsed_ns: u64,
    shards: Vec<(usize, Option<usize>, ThreadUse)>,
    steal: Option<f64>,
    throttled_us: Option<u64>,
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
        let summary = |metric| Summary::new(&recording.total(metric));
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
            warmup_s: spec.warmup.as_secs_f64(),
            interval_ns: recording.interval_ns,
            begin_s: self.times.start_ns.saturating_sub(self.conditions.began_ns) as f64 / 1e9,
            connections: self.connections(),
            depth: spec.depth,
            ledger: self.outcome.ledger,
            balanced: self.outcome.ledger.balanced(),
            response,
            service: summary(Metric::Service),
            client_queue,
            generator_lag,
            send_gap_cv: self.outcome.send_gaps.variation(),
            server: self.server(),
            generator: self.generator(),
            steal: self.used.steal,
            throttled_us: self.used.throttled_us,
            stationary,
            verdict: judge(&evidence),
            slo: Vec::new(),
            hlog: None,
        }
    }

    fn connections(&self) -> Connections {
        Connections {
            asked: self.spec.connections,
            established: self.spec.connections,
            lost: self.outcome.lost.len(),
            wrong_replies: self.outcome.wrong_replies,
            reason: self.outcome.lost.first().cloned(),
        }
    }

    fn response(&self, recording: &Recording) -> Summary {
        let mut summary = Summary::new(&recording.total(Metric::Response));
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
        summary.censored = self.outcome.censored;
        summary.lower_bound_from_ns = self.outcome.censored_min_ns;
        summary
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
        let asked = self.spec.connections;
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
            connections: (asked, asked.saturating_sub(self.outcome.lost.len())),
            shared_cpu: self.conditions.layout.shared,
            hiccup_us: self.conditions.hiccup_us,
            drift_p50_percent: None,
        }
    }
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
