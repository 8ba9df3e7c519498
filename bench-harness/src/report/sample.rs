//! Results for the tests of whoever shows or adds them.

use std::collections::BTreeMap;

use super::{
    Artifacts, Connections, GeneratorUse, Point, RunResult, SCHEMA, Stationary, Summary, Tool,
    Workload,
};
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::record::DIGITS;
use crate::verdict::{Status, Verdict};

/// An open loop in which nothing happened.
pub(crate) fn sample_point(label: &str) -> Point {
    Point {
        label: label.to_owned(),
        mode: "open".to_owned(),
        arrival: Some("constant".to_owned()),
        offered_rps: Some(0.0),
        achieved_rps: 0.0,
        duration_s: 1.0,
        warmup_s: 0.0,
        interval_ns: 100_000_000,
        begin_s: 0.0,
        connections: Connections { asked: 1, established: 1, ..Connections::default() },
        depth: 1,
        digits: DIGITS,
        ledger: Ledger::default(),
        balanced: true,
        response: Summary::default(),
        service: Summary::default(),
        client_queue: Summary::default(),
        generator_lag: Summary::default(),
        send_gap_cv: None,
        hops: None,
        split: None,
        server: Vec::new(),
        generator: GeneratorUse { cpus: vec![0], busy: None, loop_gap_max_us: 0.0 },
        steal: None,
        throttled_us: None,
        stationary: Stationary { ok: true, drift_p50_pct: None, drift_p99_pct: None },
        verdict: Verdict { status: Status::Valid, overloaded: false, reasons: Vec::new() },
        slo: Vec::new(),
        hlog: None,
    }
}

/// A run with these points.
pub(crate) fn sample_result(points: Vec<Point>) -> RunResult {
    let text = str::to_owned;
    RunResult {
        schema: text(SCHEMA),
        tool: Tool { name: text("bench-harness"), version: text("0.1.0") },
        id: text("20261122T174500Z-sample"),
        name: text("sample"),
        labels: BTreeMap::new(),
        complete: true,
        command: vec![text("bench-harness")],
        started_unix: 1_795_369_500.0,
        seed: 1,
        environment: crate::doctor::examine().expect("the kernel tells its CPUs"),
        layout: Layout::new(vec![1], vec![0], false),
        workload: Workload {
            target: text("echo"),
            protocol: text("echo"),
            description: text("echo  frames of 64 B"),
        },
        noise: Vec::new(),
        floor: None,
        points,
        bracket: None,
        artifacts: Artifacts::default(),
    }
}
