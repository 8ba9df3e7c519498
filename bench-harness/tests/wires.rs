//! Every protocol, against the servers of this project and against real ones. Nothing here depends on
//! how fast the machine is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{QUICK, assert_code, run};

#[test]
fn every_arrival_and_distribution_runs_against_the_key_value_server() {
    for (arrival, keys, sizes) in [
        ("poisson", "hotspot:10%/90%", "uniform:1-300"),
        ("uniform:0.5", "gauss:0.5/0.1", "lognormal:100/1"),
        ("burst:10", "seq", "list:10=1,2000=1"),
    ] {
        let mut arguments = vec!["run", "kv", "--rate=500", "--keys=200", "--key-size=40"];
        arguments.extend(["--verify=1", "--arrival", arrival, "--key-dist", keys]);
        arguments.extend(["--value-size", sizes, "--no-files", "--format=json"]);
        arguments.extend(QUICK);
        let output = run(&arguments);
        assert_code(0, &output);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let point = &result["points"][0];
        assert_eq!(point["arrival"], arrival);
        assert_eq!(point["ledger"]["errors"], 0, "{}", point["ledger"]);
        assert_eq!(point["connections"]["wrong_replies"], 0);
    }
}

#[test]
fn http_is_spoken_with_the_server_of_the_examples() {
    let mut arguments = vec!["run", "http", "--rate=500", "--no-files", "--format=json"];
    arguments.extend(QUICK);
    let output = run(&arguments);
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ledger = &result["points"][0]["ledger"];
    assert_eq!((&ledger["scheduled"], &ledger["ok"]), (&250.into(), &250.into()), "{ledger}");
    arguments.push("--path=/nowhere");
    let output = run(&arguments);
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["points"][0]["ledger"]["errors"], 250, "a 404 is an error");
}

#[test]
fn a_server_that_answers_wrongly_is_1_and_the_reason_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("echo://{}", listener.local_addr().unwrap());
    #[allow(clippy::disallowed_methods, reason = "the liar needs a thread")]
    let liar = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut frame = [0; 64];
        // The first frame is right but for its last byte, which only a verification sees.
        stream.read_exact(&mut frame).unwrap();
        frame[63] ^= 1;
        stream.write_all(&frame).unwrap();
        let _ = stream.read(&mut frame);
    });
    let arguments = ["attack", url.as_str(), "--rate=1000", "--no-files", "--connections=1"];
    let quick = ["--duration=400ms", "--warmup=100ms", "--noise=0s", "--verify=1", "--drain=60s"];
    let output = run(&[&arguments[..], &quick[..]].concat());
    liar.join().unwrap();
    assert_code(1, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("came back with other bytes"), "{text}");
}

/// Whether somebody listens on a port of this host. To try it by connecting would not do: a connection to a port
/// that is nobody's may be given that very port for its own end, and then it has reached itself.
fn is_listened_on(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table.contains(&format!("0100007F:{port:04X} 00000000:0000 0A"))
}

/// Loads a server of somebody else's that `program` starts on a free port; `None` if it is not installed.
/// The ledger of the point.
fn load_real(
    program: &str,
    server_arguments: &[&str],
    scheme: &str,
    more: &[&str],
) -> Option<Value> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = Command::new(program)
        .args(server_arguments.iter().map(|word| word.replace("PORT", &port)))
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        println!("skipped: {program} is not installed");
        return None;
    };
    while !is_listened_on(port.parse().unwrap()) {
        assert!(server.try_wait().unwrap().is_none(), "{program} ended early");
    }
    let url = format!("{scheme}://127.0.0.1:{port}");
    let mut arguments = vec!["attack", url.as_str(), "--rate=2000", "--keys=1000"];
    arguments.extend(["--no-files", "--format=json"]);
    arguments.extend(QUICK);
    arguments.extend(more);
    let output = run(&arguments);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    Some(result["points"][0]["ledger"].clone())
}

#[test]
fn a_real_memcached_counts_what_we_count() {
    let arguments = ["-p", "PORT", "-l", "127.0.0.1", "-u", "nobody"];
    let Some(ledger) = load_real("memcached", &arguments, "memcache", &["--verify=1"]) else {
        return;
    };
    assert_eq!(ledger["ok"], 1_000, "{ledger}");
    assert_eq!(ledger["server_count"], 1_000, "{ledger}");
}

#[test]
fn a_real_redis_server_counts_what_we_count() {
    let arguments = ["--port", "PORT", "--save", "", "--bind", "127.0.0.1"];
    let Some(ledger) = load_real("redis-server", &arguments, "redis", &[]) else {
        return;
    };
    assert_eq!(ledger["ok"], 1_000, "{ledger}");
    assert_eq!(ledger["server_count"], 1_000, "{ledger}");
    assert_eq!(ledger["errors"], 0, "{ledger}");
}

#[test]
fn each_way_of_accepting_gives_every_connection_to_a_shard() {
    for target in ["kv", "echo", "http"] {
        for accept in ["by-cpu", "in-turn", "least-loaded"] {
            let mut arguments = vec!["run", target, "--accept", accept, "--rate=500", "--keys=100"];
            arguments.extend(["--no-files", "--format=json"]);
            arguments.extend(QUICK);
            let output = run(&arguments);
            assert_code(0, &output);
            let result: Value = serde_json::from_slice(&output.stdout).unwrap();
            let ledger = &result["points"][0]["ledger"];
            assert_eq!((&ledger["ok"], &ledger["errors"]), (&250.into(), &0.into()), "{ledger}");
        }
    }
}

#[test]
fn what_would_do_nothing_is_refused() {
    let url = "--url=echo://127.0.0.1:9";
    for (command, option) in [
        ("sweep", "--shards=2"),
        ("sweep", "--accept=in-turn"),
        ("max-rate", "--server-cpus=0"),
        ("max-rate", "--stall=1ms/1s"),
    ] {
        let output = run(&[command, url, option, "--slo=p99<1ms"]);
        assert_code(2, &output);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let name = option.split('=').next().unwrap();
        assert!(text.contains("--url") && text.contains(name), "{command} {option}: {text}");
    }
    for arguments in
        [["run", "synthetic", "--accept=in-turn"], ["serve", "bare-echo", "--accept=by-cpu"]]
    {
        let output = run(&arguments);
        assert_code(2, &output);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("accepts in one way only"), "{text}");
    }
}

#[test]
fn a_counted_run_sends_as_many_requests_as_were_asked_for() {
    for mode in [
        &["--rate=2000", "--arrival=poisson"][..],
        &["--mode=closed"],
        &["--mode=closed", "--think=1ms"],
    ] {
        let mut arguments = vec!["run", "echo", "-n", "777", "--warmup=0s", "--noise=0s"];
        arguments.extend(["--drain=60s", "--timeout=60s"]);
        arguments.extend(["--connections=3", "--no-files", "--format=json"]);
        arguments.extend(mode);
        let output = run(&arguments);
        assert_code(0, &output);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let point = &result["points"][0];
        for count in ["scheduled", "sent", "ok", "server_count"] {
            assert_eq!(point["ledger"][count], 777, "{mode:?}: {}", point["ledger"]);
        }
        assert_eq!(point["response"]["count"], 777);
    }
}

#[test]
fn a_unix_socket_is_loaded_like_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("echo.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    #[allow(clippy::disallowed_methods, reason = "the server needs a thread")]
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut bytes = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).unwrap();
        }
    });
    let url = format!("echo+unix:{}", path.display());
    let arguments =
        ["attack", url.as_str(), "-n500", "--mode=closed", "--connections=1", "--verify=1"];
    let quick = ["--warmup=0s", "--noise=0s", "--no-files", "--format=json", "--timeout=60s"];
    let output = run(&[&arguments[..], &quick[..]].concat());
    server.join().unwrap();
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["points"][0]["ledger"]["ok"], 500);
}

#[test]
fn a_table_has_the_columns_and_the_unit_that_were_asked_for() {
    let arguments = ["run", "synthetic", "-n800", "--mode=closed", "--warmup=auto", "--ramp=50ms"];
    let more =
        ["--noise=0s", "--no-files", "--percentiles=75,p95,max", "--unit=us", "--start-at=+2s"];
    let output = run(&[&arguments[..], &more[..]].concat());
    assert_code(0, &output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("p75 ") && text.contains("p95 ") && !text.contains("p99.9"), "{text}");
    assert!(text.contains(" us |"), "{text}");
    for bad in [&["--start-at=1"][..], &["--rate=5", "--think=1ms"], &["-n5", "--duration=1s"]] {
        let output = run(&[&["run", "synthetic", "--noise=0s", "--no-files"], bad].concat());
        let code = if bad[0] == "--start-at=1" { 1 } else { 2 };
        assert_code(code, &output);
    }
}

/// A load point of 2000 requests to two shards, of which another shard than the reading one answers `remote`; none on a
/// machine with one CPU.
fn two_shards(target: &str, remote: &str) -> Option<Value> {
    let cpus = std::fs::read_to_string("/proc/self/status").unwrap();
    let cpus =
        cpus.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    if !cpus.contains(['-', ',']) {
        println!("skipped: two shards need two cpus");
        return None;
    }
    let cpus = cpus.replace('-', ",");
    let two: Vec<&str> = cpus.split(',').take(2).collect();
    let (server, load) =
        (format!("--server-cpus={}", two.join(",")), format!("--load-cpus={}", two[0]));
    let mut arguments = vec!["run", target, server.as_str(), load.as_str(), remote, "-n2000"];
    // To write every key takes a slow machine long.
    arguments.push("--keys=1000");
    arguments.extend(["--rate=4000", "--warmup=100ms", "--noise=0s", "--connections=4"]);
    // A machine that is slow answers later, and still all of them.
    arguments.extend(["--drain=60s", "--timeout=60s", "--no-files", "--format=json"]);
    let output = run(&arguments);
    assert_code(0, &output);
    let mut result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let point = result["points"][0].take();
    assert_eq!((&point["balanced"], &point["ledger"]["errors"]), (&true.into(), &0.into()));
    assert_eq!(
        (&point["response"]["count"], &point["response"]["censored"]),
        (&2_000.into(), &0.into())
    );
    Some(point)
}

#[test]
fn of_a_key_value_server_as_many_requests_hop_as_were_asked_to() {
    for (remote, share) in [("--remote=30%", 0.3), ("--remote=100%", 1.0)] {
        let Some(point) = two_shards("kv", remote) else { return };
        let split = &point["split"];
        let count = |part: &str| split[part]["count"].as_u64().unwrap();
        assert_eq!(count("own") + count("remote"), 2_000, "{split}");
        let wanted = share * 2_000.0;
        assert!((count("remote") as f64 - wanted).abs() <= 4.0, "{remote}: {split}");
        // The server counts those of the warm-up too.
        let (sent, hops) = (&point["ledger"]["sent"], &split["server_hops"]);
        let wanted = share * sent.as_f64().unwrap();
        assert!((hops.as_f64().unwrap() - wanted).abs() <= 4.0, "{remote}: {hops} of {sent}");
    }
}

#[test]
fn the_stages_of_a_request_that_another_shard_answers_add_up_to_its_response() {
    let Some(point) = two_shards("hop", "--remote=50%") else { return };
    assert_eq!(point["split"]["remote"]["count"], 1_000);
    let hops = &point["hops"];
    assert_eq!(hops["disordered"], 0, "{hops}");
    // Half of 2000 are remote and one in 64 of those is sampled, one more where the cut falls.
    assert!((15..=17).contains(&hops["samples"].as_u64().unwrap()), "{hops}");
    let stages = hops["stages"].as_array().unwrap();
    let sum: f64 = stages.iter().map(|stage| stage["mean_ns"].as_f64().unwrap()).sum();
    let response = hops["response_mean_ns"].as_f64().unwrap();
    assert!((sum / response - 1.0).abs() < 1e-9, "{sum} and {response}");
}
