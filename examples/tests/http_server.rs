//! The http program as its users meet it: curl, wrk, and sockets that misbehave.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Server, tcp_state};

/// Runs curl; `None`, and a line that says so, where there is none.
fn curl(args: &[&str]) -> Option<String> {
    let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output();
    let Ok(output) = output else {
        eprintln!("skipped: curl does not run here");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {args:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn url(server: &Server, path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", server.port)
}

/// One answer of HTTP/1.1 with a length: its head and its body.
fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn is_ended(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn requests_follow_one_another_on_a_connection() {
    let server = Server::http(2, &[]);
    let mut client = server.socket();
    for (request, status, body) in [
        ("GET / HTTP/1.1", "200 OK", "Hello, world!\n"),
        ("GET /nowhere HTTP/1.1", "404 Not Found", "nothing here\n"),
        ("DELETE / HTTP/1.1", "405 Method Not Allowed", "not allowed here\n"),
        ("GET / HTTP/1.1", "200 OK", "Hello, world!\n"),
    ] {
        write!(client, "{request}\r\nhost: x\r\n\r\n").unwrap();
        let (head, got) = read_answer(&mut client);
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert_eq!(got, body);
    }
    client.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    assert_eq!(read_answer(&mut client).1, "hello");
    client.write_all(b"no http at all\r\n\r\n").unwrap();
    assert!(is_ended(&mut client));
}

#[test]
fn curl_speaks_both_versions_and_gets_back_what_it_sends() {
    let server = Server::http(2, &[]);
    let folder = tempfile::tempdir().unwrap();
    let (sent, got) = (folder.path().join("sent"), folder.path().join("got"));
    let bytes: Vec<u8> = (0..10_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    fs::write(&sent, &bytes).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "-w", "%{http_version}", &url(&server, "/")]);
        let Some(answer) = answer else { return };
        let number = if version == "--http1.1" { "1.1" } else { "2" };
        assert_eq!(answer, format!("Hello, world!\n{number}"));
        let data = format!("@{}", sent.display());
        let got_path = got.to_str().unwrap();
        curl(&[version, "--data-binary", &data, "-o", got_path, &url(&server, "/echo")]);
        assert!(fs::read(&got).unwrap() == bytes, "{version}");
    }
}

#[test]
fn with_a_certificate_it_speaks_tls_and_lets_the_client_choose_the_version() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let server = Server::http(2, &["--cert", cert, "--key", key]);
    let url = format!("https://localhost:{}/", server.port);
    for (option, number) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let args = [option, "--cacert", cert, "-w", "%{http_version}", &url];
        let Some(answer) = curl(&args) else { return };
        assert_eq!(answer, format!("Hello, world!\n{number}"));
    }
    // Who speaks plainly to it is ended.
    let mut plain = server.socket();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert!(is_ended(&mut plain));
}

/// So many connections, each with a request that was answered.
fn connect_many(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut clients: Vec<_> = (0..count).map(|_| server.socket()).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        read_answer(client);
    }
    clients
}

#[test]
fn connections_are_dealt_out_as_asked_for_and_the_metrics_say_how_evenly() {
    for (accept, is_even) in
        [("reuse-port", false), ("by-cpu", false), ("in-turn", true), ("least-loaded", true)]
    {
        let server = Server::http(3, &["--accept", accept]);
        let mut clients = connect_many(&server, 12);
        clients[0].write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let (_, text) = read_answer(&mut clients[0]);
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        let of = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(value).collect::<Vec<f64>>()
        };
        let shares = of("corelane_shard_connections{");
        assert_eq!(shares.iter().sum::<f64>(), 12.0, "{accept}: {shares:?}");
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert_eq!(of("corelane_shards_connection_imbalance "), [most / 4.0], "{accept}");
        assert!(!is_even || most == 4.0, "{accept}: {shares:?}");
    }
}

#[test]
fn metrics_tell_of_every_shard() {
    let server = Server::http(3, &[]);
    let mut clients = connect_many(&server, 12);
    clients[0].write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let (head, text) = read_answer(&mut clients[0]);
    assert!(head.contains("content-type: text/plain; version=0.0.4\r\n"), "{head}");
    let sum = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let counts: Vec<u64> =
            lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(counts.len(), 3, "{text}");
        counts.iter().sum()
    };
    assert_eq!(sum("http_requests_total"), 13);
    assert_eq!(sum("http_open_connections"), 12);
    assert_eq!(sum("http_connection_errors_total"), 0);
    assert!(text.contains("# TYPE http_requests_total counter\n"));
}

#[test]
fn heads_that_do_not_come_and_bodies_that_stop_are_not_waited_for() {
    let limits = ["--header-timeout", "0.4", "--idle-timeout", "0.8"];
    let server = Server::http(1, &limits);
    let begun = Instant::now();
    let mut clients: Vec<_> = (0..4).map(|_| server.socket()).collect();
    // Nothing, half a greeting of HTTP/2, half a head, half a body.
    clients[1].write_all(b"PRI * HT").unwrap();
    clients[2].write_all(b"GET / HTTP/1.1\r\nho").unwrap();
    let half = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhal";
    clients[3].write_all(half).unwrap();
    for client in &mut clients {
        assert!(is_ended(client));
    }
    let took = begun.elapsed();
    assert!((0.8..5.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn a_client_that_does_not_read_is_ended_after_the_idle_timeout() {
    let server = Server::http(1, &["--idle-timeout", "0.5"]);
    // The first request touches code that was never run.
    let mut first = server.socket();
    first.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx").unwrap();
    read_answer(&mut first);
    let before_kib = server.resident_kib();
    let mut client = server.socket();
    let length = 200_000_000;
    write!(client, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n").unwrap();
    let piece = vec![b'x'; 100_000];
    let mut sent_bytes = 0;
    // It is stopped when all buffers on the way are full, and then cut off.
    let error = loop {
        match client.write(&piece) {
            Ok(count) => sent_bytes += count,
            Err(error) => break error,
        }
        assert!(sent_bytes < length, "all of it was taken");
        let grown_kib = server.resident_kib().saturating_sub(before_kib);
        assert!(grown_kib < 4 * 1024, "{grown_kib} KiB more after {sent_bytes} bytes");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
}

#[test]
fn connections_above_the_limit_wait_for_their_turn() {
    let server = Server::http(1, &["--max-connections", "2"]);
    let mut clients: Vec<_> = (0..3).map(|_| server.socket()).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    }
    read_answer(&mut clients[0]);
    read_answer(&mut clients[1]);
    clients[2].set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(clients[2].read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    clients[2].set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    clients.remove(0);
    assert_eq!(read_answer(&mut clients[1]).1, "Hello, world!\n");
}

#[test]
fn sigterm_answers_what_was_asked_and_lets_idle_connections_go() {
    let server = Server::http(2, &[]);
    let mut idle = server.socket();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    read_answer(&mut idle);
    let mut busy = server.socket();
    busy.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhel").unwrap();
    // The head of the answer comes before the body is whole: the request is under way.
    busy.peek(&mut [0]).unwrap();
    server.terminate();
    assert!(is_ended(&mut idle));
    busy.write_all(b"lo").unwrap();
    assert_eq!(read_answer(&mut busy).1, "hello");
    assert!(is_ended(&mut busy));
    assert!(server.wait());
}

#[test]
fn an_answer_that_is_not_read_yet_survives_what_its_client_still_sends() {
    let server = Server::http(2, &[]);
    let mut client = server.slow_socket();
    let body = "x".repeat(65_536);
    write!(client, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\nx", body.len())
        .unwrap();
    client.peek(&mut [0]).unwrap();
    server.terminate();
    // It has begun to end when it refuses: this answer is the last one.
    while TcpStream::connect(server.address).is_ok() {}
    client.write_all(&body.as_bytes()[1..]).unwrap();
    // More requests than the server reads ahead. To close with these unread would be to reset the connection, which
    // throws away what the client's system had no room for. Whether they are refused is seen when the answer is read.
    let requests = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(15_000);
    let _ = client.write_all(requests.as_bytes());
    let (port, own_port) = (server.port, client.local_addr().unwrap().port());
    assert!(server.wait());
    while tcp_state(own_port, port).is_some_and(|(_, unsent)| unsent > 0) {
        thread::yield_now();
    }
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(body.as_bytes()), "{} bytes came", answer.len());
}

#[test]
fn wrk_finds_no_error() {
    let server = Server::http(1, &[]);
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d1s", &url(&server, "/")]);
    let Ok(output) = wrk.stdout(Stdio::piped()).output() else {
        return eprintln!("skipped: wrk does not run here");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("requests in") && !text.contains("Non-2xx"), "{text}");
    assert!(!text.contains("Socket errors"), "{text}");
}
