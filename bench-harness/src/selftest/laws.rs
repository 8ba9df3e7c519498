//! What holds of every queue, whatever its service times.

use std::io;
use std::time::Duration;

use super::{Bench, Finding, echo, froze, spoiled};
use crate::plan::{Arrival, Rate};
use crate::point::{Mode, PointSpec};
use crate::report::format_ns;
use crate::subject::{Counting, Subject};

const SERVICE_NS: u64 = 200_000;

/// Requests a second, as a multiple of what the server can do.
const LOAD: f64 = 1.5;
const OVERLOAD: Duration = Duration::from_secs(3);
/// The response of an overloaded server may differ by this share from the formula.
const TOLERANCE: f64 = 0.05;

/// A request that is due at `t` finds `(load - 1) t` of work before it. So responses grow evenly: their
/// median is that of the middle of the run and their maximum that of its end, in the same ratio.
pub(super) fn overload(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let mut subject = Subject::embedded(bench.start(echo(SERVICE_NS))?, Counting::Pipe);
    let rate = Rate::per_second(LOAD * 1e9 / SERVICE_NS as f64).map_err(io::Error::other)?;
    let spec = PointSpec {
        seed: u64::from(attempt),
        ..bench.spec(Mode::Open(rate, Arrival::Constant), OVERLOAD)
    };
    let before = subject.counters()?;
    let recorded = bench.run(&spec, &mut subject)?;
    let after = subject.counters()?;
    let requests = after.requests.saturating_sub(before.requests).max(1);
    let service_s = after.busy_ns.saturating_sub(before.busy_ns) as f64 / requests as f64 / 1e9;
    let load = rate.as_per_second() * service_s;

    let point = &recorded.point;
    let middle_s = point.warmup_s + point.duration_s / 2.0;
    let expected = [middle_s, point.warmup_s + point.duration_s].map(|due_s| (load - 1.0) * due_s);
    let response = &point.response;
    let measured =
        [response.percentile("50"), response.max_ns].map(|ns| ns.unwrap_or(0) as f64 / 1e9);
    let near = |(measured, expected): (&f64, &f64)| (measured / expected - 1.0).abs() <= TOLERANCE;
    let holds = measured.iter().zip(&expected).all(near)
        && point.verdict.overloaded
        && point.balanced
        && point.response.censored == 0;
    let text = format!(
        "p50 {} (formula {:.0} ms), max {} (formula {:.0} ms), {}",
        format_ns(response.percentile("50").unwrap_or(0)),
        expected[0] * 1e3,
        format_ns(response.max_ns.unwrap_or(0)),
        expected[1] * 1e3,
        if point.verdict.overloaded { "overloaded" } else { "not called overloaded" }
    );
    let no_pass = froze(&recorded, &subject.gaps()?);
    Ok(Finding::of(holds, text, no_pass, spoiled(bench, &recorded, 0.0)))
}

const USERS: usize = 16;
const LITTLE_TOLERANCE: f64 = 0.03;

/// Users who wait for their answers are as many as come in a second times how long each stays.
pub(super) fn littles_law(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let mut subject = Subject::embedded(bench.start(echo(SERVICE_NS / 4))?, Counting::Pipe);
    let spec = PointSpec {
        connections: USERS,
        depth: 1,
        seed: u64::from(attempt),
        ..bench.spec(Mode::Closed, Duration::from_secs(2))
    };
    let recorded = bench.run(&spec, &mut subject)?;
    let point = &recorded.point;
    let users = point.achieved_rps * point.response.mean_ns.unwrap_or(0.0) / 1e9;
    let holds = (users / USERS as f64 - 1.0).abs() <= LITTLE_TOLERANCE && point.balanced;
    let text = format!("{users:.2} of {USERS} users at {:.0}/s", point.achieved_rps);
    // No disturbance makes the law hold that does not hold.
    Ok(Finding::of(holds, text, None, spoiled(bench, &recorded, 0.0)))
}
