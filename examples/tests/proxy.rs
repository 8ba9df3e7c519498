//! The proxy program as its users meet it: plain sockets on both sides of it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::{Server, tcp_state};

/// A target that the proxy can be pointed at.
fn target() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn pattern(count_bytes: usize) -> Vec<u8> {
    (0..count_bytes).map(|place| (place % 251) as u8).collect()
}

/// Whether the other side has ended the connection, well or badly.
fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_side_that_has_sent_everything_still_gets_its_answer() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &[]);
    let answering = thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        // The end of the request has come; the answer is longer than all buffers.
        stream.write_all(&pattern(20_000_000)).unwrap();
        request
    });
    let mut client = proxy.socket();
    client.write_all(&pattern(3_000_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(20_000_000));
    assert!(answering.join().unwrap() == pattern(3_000_000));
}

#[test]
fn a_target_that_does_not_read_stops_the_client_and_memory_does_not_grow() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &[]);
    let before_kib = proxy.resident_kib();
    let mut pairs = Vec::new();
    for _ in 0..10 {
        let client = proxy.socket();
        let held = accept(&listener);
        client.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        pairs.push((client, held));
    }
    let piece = pattern(1_000_000);
    let mut sent_bytes = 0;
    // Until each of them has waited in vain for room.
    loop {
        let before_bytes = sent_bytes;
        for (client, _) in &mut pairs {
            sent_bytes += client.write(&piece).unwrap_or(0);
        }
        if sent_bytes == before_bytes {
            break;
        }
    }
    // The system's buffers are large; what the proxy adds is less than a MiB for each.
    assert!(sent_bytes > 10_000_000, "{sent_bytes} bytes fit into the system's buffers");
    let grown_kib = proxy.resident_kib() - before_kib;
    assert!(grown_kib < 10 * 1024, "{grown_kib} KiB more for ten connections that stand still");
}

#[test]
fn a_connection_over_which_nothing_moves_is_ended_on_both_sides() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &["--idle-timeout", "0.4"]);
    let mut client = proxy.socket();
    let mut far = accept(&listener);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(800) {
        client.write_all(b"x").unwrap();
        far.read_exact(&mut [0; 1]).unwrap();
    }
    let quiet = Instant::now();
    assert!(is_ended(&mut client) && is_ended(&mut far));
    assert!(quiet.elapsed() > Duration::from_millis(300), "{:?}", quiet.elapsed());
}

#[test]
fn a_target_that_refuses_ends_the_client_and_not_the_proxy() {
    let (listener, port) = target();
    drop(listener);
    let proxy = Server::proxy(port, &["--log", "off"]);
    for _ in 0..3 {
        assert!(is_ended(&mut proxy.socket()));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let mut client = proxy.socket();
    client.write_all(b"hello").unwrap();
    let mut hello = [0; 5];
    accept(&listener).read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
}

#[test]
fn a_side_that_goes_away_takes_the_other_along() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &[]);
    let mut client = proxy.socket();
    client.write_all(b"unread").unwrap();
    let far = accept(&listener);
    // It is there, and stays unread.
    while far.peek(&mut [0; 6]).unwrap() < 6 {}
    // Closed with bytes unread: a reset.
    drop(far);
    assert!(is_ended(&mut client));
}

#[test]
fn an_answer_that_is_not_read_yet_survives_a_target_that_wants_no_more() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &[]);
    let mut client = proxy.slow_socket();
    let mut far = accept(&listener);
    far.write_all(&pattern(65_536)).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let client_port = client.local_addr().unwrap().port();
    // FIN_WAIT1 and FIN_WAIT2: it has said its end.
    while !tcp_state(proxy.port, client_port).is_some_and(|(state, _)| [4, 5].contains(&state)) {
        thread::yield_now();
    }
    // The proxy has passed the answer and its end on; what it has for the target now finds nobody.
    rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    // Refused or not, that is seen when the answer is read.
    let _ = client.write_all(&pattern(400_000));
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert!(answer == pattern(65_536), "{} bytes came", answer.len());
}

#[test]
fn connections_above_the_limit_wait_for_their_turn() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &["--max-connections", "1"]);
    let mut first = proxy.socket();
    let mut far = accept(&listener);
    let mut second = proxy.socket();
    second.write_all(b"patience").unwrap();
    listener.set_nonblocking(true).unwrap();
    // The proxy goes round many times, and does not take the second in.
    for _ in 0..500 {
        first.write_all(b"x").unwrap();
        far.read_exact(&mut [0; 1]).unwrap();
    }
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop((first, far));
    listener.set_nonblocking(false).unwrap();
    let mut got = [0; 8];
    accept(&listener).read_exact(&mut got).unwrap();
    assert_eq!(&got, b"patience");
}

#[test]
fn sigterm_ends_the_proxy_when_its_connections_have_ended() {
    let (listener, port) = target();
    let proxy = Server::proxy(port, &[]);
    let mut client = proxy.socket();
    let mut far = accept(&listener);
    proxy.terminate();
    // It has begun to end when it refuses.
    while TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port)).is_ok() {}
    client.write_all(b"the rest").unwrap();
    far.read_exact(&mut [0; 8]).unwrap();
    drop((client, far));
    assert!(proxy.wait());
}
