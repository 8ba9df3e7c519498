//! The same requests to kv and to a real redis-server: the answers must be the same, byte by byte,
//! on one, two and three shards. Where no redis-server is installed, each test says on one line
//! that it compared nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;
use support::{Client, Server, split_line};

const COMMANDS: &str = include_str!("kv_commands.txt");

/// Both servers, or the reason why there is no Redis.
fn servers(shard_count: usize) -> Option<(Server, Server)> {
    match Server::redis(&[]) {
        Ok((redis, version)) => {
            println!("compared with Redis {version}, {shard_count} shards");
            Some((Server::kv(shard_count, &[]), redis))
        }
        Err(reason) => {
            println!("comparison with Redis skipped: {reason}");
            None
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn frame(bytes: &[u8]) -> OwnedFrame {
    decode(bytes).unwrap().unwrap().0
}

fn items(bytes: &[u8]) -> Vec<OwnedFrame> {
    match frame(bytes) {
        OwnedFrame::Array(items) => items,
        other => panic!("an array, not {other:?}"),
    }
}

fn text_of(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => {
            String::from_utf8(bytes.clone()).unwrap()
        }
        OwnedFrame::Integer(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn texts(frame: &OwnedFrame) -> BTreeSet<String> {
    match frame {
        OwnedFrame::Array(items) => items.iter().map(text_of).collect(),
        other => panic!("an array, not {other:?}"),
    }
}

/// The lines of an answer, sorted: enough to compare a flat list of strings in any order.
fn sorted_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

fn integer(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).unwrap().trim_start_matches(':').trim_end().parse().unwrap()
}

/// Runs the list on both connections; returns what differed.
fn run_list(ours: &mut Client, theirs: &mut Client) -> Vec<String> {
    let mut differences = Vec::new();
    let mut count = 0;
    for line in COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (how, request) = line.split_once(" | ").unwrap_or(("", line));
        if how == "wait" {
            std::thread::sleep(Duration::from_millis(request.trim().parse().unwrap()));
            continue;
        }
        let answers = [&mut *ours, &mut *theirs].map(|client| match how {
            "text" => {
                client.send(format!("{request}\r\n").as_bytes());
                client.answer()
            }
            _ => client.call(&split_line(request)),
        });
        let [our, their] = &answers;
        let is_same = match how {
            "any" => sorted_lines(our) == sorted_lines(their),
            "near" => integer(our).abs_diff(integer(their)) <= 60,
            _ => our == their,
        };
        count += 1;
        if !is_same {
            differences.push(format!(
                "{line}\n    ours:   {}\n    theirs: {}",
                shown(our),
                shown(their)
            ));
        }
    }
    assert!(count > 450, "the list has {count} requests");
    differences
}

fn compare_lists(shard_count: usize) {
    let Some((kv, redis)) = servers(shard_count) else { return };
    for version in [2, 3] {
        let (mut ours, mut theirs) = (kv.connect(), redis.connect());
        for client in [&mut ours, &mut theirs] {
            client.words("FLUSHALL");
            if version == 3 {
                client.speaks_three = true;
                client.words("HELLO 3");
            }
        }
        let differences = run_list(&mut ours, &mut theirs);
        assert!(
            differences.is_empty(),
            "{} differences in RESP{version} on {shard_count} shards:\n{}",
            differences.len(),
            differences.join("\n")
        );
    }
}

#[test]
fn every_answer_is_that_of_redis_on_one_shard() {
    compare_lists(1);
}

#[test]
fn every_answer_is_that_of_redis_on_two_shards() {
    compare_lists(2);
}

#[test]
fn every_answer_is_that_of_redis_on_three_shards() {
    compare_lists(3);
}

#[test]
fn malformed_bytes_end_as_they_end_with_redis() {
    let Some((kv, redis)) = servers(2) else { return };
    let mut cases: Vec<Vec<u8>> = [
        "*abc\r\n",
        "*\r\n",
        "*01\r\n",
        "*2147483648\r\n",
        "*99999999999999999999\r\n",
        "*1\r\nx\r\n",
        "*1\r\n\r\n",
        "*1\r\n*1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$a\r\n",
        "*1\r\n$01\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$99999999999999999999\r\n",
        "set \"a\r\n",
        "set 'a\r\n",
        "set \"a\"b c\r\n",
        "PING\r\n*x\r\nPING\r\n",
        "*2\r\n$4\r\nECHO\r\n$1\r\naXX*1\r\n$4\r\nQUIT\r\n",
        "*-1\r\nQUIT\r\n",
        "*0\r\nQUIT\r\n",
        "\r\n\r\n\nQUIT\n",
        "QUIT extra\r\nPING\r\n",
        "*1\rx$4\r\nQUIT\r\n",
        "GET a\nGET\n\"QUIT\"\n",
        "*1\r\n$4\r\nquit\r\nPING\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    for start in ["*", "*1\r\n$", "x"] {
        cases.push([start.as_bytes(), &vec![b'1'; 70_000]].concat());
    }
    for case in cases {
        let [ours, theirs] = [&kv, &redis].map(|server| {
            let mut client = server.connect();
            client.send(&case);
            client.until_closed()
        });
        let start = shown(&case[..case.len().min(60)]);
        assert_eq!(shown(&ours), shown(&theirs), "after {start}");
    }
}

#[test]
fn a_full_scan_gives_the_keys_that_redis_gives() {
    let Some((kv, redis)) = servers(3) else { return };
    let scan = |client: &mut Client, options: &str| {
        let (mut cursor, mut keys) = (String::from("0"), Vec::new());
        loop {
            let answer = items(&client.words(&format!("SCAN {cursor} {options}")));
            cursor = text_of(&answer[0]);
            keys.extend(texts(&answer[1]));
            if cursor == "0" {
                return keys;
            }
        }
    };
    let (mut ours, mut theirs) = (kv.connect(), redis.connect());
    for number in 0..1500 {
        for client in [&mut ours, &mut theirs] {
            client.words(&format!("SET key:{number} v"));
        }
    }
    for options in [
        "",
        "COUNT 1",
        "COUNT 1000",
        "MATCH *7*",
        "MATCH key:1? COUNT 50",
        "TYPE string",
        "TYPE list",
    ] {
        let [ours, theirs] = [&mut ours, &mut theirs].map(|client| scan(client, options));
        let set: BTreeSet<_> = ours.iter().cloned().collect();
        assert_eq!(ours.len(), set.len(), "no key comes twice, {options:?}");
        assert_eq!(set, theirs.into_iter().collect(), "{options:?}");
    }
}

#[test]
fn command_info_describes_what_redis_describes() {
    let Some((kv, redis)) = servers(1) else { return };
    let (mut ours, mut theirs) = (kv.connect(), redis.connect());
    let all = items(&ours.words("COMMAND"));
    assert_eq!(integer(&ours.words("COMMAND COUNT")) as usize, all.len());
    let names = texts(&frame(&ours.words("COMMAND LIST")));
    assert_eq!(names.len(), all.len());
    for name in names {
        let [ours, theirs] = [&mut ours, &mut theirs].map(|client| {
            let described = items(&client.words(&format!("COMMAND INFO {name}")));
            let OwnedFrame::Array(fields) = &described[0] else { panic!("{name}: {described:?}") };
            assert_eq!(fields.len(), 10, "{name}");
            fields.clone()
        });
        for field in [0, 1, 3, 4, 5] {
            assert_eq!(ours[field], theirs[field], "{name}, field {field}");
        }
        for field in [2, 6, 7] {
            assert_eq!(texts(&ours[field]), texts(&theirs[field]), "{name}, field {field}");
        }
        let [our_keys, their_keys] = [&ours[8], &theirs[8]].map(|keys| match keys {
            OwnedFrame::Array(keys) => keys.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(our_keys.len(), their_keys.len(), "{name}");
        let [our_docs, their_docs] = [&mut kv.connect(), &mut redis.connect()]
            .map(|client| items(&client.words(&format!("COMMAND DOCS {name}"))));
        assert_eq!(our_docs[0], their_docs[0]);
        let fields = texts(&their_docs[1]);
        for field in ["summary", "since", "group", "complexity"] {
            assert!(fields.contains(field), "Redis explains {name} with {field}");
            assert!(texts(&our_docs[1]).contains(field), "{field} of {name}");
        }
    }
}

#[test]
fn hello_client_and_info_have_the_fields_of_redis() {
    let Some((kv, redis)) = servers(2) else { return };
    let field_names = |client: &mut Client| {
        let items = items(&client.words("HELLO 2"));
        items.iter().step_by(2).map(text_of).collect::<Vec<_>>()
    };
    let (mut ours, mut theirs) = (kv.connect(), redis.connect());
    assert_eq!(field_names(&mut ours), field_names(&mut theirs));
    for request in ["CLIENT LIST", "CLIENT INFO"] {
        let [ours, theirs] = [&mut ours, &mut theirs].map(|client| {
            let line = text_of(&frame(&client.words(request)));
            let words = line.lines().next().unwrap().split(' ');
            words.map(|word| word.split_once('=').unwrap().0.to_owned()).collect::<Vec<_>>()
        });
        let ours: Vec<_> = ours.into_iter().filter(|name| theirs.contains(name)).collect();
        assert_eq!(ours, theirs, "{request}");
    }
    let [ours, theirs] = [&mut ours, &mut theirs].map(|client| {
        client.words("SET a 1 EX 100");
        let text = text_of(&frame(&client.words("INFO")));
        let names = text.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
    });
    for name in [
        "redis_version",
        "redis_mode",
        "os",
        "arch_bits",
        "process_id",
        "tcp_port",
        "uptime_in_seconds",
        "uptime_in_days",
        "connected_clients",
        "maxclients",
        "blocked_clients",
        "used_memory",
        "used_memory_rss",
        "maxmemory",
        "maxmemory_policy",
        "loading",
        "total_connections_received",
        "total_commands_processed",
        "total_net_input_bytes",
        "rejected_connections",
        "expired_keys",
        "evicted_keys",
        "keyspace_hits",
        "keyspace_misses",
        "role",
        "connected_slaves",
        "db0",
    ] {
        assert!(theirs.contains(name), "Redis has {name}");
        assert!(ours.contains(name), "{name} is missing");
    }
}
