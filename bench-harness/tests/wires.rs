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
    let quick = ["--duration=400ms", "--warmup=100ms", "--noise=0s", "--verify=1"];
    let output = run(&[&arguments[..], &quick[..]].concat());
    liar.join().unwrap();
    assert_code(1, &output);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("came back with other bytes"), "{text}");
}

#[test]
fn a_real_memcached_counts_what_we_count() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = Command::new("memcached")
        .args(["-p", &port, "-l", "127.0.0.1", "-u", "nobody"])
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        println!("skipped: memcached is not installed");
        return;
    };
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(server.try_wait().unwrap().is_none(), "memcached ended early");
    }
    let url = format!("memcache://127.0.0.1:{port}");
    let mut arguments = vec!["attack", url.as_str(), "--rate=2000", "--keys=1000", "--verify=1"];
    arguments.extend(["--no-files", "--format=json"]);
    arguments.extend(QUICK);
    let output = run(&arguments);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ledger = &result["points"][0]["ledger"];
    assert_eq!(ledger["ok"], 1_000, "{ledger}");
    assert_eq!(ledger["server_count"], 1_000, "{ledger}");
}

#[test]
fn a_real_redis_server_counts_what_we_count() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let server = Command::new("redis-server")
        .args(["--port", &port, "--save", "", "--bind", "127.0.0.1"])
        .stdout(Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        println!("skipped: redis-server is not installed");
        return;
    };
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(server.try_wait().unwrap().is_none(), "redis-server ended early");
    }
    let url = format!("redis://127.0.0.1:{port}");
    let mut arguments = vec!["attack", url.as_str(), "--rate=2000", "--keys=1000"];
    arguments.extend(["--no-files", "--format=json"]);
    arguments.extend(QUICK);
    let output = run(&arguments);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_code(0, &output);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ledger = &result["points"][0]["ledger"];
    assert_eq!(ledger["ok"], 1_000, "{ledger}");
    assert_eq!(ledger["server_count"], 1_000, "{ledger}");
    assert_eq!(ledger["errors"], 0, "{ledger}");
}
