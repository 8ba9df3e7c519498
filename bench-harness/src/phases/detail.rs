//! What `-v` says of a run beside its result.

use crate::clock;
use crate::layout::Layout;
use crate::point::{Mode, PointSpec};
use crate::report::{Point, format_ns, format_rate};
use crate::subject::Subject;

/// Who runs where.
pub(super) fn places(layout: &Layout, subject: &Subject) -> String {
    let cpus = |cpus: &[usize]| match cpus {
        [] => "cpus unknown".to_owned(),
        cpus => format!("cpus {cpus:?}"),
    };
    format!(
        "places   server {} at {}, generator {}{}",
        cpus(&layout.server_cpus),
        subject.peer(),
        cpus(&layout.load_cpus),
        if layout.shared { ", which they share" } else { "" }
    )
}

/// A load point that begins.
pub(super) fn begins(spec: &PointSpec) -> String {
    let mode = match spec.mode {
        Mode::Closed => "a closed loop".to_owned(),
        Mode::Open(rate, arrival) => {
            format!("{} {arrival}", format_rate(rate.as_per_second()))
        }
    };
    let pacing = format!("{:?}", spec.pacing).to_lowercase();
    format!(
        "begin    {}: {mode}, {} connections with up to {} requests, pacing {pacing}, {} digits",
        spec.label, spec.connections, spec.depth, spec.digits
    )
}

/// A load point that has ended.
pub(super) fn ended(point: &Point) -> String {
    let seconds = |seconds: f64| format_ns(clock::ns(std::time::Duration::from_secs_f64(seconds)));
    format!(
        "end      {}: {} of warm-up, {} measured, {} answers, {}",
        point.label,
        seconds(point.warmup_s.max(0.0)),
        seconds(point.duration_s.max(0.0)),
        point.ledger.ok,
        point.verdict.status.name()
    )
}
