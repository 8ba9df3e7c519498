//! The program from outside: exit codes, files, and what is printed. Nothing here depends on how
//! fast the machine is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{QUICK, assert_code, assert_schema, code, harness, result_of, run, small_run};

/// Replaces numbers and their units by `#` and runs of blanks and rules by one.
fn masked(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split(|c: char| c.is_whitespace() || "|+-=".contains(c)) {
        let is_unit = ["ns", "us", "ms", "s", "/s", "k/s", "M/s"].contains(&word);
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '[');
        let word = if is_number || is_unit { "#" } else { word };
        if !word.is_empty() && (word != "#" || words.last() != Some(&"#")) {
            words.push(word);
        }
    }
    words.join(" ")
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let output = run(&["--help"]);
    assert_code(0, &output);
    let text = String::from_utf8(output.stdout).unwrap();
    let commands =
        ["run", "attack", "sweep", "max-rate", "ab", "compare", "merge", "serve", "report"];
    let others = ["selftest", "micro", "doctor", "noise", "schema", "completions", "man"];
    for word in commands.into_iter().chain(others).chain(["Exit codes", "Examples"]) {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn wrong_usage_is_2() {
    let wrong: [&[&str]; 22] = [
        &["run", "kv", "--runtime=tokio"],
        &["run", "echo", "--slo=p99"],
        &["run", "kv", "--arrival=now"],
        &["run", "kv", "--value-size=file:/nowhere"],
        &["sweep", "echo", "--from=90%", "--to=10%"],
        &["max-rate", "echo"],
        &["max-rate", "echo", "--slo=p99<1ms", "--rate=5"],
        &["ab", "--a=serve kv", "--b=run kv"],
        &["ab", "--a=run kv", "--b=run echo", "--save-noise=x"],
        &["merge", "one", "--out=x"],
        &["man", "tea"],
        &["--no-such-flag"],
        &["run", "echo", "--remote=50%"],
        &["run", "kv", "--shards=1", "--remote=50%"],
        &["run", "kv", "--shards=1", "--remote=50%", "--reconnect=1"],
        &["run", "synthetic", "--mode=open"],
        &["run", "synthetic", "--mode=closed", "--rate=10"],
        &["run", "synthetic", "--rate=fast"],
        &["run", "synthetic", "--duration=11m"],
        &["run", "synthetic", "--server-cpus=9999"],
        &["attack", "redis://192.0.2.1:6379"],
        &["attack", "gopher://127.0.0.1:70"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty(), "{arguments:?} gave no reason");
    }
}

#[test]
fn a_server_that_is_not_there_is_1_and_named() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("echo://127.0.0.1:{port}");
    let output = run(&["attack", &url, "--no-files", "--noise=0s"]);
    assert_code(1, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[test]
fn a_server_of_another_language_is_told_from_one_that_is_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    #[allow(clippy::disallowed_methods, reason = "the server needs a thread")]
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // It hangs up on whatever it is asked. What is not read first would be told as a reset.
            let _ = stream.unwrap().read(&mut [0; 4_096]);
        }
    });
    for (scheme, expected) in [
        ("memcache", "does not answer as a memcached server does: the connection was closed"),
        ("http", "the server closed the connection; does the server run, and speak http?"),
    ] {
        let url = format!("{scheme}://127.0.0.1:{port}");
        let arguments = ["attack", &url, "--no-files", "--noise=0s", "--no-preload"];
        let output = run(&[&arguments[..], &["-n5", "--connections=1"]].concat());
        assert_code(1, &output);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(expected), "{scheme}: {text}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_told_before_anything_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let out = format!("--out={}", file.join("run").display());
    // Longer than a program that is run here may take.
    let output = run(&["run", "synthetic", "--rate=100", "--duration=500s", "--noise=0s", &out]);
    assert_code(1, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("choose another directory with --out"), "{text}");
}

#[test]
fn a_run_leaves_files_that_agree_and_a_report_shows_the_same_again() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    // The second and the third point have one label and must not share a file.
    let mut arguments = vec!["run", "synthetic", "--rate=2000", "--rate=1k", "--rate=1000"];
    arguments.extend(["--ascii", "--out"]);
    arguments.push(out.to_str().unwrap());
    arguments.extend(QUICK);
    let output = run(&arguments);
    assert_code(0, &output);

    let result = result_of(&out);
    assert_eq!(result["schema"], "corelane.bench.result/1");
    assert_eq!(result["complete"], true);
    let points = result["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    for (point, per_second) in points.iter().zip([2_000, 1_000, 1_000]) {
        let ledger = &point["ledger"];
        assert_eq!(ledger["scheduled"], per_second / 2, "{ledger}");
        assert_eq!(ledger["ok"], per_second / 2, "{ledger}");
        assert_eq!(ledger["server_count"], per_second / 2, "{ledger}");
        assert_eq!(point["balanced"], true);
        assert_eq!(point["response"]["count"], per_second * 4 / 10);
        // Far too few samples for such a percentile: unknown is null, and nothing else.
        assert_eq!(point["response"]["percentiles"]["99.99"], Value::Null);
    }

    let kinds = ["hlog", "hgrm", "csv", "svg", "html"];
    let names: Vec<&str> = kinds
        .iter()
        .flat_map(|kind| result["artifacts"][kind].as_array().unwrap())
        .map(|name| name.as_str().unwrap())
        .collect();
    let logs = ["open-2000-s.hlog", "open-1000-s.hlog", "open-1000-s-2.hlog"];
    let tables = ["open-2000-s.hgrm", "open-1000-s.hgrm", "open-1000-s-2.hgrm"];
    // Three open loops are a curve.
    let rest = ["intervals.csv", "latency.svg", "timeline.svg", "curve.svg", "report.html"];
    assert_eq!(names, [&logs[..], &tables[..], &rest[..]].concat());
    for name in &names {
        let text = fs::read_to_string(out.join(name)).unwrap();
        if name.ends_with(".svg") {
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{name}");
            assert!(!text.contains("NaN") && !text.contains("inf"), "{name} has no finite numbers");
        } else if name.ends_with(".hlog") {
            assert!(text.starts_with("#[Histogram log format version 1.3]\n"), "{name}");
        } else if name.ends_with(".html") {
            assert_eq!(text.matches("<svg").count(), 3);
        } else {
            assert!(text.lines().count() > 5, "{name}: {text}");
        }
    }
    assert_schema("result", &result);

    let table = String::from_utf8(output.stdout).unwrap();
    let table = table.split("wrote").next().unwrap();
    let again = run(&["report", out.to_str().unwrap(), "--ascii"]);
    assert_code(0, &again);
    assert_eq!(String::from_utf8(again.stdout).unwrap(), table);
    assert_golden(table);
}

fn assert_golden(table: &str) {
    let expected = "synthetic frames of # B # connections constant arrivals load offered achieved \
                    p50 p90 p99 p99.9 p99.99 max lag p99 errs verdict open # service # open # service #";
    let found = masked(table);
    // Verdicts depend on the machine; the words before the first one do not.
    let words: Vec<&str> = found.split(' ').filter(|word| !is_verdict(word)).collect();
    assert!(words.join(" ").starts_with(expected), "{}\nfound: {found}", table);
    assert!(found.contains("ledger balanced: # sent, # answered, server counted #"), "{found}");
    assert!(found.contains("response time by percentile"), "{found}");
}

fn is_verdict(word: &str) -> bool {
    ["valid", "invalid", "indicative", "capacity"].contains(&word.trim_end_matches(','))
        || word == "overloaded"
}

#[test]
fn a_doubtful_run_is_3_only_if_strictness_was_asked_for() {
    // Server and generator on one CPU are indicative at best, on any machine.
    let cpus = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..1_024).find(|cpu| cpus.is_set(*cpu)).unwrap();
    let (server, load) = (format!("--server-cpus={cpu}"), format!("--load-cpus={cpu}"));
    let mut arguments = vec!["run", "synthetic", "--rate=500", "--no-files", "--format=json"];
    arguments.extend([server.as_str(), load.as_str()]);
    arguments.extend(QUICK);
    let output = run(&arguments);
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(result["points"][0]["verdict"]["status"], "valid");
    assert!(!result["points"][0]["verdict"]["reasons"].as_array().unwrap().is_empty());
    arguments.push("--strict");
    assert_code(3, &run(&arguments));
}

#[test]
fn an_interrupted_run_is_130_and_keeps_what_was_measured() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let mut child = harness(&["run", "synthetic", "--rate=1000", "--duration=30s", "--noise=0s"])
        .args(["--warmup=0s", "--format=quiet", "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_load(&child);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let result = result_of(&out);
    assert_eq!(result["complete"], false);
    let point = &result["points"][0];
    assert_eq!(point["balanced"], true, "{}", point["ledger"]);
    assert!(point["duration_s"].as_f64().unwrap() < 30.0);
}

/// Waits until the process has had load threads for a moment.
#[allow(clippy::disallowed_methods, reason = "another process is the subject")]
fn wait_for_load(child: &Child) {
    let tasks = format!("/proc/{}/task", child.id());
    let loads = || {
        let names = fs::read_dir(&tasks)
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.trim() == "load").count()
    };
    // The null server of the floor is loaded first, for half a second.
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen < 60 {
        assert!(Instant::now() < deadline, "the load never began");
        std::thread::sleep(Duration::from_millis(20));
        seen += usize::from(loads() > 0);
    }
}

#[test]
fn a_server_that_hangs_up_is_1_and_leaves_partial_results() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("echo://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods, reason = "the rude server needs a thread")]
    let rude = std::thread::spawn(move || {
        let streams: Vec<_> = (0..4).map(|_| listener.accept().unwrap().0).collect();
        for mut stream in streams {
            let _ = stream.read(&mut [0; 64]);
        }
    });
    let mut arguments = vec!["attack", url.as_str(), "--rate=1000", "--format=quiet", "--out"];
    arguments.push(out.to_str().unwrap());
    arguments.extend(QUICK);
    let output = run(&arguments);
    rude.join().unwrap();
    assert_code(1, &output);
    let result = result_of(&out);
    assert_eq!(result["complete"], false);
    assert_eq!(result["points"][0]["connections"]["lost"], 4);
    assert_eq!(result["points"][0]["verdict"]["status"], "invalid");
    assert_eq!(result["points"][0]["balanced"], true);
}

#[test]
fn micro_measures_each_side_in_a_process_of_its_own_and_ranks_them() {
    let output = run(&["micro", "timer_cancel", "--rounds=1", "--json"]);
    assert_code(0, &output);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &rows[0];
    assert_eq!((rows.as_array().unwrap().len(), &row["name"]), (1, &"timer_cancel".into()));
    assert!(row["corelane"]["median"].as_f64().unwrap() > 0.0, "{row}");
    let others = row["others"].as_array().unwrap();
    assert_eq!(others[0]["side"], "tokio");
    let medians = others.iter().filter_map(|side| Some((side["median"].as_f64()?, side)));
    let (_, best) = medians.min_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap();
    assert_eq!(row["best_rival"], best["side"], "{row}");
    assert!(best["ratio"].as_f64().unwrap() > 0.0, "{row}");
}

#[test]
fn micro_names_what_there_is_where_a_name_or_a_side_is_wrong() {
    let output = run(&["micro", "tea_ceremony"]);
    assert_code(1, &output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("spawn_join"));
    let output = run(&["micro", "timer_cancel", "--sample=bare"]);
    assert_code(1, &output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("timer_cancel has no bare"));
}

#[test]
fn a_directory_without_a_recording_cannot_be_reported() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["report", directory.path().to_str().unwrap()]);
    assert_code(1, &output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("result.json"));
}

#[test]
fn the_counts_of_the_embedded_servers_agree_with_ours() {
    let mut targets = vec!["kv", "echo", "tokio-echo", "thread-echo", "bare-echo"];
    if cfg!(feature = "rivals") {
        targets.extend(["monoio-echo", "smol-echo", "compio-echo"]);
    }
    for target in targets {
        let mut arguments = vec!["run", target, "--keys=500", "--no-files", "--format=json"];
        arguments.extend(QUICK);
        let output = run(&arguments);
        assert_code(0, &output);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ledger = &result["points"][0]["ledger"];
        assert!(ledger["ok"].as_u64().unwrap() > 0, "{target}: {ledger}");
        assert_eq!(ledger["ok"], ledger["server_count"], "{target}: {ledger}");
    }
}

#[test]
fn a_connection_for_each_request_is_opened_as_often_as_the_server_is_asked() {
    for (mode, each) in [("--rate=300", "1"), ("--mode=closed", "1"), ("--mode=closed", "10")] {
        let reconnect = format!("--reconnect={each}");
        let mut arguments = vec!["run", "echo", "--no-files", "--format=json", mode, &reconnect];
        arguments.extend(QUICK);
        let output = run(&arguments);
        assert_code(0, &output);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_schema("result", &result);
        let point = &result["points"][0];
        let (connections, ledger) = (&point["connections"], &point["ledger"]);
        assert_eq!(ledger["server_count"], ledger["sent"], "{ledger}");
        assert_eq!((&ledger["ok"], &connections["lost"]), (&ledger["sent"], &0.into()));
        let measured = ledger["sent"].as_u64().unwrap() - ledger["warmup"].as_u64().unwrap();
        // In a closed loop, too, where both are one and the same.
        for latency in ["response", "service"] {
            assert_eq!(point[latency]["count"], measured, "{mode}: {latency}");
        }
        let (sent, opened) = (ledger["sent"].as_u64().unwrap(), connections["opened"].as_u64());
        let least = sent.div_ceil(each.parse().unwrap());
        assert!(sent > 0 && (least..=least + 3).contains(&opened.unwrap()), "{connections}");
    }
}

#[test]
fn connections_that_nobody_takes_any_more_are_told_of_by_their_kind() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let output = small_run(&out, &["--fault=die:300", "--reconnect=1"]);
    assert_code(0, &output);
    let point = &result_of(&out)["points"][0];
    let (connections, ledger) = (&point["connections"], &point["ledger"]);
    // The last answer may have died with its server.
    assert!((299..=300).contains(&ledger["ok"].as_u64().unwrap()), "{ledger}");
    let count = |kind: &str| connections[kind].as_u64().unwrap();
    assert!(count("refused") > 100, "{connections}");
    assert_eq!(count("refused") + count("reset") + count("closed"), count("lost"));
    assert_eq!(ledger["errors"], connections["lost"], "{ledger}");
    let table = run(&["report", out.to_str().unwrap()]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains(" begun during the run, ") && table.contains(" refused"), "{table}");
}

#[test]
fn a_server_that_dies_is_1_and_what_was_measured_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let output = small_run(&out, &["--fault=die:300"]);
    assert_code(1, &output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("every connection was lost"));
    let result = result_of(&out);
    assert_eq!(result["complete"], false);
    let point = &result["points"][0];
    assert_eq!(
        (&point["balanced"], &point["ledger"]["server_count"]),
        (&true.into(), &Value::Null)
    );
    assert!(out.join("latency.hlog").metadata().unwrap().len() > 0);
}

#[test]
fn what_the_generator_counts_is_exact_on_any_machine() {
    let output = run(&["selftest", "exact-", "--tries=1"]);
    assert_code(0, &output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("4 passed, 0 failed, 0 not judged"), "{text}");
}
