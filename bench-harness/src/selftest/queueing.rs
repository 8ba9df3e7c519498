//! A server with a fixed service time: with Poisson arrivals the textbook's M/D/1, with even ones
//! no queue at all.

use std::io;
use std::time::Duration;

use super::model::{fifo_responses, md1_mean, md1_tail, quantile};
use super::{Bench, Finding, echo, spoiled};
use crate::plan::{Arrival, Rate, Schedule};
use crate::point::{Mode, PointSpec};
use crate::record::Metric;
use crate::serve::Server;
use crate::subject::Subject;

/// Much longer than what network and generator take.
const SERVICE_NS: u64 = 200_000;

/// Long enough for a p99 that is stable to some percent.
const DURATION: Duration = Duration::from_secs(6);

/// The share by which means and tails may differ from theory.
const MEAN_TOLERANCE: f64 = 0.10;
const TAIL_TOLERANCE: f64 = 0.15;

/// Runs at a rate and returns what was measured, and the server's own mean service time.
fn measure(
    bench: &Bench,
    rate: Rate,
    arrival: Arrival,
    seed: u64,
) -> io::Result<(crate::report::Recorded, f64)> {
    let mut server: Server = bench.start(echo(SERVICE_NS))?;
    let before = server.counters()?;
    let mut subject = Subject::embedded(server, false);
    let spec = PointSpec { seed, ..bench.spec(Mode::Open(rate, arrival), DURATION) };
    let recorded = bench.run(&spec, &mut subject)?;
    let after = subject.counters()?;
    let requests = after.requests.saturating_sub(before.requests).max(1);
    let service_ns = after.busy_ns.saturating_sub(before.busy_ns) as f64 / requests as f64;
    Ok((recorded, service_ns))
}

/// What network and generator add to a response: its smallest value, less the service.
fn floor_ns(recorded: &crate::report::Recorded, service_ns: f64) -> f64 {
    let least_ns = recorded.recording.total(Metric::Response).value_at_quantile(0.02);
    (least_ns as f64 - service_ns).max(0.0)
}

/// The response follows theory once the floor is taken off.
pub(super) fn poisson_arrivals(
    bench: &Bench,
    load_percent: u32,
    attempt: u32,
) -> io::Result<Finding> {
    let load = f64::from(load_percent) / 100.0;
    let rate = Rate::per_second(load * 1e9 / SERVICE_NS as f64).map_err(io::Error::other)?;
    let seed = 1 + u64::from(attempt);
    let (recorded, service_ns) = measure(bench, rate, Arrival::Poisson, seed)?;
    let floor_ns = floor_ns(&recorded, service_ns);
    let total = recorded.recording.total(Metric::Response);
    let measured =
        [total.mean(), total.value_at_quantile(0.9) as f64, total.value_at_quantile(0.99) as f64]
            .map(|value_ns| (value_ns - floor_ns) / service_ns);

    // Six seconds hold few of the rare long queues, so that the arrivals themselves stray from the
    // theory of an endless run. The same arrivals at a simulated server show by how much.
    let drawn = simulate(bench, rate, seed, service_ns);
    let (p90, p99) = md1_tail(load_percent).unwrap_or((f64::NAN, f64::NAN));
    let theory = [md1_mean(load), p90, p99];
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
    Ok(Finding::of(holds && recorded.point.balanced, text, spoiled(bench, &recorded, 0.0)))
}

/// Mean, p90 and p99 of the very arrivals of a run at a simulated server, in service times.
fn simulate(bench: &Bench, rate: Rate, seed: u64, service_ns: f64) -> [f64; 3] {
    let spec = bench.spec(Mode::Closed, DURATION);
    let warmup_ns = crate::clock::ns(spec.warmup);
    let end_ns = warmup_ns + crate::clock::ns(spec.duration);
    let mut schedule = Schedule::new(rate, Arrival::Poisson, seed, (0, end_ns), (0, 1));
    let arrivals: Vec<u64> = std::iter::from_fn(|| schedule.advance()).collect();
    let responses = fifo_responses(&arrivals, service_ns.round() as u64);
    let mut measured: Vec<u64> = arrivals
        .iter()
        .zip(responses)
        .filter(|(arrival_ns, _)| **arrival_ns >= warmup_ns)
        .map(|(_, response_ns)| response_ns)
        .collect();
    let mean = measured.iter().sum::<u64>() as f64 / measured.len().max(1) as f64;
    [mean, quantile(&mut measured, 0.9), quantile(&mut measured, 0.99)]
        .map(|value_ns| value_ns / service_ns)
}

/// Even arrivals below capacity never meet each other: a generator that sends in bunches would make
/// them queue.
pub(super) fn constant_arrivals(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let rate = Rate::per_second(0.5e9 / SERVICE_NS as f64).map_err(io::Error::other)?;
    let (recorded, service_ns) = measure(bench, rate, Arrival::Constant, 1 + u64::from(attempt))?;
    let total = recorded.recording.total(Metric::Response);
    let p90 = (total.value_at_quantile(0.9) as f64 - floor_ns(&recorded, service_ns)) / service_ns;
    let variation = recorded.point.send_gap_cv.unwrap_or(f64::NAN);
    let holds = p90 < 1.1 && variation < 0.1 && recorded.point.balanced;
    let text = format!(
        "p90 {p90:.2} service times (no queue: 1.00), gaps between sends vary by {:.1} %",
        variation * 100.0
    );
    Ok(Finding::of(holds, text, spoiled(bench, &recorded, 0.0)))
}
