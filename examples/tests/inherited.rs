//! Servers that are handed the socket that they serve on, by a shell in the place of a service manager.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use support::Server;

/// Starts `program` with a socket that is called "door", and gives a client that had come before.
fn start_behind_door(program: &str, options: &[&str]) -> (Server, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let early = TcpStream::connect(address).unwrap();
    early.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = Server::handed_over(listener, "door", program);
    command.args(["--inherited", "door"]).args(options);
    let server = Server::start(command);
    assert_eq!(server.address, address);
    (server, early)
}

fn ask(stream: &mut TcpStream, question: &str, answer: &str) {
    stream.write_all(question.as_bytes()).unwrap();
    let mut bytes = vec![0; answer.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), answer);
}

#[test]
fn kv_serves_who_came_before_it_began() {
    let (server, mut early) = start_behind_door(env!("CARGO_BIN_EXE_kv"), &[]);
    ask(&mut early, "PING\r\n", "+PONG\r\n");
    for _ in 0..10 {
        ask(&mut server.socket(), "PING\r\n", "+PONG\r\n");
    }
}

#[test]
fn http_serves_who_came_before_it_began() {
    let (_server, mut early) = start_behind_door(env!("CARGO_BIN_EXE_http"), &[]);
    ask(&mut early, "GET / HTTP/1.1\r\nHost: here\r\n\r\n", "HTTP/1.1 200 OK");
}

#[test]
fn proxy_serves_who_came_before_it_began() {
    let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = target.local_addr().unwrap().to_string();
    let (_server, mut early) = start_behind_door(env!("CARGO_BIN_EXE_proxy"), &["--to", &to]);
    early.write_all(b"hello").unwrap();
    let (mut far, _) = target.accept().unwrap();
    ask(&mut far, "hi", "hello");
    ask(&mut early, "", "hi");
}

#[test]
fn a_name_under_which_nothing_was_handed_over_is_refused() {
    for program in [env!("CARGO_BIN_EXE_kv"), env!("CARGO_BIN_EXE_http")] {
        let output = Command::new(program).args(["--inherited", "door"]).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("no socket was handed over as \"door\""), "{said}");
    }
}
