//! A server that holds its answers back by timers, many at the same time. Nobody waits for anybody there, so a response is
//! the time of its request and what the generator, the network and the kernel take.

use std::io;

use super::queueing::{Measured, measure};
use super::{Bench, Finding, echo};
use crate::plan::{Arrival, Rate};
use crate::record::Metric;
use crate::report::format_ns;
use crate::serve::{Service, SyntheticSpec};

const RATE: f64 = 2_000.0;

/// What generator, network and kernel may add in a quiet window; much less than any of the times.
const FLOOR_NS: u64 = 100_000;

fn run(bench: &Bench, service: Service, attempt: u32) -> io::Result<Measured> {
    let rate = Rate::per_second(RATE).map_err(io::Error::other)?;
    let server = SyntheticSpec { service, parallel: true, ..echo(0) };
    measure(bench, server, (rate, Arrival::Constant), 1 + u64::from(attempt))
}

const DELAY_NS: u64 = 2_000_000;

/// Each response is the delay; what they differ by is less than what the generator and the kernel take.
pub(super) fn fixed(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let run = run(bench, Service::Fixed(DELAY_NS), attempt)?;
    let windows = run.windows();
    let response = windows.histogram(Metric::Response);
    let (p50_ns, deviation_ns) = (response.value_at_quantile(0.5), response.stdev());
    let holds =
        (DELAY_NS..=DELAY_NS + FLOOR_NS).contains(&p50_ns) && deviation_ns < FLOOR_NS as f64;
    let text = format!(
        "p50 {} (delay {}), deviation {}",
        format_ns(p50_ns),
        format_ns(DELAY_NS),
        format_ns(deviation_ns.round() as u64)
    );
    Ok(run.finding(bench, &windows, holds, text))
}

const SHORT_NS: u64 = 100_000;
const LONG_NS: u64 = 10_000_000;
const LONG_PPM: u32 = 10_000;
/// Between the two.
const MIDDLE_NS: u64 = 1_000_000;

/// One request in a hundred takes a hundred times as long, and no other one knows of it: in a queue, two in five of the
/// others would.
pub(super) fn bimodal(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let service = Service::Bimodal { short_ns: SHORT_NS, long_ns: LONG_NS, long_ppm: LONG_PPM };
    let run = run(bench, service, attempt)?;
    let windows = run.windows();
    let response = windows.histogram(Metric::Response);
    let [p98_ns, p99_5_ns] = [0.98, 0.995].map(|quantile| response.value_at_quantile(quantile));
    let count = response.len().max(1) as f64;
    let long = response.count_between(MIDDLE_NS, u64::MAX) as f64 / count;
    let expected = f64::from(LONG_PPM) / 1e6;
    // Five standard deviations of so many draws.
    let spread = 5.0 * (expected * (1.0 - expected) / count).sqrt();
    let holds = (SHORT_NS..=SHORT_NS + FLOOR_NS).contains(&p98_ns)
        && (LONG_NS - LONG_NS / 500..=LONG_NS + 5 * FLOOR_NS).contains(&p99_5_ns)
        && (long - expected).abs() <= spread;
    let text = format!(
        "p98 {} (short {}), p99.5 {} (long {}), {:.2} % long (ordered {:.2} %)",
        format_ns(p98_ns),
        format_ns(SHORT_NS),
        format_ns(p99_5_ns),
        format_ns(LONG_NS),
        long * 100.0,
        expected * 100.0
    );
    Ok(run.finding(bench, &windows, holds, text))
}
