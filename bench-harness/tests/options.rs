//! Options that change what is shown, where threads run, and how exactly it is recorded. Nothing here depends on how fast
//! the machine is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::process::Output;

use serde_json::Value;
use support::{QUICK, assert_code, assert_schema, code, harness, run};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A short run of the server that does nothing, without files.
fn short(more: &[&str]) -> Output {
    let mut arguments = vec!["run", "synthetic", "--rate=1000", "--no-files"];
    arguments.extend(QUICK);
    arguments.extend(more);
    run(&arguments)
}

fn json(more: &[&str]) -> Value {
    let output = short(&[&["--format=json"], more].concat());
    assert_code(0, &output);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_table_in_markdown_is_whole_and_a_report_makes_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    let mut arguments = vec!["run", "synthetic", "--rate=1000", "--no-svg", "--format=markdown"];
    arguments.extend(["--name=it's", "--out", path.to_str().unwrap()]);
    arguments.extend(QUICK);
    let output = run(&arguments);
    assert_code(0, &output);
    let text = out(&output);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert!(
        rows[0].starts_with("| load | offered |") && rows[1].starts_with("|---|--:|"),
        "{text}"
    );
    assert!(rows.len() == 4 && rows[2].contains("open 1000/s"), "{text}");
    let cells = |row: &str| row.matches('|').count();
    assert!(rows.iter().all(|row| cells(row) == cells(rows[0])), "{text}");
    assert!(text.contains("'--name=it'\\''s'") && !text.contains("wrote "), "{text}");
    let again = run(&["report", path.to_str().unwrap(), "--no-svg", "--format=markdown"]);
    assert_code(0, &again);
    assert_eq!(out(&again), text);
}

#[test]
fn quiet_says_nothing_and_verbose_says_more() {
    let quiet = short(&["-q"]);
    assert_code(0, &quiet);
    assert_eq!(said(&quiet), "");
    assert!(out(&quiet).contains("open 1000/s"), "the result is printed all the same");
    let usual = said(&short(&[]));
    assert!(usual.contains("doctor") && !usual.contains("places"), "{usual}");
    let verbose = said(&short(&["-v"]));
    for word in ["doctor", "places   server", "begin    open 1000/s", "end      open 1000/s"] {
        assert!(verbose.contains(word), "{verbose}");
    }
    assert_eq!(code(&short(&["-q", "-v"])), 2);
}

#[test]
fn progress_is_told_line_by_line_where_that_is_asked_for() {
    let long = ["run", "synthetic", "--rate=500", "--duration=2500ms", "--noise=0s", "--warmup=0s"];
    let long = |more: &[&str]| {
        let output = run(&[&long[..], &["--no-files", "--drain=60s"], more].concat());
        assert_code(0, &output);
        said(&output).lines().filter(|line| line.starts_with(" open 500/s")).count()
    };
    assert!(long(&["--progress=plain"]) >= 1);
    // There is no terminal to draw a bar on.
    assert!(long(&["--progress=bar"]) >= 1);
    assert_eq!((long(&["--progress=none"]), long(&["--progress=auto"])), (0, 0));
    assert_eq!(long(&["--progress=plain", "-q"]), 0);
}

#[test]
fn colours_are_there_if_asked_for_and_the_text_is_the_same() {
    let colored = out(&short(&["--color=always"]));
    assert!(colored.contains("\x1b[3") && colored.contains("\x1b[0m"), "{colored}");
    for plain in [&["--color=never"][..], &["--color=auto"], &[]] {
        assert!(!out(&short(plain)).contains('\x1b'), "{plain:?}");
    }
    let mut command = harness(&["run", "synthetic", "--rate=1000", "--no-files", "--color=always"]);
    let output = command.args(QUICK).env("NO_COLOR", "1").output().unwrap();
    assert!(out(&output).contains('\x1b'), "the flag is nearer than the environment");
}

#[test]
fn a_search_prints_nothing_but_json_if_that_is_asked_for() {
    let output = run(&[
        "max-rate",
        "synthetic",
        "--slo=p50<60s",
        "--trials=100ms,100ms,200ms",
        "--budget=500ms",
        "--noise=0s",
        "--no-files",
        "--format=json",
        "--connections=4",
        "--warmup=50ms",
    ]);
    assert!([0, 4].contains(&code(&output)), "{}", said(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["bracket"].is_object(), "{result}");
}

#[test]
fn threads_run_where_they_are_told_to() {
    let strict = json(&["--pin=strict"]);
    assert_schema("result", &strict);
    assert_eq!(strict["layout"]["pin"], "strict");
    assert!(strict["points"][0]["server"][0]["cpu"].is_u64(), "{}", strict["points"][0]["server"]);
    let free = json(&["--pin=off"]);
    assert_schema("result", &free);
    let point = &free["points"][0];
    assert_eq!((&free["layout"]["pin"], &point["server"][0]["cpu"]), (&"off".into(), &Value::Null));
    assert_ne!(point["verdict"]["status"], "valid");
    assert!(point["verdict"]["reasons"].to_string().contains("not pinned"), "{}", point["verdict"]);
    for target in ["kv", "echo", "bare-echo"] {
        let mut arguments = vec!["run", target, "--pin=off", "--keys=100", "--format=json"];
        arguments.push("--no-files");
        arguments.extend(QUICK);
        let output = run(&arguments);
        assert_code(0, &output);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["points"][0]["server"][0]["cpu"], Value::Null, "{target}");
    }
}

#[test]
fn there_is_one_driver_and_another_one_is_refused_with_its_reason() {
    assert_code(0, &short(&["--driver=epoll", "-q"]));
    for (arguments, expected) in [
        (["run", "echo", "--driver=io_uring"], "no driver on io_uring yet"),
        (["run", "echo", "--driver=kqueue"], "neither auto nor epoll"),
        (["run", "thread-echo", "--driver=epoll"], "has no loop"),
    ] {
        let output = run(&arguments);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn more_requests_on_their_way_than_allowed_are_refused() {
    assert_code(0, &short(&["--depth=3", "--max-inflight=12", "-q"]));
    let output = short(&["--depth=3", "--max-inflight=11"]);
    assert_eq!(code(&output), 2);
    assert!(said(&output).contains("up to 12") && said(&output).contains("--max-inflight 11"));
}

#[test]
fn latencies_are_recorded_with_as_many_digits_as_asked_for() {
    for (digits, more) in [(3, &[][..]), (2, &["--digits=2"][..])] {
        let result = json(more);
        assert_schema("result", &result);
        assert_eq!(result["points"][0]["digits"], digits);
        assert_eq!(result["points"][0]["response"]["count"], 400);
    }
    assert_eq!(code(&short(&["--digits=4"])), 2);
}

#[test]
fn a_parallel_server_holds_answers_back_many_at_the_same_time() {
    // One after the other the half of them would wait for 25 seconds.
    let result = json(&["--service-time=fixed:100ms", "--parallel"]);
    let point = &result["points"][0];
    assert_eq!(
        (&point["ledger"]["ok"], &point["ledger"]["server_count"]),
        (&500.into(), &500.into())
    );
    let response = &point["response"];
    assert!(response["min_ns"].as_u64().unwrap() >= 99_900_000, "{response}");
    assert!(response["percentiles"]["50"].as_u64().unwrap() < 10_000_000_000, "{response}");
    let result = json(&["--service-time=bimodal:0s/20ms/50%", "--parallel", "--spin"]);
    let response = &result["points"][0]["response"];
    assert!(response["max_ns"].as_u64().unwrap() >= 19_900_000, "{response}");
    assert_eq!(response["count"], 400);
}

#[test]
fn a_case_is_counted_under_valgrind_and_without_it_says_so() {
    let output = run(&["count", "tea"]);
    assert_code(1, &output);
    assert!(said(&output).contains("queue_nowait"), "{}", said(&output));
    assert_code(0, &run(&["count", "queue_nowait", "--times=7"]));
    let mut nowhere = harness(&["count", "queue_nowait"]);
    let output = nowhere.env("PATH", "/nowhere").output().unwrap();
    assert_code(1, &output);
    assert!(said(&output).contains("is it installed?"), "{}", said(&output));
    if !harness_finds_valgrind() {
        return println!("skipped: valgrind is not installed");
    }
    let output = run(&["count", "queue_nowait", "--json", "-q"]);
    assert_code(0, &output);
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let count = &counts["cases"]["queue_nowait"];
    assert!(count["instructions"].as_f64().unwrap() > 10.0, "{counts}");
    assert_eq!(count["allocations"], 0.0, "{counts}");
}

fn harness_finds_valgrind() -> bool {
    std::process::Command::new("valgrind").arg("--version").output().is_ok()
}
