//! Several kv processes behind nutcracker (twemproxy), which knows nothing of them but where they are.
//! Where it is not installed the test says so on one line.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::cluster::keys;
use support::{Client, Server, encode, is_here, own_address};

const KEY_COUNT: usize = 10_000;
/// Requests that are sent before the first answer is read.
const DEPTH: usize = 64;

/// The proxy, which ends with this.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    /// Deals keys out to `hosts`, each with its plain port, by consistent hashing.
    fn start(folder: &Path, hosts: &[Ipv4Addr]) -> Self {
        let address = SocketAddr::from((own_address(), 7000));
        let shipped = include_str!("../../scripts/deploy/nutcracker.yml");
        let mut text = shipped.replace("127.0.0.1:22121", &address.to_string());
        for (number, host) in hosts.iter().enumerate() {
            text = text.replace(&format!("10.0.0.{}:6379", number + 1), &format!("{host}:7000"));
        }
        assert!(!text.contains("6379"), "{text}");
        // A machine that is busy with other tests answers late.
        text = text.replace("  timeout: 2000", "  timeout: 10000");
        let file = folder.join("nutcracker.yml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("nutcracker");
        command.arg("-c").arg(file).arg("-o").arg(folder.join("nutcracker.log"));
        command.args(["-a", &address.ip().to_string(), "-s", "7001"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let proxy = Self { child, address };
        eventually("nutcracker listens", || TcpStream::connect(address).is_ok());
        proxy
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start(host: Ipv4Addr) -> Server {
    let mut command = Server::kv_command(2);
    command.args(["--port", "7000", "--bind", &host.to_string()]);
    Server::start(command)
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

/// Sends requests in deep pipelines and hands each answer over with its number.
fn pipeline(
    client: &mut Client,
    requests: impl Iterator<Item = Vec<String>>,
    mut check: impl FnMut(usize, Vec<u8>),
) {
    let requests: Vec<Vec<u8>> = requests.map(|words| encode(&words)).collect();
    for (round, batch) in requests.chunks(DEPTH).enumerate() {
        client.send(&batch.concat());
        for number in 0..batch.len() {
            check(round * DEPTH + number, client.answer());
        }
    }
}

fn gets(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Vec<String>> {
    numbers.map(|number| vec!["GET".to_owned(), key(number)])
}

fn value(number: usize) -> Vec<u8> {
    let digits = number.to_string();
    format!("${}\r\n{digits}\r\n", digits.len()).into_bytes()
}

#[test]
fn three_servers_behind_nutcracker_share_the_keys() {
    if !is_here("nutcracker", &["--version"]) {
        return;
    }
    let hosts = [own_address(), own_address(), own_address()];
    let mut servers: Vec<Server> = hosts.into_iter().map(start).collect();
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(folder.path(), &hosts);
    let mut client = Client::to(proxy.address);
    let sets = (0..KEY_COUNT).map(|n| vec!["SET".to_owned(), key(n), n.to_string()]);
    pipeline(&mut client, sets, |_, answer| assert_eq!(answer, b"+OK\r\n"));
    pipeline(&mut client, gets(0..KEY_COUNT), |n, answer| assert_eq!(answer, value(n)));
    // Every key is on one of them, and on no other.
    let places: Vec<BTreeSet<String>> = servers.iter().map(|server| keys(server.address)).collect();
    let all: BTreeSet<&String> = places.iter().flatten().collect();
    assert_eq!((all.len(), places.iter().map(BTreeSet::len).sum()), (KEY_COUNT, KEY_COUNT));
    assert!(places.iter().all(|keys| keys.len() > KEY_COUNT / 6), "each has its share");

    // Keys with one tag are together; requests that it takes apart come back whole and in order.
    for user in 0..50 {
        let request = format!("MSET {{user:{user}}}:name n {{user:{user}}}:mail m");
        assert_eq!(client.text(&request), "+OK\r\n");
        let has_both = |server: &&Server| {
            let request = format!("EXISTS {{user:{user}}}:name {{user:{user}}}:mail");
            server.connect().text(&request) == ":2\r\n"
        };
        assert_eq!(servers.iter().filter(has_both).count(), 1);
    }
    assert_eq!(client.text("MSET key:1 one key:2 two key:3 three"), "+OK\r\n");
    let answer = client.text("MGET key:3 key:0 key:2 none key:1");
    assert_eq!(answer, "*5\r\n$5\r\nthree\r\n$1\r\n0\r\n$3\r\ntwo\r\n$-1\r\n$3\r\none\r\n");
    assert_eq!(client.text("DEL key:1 key:2 key:3 none"), ":3\r\n");

    // One ends: its keys are errors, in their place, and all others are answered.
    let lost = servers.remove(1);
    drop(lost);
    let (mut errors, mut answered) = (0, 0);
    pipeline(&mut client, gets(10..KEY_COUNT), |n, answer| {
        if places[1].contains(&key(n + 10)) {
            assert!(answer.starts_with(b"-"), "{}", answer.escape_ascii());
            errors += 1;
        } else {
            assert_eq!(answer, value(n + 10));
            answered += 1;
        }
    });
    assert!(errors > 1000 && answered > 3000, "{errors} errors, {answered} answers");
    // And begins again, empty.
    let _again = start(hosts[1]);
    let lost_key = places[1].first().unwrap();
    eventually("the server is back", || client.text(&format!("SET {lost_key} v")) == "+OK\r\n");
    assert_eq!(client.text(&format!("GET {lost_key}")), "$1\r\nv\r\n");
}
