//! What somebody meets who points the program at a server of his own for the first time: each error says what to do, and
//! a run that never began leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;

use support::{QUICK, assert_code, code, harness, result_of, run};

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server that reads, and answers each read with `answer`.
fn server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods, reason = "the server needs threads")]
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                while stream.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_server_that_is_not_there_can_be_started_by_the_command_in_the_error() {
    for (scheme, target) in [("redis", "kv"), ("http", "http"), ("echo", "echo")] {
        let addr = nobody();
        let url = format!("{scheme}://{addr}");
        let output = run(&["attack", &url, "--no-files", "--noise=0s"]);
        assert_code(1, &output);
        let expected = format!("`bench-harness serve {target} --addr {addr}` starts one of ours");
        assert!(said(&output).contains(&expected), "{}", said(&output));
    }
    let output = run(&["attack", "redis+unix:/nowhere/r.sock", "--no-files", "--noise=0s"]);
    assert_code(1, &output);
    assert!(said(&output).contains("there is no such socket"), "{}", said(&output));
}

#[test]
fn a_run_that_never_began_leaves_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("echo://{}", nobody());
    let attack = |more: &[&str]| {
        let mut command = harness(&["attack", &url, "--noise=0s"]);
        command.args(more).current_dir(directory.path()).output().unwrap()
    };
    let is_empty = || fs::read_dir(directory.path()).unwrap().next().is_none();
    assert_code(1, &attack(&[]));
    assert!(is_empty(), "bench-out was left");
    assert_code(1, &attack(&["--out=a/b"]));
    assert!(is_empty(), "a was left");
    // What was there before is not ours to take away.
    fs::create_dir(directory.path().join("mine")).unwrap();
    assert_code(1, &attack(&["--out=mine/run"]));
    assert!(fs::read_dir(directory.path().join("mine")).unwrap().next().is_none());

    let side = format!("attack {url} --noise=0s");
    let pairs = ["--pairs=2", "--out=mine/ab"];
    let mut command = harness(&["ab", "--a", &side, "--b", &side]);
    let output = command.args(pairs).current_dir(directory.path()).output().unwrap();
    assert_code(1, &output);
    assert!(said(&output).contains("cannot be reached"), "{}", said(&output));
    assert!(!directory.path().join("mine/ab").exists());
}

#[test]
fn who_answers_in_another_language_is_told_by_his_answer() {
    for (scheme, answer, expected) in [
        ("memcache", &b"-ERR unknown command\r\n"[..], "try redis://"),
        ("redis", b"ERROR\r\n", "try memcache://"),
        ("redis", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "try http://"),
        ("redis", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", "try echo://"),
        ("http", b"-ERR unknown command\r\n", "try redis://"),
    ] {
        let url = format!("{scheme}://{}", server(answer));
        let mut arguments = vec!["attack", &url, "--no-files"];
        arguments.extend(QUICK);
        let output = run(&arguments);
        assert_code(1, &output);
        assert!(said(&output).contains(expected), "{scheme}: {}", said(&output));
    }
}

#[test]
fn a_server_that_never_answers_is_1_and_what_was_asked_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("run");
    let url = format!("echo://{}", server(b""));
    let mut arguments = vec!["attack", &url, "--rate=100", "--no-svg", "--format=quiet", "--out"];
    arguments.push(out.to_str().unwrap());
    arguments.extend(QUICK.into_iter().filter(|option| !option.starts_with("--drain")));
    arguments.push("--drain=100ms");
    let output = run(&arguments);
    assert_code(1, &output);
    assert!(said(&output).contains("none of 50 requests was answered"), "{}", said(&output));
    assert!(said(&output).contains("frames of 64 bytes?"), "{}", said(&output));
    assert_eq!(result_of(&out)["points"][0]["ledger"]["unfinished"], 50);
}

#[test]
fn a_url_that_is_none_is_answered_with_one() {
    for (url, expected) in [
        ("127.0.0.1:6379", "perhaps redis://127.0.0.1:6379"),
        ("localhost:8080/index", "perhaps http://localhost:8080/index"),
        ("https://127.0.0.1", "TLS"),
        ("redis://192.0.2.1", "192.0.2.1:6379 is not of this machine; --allow-remote"),
    ] {
        let output = run(&["attack", url]);
        assert_eq!(code(&output), 2, "{}", said(&output));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}
