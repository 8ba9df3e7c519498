//! Two hosts, made of network namespaces, whose shards are one Redis Cluster. Where namespaces are not
//! permitted the test says so on one line.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes and threads are the subject: their time is the system's"
)]

mod support;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redis::cluster::ClusterClient;
use support::cluster::{check_places, hops_per_command, machine, redis_py, runs, topology};
use support::netns::Namespace;
use support::{Client, Server, output_of};

const KEY_COUNT: usize = 10_000;

const HOSTS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::new(198, 51, 100, 2)];

/// Two hosts that know nothing of each other, and a third one, first, that reaches both.
fn hosts() -> Result<[Namespace; 3], String> {
    let hosts = [Namespace::new("c")?, Namespace::new("a")?, Namespace::new("b")?];
    hosts[0].connect(&hosts[1], "192.0.2.0")?;
    hosts[0].connect(&hosts[2], "198.51.100.0")?;
    Ok(hosts)
}

/// Has redis-py, which comes in at `host`, set that many keys; returns those that could not be.
fn set_by_redis_py(
    python: &Path,
    outside: &Namespace,
    host: Ipv4Addr,
    count: usize,
) -> Vec<String> {
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kv_hosts.py"));
    command.args([&host.to_string(), "7001", &count.to_string()]);
    output_of(&mut outside.command(&command)).lines().map(str::to_owned).collect()
}

/// Sets every key; returns those that could not be.
fn set_all(client: &ClusterClient, keys: impl Iterator<Item = usize>) -> Vec<String> {
    let mut connection = client.get_connection().unwrap();
    let keys = keys.map(|key| format!("key:{key}"));
    keys.filter(|key| redis::cmd("SET").arg(key).arg(1).exec(&mut connection).is_err()).collect()
}

fn client(host: Ipv4Addr) -> ClusterClient {
    let builder = ClusterClient::builder([format!("redis://{host}:7001")]).retries(3);
    let timeout = Duration::from_secs(5);
    builder.connection_timeout(timeout).response_timeout(timeout).build().unwrap()
}

#[test]
fn the_shards_of_two_hosts_are_one_cluster() {
    let [outside, a, b] = match hosts() {
        Ok(hosts) => hosts,
        Err(reason) => return println!("hosts as namespaces skipped: {reason}"),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    let slots: [&[&str]; 2] = [&["0-4095", "4096-8191"], &["8192-12287", "12288-16383"]];
    fs::write(&file, topology(&[("a", HOSTS[0], slots[0]), ("b", HOSTS[1], slots[1])])).unwrap();
    let start_b = || Server::start(b.command(&machine(&file, "b", HOSTS[1])));
    let on_a = Server::start(a.command(&machine(&file, "a", HOSTS[0])));
    let on_b = start_b();
    let plain = [on_a.address, on_b.address];
    let python = redis_py();
    let by_redis_py = |host, count| {
        let python = python.as_deref()?;
        Some(set_by_redis_py(python, &outside, host, count))
    };
    let none = Some(Vec::new());
    let is_b = |key: &str| redis_protocol::redis_keyslot(key.as_bytes()) >= 8192;
    assert_eq!(by_redis_py(HOSTS[1], KEY_COUNT).or(none.clone()), none);
    outside.run(|| {
        // What the one client has set, the other needs only touch.
        let count = if python.is_some() { KEY_COUNT / 10 } else { KEY_COUNT };
        assert_eq!(set_all(&client(HOSTS[1]), 0..count), [""; 0]);
        assert_eq!(check_places(&runs(&mut Client::to(plain[0]))), KEY_COUNT);
        for address in plain {
            let hops = hops_per_command(&mut Client::to(address));
            assert!(hops < 0.01, "{hops} hops per command at {address}");
        }
    });
    // One host stops: only its keys are out of reach.
    drop(on_b);
    let some: Vec<String> =
        (0..40).map(|key| format!("key:{key}")).filter(|key| is_b(key)).collect();
    assert!((10..30).contains(&some.len()), "{some:?}");
    outside.run(|| assert_eq!(set_all(&client(HOSTS[0]), 0..40), some));
    // It tries again and again, so it is asked for few.
    let missing = Some((0..8).map(|key| format!("key:{key}")).filter(|key| is_b(key)).collect());
    assert_ne!(missing, none);
    assert_eq!(by_redis_py(HOSTS[0], 8).or(missing.clone()), missing);
    // It comes back, empty.
    let _on_b = start_b();
    assert_eq!(by_redis_py(HOSTS[1], 100).or(none.clone()), none);
    outside.run(|| {
        assert_eq!(set_all(&client(HOSTS[0]), 0..KEY_COUNT), [""; 0]);
        assert_eq!(check_places(&runs(&mut Client::to(plain[0]))), KEY_COUNT);
    });
}
