//! The programs `counter`, `chat` and `beside_tokio`, as their users meet them.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use support::Server;

/// A client that sends and reads lines.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(server: &Server) -> Self {
        Self { reader: BufReader::new(server.socket()) }
    }

    fn named(server: &Server, name: &str) -> Self {
        let mut client = Self::connect(server);
        assert_eq!(client.hears(), "your name?");
        client.says(name);
        // Then everybody has heard of it.
        assert_eq!(client.hears(), format!("welcome, {name}"));
        client
    }

    fn says(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn asks(&mut self, line: &str) -> String {
        self.says(line);
        self.hears()
    }
}

/// What `counter` prints for `text`.
fn counted(shard_count: usize, text: &str) -> String {
    let shard_count = shard_count.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_counter"));
    command.args(["--unpinned", "--top", "3", "--shards", &shard_count]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn words_are_counted_the_same_on_any_number_of_shards() {
    // Several pieces, and words that fall on their borders.
    let text = "to be, or not to be: that is the question. ".repeat(20_000) + "Be";
    for shard_count in [1, 2, 5] {
        assert_eq!(counted(shard_count, &text), "   40001 be\n   40000 to\n   20000 is\n");
    }
    assert_eq!(counted(2, "  \n "), "");
}

#[test]
fn what_one_says_everybody_else_hears_in_its_order_on_whatever_shard() {
    let server = Server::chat(3, &[]);
    let mut ada = Client::named(&server, "ada");
    let mut others: Vec<_> = ["bob", "cy", "dee", "eve", "fay", "gil"]
        .iter()
        .map(|name| {
            let client = Client::named(&server, name);
            assert_eq!(ada.hears(), format!("* {name} is here"));
            client
        })
        .collect();
    for round in 0..50 {
        ada.says(&format!("line {round}"));
    }
    ada.says("");
    for (index, client) in others.iter_mut().enumerate() {
        // Those who came later.
        for _ in index + 1..6 {
            assert!(client.hears().ends_with("is here"));
        }
        for round in 0..50 {
            assert_eq!(client.hears(), format!("<ada> line {round}"));
        }
    }
    let mut bob = others.remove(0);
    drop(ada);
    for client in others.iter_mut().chain([&mut bob]) {
        assert_eq!(client.hears(), "* ada has left");
    }
    bob.says("bye");
    assert!(others.iter_mut().all(|client| client.hears() == "<bob> bye"));
    server.terminate();
    assert!(server.wait(), "it ends although clients are connected");
}

#[test]
fn who_says_nothing_and_is_told_nothing_has_to_leave() {
    let server = Server::chat(1, &["--idle-timeout", "0.2"]);
    let mut nameless = Client::connect(&server);
    assert_eq!(nameless.hears(), "your name?");
    assert_eq!(nameless.hears(), "", "the end");
    let mut silent = Client::named(&server, "silent");
    assert_eq!(silent.hears(), "", "the end");
}

#[test]
fn tokio_and_shards_ask_each_other() {
    let server = Server::beside_tokio();
    let mut client = Client::connect(&server);
    for number in 0..20 {
        assert_eq!(client.asks(&format!("set key{number} {number}")), "ok");
    }
    for number in 0..20 {
        assert_eq!(client.asks(&format!("get key{number}")), number.to_string());
    }
    assert_eq!(client.asks("get other"), "nothing");
    assert!(client.asks("later 5").starts_with("waited 5 ms for shard "));
    assert!(client.asks("what").starts_with("error: say"));
    server.terminate();
    assert!(server.wait());
}
