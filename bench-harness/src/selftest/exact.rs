//! Checks that count: nothing in them depends on how fast or how quiet the machine is, so that the first
//! try counts.

use std::io;
use std::time::Duration;

use super::{Bench, FRAME_BYTES, Finding};
use crate::plan::{Arrival, Rate};
use crate::point::{Mode, PointSpec};
use crate::report::Recorded;
use crate::serve::{Fault, FaultKind, SyntheticSpec, Wire};
use crate::subject::{Counting, Subject};

const RATE: f64 = 2_000.0;
const DURATION: Duration = Duration::from_millis(800);
const DEPTH: usize = 8;

/// The request that something happens to: long before the end of the run.
const UNLUCKY: u64 = 500;

/// Runs an open loop that verifies each answer against a server that sleeps when it has nothing to do.
fn run(bench: &Bench, kind: Option<FaultKind>) -> io::Result<Recorded> {
    let fault = kind.map(|kind| Fault { kind, request: UNLUCKY });
    let server =
        bench.start(SyntheticSpec { fault, ..SyntheticSpec::null(Wire::Echo, FRAME_BYTES) })?;
    let mut subject = Subject::embedded(server, Counting::Pipe);
    let rate = Rate::per_second(RATE).map_err(io::Error::other)?;
    let spec = bench.spec(Mode::Open(rate, Arrival::Constant), DURATION);
    let spec = PointSpec {
        connections: 4,
        depth: DEPTH,
        // Long, so that no machine is too slow to answer what can be answered.
        drain: Duration::from_secs(5),
        traffic: crate::traffic::Traffic::Echo { frame_bytes: FRAME_BYTES, verify_every: 1 },
        ..spec
    };
    bench.run(&spec, &mut subject)
}

fn finding(holds: bool, text: String) -> io::Result<Finding> {
    Ok(Finding::of(holds, text, None, None))
}

/// Every request is scheduled, sent, answered, counted by the server and recorded once.
pub(super) fn ledger(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let point = run(bench, None)?.point;
    let recorded = point.ledger.warmup + point.response.count;
    let ledger = &point.ledger;
    let planned = (RATE * (point.warmup_s + point.duration_s)).round() as u64;
    let counts = [ledger.scheduled, ledger.sent, ledger.ok + ledger.timeouts, recorded];
    let holds = counts == [planned; 4] && ledger.server_count == Some(planned) && point.balanced;
    let text =
        format!("planned {planned}, counted {:?}, by the server {:?}", counts, ledger.server_count);
    finding(holds, text)
}

/// The connection of the dropped request fills its window with what gets no answer either.
pub(super) fn dropped(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let point = run(bench, Some(FaultKind::Drop))?.point;
    let (ledger, response) = (&point.ledger, &point.response);
    // How long it waited is a lower bound of what nobody knows, and so is each percentile above.
    let bounded = response.max_ns.is_some_and(|max_ns| response.is_lower_bound(max_ns));
    let holds = ledger.unfinished == DEPTH as u64
        && response.censored == ledger.unfinished + ledger.unsent
        && bounded
        && point.balanced;
    let text = format!(
        "{} without an answer, {} counted at their age, ledger {}",
        ledger.unfinished,
        response.censored,
        if point.balanced { "balanced" } else { "NOT BALANCED" }
    );
    finding(holds, text)
}

/// The connection with the wrong answer is given up, and the others go on.
pub(super) fn wrong_byte(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let point = run(bench, Some(FaultKind::Wrong))?.point;
    let connections = &point.connections;
    let holds = (connections.lost, connections.wrong_replies) == (1, 1)
        && point.ledger.errors > 0
        && point.balanced;
    let reason = connections.reason.as_deref().unwrap_or("no reason");
    finding(holds, format!("{} of 1 found: {reason}", connections.wrong_replies))
}

/// What was on its way counts as errors, what was not sent as unsent.
pub(super) fn death(bench: &Bench, _attempt: u32) -> io::Result<Finding> {
    let point = run(bench, Some(FaultKind::Die))?.point;
    let ledger = &point.ledger;
    let holds = point.connections.lost == 4
        && ledger.ok + ledger.timeouts < UNLUCKY
        && ledger.errors > 0
        && ledger.server_count.is_none()
        && point.balanced;
    let text = format!("{} answered, {} lost, {} unsent", ledger.ok, ledger.errors, ledger.unsent);
    finding(holds, text)
}
