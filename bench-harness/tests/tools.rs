//! The commands that judge, search, compare and add up, from outside. Nothing here depends on how fast
//! the machine is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::{QUICK, assert_code, assert_schema, code, result_of, run, small_run};

#[test]
fn a_condition_that_is_missed_is_4_and_one_that_holds_is_0() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert_code(0, &small_run(&out, &["--slo=rps>1", "--slo=max<60s"]));
    let output = small_run(&out, &["--slo=p50<1ns", "--slo=errors<=0"]);
    assert_code(4, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("missed: open 2000/s: p50<1ns") && !text.contains("errors"), "{text}");
    let slo = &result_of(&out)["points"][0]["slo"];
    assert_eq!((&slo[0]["holds"], &slo[1]["holds"]), (&false.into(), &true.into()), "{slo}");
}

#[test]
fn recordings_are_compared_and_added_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["a", "b"] {
        assert_code(0, &small_run(&path(name), &["--interval=20ms"]));
    }
    // Halve the rate: a change that no noise makes.
    assert_code(0, &small_run(&path("c"), &["--interval=20ms", "--rate=1000"]));
    let [a, b] = ["a", "b"].map(|name| path(name).to_str().unwrap().to_owned());
    let output = run(&["compare", &a, &b, "--metric=rps", "--threshold=50%", "--format=json"]);
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["method"], "within-run");
    assert_schema("compare", &result);

    // Rewritten by hand, so that B is slower whatever the machine does.
    let slow = path("slow");
    fs::create_dir(&slow).unwrap();
    for file in fs::read_dir(path("a")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), slow.join(file.file_name())).unwrap();
    }
    let mut result = result_of(&slow);
    let rps = result["points"][0]["achieved_rps"].as_f64().unwrap();
    result["points"][0]["achieved_rps"] = (rps / 2.0).into();
    fs::write(slow.join("result.json"), result.to_string()).unwrap();
    let slow = slow.to_str().unwrap();
    let compared = ["compare", &a, slow, slow, "--base", &a, "--metric=rps"];
    let output = run(&compared);
    assert_code(5, &output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("worse"));
    let better = run(&["compare", slow, &a, &a, "--base", slow, "--metric=rps"]);
    assert_code(0, &better);
    assert_code(0, &run(&["compare", &a, slow, "--metric=rps"]));

    let picture = path("both.svg");
    let svg = format!("--svg={}", picture.display());
    assert_code(5, &run(&[&compared[..], &[&svg]].concat()));
    let drawn = fs::read_to_string(&picture).unwrap();
    // In the legend, each on a line of its own.
    let sides = ["base, open 2000/s", "new, open 2000/s"];
    let named = sides.map(|side| drawn.lines().filter(|line| line.trim() == side).count());
    assert_eq!(named, [1, 1], "{drawn}");
    let nowhere = format!("--svg={}/none/both.svg", directory.path().display());
    let failed = run(&["compare", &a, &b, "--metric=rps", &nowhere]);
    assert_code(1, &failed);
    assert!(String::from_utf8_lossy(&failed.stderr).contains("none/both.svg"));

    let sum = path("sum");
    let merged = run(&["merge", &a, &b, "--out", sum.to_str().unwrap()]);
    assert_code(0, &merged);
    let (one, result) = (result_of(&path("a")), result_of(&sum));
    let sent = |result: &Value| result["points"][0]["ledger"]["sent"].as_u64().unwrap();
    assert_eq!(sent(&result), 2 * sent(&one));
    assert_eq!(result["points"][0]["balanced"], true);
    assert_eq!(result["points"][0]["response"]["count"], 1_600);
    assert_schema("result", &result);
    assert_code(0, &run(&["report", sum.to_str().unwrap()]));
}

#[test]
fn two_commands_are_run_in_turn_and_compared_by_pairs() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("ab");
    let command = format!("run synthetic --rate=1000 {}", QUICK.join(" "));
    // The same rate on both sides cannot differ by half; both keep it on any machine that runs.
    let arguments = ["ab", "--a", &command, "--b", &command, "--pairs=2", "--metric=rps"];
    let more = ["--threshold=60%", "--format=json", "--out", out.to_str().unwrap()];
    let output = run(&[&arguments[..], &more[..]].concat());
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["method"], &result["runs"]),
        (&"paired".into(), &serde_json::json!([2, 2]))
    );
    for run in ["a-1", "b-1", "a-2", "b-2"] {
        assert_eq!(result_of(&out.join(run))["complete"], true);
    }
    assert!(out.join("compare.json").exists());
    let output = run(&["ab", "--a=run kv --no-such-flag", "--b=run kv", "--pairs=2", "--out"]
        .into_iter()
        .chain([out.to_str().unwrap()])
        .collect::<Vec<_>>());
    assert_code(1, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("no-such-flag"), "{text}");
}

#[test]
fn a_sweep_measures_every_load_and_draws_a_curve() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("sweep");
    let mut arguments = vec!["sweep", "synthetic", "--from=500", "--to=1500", "--steps=3"];
    arguments.extend(["--repeat=2", "--format=quiet", "--out", out.to_str().unwrap()]);
    arguments.extend(QUICK);
    assert_code(0, &run(&arguments));
    let result = result_of(&out);
    let offered: Vec<f64> = result["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["offered_rps"].as_f64().unwrap())
        .collect();
    assert_eq!(offered[..3], [500.0, 1_000.0, 1_500.0]);
    let mut again = offered[3..].to_vec();
    again.sort_by(f64::total_cmp);
    assert_eq!(again, offered[..3]);
    assert!(out.join("curve.svg").exists());
}

#[test]
fn the_highest_rate_is_bracketed_and_none_is_4() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("max");
    // The synthetic server spins for 2 ms a request: it cannot answer 600 a second.
    let mut arguments = vec!["max-rate", "synthetic", "--service-time=2ms", "--budget=40s"];
    arguments.extend([
        "--trials=300ms,400ms,500ms",
        "--confirm=1",
        "--precision=30%",
        "--noise=0s",
    ]);
    arguments.extend(["--connections=4", "--warmup=100ms", "--drain=300ms", "--format=quiet"]);
    arguments.extend(["--out", out.to_str().unwrap()]);
    let output = run(&[&arguments[..], &["--slo=errors<=1000000"]].concat());
    let bracket = result_of(&out)["bracket"].clone();
    // A machine that is too busy may fail every rate, and says so.
    if code(&output) != 4 {
        assert_code(0, &output);
        assert!(bracket["passes_rps"].as_f64().unwrap() < 600.0, "{bracket}");
    }
    let output = run(&[&arguments[..], &["--slo=p50<1ns"]].concat());
    assert_code(4, &output);
    assert_eq!(result_of(&out)["bracket"]["passes_rps"], Value::Null);
}

#[test]
fn other_programs_are_told_what_this_one_takes() {
    let output = run(&["completions", "bash"]);
    assert_code(0, &output);
    assert!(String::from_utf8(output.stdout).unwrap().contains("max-rate"));
    let output = run(&["man"]);
    assert_code(0, &output);
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(".ie"));
    let output = run(&["man", "sweep"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("steps"));
    let output = run(&["noise", "--duration=50ms", "--json"]);
    assert_code(0, &output);
    let noise: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(noise[0]["max_us"].as_f64().unwrap() >= 0.0, "{noise}");
}

/// Reads a log with the library `hdrhistogram` of Python's package index.
const READ_IN_PYTHON: &str = r"
import sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
total = HdrHistogram(1, 60_000_000_000, 3)
reader = HistogramLogReader(sys.argv[1], total)
while (one := reader.get_next_interval_histogram()) is not None:
    if one.get_tag() is None:
        total.add(one)
print(total.get_total_count(), *[total.get_value_at_percentile(p) for p in (50, 90, 99)])
";

/// Reads a log with the library `hdr-histogram-js` of Node's.
const READ_IN_NODE: &str = r"
const hdr = require('hdr-histogram-js');
const text = require('fs').readFileSync(process.argv[1], 'utf8');
const reader = new hdr.HistogramLogReader(text);
const total = hdr.build({ bitBucketSize: 64, autoResize: true, numberOfSignificantValueDigits: 3 });
for (let one = reader.nextIntervalHistogram(); one; one = reader.nextIntervalHistogram()) {
  if (!one.tag || one.tag === 'NO TAG') total.add(one);
}
console.log(total.totalCount, ...[50, 90, 99].map((p) => total.getValueAtPercentile(p)));
";

#[test]
fn a_log_is_read_back_by_other_libraries_to_the_bucket() {
    let python = std::env::var("HDRH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    assert_code(0, &small_run(&out, &[]));
    let log = out.join("latency.hlog");
    let response = &result_of(&out)["points"][0]["response"];
    for (program, flag, probe, script) in [
        (python.as_str(), "-c", "import hdrh", READ_IN_PYTHON),
        ("node", "-e", "require('hdr-histogram-js')", READ_IN_NODE),
    ] {
        let has_it = Command::new(program).args([flag, probe]).output();
        if !has_it.is_ok_and(|output| output.status.success()) {
            println!("skipped: {program} cannot {probe} (see HDRH_PYTHON and NODE_PATH)");
            continue;
        }
        let read = Command::new(program).args([flag, script]).arg(&log).output().unwrap();
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 4, "{text} {}", String::from_utf8_lossy(&read.stderr));
        assert_eq!(numbers[0], response["count"].as_u64().unwrap());
        for (found, name) in numbers[1..].iter().zip(["50", "90", "99"]) {
            let ours = response["percentiles"][name].as_u64().unwrap();
            // One bucket is a thousandth of the value or less; a library may name its lower end.
            assert!(found.abs_diff(ours) <= ours / 1_000, "{program}: p{name} {found}, not {ours}");
        }
    }
}
