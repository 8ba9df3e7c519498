//! What tests of clusters have in common: the map as a client sees it, and the counters of the nodes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

use super::{Client, Server};

/// A run of slots and their owner, as CLUSTER SLOTS tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) node: SocketAddr,
    pub(crate) id: String,
}

fn items(frame: OwnedFrame) -> Vec<OwnedFrame> {
    match frame {
        OwnedFrame::Array(items) => items,
        other => panic!("an array, not {other:?}"),
    }
}

fn number(frame: &OwnedFrame) -> i64 {
    match frame {
        OwnedFrame::Integer(value) => *value,
        other => panic!("a number, not {other:?}"),
    }
}

fn text(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::BulkString(bytes) => String::from_utf8(bytes.clone()).expect("text"),
        other => panic!("a string, not {other:?}"),
    }
}

/// The map that a server tells.
pub(crate) fn runs(client: &mut Client) -> Vec<Run> {
    let answer = client.words("CLUSTER SLOTS");
    let (answer, _) = decode(&answer).expect("it can be decoded").expect("it is whole");
    let run = |frame| {
        let fields = items(frame);
        let node = items(fields[2].clone());
        let address = format!("{}:{}", text(&node[0]), number(&node[1]));
        Run {
            first: number(&fields[0]),
            last: number(&fields[1]),
            node: address.parse().expect("an address"),
            id: text(&node[2]),
        }
    };
    items(answer).into_iter().map(run).collect()
}

/// A topology file: for each machine its name, its address, and the slots of its shards, whose ports
/// are 7001 and those after it.
pub(crate) fn topology(machines: &[(&str, Ipv4Addr, &[&str])]) -> String {
    let mut text = String::new();
    for (name, host, shards) in machines {
        text += &format!("[[machine]]\nname = \"{name}\"\nhost = \"{host}\"\nshards = [\n");
        for (port, slots) in (7001..).zip(*shards) {
            text += &format!("  {{ port = {port}, slots = \"{slots}\" }},\n");
        }
        text += "]\n";
    }
    text
}

/// `kv` as a machine of a topology file, with two shards and its plain port at 7000.
pub(crate) fn machine(file: &Path, name: &str, host: Ipv4Addr) -> Command {
    let mut command = Server::kv_command(2);
    command.args(["--port", "7000", "--bind", &host.to_string(), "--cluster-self", name]);
    command.arg("--cluster-file").arg(file);
    command
}

/// A Python with redis-py in an environment that stays for the next time; PYTHON names the one to
/// make it with.
pub(crate) fn redis_py() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-py-8.1");
    let python = folder.join("bin/python");
    let has_redis = |python: &Path| {
        let mut command = Command::new(python);
        let ran = command.args(["-c", "import redis.cluster"]).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    if has_redis(&python) {
        return Some(python);
    }
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let steps: [(&Path, &[&str]); 2] = [
        (Path::new(&base), &["-m", "venv", "--clear", folder.to_str()?]),
        (&python, &["-m", "pip", "install", "--quiet", "redis==8.1.0"]),
    ];
    for (program, args) in steps {
        let output = Command::new(program).args(args).output();
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            println!("redis-py skipped: `{} {}` failed", program.display(), args.join(" "));
            return None;
        }
    }
    Some(python)
}

/// The keys that a node has.
pub(crate) fn keys(node: SocketAddr) -> BTreeSet<String> {
    let answer = Client::to(node).words("KEYS *");
    let (answer, _) = decode(&answer).expect("it can be decoded").expect("it is whole");
    items(answer).iter().map(text).collect()
}

/// Checks that each node has its own keys and no others, and returns how many there are.
pub(crate) fn check_places(runs: &[Run]) -> usize {
    let nodes: BTreeSet<SocketAddr> = runs.iter().map(|run| run.node).collect();
    let mut count = 0;
    for node in nodes {
        for key in keys(node) {
            let slot = i64::from(redis_protocol::redis_keyslot(key.as_bytes()));
            let run = runs.iter().find(|run| (run.first..=run.last).contains(&slot));
            assert_eq!(run.map(|run| run.node), Some(node), "{key}");
            count += 1;
        }
    }
    count
}

/// A number that INFO gives.
pub(crate) fn counter(client: &mut Client, name: &str) -> i64 {
    let info = client.text("INFO");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} is not in {info}")).parse().expect("a number")
}

/// Commands that were sent to another shard, for each that the server ran: all of one process.
pub(crate) fn hops_per_command(plain: &mut Client) -> f64 {
    counter(plain, "total_hops") as f64 / counter(plain, "total_commands_processed") as f64
}
