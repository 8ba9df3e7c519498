//! A server with a fixed service time: with Poisson arrivals the textbook's M/D/1, with even ones
//! no queue at all.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::model::{fifo_responses, md1_mean, md1_tail, mm1, quantile};
use super::quiet::{Span, Windows};
use super::{Bench, Finding, echo};
use crate::plan::{Arrival, Rate, Schedule};
use crate::point::{Mode, PointSpec};
use crate::record::Metric;
use crate::report::Recorded;
use crate::serve::{Gap, Server, Service, SyntheticSpec};
use crate::subject::{Counting, Subject};

/// Much longer than what network and generator take.
const SERVICE_NS: u64 = 200_000;

/// Long enough for a p99 that is stable to some percent.
const DURATION: Duration = Duration::from_secs(6);

/// The share by which means and tails may differ from theory.
const MEAN_TOLERANCE: f64 = 0.10;
const TAIL_TOLERANCE: f64 = 0.15;

/// Length of the windows of which the quiet ones are judged: some dozen times what a queue lasts.
const WINDOW: Duration = Duration::from_millis(25);

/// A run and what the server told of it.
pub(super) struct Measured {
    recorded: Recorded,
    span: Span,
    gaps: Vec<Gap>,
    /// The server's own mean service time.
    service_ns: f64,
}

impl Measured {
    pub(super) fn windows(&self) -> Windows<'_> {
        Windows::find(&self.recorded.recording, self.span, &self.gaps)
    }

    /// A pass and a failure alike need quiet windows; a failure more of a server that ran.
    pub(super) fn finding(
        &self,
        bench: &Bench,
        windows: &Windows<'_>,
        holds: bool,
        text: String,
    ) -> Finding {
        let shared = bench.layout.shared.then(|| "server and generator share a cpu".to_owned());
        let no_pass = shared.or_else(|| windows.too_few());
        let no_failure = no_pass.clone().or_else(|| windows.doubt());
        let text = format!("{text}; {}", windows.describe());
        Finding::of(holds && self.recorded.point.balanced, text, no_pass, no_failure)
    }
}

fn spec(bench: &Bench, mode: Mode, seed: u64) -> PointSpec {
    PointSpec { seed, interval: WINDOW, ..bench.spec(mode, DURATION) }
}

/// Loads a server for as long as a check of queues needs.
pub(super) fn measure(
    bench: &Bench,
    server: SyntheticSpec,
    (rate, arrival): (Rate, Arrival),
    seed: u64,
) -> io::Result<Measured> {
    let mut server: Server = bench.start(server)?;
    let before = server.counters()?;
    let mut subject = Subject::embedded(server, Counting::Pipe);
    let spec = spec(bench, Mode::Open(rate, arrival), seed);
    let recorded = bench.run(&spec, &mut subject)?;
    let after = subject.counters()?;
    let requests = after.requests.saturating_sub(before.requests).max(1);
    let service_ns = after.busy_ns.saturating_sub(before.busy_ns) as f64 / requests as f64;
    let origin_ns = bench.began_ns + (recorded.point.begin_s * 1e9) as u64;
    let measure_ns = origin_ns + crate::clock::ns(spec.warmup.longest());
    let span = Span { origin_ns, measure_ns, end_ns: measure_ns + crate::clock::ns(DURATION) };
    Ok(Measured { recorded, span, gaps: subject.gaps()?, service_ns })
}

/// What network and generator add to a response: its smallest value, less the service.
fn floor_ns(response: &Histogram<u64>, service_ns: f64) -> f64 {
    (response.value_at_quantile(0.02) as f64 - service_ns).max(0.0)
}

/// A queue with a fixed service time, and what theory promises for it.
pub(super) fn fixed_service(bench: &Bench, load_percent: u32, attempt: u32) -> io::Result<Finding> {
    let (p90, p99) = md1_tail(load_percent).unwrap_or((f64::NAN, f64::NAN));
    let theory = [md1_mean(f64::from(load_percent) / 100.0), p90, p99];
    poisson_arrivals(bench, Service::Fixed(SERVICE_NS), load_percent, theory, attempt)
}

/// The same with exponential service times.
pub(super) fn exponential_service(
    bench: &Bench,
    load_percent: u32,
    attempt: u32,
) -> io::Result<Finding> {
    let service = Service::Exponential(SERVICE_NS);
    let theory = mm1(f64::from(load_percent) / 100.0);
    poisson_arrivals(bench, service, load_percent, theory, attempt)
}

/// The response follows theory once the floor is taken off.
fn poisson_arrivals(
    bench: &Bench,
    service: Service,
    load_percent: u32,
    theory: [f64; 3],
    attempt: u32,
) -> io::Result<Finding> {
    let load = f64::from(load_percent) / 100.0;
    let rate = Rate::per_second(load * 1e9 / SERVICE_NS as f64).map_err(io::Error::other)?;
    let seed = 1 + u64::from(attempt);
    let server = SyntheticSpec { service, ..echo(SERVICE_NS) };
    let run = measure(bench, server, (rate, Arrival::Poisson), seed)?;
    let windows = run.windows();
    let total = windows.histogram(Metric::Response);
    // The shortest of exponential service times are nothing.
    let least_ns = if matches!(service, Service::Exponential(_)) { 0.0 } else { run.service_ns };
    let floor_ns = floor_ns(&total, least_ns);
    let measured =
        [total.mean(), total.value_at_quantile(0.9) as f64, total.value_at_quantile(0.99) as f64]
            .map(|value_ns| (value_ns - floor_ns) / run.service_ns);

    // Some seconds hold few of the rare long queues, so that the arrivals themselves stray from the
    // theory of an endless run. The same arrivals at a simulated server show by how much.
    let drawn = simulate(bench, service, (rate, seed), &run, &windows);
    let tolerance = [MEAN_TOLERANCE, TAIL_TOLERANCE, TAIL_TOLERANCE];
    let holds = (0..3).all(|i| {
        let near = |expected: f64| (measured[i] / expected - 1.0).abs() <= tolerance[i];
        near(theory[i]) || near(drawn[i])
    });
    let text = ["mean", "p90", "p99"]
        .iter()
        .zip(measured.iter().zip(theory.iter().zip(drawn)))
        .map(|(name, (measured, (theory, drawn)))| {
            format!("{name} {measured:.2} (theory {theory:.2}, these arrivals {drawn:.2})")
        })
        .collect::<Vec<_>>()
        .join(", ");
    Ok(run.finding(bench, &windows, holds, text))
}

/// Mean, p90 and p99 of the very arrivals of a run at a simulated server, of what it answers in the
/// same windows; in service times.
fn simulate(
    bench: &Bench,
    service: Service,
    (rate, seed): (Rate, u64),
    run: &Measured,
    windows: &Windows<'_>,
) -> [f64; 3] {
    let spec = spec(bench, Mode::Closed, seed);
    let end_ns = crate::clock::ns(spec.warmup.longest()) + crate::clock::ns(spec.duration);
    let mut schedule = Schedule::new(rate, Arrival::Poisson, seed, (0, end_ns), (0, 1));
    let arrivals: Vec<u64> = std::iter::from_fn(|| schedule.advance()).collect();
    // What a request takes beside its service time, such as the reading and the writing, is in the mean.
    let more_ns = (run.service_ns.round() as u64).saturating_sub(service.mean_ns());
    let mut draws = service.draws();
    let responses = fifo_responses(&arrivals, || draws() + more_ns);
    let mut measured: Vec<u64> = arrivals
        .iter()
        .zip(responses)
        .filter(|(arrival_ns, response_ns)| {
            windows.contains(run.span.origin_ns + **arrival_ns + *response_ns)
        })
        .map(|(_, response_ns)| response_ns)
        .collect();
    let mean = measured.iter().sum::<u64>() as f64 / measured.len().max(1) as f64;
    [mean, quantile(&mut measured, 0.9), quantile(&mut measured, 0.99)]
        .map(|value_ns| value_ns / run.service_ns)
}

/// Even arrivals below capacity never meet each other: a generator that sends in bunches would make
/// them queue.
pub(super) fn constant_arrivals(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let rate = Rate::per_second(0.5e9 / SERVICE_NS as f64).map_err(io::Error::other)?;
    let run = measure(bench, echo(SERVICE_NS), (rate, Arrival::Constant), 1 + u64::from(attempt))?;
    let windows = run.windows();
    let total = windows.histogram(Metric::Response);
    let floor_ns = floor_ns(&total, run.service_ns);
    let p90 = (total.value_at_quantile(0.9) as f64 - floor_ns) / run.service_ns;
    // Requests that leave late, each by its own time, leave gaps that vary by the root of two as much.
    let gap_ns = 2.0 * SERVICE_NS as f64;
    let lag = windows.histogram(Metric::GeneratorLag);
    let variation = std::f64::consts::SQRT_2 * lag.stdev() / gap_ns;
    let holds = p90 < 1.1 && variation < 0.1;
    let text = format!(
        "p90 {p90:.2} service times (no queue: 1.00), gaps between sends vary by {:.1} %",
        variation * 100.0
    );
    Ok(run.finding(bench, &windows, holds, text))
}
