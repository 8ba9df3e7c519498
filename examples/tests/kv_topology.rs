//! Several kv processes as one Redis Cluster, by a topology file that is read again on SIGHUP.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes and threads are the subject: their time is the system's"
)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::cluster::ClusterClient;
use rustix::process::Signal;
use support::cluster::{check_places, hops_per_command, machine, runs, topology};
use support::{Client, Server, own_address};
use tempfile::TempDir;

const KEY_COUNT: usize = 10_000;

/// A process with the lines that it logs.
struct Machine {
    server: Server,
    errors: BufReader<ChildStderr>,
}

impl Machine {
    fn start(file: &Path, name: &str, host: Ipv4Addr) -> Self {
        let mut command = machine(file, name, host);
        command.args(["--log", "warn,corelane_examples=info"]).env("NO_COLOR", "1");
        let mut server = Server::start({
            command.stderr(Stdio::piped());
            command
        });
        let errors = server.errors();
        Self { server, errors }
    }

    /// Has the file read again, and returns what is said of it.
    fn reload(&mut self) -> String {
        self.server.signal(Signal::HUP);
        loop {
            let mut line = String::new();
            assert_ne!(self.errors.read_line(&mut line).unwrap(), 0, "the server ended");
            if line.contains("the cluster") {
                return line;
            }
        }
    }
}

/// A topology file in a folder that goes with it.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("topology.toml");
        fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }
}

#[test]
fn two_processes_are_one_cluster_and_slots_go_from_one_to_the_other() {
    let hosts = [own_address(), own_address()];
    let text = |a: &[&str], b: &[&str]| topology(&[("a", hosts[0], a), ("b", hosts[1], b)]);
    let file = File::new(&text(&["0-4095", "4096-8191"], &["8192-12287", "12288-16383"]));
    let mut a = Machine::start(&file.path, "a", hosts[0]);
    let mut b = Machine::start(&file.path, "b", hosts[1]);
    let map = runs(&mut a.server.connect());
    assert_eq!(map, runs(&mut b.server.connect()), "both tell the same");
    let mut client = ClusterClient::new([format!("redis://{}", map[3].node)]).unwrap();
    let mut connection = client.get_connection().unwrap();
    let set_all = |client: &mut redis::cluster::ClusterConnection| {
        for key in 0..KEY_COUNT {
            redis::cmd("SET").arg(format!("key:{key}")).arg(key).exec(client).unwrap();
        }
    };
    set_all(&mut connection);
    assert_eq!(check_places(&map), KEY_COUNT);
    // By the plain port a machine serves what is its own, and sends on who asks for the rest.
    let mut plain = a.server.connect();
    let moved = format!("-MOVED 12182 {}:7001\r\n", hosts[1]);
    assert_eq!(plain.text("GET foo"), moved);
    assert_eq!(plain.text("GET key:1"), "$1\r\n1\r\n");
    // One quarter goes to the other machine: the one that loses it is told first.
    file.write(&text(&["0-4095", ""], &["4096-12287", "12288-16383"]));
    for machine in [&mut a, &mut b] {
        let said = machine.reload();
        assert!(said.contains("the cluster has a new map"), "{said}");
    }
    let after = runs(&mut a.server.connect());
    assert_eq!((after.len(), after[1].node), (3, map[2].node));
    let left = check_places(&after);
    assert!((KEY_COUNT * 7 / 10..KEY_COUNT * 8 / 10).contains(&left), "{left} keys");
    set_all(&mut connection);
    assert_eq!(check_places(&after), KEY_COUNT, "the client found the new owner");
    for machine in [&a, &b] {
        let hops = hops_per_command(&mut machine.server.connect());
        assert!(hops < 0.01, "{hops} hops per command");
    }
    client = ClusterClient::new([format!("redis://{}", map[0].node)]).unwrap();
    assert!(client.get_connection().is_ok());
}

#[test]
fn a_bad_file_leaves_the_old_map_and_is_told() {
    let host = own_address();
    let good = topology(&[("a", host, &["0-8191", "8192-16383"])]);
    let file = File::new(&good);
    let mut a = Machine::start(&file.path, "a", host);
    let map = runs(&mut a.server.connect());
    let bad = [
        (good.replace("0-8191", "0-8192"), "slot 8192 is given to"),
        (good.replace("0-8191", "0-8190"), "nobody has 8191"),
        (good.replace("\"a\"", "\"b\""), "there is no machine \"a\" among: b"),
        (good.replace("7002", "7003"), "the shards of this process cannot change while it runs"),
        (good.replace("]", ""), "TOML parse error at line"),
        (String::new(), "TOML parse error"),
    ];
    for (text, reason) in bad {
        file.write(&text);
        let said = a.reload();
        assert!(said.contains("the cluster's map stays as it was: "), "{said}");
        assert!(said.contains("topology.toml: ") && said.contains(reason), "{said}");
        assert_eq!(runs(&mut a.server.connect()), map);
    }
    fs::remove_file(&file.path).unwrap();
    let said = a.reload();
    assert!(said.contains("topology.toml: No such file or directory"), "{said}");
    file.write(&good);
    let said = a.reload();
    assert!(said.contains("the cluster's map is the same as before"), "{said}");
    // None of it has ended the server, which SIGHUP does to those that have no file.
    assert_eq!(a.server.connect().text("SET a 1"), "+OK\r\n");
    a.server.terminate();
    assert!(a.server.wait(), "it ends well");
}

#[test]
fn a_server_starts_only_with_a_file_that_fits() {
    let host = own_address();
    let good = topology(&[("a", host, &["0-8191", "8192-16383"])]);
    let cases = [
        (good.replace("0-8191", "0-8192"), "a", "slot 8192 is given to"),
        (good.clone(), "b", "there is no machine \"b\" among: a"),
        (
            topology(&[("a", host, &["0-16383"])]),
            "a",
            "the machine \"a\" has 1 shards, this process 2: see --shards",
        ),
    ];
    for (text, name, reason) in cases {
        let file = File::new(&text);
        let output = machine(&file.path, name, host).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{said}");
    }
}

/// Counts a key up at one node for as long as it may. Where the node had to let it go it must begin at
/// one again: what it had was forgotten.
fn count_up(mut node: Client, key: &str, other: &str, counts: &Counts, is_over: &AtomicBool) {
    let (mut last, mut was_refused) = (0, true);
    while !is_over.load(Ordering::Relaxed) {
        let answer = node.text(&format!("INCR {key}"));
        if let Some(value) = answer.strip_prefix(':') {
            let value: u64 = value.trim_end().parse().unwrap();
            let may_follow = !was_refused && value == last + 1;
            assert!(value == 1 || may_follow, "{value} after {last}, refused: {was_refused}");
            (last, was_refused) = (value, false);
            counts.answered.fetch_add(1, Ordering::Relaxed);
        } else {
            let is_moved = answer.starts_with("-MOVED ") && answer.ends_with(other);
            assert!(is_moved || answer == "-CLUSTERDOWN Hash slot not served\r\n", "{answer}");
            was_refused = true;
            counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Says that it is over when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How often a node has answered, and how often it was not the owner.
#[derive(Default)]
struct Counts {
    answered: AtomicUsize,
    refused: AtomicUsize,
}

impl Counts {
    fn has_both(&self) -> bool {
        [&self.answered, &self.refused].iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }
}

#[test]
fn what_comes_back_to_a_shard_begins_anew() {
    let host = own_address();
    // Slot 15495 belongs to the key "a".
    let maps = [["0-8191", "8192-16383"], ["0-8191,15495", "8192-15494,15496-16383"]];
    let [there, here] = maps.map(|map| topology(&[("a", host, &map)]));
    let file = File::new(&there);
    let mut a = Machine::start(&file.path, "a", host);
    let nodes = a.server.nodes();
    let (counts, is_over) = ([(); 2].map(|()| Counts::default()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for (own, other) in [(0, 1), (1, 0)] {
            let (node, counts, is_over) = (Client::to(nodes[own]), &counts[own], &is_over);
            let other = format!(" {}\r\n", nodes[other]);
            scope.spawn(move || count_up(node, "a", &other, counts, is_over));
        }
        // Also if something is wrong here: threads that go on would be waited for.
        let _over = Over(&is_over);
        let mut plain = a.server.connect();
        let mut round = 0;
        // As often as it takes until both have met both, however rarely the system lets them run.
        while round < 10 || !counts.iter().all(Counts::has_both) {
            round += 1;
            assert!(round < 1_000, "somebody was never asked, or never refused");
            for text in [&here, &there] {
                file.write(text);
                let said = a.reload();
                assert!(said.contains("the cluster has a new map"), "{said}");
                // By the plain port the key is always found, wherever it is now.
                assert!(plain.text("GET a").starts_with('$'));
            }
        }
    });
    // Nobody may have counted since the last change.
    assert!(a.server.connect().text("INCR a").starts_with(':'));
    assert_eq!(check_places(&runs(&mut a.server.connect())), 1);
}
