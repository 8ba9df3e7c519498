//! What `scripts/deploy` holds is what its readers take it for. Tools that are missing are told of on one line.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use support::{Server, is_here, own_address};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/deploy/");

/// The drain and the clean-up of a run: what a service manager must leave to a server.
const SHUTDOWN_SECONDS: u64 = 20;

fn read(name: &str) -> String {
    fs::read_to_string(format!("{DEPLOY}{name}")).unwrap()
}

/// The values of a key in a unit file.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let lines = unit.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

/// The units for one port with this server as the program, in `folder`.
fn units(folder: &Path) {
    let service = read("systemd/corelane-kv@.service");
    assert!(service.contains("ExecStart=/usr/bin/corelane-kv "));
    let here = service.replace("/usr/bin/corelane-kv", env!("CARGO_BIN_EXE_kv"));
    fs::write(folder.join("corelane-kv@6379.service"), here).unwrap();
    let socket = read("systemd/corelane-kv@.socket");
    fs::write(folder.join("corelane-kv@6379.socket"), socket).unwrap();
    fs::write(folder.join("corelane.slice"), read("systemd/corelane.slice")).unwrap();
    let more = "corelane-kv@.service.d/10-cpus.conf";
    fs::create_dir(folder.join("corelane-kv@.service.d")).unwrap();
    fs::write(folder.join(more), read(&format!("systemd/{more}"))).unwrap();
}

/// What `systemd-analyze verify` says of a unit; it says nothing of one that is well.
fn complaints(folder: &Path, unit: &str) -> String {
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no"]).arg(folder.join(unit));
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.display()));
    let output = command.output().unwrap();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_units_are_verified_without_a_complaint() {
    if !is_here("systemd-analyze", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    units(folder.path());
    for unit in ["corelane-kv@6379.service", "corelane-kv@6379.socket", "corelane.slice"] {
        assert_eq!(complaints(folder.path(), unit), "", "{unit}");
    }
    // Wrong values are but warnings to it: that is why nothing at all may be said.
    let cpus = folder.path().join("corelane-kv@.service.d/10-cpus.conf");
    fs::write(cpus, "[Service]\nCPUAffinity=banana\n").unwrap();
    assert!(complaints(folder.path(), "corelane-kv@6379.service").contains("banana"));
}

#[test]
fn the_service_has_time_to_drain_and_no_quota() {
    let unit = read("systemd/corelane-kv@.service");
    let stop: u64 = values(&unit, "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > SHUTDOWN_SECONDS, "{stop}");
    assert_eq!(values(&unit, "Type"), ["notify"]);
    assert_eq!(values(&unit, "CPUQuota"), [""; 0]);
    assert_eq!(values(&unit, "NoNewPrivileges"), ["yes"]);
}

#[test]
fn the_service_serves_on_the_socket_of_its_port() {
    let unit = read("systemd/corelane-kv@.service");
    let mut words = values(&unit, "ExecStart")[0].split(' ');
    assert_eq!(words.next(), Some("/usr/bin/corelane-kv"));
    let options = read("systemd/corelane-kv.env");
    let options = values(&options, "KV_OPTIONS")[0];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = read("systemd/corelane-kv@.socket");
    let name = values(&socket, "FileDescriptorName")[0];
    let mut command = Server::handed_over(listener, name, env!("CARGO_BIN_EXE_kv"));
    command.args(words.flat_map(|word| match word {
        "$KV_OPTIONS" => options.split(' ').collect(),
        word => vec![word],
    }));
    let server = Server::start(command);
    assert_eq!(server.address, address);
    assert_eq!(server.connect().text("PING"), "+PONG\r\n");
}

#[test]
fn the_manifests_are_valid_and_give_whole_cpus() {
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes.py"));
    command.arg(format!("{DEPLOY}kubernetes")).arg(SHUTDOWN_SECONDS.to_string());
    let Ok(output) = command.output() else {
        return println!("the manifests skipped: python3 is not installed");
    };
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    match output.status.code() {
        Some(77) => println!("the manifests skipped: {}", said[0].trim()),
        code => assert_eq!(code, Some(0), "{}", said.concat()),
    }
}

#[test]
fn the_cluster_map_is_one_that_the_server_takes() {
    let mut command = Server::kv_command(2);
    let host = own_address().to_string();
    command.args(["--port", "6379", "--bind", &host, "--log", "error"]);
    command.args(["--cluster-file", &format!("{DEPLOY}cluster.toml"), "--cluster-self", "a"]);
    let server = Server::start(command);
    assert!(server.greeting.contains("cluster nodes 10.0.0.1:7001 10.0.0.1:7002"));
}
