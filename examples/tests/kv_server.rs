//! The kv program as its users meet it: sockets, signals, options, limits.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{Client, Server, encode};

/// Keys of which some are on each of up to four shards.
fn keys() -> impl Iterator<Item = String> + Clone {
    (0..40).map(|number| format!("key:{number}"))
}

#[test]
fn a_pipeline_of_thousands_is_answered_in_order() {
    for shard_count in [1, 3] {
        let server = Server::kv(shard_count, &[]);
        let mut client = server.connect();
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for number in 0..20_000 {
            let key = format!("key:{}", number % 1000);
            let value = number.to_string();
            requests.extend(encode(&["SET", &key, &value]));
            requests.extend(encode(&["GET", &key]));
            answers.extend(format!("+OK\r\n${}\r\n{value}\r\n", value.len()).into_bytes());
        }
        let mut sender = client.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || sender.write_all(&requests).unwrap());
        let mut received = Vec::new();
        while received.len() < answers.len() {
            received.extend(client.answer());
        }
        sending.join().unwrap();
        assert!(received == answers, "on {shard_count} shards");
    }
}

#[test]
fn requests_in_single_bytes_are_answered() {
    let server = Server::kv(2, &[]);
    let mut client = server.connect();
    for key in keys().take(6) {
        for request in [encode(&["SET", &key, "v"]), encode(&["GET", &key])] {
            for byte in request {
                client.send(&[byte]);
            }
        }
        assert_eq!(client.answer(), b"+OK\r\n");
        assert_eq!(client.answer(), b"$1\r\nv\r\n");
    }
}

#[test]
fn a_large_value_in_pieces_goes_in_and_out() {
    let server = Server::kv(2, &[]);
    let mut client = server.connect();
    let value = vec![b'x'; 100_000_000];
    for key in ["key:0", "key:1", "key:2"] {
        client.send(format!("*3\r\n$3\r\nSET\r\n$5\r\n{key}\r\n${}\r\n", value.len()).as_bytes());
        let started = Instant::now();
        for piece in value.chunks(60_000) {
            client.send(piece);
        }
        client.send(b"\r\n");
        assert_eq!(client.answer(), b"+OK\r\n");
        // Looking at all of it again with each piece would take minutes.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert_eq!(client.text(&format!("STRLEN {key}")), ":100000000\r\n");
    }
    let mut other = server.connect();
    let text = format!("${}\r\n", value.len());
    let answer = other.words("GET key:1");
    assert_eq!(answer.len(), text.len() + value.len() + 2);
    assert!(answer.starts_with(text.as_bytes()) && answer[text.len()..].starts_with(&value));
    assert_eq!(client.text("DEL key:0 key:1 key:2"), ":3\r\n");
}

#[test]
fn announced_sizes_take_no_memory() {
    let server = Server::kv(1, &[]);
    let before = server.resident_kib();
    let connections: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = server.connect();
            client.send(b"*1000000\r\n$536870912\r\nxxx");
            client
        })
        .collect();
    assert_eq!(server.connect().text("PING"), "+PONG\r\n");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 20_000, "{} connections took {grown} KiB", connections.len());
}

#[test]
fn a_client_that_does_not_read_does_not_fill_the_memory() {
    for shard_count in [1, 2] {
        let server = Server::kv(shard_count, &[]);
        let mut client = server.connect();
        let value = "v".repeat(100_000);
        for key in keys().take(4) {
            client.call(&["SET", &key, &value]);
        }
        let before = server.resident_kib();
        // Answers of 400 MB are asked for with 100 kB.
        let requests: Vec<u8> =
            keys().take(4).cycle().take(4000).flat_map(|key| encode(&["GET", &key])).collect();
        let mut greedy = server.connect();
        greedy.send(&requests);
        for _ in 0..500 {
            assert_eq!(client.text("PING"), "+PONG\r\n", "others are served meanwhile");
        }
        let grown = server.resident_kib().saturating_sub(before);
        assert!(grown < 50_000, "{grown} KiB on {shard_count} shards");
        for _ in 0..4000 {
            assert_eq!(greedy.answer().len(), value.len() + "$100000\r\n\r\n".len());
        }
    }
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = Server::kv(2, &["--max-clients", "3"]);
    let mut admitted: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut admitted {
        assert_eq!(client.text("PING"), "+PONG\r\n");
    }
    let refusal = b"-ERR max number of clients reached\r\n";
    assert_eq!(server.connect().until_closed(), refusal);
    assert_eq!(admitted.pop().unwrap().text("QUIT"), "+OK\r\n");
    // The place is free as soon as the server has seen the end.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut client = server.connect();
        client.send(b"PING\r\n");
        if client.answer() == b"+PONG\r\n" {
            break;
        }
        assert!(Instant::now() < deadline, "the place never became free");
    }
}

#[test]
fn a_connection_over_which_nothing_moves_is_ended() {
    let server = Server::kv(2, &["--idle-timeout", "0.4"]);
    let mut silent = server.connect();
    assert_eq!(silent.text("PING"), "+PONG\r\n");
    assert_eq!(silent.until_closed(), b"");
    // One that does not read its answers, so that the server cannot send them, is ended as well.
    let mut greedy = server.connect();
    greedy.call(&["SET", "large", &"v".repeat(1_000_000)]);
    greedy.send(&encode(&["GET", "large"]).repeat(40));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server.connect().text("INFO clients").contains("connected_clients:1\r\n") {
        assert!(Instant::now() < deadline, "it was never ended");
    }
    drop(greedy);
}

#[test]
fn expired_keys_go_without_being_asked_for() {
    let server = Server::kv(2, &[]);
    let mut client = server.connect();
    let value = "v".repeat(100_000);
    for number in 0..500 {
        let key = format!("key:{number}");
        client.call(&["SET", &key, &value, "PX", "3000"]);
    }
    let full = server.resident_kib();
    assert!(full > 45_000, "{full} KiB");
    let deadline = Instant::now() + Duration::from_secs(10);
    while client.text("DBSIZE") != ":0\r\n" {
        assert!(Instant::now() < deadline, "{} keys are left", client.text("DBSIZE"));
    }
    let empty = server.resident_kib();
    assert!(empty < full / 2, "{full} KiB before, {empty} KiB after");
}

#[test]
fn commands_of_one_connection_on_one_key_take_effect_in_order() {
    let server = Server::kv(3, &[]);
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    // All in flight together: the sums are right if no increment was lost, and each sees its own
    // grow.
    for client in &mut clients {
        let requests: Vec<u8> =
            (0..200).flat_map(|_| keys()).flat_map(|key| encode(&["INCR", &key])).collect();
        client.send(&requests);
    }
    for client in &mut clients {
        let mut last = vec![0; 40];
        for number in 0..200 * 40 {
            let answer = String::from_utf8(client.answer()).unwrap();
            let value: i64 = answer.trim_start_matches(':').trim_end().parse().unwrap();
            assert!(value > last[number % 40]);
            last[number % 40] = value;
        }
    }
    for key in keys() {
        assert_eq!(clients[0].text(&format!("GET {key}")), "$3\r\n800\r\n");
    }
}

#[test]
fn sigterm_ends_the_server_in_order() {
    for shard_count in [1, 2] {
        let server = Server::kv(shard_count, &[]);
        let mut idle = server.connect();
        let mut busy = server.connect();
        assert_eq!(idle.text("PING"), "+PONG\r\n");
        busy.send(b"SET a 1\r\nGET a\r\n");
        assert_eq!(busy.answer(), b"+OK\r\n");
        let started = Instant::now();
        server.terminate();
        assert_eq!(idle.until_closed(), b"");
        assert_eq!(busy.until_closed(), b"$1\r\n1\r\n");
        assert!(server.wait(), "it ends well");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[test]
fn connections_are_served_whichever_way_they_come() {
    for accept in ["reuse-port", "by-cpu", "in-turn", "least-loaded"] {
        let server = Server::kv(2, &["--accept", accept]);
        let mut clients = [(); 6].map(|()| server.connect());
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.text(&format!("SET key{number} {accept}")), "+OK\r\n");
        }
        for (number, client) in clients.iter_mut().rev().enumerate() {
            let answer = format!("${}\r\n{accept}\r\n", accept.len());
            assert_eq!(client.text(&format!("GET key{number}")), answer);
        }
        server.terminate();
        assert!(server.wait(), "it ends well with {accept}");
    }
}

fn run_kv(options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.args(options).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_cannot_be_done_is_said_and_ends_the_program() {
    let server = Server::kv(1, &[]);
    let port = server.port.to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["--port", &port, "--unpinned", "--shards", "2"], "cannot listen on 127.0.0.1:"),
        (&["--port", "0", "--bind", "192.0.2.1", "--unpinned"], "cannot listen on 192.0.2.1:"),
        (&["--port", "0", "--cores", "9999"], "9999"),
        (&["--port", "0", "--shards", "0"], "shard"),
        (&["--port", "0", "--unpinned", "--accept", "fastest"], "none of reuse-port, by-cpu"),
        (&["--port", "0", "--unpinned", "--log", "a=b=c"], "--log a=b=c"),
    ];
    for (options, text) in cases {
        let output = run_kv(options);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(text), "{options:?}: {said}");
    }
    let greeting = &server.greeting;
    assert!(greeting.contains("1 shard, not pinned"), "{greeting}");
}

#[test]
fn redis_cli_is_content() {
    if Command::new("redis-cli").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("redis-cli skipped: it is not installed");
        return;
    }
    for shard_count in [1, 2] {
        let server = Server::kv(shard_count, &[]);
        let port = server.port.to_string();
        let cli = |words: &[&str]| {
            let output =
                Command::new("redis-cli").args(["-p", &port]).args(words).output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(cli(&["SET", "greeting", "hello world"]), "OK\n");
        assert_eq!(cli(&["GET", "greeting"]), "hello world\n");
        assert_eq!(cli(&["-3", "GET", "nothing"]), "\n");
        assert_eq!(cli(&["MSET", "a", "1", "b", "2"]), "OK\n");
        assert_eq!(cli(&["MGET", "a", "b"]), "1\n2\n");
        assert_eq!(cli(&["-3", "--json", "CONFIG", "GET", "save"]), "{\"save\":\"\"}\n");
        let mut found: Vec<_> = cli(&["--scan"]).lines().map(str::to_owned).collect();
        found.sort();
        assert_eq!(found, ["a", "b", "greeting"]);
        assert!(cli(&["INFO", "server"]).contains("server_name:corelane-kv"));
    }
}

/// 50 and 500 connections, one request at a time and 16: no error, and every INCR has counted.
#[test]
fn redis_benchmark_finds_no_error() {
    if Command::new("redis-benchmark").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("redis-benchmark skipped: it is not installed");
        return;
    }
    for shard_count in [1, 2] {
        let server = Server::kv(shard_count, &[]);
        let (port, mut incremented) = (server.port.to_string(), 0);
        for (connections, depth, requests) in [(50, 1, 1000), (50, 16, 4000), (500, 16, 8000)] {
            let numbers = [connections, depth, requests].map(|number: i64| number.to_string());
            let mut command = Command::new("redis-benchmark");
            command.args(["-p", &port, "-q", "-t", "ping,set,get,incr,mset", "-c", &numbers[0]]);
            let output = command.args(["-P", &numbers[1], "-n", &numbers[2]]).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && errors.is_empty(), "{said}{errors}");
            // PING twice, inline and as a bulk.
            assert_eq!(said.matches("requests per second").count(), 6, "{said}");
            assert!(!said.to_lowercase().contains("error"), "{said}");
            incremented += requests;
        }
        let count = incremented.to_string();
        let answer = server.connect().text("GET counter:__rand_int__");
        assert_eq!(answer, format!("${}\r\n{count}\r\n", count.len()));
    }
}
