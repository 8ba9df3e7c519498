//! kv as a Redis Cluster, with the cluster clients that others have written. Where one is not
//! installed its test says so on one line.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::net::TcpStream;
use std::process::Command;

use redis::cluster::{ClusterClient, cluster_pipe};
use support::cluster::{check_places, counter, hops_per_command, redis_py, runs};
use support::{Client, Server, free_ports, is_here, output_of, own_address};

const KEY_COUNT: usize = 10_000;

fn cluster(shard_count: usize) -> Server {
    Server::kv(shard_count, &["--cluster"])
}

#[test]
fn any_port_tells_the_map_and_the_ids_stay() {
    let host = own_address();
    let options = |command: &mut Command| {
        command.args(["--cluster", "--port", "7000", "--bind", &host.to_string()]);
    };
    let mut maps = Vec::new();
    for _ in 0..2 {
        let mut command = Server::kv_command(3);
        options(&mut command);
        let server = Server::start(command);
        let ports: Vec<u16> = server.nodes().iter().map(|node| node.port()).collect();
        assert_eq!(ports, [7001, 7002, 7003], "the ports after the plain one");
        let map = runs(&mut server.connect());
        for (node, run) in server.nodes().into_iter().zip(&map) {
            let mut client = Client::to(node);
            assert_eq!(runs(&mut client), map);
            assert_eq!(run.node, node, "shards have their slots in order");
            assert_eq!(client.text("CLUSTER MYID"), format!("$40\r\n{}\r\n", run.id));
        }
        maps.push(map);
    }
    assert_eq!(maps[0], maps[1], "after a restart everything is as it was");
}

#[test]
fn redis_rs_finds_every_key_where_it_is() {
    let server = cluster(3);
    let nodes: Vec<String> = server.nodes().iter().map(|node| format!("redis://{node}")).collect();
    // Any node will do to begin with, and so does the plain port.
    for start in [nodes[2].clone(), format!("redis://{}", server.address)] {
        let mut client = ClusterClient::new([start]).unwrap().get_connection().unwrap();
        for key in 0..KEY_COUNT / 100 {
            let mut pipeline = cluster_pipe();
            for part in 0..100 {
                pipeline.set(format!("key:{}", key * 100 + part), part).ignore();
            }
            pipeline.exec(&mut client).unwrap();
        }
        for key in 0..KEY_COUNT {
            let mut get = redis::cmd("GET");
            let value: usize = get.arg(format!("key:{key}")).query(&mut client).unwrap();
            assert_eq!(value, key % 100);
        }
    }
    let mut plain = server.connect();
    assert_eq!(check_places(&runs(&mut plain)), KEY_COUNT);
    let hops = hops_per_command(&mut plain);
    assert!(hops < 0.01, "{hops} hops per command");
}

#[test]
fn redis_py_finds_every_key_where_it_is() {
    let Some(python) = redis_py() else { return };
    let server = cluster(3);
    for port in [server.nodes()[1].port(), server.port] {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kv_cluster.py");
        let mut command = Command::new(&python);
        let said = output_of(command.args([program, &port.to_string(), &KEY_COUNT.to_string()]));
        assert!(said.ends_with("all is well\n"), "{said}");
    }
    let mut plain = server.connect();
    assert_eq!(check_places(&runs(&mut plain)), KEY_COUNT);
    let hops = hops_per_command(&mut plain);
    assert!(hops < 0.01, "{hops} hops per command");
}

fn cli(node: &str, words: &[&str]) -> String {
    let (host, port) = node.rsplit_once(':').unwrap();
    output_of(Command::new("redis-cli").args(["-h", host, "-p", port]).args(words))
}

#[test]
fn redis_cli_follows_and_finds_the_cluster_in_order() {
    if !is_here("redis-cli", &["--version"]) {
        return;
    }
    let server = cluster(3);
    let nodes: Vec<String> = server.nodes().iter().map(ToString::to_string).collect();
    let mut moved = 0;
    for number in 0..10 {
        let key = format!("key:{number}");
        for node in &nodes {
            assert_eq!(cli(node, &["-c", "SET", &key, "v"]), "OK\n");
            assert_eq!(cli(node, &["-c", "GET", &key]), "v\n");
            moved += usize::from(cli(node, &["GET", &key]).starts_with("MOVED "));
        }
    }
    assert_eq!(moved, 20, "of three nodes two send the asker on");
    let check = cli(&nodes[1], &["--cluster", "check", &nodes[1]]);
    assert!(check.contains("[OK] All nodes agree about slots configuration"), "{check}");
    assert!(check.contains("[OK] All 16384 slots covered"), "{check}");
    assert!(check.contains("10 keys in 3 masters"), "{check}");
    let sizes = cli(&nodes[0], &["--cluster", "call", &nodes[0], "DBSIZE"]);
    assert_eq!(sizes.matches("127.0.0.1").count(), 3, "{sizes}");
}

#[test]
fn redis_benchmark_loads_all_nodes_without_a_hop() {
    if !is_here("redis-benchmark", &["--version"]) {
        return;
    }
    let server = cluster(2);
    let nodes = server.nodes();
    let mut command = Command::new("redis-benchmark");
    command.args(["--cluster", "-h", "127.0.0.1", "-p", &nodes[0].port().to_string(), "-q"]);
    command.args(["-t", "set,get,incr", "-n", "20000", "-c", "20", "-P", "4", "-r", "100000"]);
    let said = output_of(&mut command);
    assert!(said.contains("Cluster has 2 master nodes"), "{said}");
    assert!(
        ["SET", "GET", "INCR"].iter().all(|name| said.contains(&format!("{name}: "))),
        "{said}"
    );
    for node in nodes {
        let count = counter(&mut Client::to(node), "total_commands_processed");
        assert!(count > 20_000, "{node} ran {count} commands");
    }
    let mut plain = server.connect();
    let hops = hops_per_command(&mut plain);
    assert!(hops < 0.01, "{hops} hops per command");
}

#[test]
fn the_plain_port_hops_as_ever() {
    let server = cluster(2);
    let mut plain = server.connect();
    for number in 0..1000 {
        assert_eq!(plain.text(&format!("SET key:{number} {number}")), "+OK\r\n");
    }
    let hops = hops_per_command(&mut plain);
    assert!((0.4..0.6).contains(&hops), "{hops} hops per command");
    assert_eq!(plain.text("MGET key:1 key:2 key:3"), "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    assert_eq!(plain.text("DBSIZE"), ":1000\r\n");
}

/// Requests that a node with all slots answers in the same bytes.
const ANSWERED_ALIKE: [&str; 37] = [
    "SET a 1",
    "GET a",
    "MGET a b",
    "MGET a a",
    "MSET a 1 b 2",
    "MSET a 1 b",
    "MSET a 1 a",
    "DEL a b",
    "EXISTS {x}1 {x}2",
    "DEL {x}1 {x}2",
    "UNLINK a b",
    "SELECT 0",
    "SELECT 1",
    "READONLY",
    "READWRITE",
    "ASKING",
    "ASKING 1",
    "CLUSTER",
    "CLUSTER NONE",
    "CLUSTER KEYSLOT a",
    "CLUSTER KEYSLOT {foo}bar",
    "CLUSTER KEYSLOT",
    "CLUSTER MYID 1",
    "CLUSTER COUNTKEYSINSLOT 15495",
    "CLUSTER COUNTKEYSINSLOT 16384",
    "CLUSTER COUNTKEYSINSLOT -1",
    "CLUSTER COUNTKEYSINSLOT x",
    "CLUSTER GETKEYSINSLOT 15495 9",
    "CLUSTER GETKEYSINSLOT 15495 -1",
    "CLUSTER GETKEYSINSLOT 15495 x",
    "CLUSTER GETKEYSINSLOT 99999 1",
    "CLUSTER LINKS",
    "CLUSTER REPLICAS none",
    "CLUSTER SLAVES none",
    "INFO cluster",
    "SCAN 0",
    "KEYS *",
];

#[test]
fn a_node_answers_as_a_node_of_redis() {
    let folder = tempfile::tempdir().unwrap();
    let [bus] = free_ports().map(|port| port.to_string());
    let folder = folder.path().to_str().unwrap();
    let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--dir", folder];
    let redis = match Server::redis(&options) {
        Ok((redis, _)) => redis,
        Err(reason) => return println!("comparison with a cluster of Redis skipped: {reason}"),
    };
    let server = cluster(1);
    let mut ours = Client::to(server.nodes()[0]);
    let mut theirs = redis.connect();
    assert_eq!(theirs.text("CLUSTER ADDSLOTSRANGE 0 16383"), "+OK\r\n");
    while !theirs.text("CLUSTER INFO").contains("cluster_state:ok") {}
    for request in ANSWERED_ALIKE {
        assert_eq!(ours.text(request), theirs.text(request), "{request}");
    }
    // What differs is ids, addresses, counters, not the form.
    for version in ["2", "3"] {
        for client in [&mut ours, &mut theirs] {
            client.speaks_three = version == "3";
            client.text(&format!("HELLO {version}"));
        }
        for request in ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER INFO", "CLUSTER NODES"] {
            let [ours, theirs] = [&mut ours, &mut theirs].map(|client| form(&client.text(request)));
            assert_eq!(ours, theirs, "{request} in RESP{version}");
        }
    }
}

/// An answer without its values: marks, names of fields, and how many words a line has.
fn form(answer: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once(':') {
        Some(("", _)) => ":".to_owned(),
        Some((name, _)) if name.starts_with("cluster_") || name.starts_with("total_") => {
            name.to_owned()
        }
        _ if line.starts_with(['$', '=']) => line[..1].to_owned(),
        _ if line.starts_with(['*', '%']) => line.to_owned(),
        _ => format!("{} words", line.split(' ').count()),
    };
    answer.split("\r\n").map(line).collect()
}

#[test]
fn the_end_of_the_server_is_the_end_of_its_nodes() {
    let server = cluster(2);
    let nodes = server.nodes();
    let mut clients: Vec<Client> = nodes.iter().map(|node| Client::to(*node)).collect();
    for client in &mut clients {
        assert_eq!(client.text("PING"), "+PONG\r\n");
    }
    server.terminate();
    for client in &mut clients {
        assert_eq!(client.until_closed(), b"");
    }
    assert!(server.wait(), "it ends well");
    assert!(nodes.iter().all(|node| TcpStream::connect(node).is_err()), "nobody listens there");
}

#[test]
fn what_cannot_be_is_said() {
    let taken = cluster(1);
    let taken = taken.nodes()[0].port().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["--cluster", "--cluster-port", &taken], "for a shard: Address already in use"),
        (&["--cluster", "--cluster-port", "65535"], "2 ports from 65535 on: 65535 is the last"),
        (&["--cluster", "--bind", "0.0.0.0"], "--bind 0.0.0.0 needs --cluster-announce"),
        (&["--cluster", "--cluster-announce", "a b"], "\"a b\" is neither an address nor a name"),
        (&["--cluster-port", "7000"], "--cluster"),
        (&["--cluster-file", "x.toml"], "--cluster-self"),
    ];
    for (options, text) in cases {
        let mut command = Server::kv_command(2);
        let output = command.args(["--port", "0"]).args(options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(text), "{options:?}: {said}");
    }
}
