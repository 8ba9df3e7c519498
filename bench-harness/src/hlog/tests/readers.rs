//! The log as other libraries read it: each finds every value in the bucket that it was recorded in, and the
//! percentiles that the result has.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::rng::Rng;

const PERCENTILES: [&str; 6] = ["0", "50", "90", "99", "99.9", "100"];

/// Responses of every magnitude that is recorded, over some intervals. There are 2001: each of the percentiles is then
/// the same value however a reader rounds its rank.
fn responses() -> Recording {
    let mut rng = Rng::new(8);
    let mut recording = Recording::new(INTERVAL_NS);
    for number in 0..5 {
        let mut histogram = new_histogram::<u32>();
        for _ in 0..if number == 0 { 401 } else { 400 } {
            // Evenly over the powers of two up to the greatest that is kept.
            let bits = 1 + rng.below(35);
            histogram.saturating_record((1 << bits) + rng.below(1 << bits));
        }
        let interval = recording.interval_at(number * INTERVAL_NS);
        interval.add(Metric::Response, &histogram);
        // Of another tag: these are no responses.
        interval.add(Metric::Service, &histogram);
    }
    recording
}

/// What a reader is to print.
fn as_read_here(recording: &Recording) -> String {
    let total = recording.total(Metric::Response);
    let mut text = String::new();
    for step in total.iter_recorded() {
        let _ = writeln!(text, "{} {}", step.value_iterated_to(), step.count_at_value());
    }
    for percentile in PERCENTILES {
        let value = total.value_at_percentile(percentile.parse().unwrap());
        let _ = writeln!(text, "p{percentile} {value}");
    }
    text
}

/// Left out with a line where `program` does not have the library, which `probe` finds out.
fn assert_reads_alike(program: &str, probe: [&str; 2], script: &str) {
    if !Command::new(program).args(probe).output().is_ok_and(|output| output.status.success()) {
        return println!("reading the log by {program} skipped: {} fails", probe[1]);
    }
    let recording = responses();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), written(&recording)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hlog/tests").join(script);
    // One that hangs is ended.
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).arg(script).arg(file.path()).args(PERCENTILES);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), as_read_here(&recording));
}

#[test]
fn pypi_hdrhistogram_reads_the_log_to_the_bucket() {
    assert_reads_alike("python3", ["-c", "import hdrh.log"], "read_log.py");
}

#[test]
fn npm_hdr_histogram_js_reads_the_log_to_the_bucket() {
    assert_reads_alike("node", ["-e", "require('hdr-histogram-js')"], "read_log.js");
}
