//! A server that freezes: the open loop must see it, the closed loop cannot.

use std::io;
use std::time::Duration;

use super::model::StallModel;
use super::{Bench, Finding, echo, froze, spoiled};
use crate::clock::SECOND_NS;
use crate::plan::{Arrival, Rate};
use crate::point::{Mode, PointSpec};
use crate::report::format_ns;
use crate::serve::{Stall, SyntheticSpec};
use crate::subject::{Counting, Subject};

const SERVICE_NS: u64 = 20_000;
const STALL: Stall = Stall { length_ns: SECOND_NS / 10, every_ns: SECOND_NS };
const RATE: f64 = 1_000.0;

/// Share of the time for which the server sleeps; a sleep of the stall may be a little longer.
const ASLEEP: f64 = 0.11;

/// The p99 of an open loop may be off by this much.
const TOLERANCE_S: f64 = 3e-3;

/// A whole number of periods, so that each phase of the freeze is met equally often.
const DURATION: Duration = Duration::from_secs(4);

fn server() -> SyntheticSpec {
    SyntheticSpec { stall: Some(STALL), ..echo(SERVICE_NS) }
}

/// The p99 that follows from the freeze; the median must not know of it.
pub(super) fn open_loop(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let mut subject = Subject::embedded(bench.start(server())?, Counting::Pipe);
    let rate = Rate::per_second(RATE).map_err(io::Error::other)?;
    let spec = PointSpec {
        seed: u64::from(attempt),
        ..bench.spec(Mode::Open(rate, Arrival::Constant), DURATION)
    };
    let recorded = bench.run(&spec, &mut subject)?;
    let model =
        StallModel { service: SERVICE_NS as f64 / 1e9, stall: 0.1, period: 1.0, rate: RATE };
    let expected_s = model.quantile(0.99);
    let response = &recorded.point.response;
    let (p50, p99) = (response.percentile("50"), response.percentile("99"));
    let (p50, p99) = (p50.unwrap_or(u64::MAX), p99.unwrap_or(0));
    let holds = (p99 as f64 / 1e9 - expected_s).abs() <= TOLERANCE_S && p50 < 2_000_000;
    let text = format!(
        "p50 {}, p99 {} (formula {:.1} ms)",
        format_ns(p50),
        format_ns(p99),
        expected_s * 1e3
    );
    let no_pass = froze(&recorded, &subject.gaps()?);
    let no_failure = spoiled(bench, &recorded, ASLEEP);
    Ok(Finding::of(holds && recorded.point.balanced, text, no_pass, no_failure))
}

/// One connection that waits for each answer meets the freeze once a second.
pub(super) fn closed_loop(bench: &Bench, attempt: u32) -> io::Result<Finding> {
    let mut subject = Subject::embedded(bench.start(server())?, Counting::Pipe);
    let spec = PointSpec {
        connections: 1,
        depth: 1,
        seed: u64::from(attempt),
        ..bench.spec(Mode::Closed, DURATION)
    };
    let recorded = bench.run(&spec, &mut subject)?;
    let response = &recorded.point.response;
    let p99 = response.percentile("99").unwrap_or(u64::MAX);
    let max = response.max_ns.unwrap_or(0);
    // The largest sample proves that the server did freeze.
    let holds = p99 < 5_000_000 && max > 90_000_000 && recorded.point.balanced;
    let text = format!("p99 {}, max {} of the same server", format_ns(p99), format_ns(max));
    let no_pass = froze(&recorded, &subject.gaps()?);
    Ok(Finding::of(holds, text, no_pass, spoiled(bench, &recorded, ASLEEP)))
}
