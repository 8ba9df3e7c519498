mod cluster;

use std::sync::Arc;

use super::*;
use crate::kv::home::Facts;
use crate::kv::slots::{Slots, slot_of};

/// A server without sockets: shards in one place, and connections to the first one or another.
struct World {
    homes: Vec<Home>,
    facts: Arc<Facts>,
}

impl World {
    fn new(shard_count: usize) -> Self {
        let facts = Arc::new(Facts::new(shard_count, 10_000, "127.0.0.1".into()));
        let homes = (0..shard_count)
            .map(|index| Home::new(Arc::clone(&facts), index, Slots::even(shard_count), 1))
            .collect();
        Self { homes, facts }
    }

    /// A connection by the port that all shards share.
    fn connect(&mut self, shard: usize) -> Connection {
        self.connect_by(Door::Plain, shard)
    }

    fn connect_by(&mut self, door: Door, shard: usize) -> Connection {
        let client = Client::new("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), 0);
        let admission = self.facts.admit().unwrap();
        let session = Session::open(admission, client, door, &mut self.homes[shard]);
        Connection { session, shard, hops: 0, trips: Vec::new(), is_closed: false }
    }

    fn pass(&mut self, milliseconds: i64) {
        for home in &mut self.homes {
            home.store.set_now(home.store.now_ms() + milliseconds);
        }
    }
}

struct Connection {
    session: Session,
    shard: usize,
    /// Rounds of batches.
    hops: usize,
    /// The shards that batches went to.
    trips: Vec<usize>,
    is_closed: bool,
}

impl Connection {
    /// Sends bytes in one piece and returns all answers.
    fn send(&mut self, world: &mut World, mut input: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        let (home, mut out) = (self.shard, BytesMut::new());
        loop {
            let (taken, mut next) = self.session.feed(input, &mut world.homes[home], &mut out);
            input = &input[taken..];
            while next == Next::Hop {
                self.hops += 1;
                for (shard, mut batch) in self.session.take_batches() {
                    self.trips.push(shard);
                    batch.run(&mut world.homes[shard]);
                    self.session.give_back(shard, Ok(batch));
                }
                next = self.session.emit(&world.homes[home], &mut out);
                assert!(out.len() < 4 << 20, "answers of one round are bounded");
                all.extend_from_slice(&out.split());
            }
            assert!(out.len() < 4 << 20, "answers of one round are bounded");
            all.extend_from_slice(&out.split());
            match next {
                Next::Close => {
                    self.is_closed = true;
                    return all;
                }
                Next::Read if input.is_empty() => return all,
                _ => {}
            }
        }
    }

    fn text(&mut self, world: &mut World, lines: &str) -> String {
        let lines = lines.replace('\n', "\r\n");
        String::from_utf8(self.send(world, lines.as_bytes())).unwrap().replace("\r\n", "\n")
    }
}

/// A key that lives on `shard`.
fn key_on(shard: usize, shard_count: usize) -> String {
    let slots = Slots::even(shard_count);
    let keys = (0..).map(|number| format!("key{number}"));
    keys.into_iter().find(|key| slots.shard_of(key.as_bytes()) == shard).unwrap()
}

#[test]
fn answers_keep_their_order_whoever_gives_them() {
    for shard_count in 1..=4 {
        let mut world = World::new(shard_count);
        let mut connection = world.connect(shard_count - 1);
        let (mut requests, mut answers) = (String::new(), String::new());
        for number in 0..500 {
            requests += &format!("set key{number} {number}\nget key{number}\necho {number}\n");
            let length = number.to_string().len();
            answers += &format!("+OK\n${length}\n{number}\n${length}\n{number}\n");
        }
        assert_eq!(connection.text(&mut world, &requests), answers);
        let pieces: usize = world.homes.iter().map(|home| home.store.len()).sum();
        assert_eq!(pieces, 500);
        assert!(world.homes.iter().all(|home| home.store.len() > 500 / shard_count / 2));
    }
}

#[test]
fn a_pipeline_makes_one_trip_to_a_shard() {
    let mut world = World::new(3);
    let mut connection = world.connect(0);
    let keys: Vec<String> = (0..3).map(|shard| key_on(shard, 3)).collect();
    let mut requests = String::new();
    for key in &keys {
        requests += &format!("set {key} 1\nincr {key}\nget {key}\n");
    }
    let [a, b, c] = [&keys[0], &keys[1], &keys[2]];
    requests += &format!("mset {a} x {b} y {c} z\nmget {c} none {a} {b}\ndbsize\nexists {a} {b}\n");
    requests += &format!("del {a} {b} {c} none\nkeys *\nping\n");
    let answers =
        "+OK\n:2\n$1\n2\n".repeat(3) + "+OK\n*4\n$1\nz\n$-1\n$1\nx\n$1\ny\n:3\n:2\n:3\n*0\n+PONG\n";
    assert_eq!(connection.text(&mut world, &requests), answers);
    assert_eq!((connection.hops, connection.trips), (1, vec![1, 2]));
}

#[test]
fn commands_with_keys_of_this_shard_alone_make_no_trip() {
    let mut world = World::new(4);
    let mut connection = world.connect(2);
    let key = key_on(2, 4);
    let requests = format!("mset {{{key}}}a 1 {{{key}}}b 2\nmget {{{key}}}a {{{key}}}b\n");
    assert_eq!(connection.text(&mut world, &requests), "+OK\n*2\n$1\n1\n$1\n2\n");
    assert_eq!(connection.hops, 0);
}

#[test]
fn long_answers_come_in_rounds_and_nothing_grows_without_bound() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let keys = [key_on(0, 2), key_on(1, 2)];
    let value = "v".repeat(200_000);
    for key in &keys {
        assert_eq!(connection.text(&mut world, &format!("set {key} 1\n")), "+OK\n");
        let text = format!("*3\n$3\nset\n${}\n{key}\n$200000\n{value}\n", key.len());
        assert_eq!(connection.text(&mut world, &text), "+OK\n");
    }
    let length = value.len() + "$200000\n\n".len();
    // Whether all are here, all there, or in turn: 20 MB of answers, and `send` checks each round.
    for [first, second] in [[0, 0], [1, 1], [0, 1], [1, 0]] {
        connection.hops = 0;
        let requests = format!("get {}\nget {}\n", keys[first], keys[second]).repeat(50);
        assert_eq!(connection.text(&mut world, &requests).len(), 100 * length);
        assert!(first + second == 0 || connection.hops > 20, "{} rounds", connection.hops);
    }
    let merged = format!("mget {} {}\n", keys[0], keys[1]).repeat(100);
    let expected = format!("*2\n$200000\n{value}\n$200000\n{value}\n").repeat(100);
    assert_eq!(connection.text(&mut world, &merged), expected);
}

#[test]
fn a_request_in_single_bytes_is_answered_like_a_whole_one() {
    let requests =
        b"set a 1\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\nmget a b\r\nping\r\n*1\r\n$4\r\nping\r\n";
    for shard_count in 1..=3 {
        let mut world = World::new(shard_count);
        let mut connection = world.connect(0);
        let mut answers = Vec::new();
        for byte in requests {
            answers.extend(connection.send(&mut world, &[*byte]));
        }
        let expected = b"+OK\r\n$1\r\n1\r\n*2\r\n$1\r\n1\r\n$-1\r\n+PONG\r\n+PONG\r\n";
        assert_eq!(answers, expected);
        assert_eq!(connection.session.pending.capacity(), 0, "an idle connection holds no buffer");
    }
}

#[test]
fn a_protocol_error_is_the_last_answer() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let key = key_on(1, 2);
    let answers = connection.text(&mut world, &format!("get {key}\n*x\nping\n"));
    assert_eq!(answers, "$-1\n-ERR Protocol error: invalid multibulk length\n");
    assert!(connection.is_closed);
}

#[test]
fn quit_answers_and_ends_the_connection() {
    let mut world = World::new(1);
    let mut connection = world.connect(0);
    assert_eq!(connection.text(&mut world, "quit\nping\n"), "+OK\n");
    assert!(connection.is_closed);
}

#[test]
fn a_shard_that_is_lost_answers_with_an_error_and_only_it() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let (here, there) = (key_on(0, 2), key_on(1, 2));
    let requests =
        format!("set {here} 1\r\nget {there}\r\nget {here}\r\nmget {here} {there}\r\ndbsize\r\n");
    let mut out = BytesMut::new();
    let (_, next) = connection.session.feed(requests.as_bytes(), &mut world.homes[0], &mut out);
    assert_eq!(next, Next::Hop);
    for (shard, _) in connection.session.take_batches() {
        connection.session.give_back(shard, Err("shard 1 is gone".into()));
    }
    assert_eq!(connection.session.emit(&world.homes[0], &mut out), Next::More);
    let gone = "-ERR shard 1 is gone\r\n";
    let expected = format!("+OK\r\n{gone}$1\r\n1\r\n*2\r\n$1\r\n1\r\n{gone}{gone}");
    assert_eq!(String::from_utf8_lossy(&out), expected);
    // The next pipeline tries again.
    assert_eq!(connection.text(&mut world, &format!("get {there}\n")), "$-1\n");
}

#[test]
fn a_scan_goes_over_all_shards_and_gives_each_key_once() {
    for shard_count in 1..=3 {
        let mut world = World::new(shard_count);
        let mut connection = world.connect(0);
        for number in 0..300 {
            connection.text(&mut world, &format!("set k{number} v\n"));
        }
        let (mut cursor, mut keys, mut calls) = (String::from("0"), Vec::new(), 0);
        loop {
            let answer = connection.text(&mut world, &format!("scan {cursor} count 20 match k*\n"));
            let mut lines = answer.lines().skip(2);
            cursor = lines.next().unwrap().to_owned();
            let found = lines.skip(1).filter(|line| !line.starts_with('$'));
            keys.extend(found.map(str::to_owned));
            calls += 1;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(keys.len(), 300);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 300);
        assert!((10..40).contains(&calls), "{calls} calls");
    }
}

#[test]
fn info_adds_up_what_the_shards_count() {
    let mut world = World::new(3);
    let mut connection = world.connect(1);
    let _other = world.connect(2);
    let keys: String = (0..30).map(|number| format!("set k{number} v ex 10\n")).collect();
    connection.text(&mut world, &keys);
    let info = connection.text(&mut world, "info\n");
    for line in ["db0:keys=30,expires=30,avg_ttl=0", "connected_clients:2", "shards:3"] {
        assert!(info.lines().any(|each| each == line), "{line} in {info}");
    }
    let runtime = connection.text(&mut world, "info runtime\n");
    assert!(runtime.contains("# Runtime\n") && runtime.contains("loop_steps:0\n"), "{runtime}");
    assert!(runtime.contains("lane_permit_waits:0\n") && !runtime.contains("# Stats"));
    let keyspace = connection.text(&mut world, "info keyspace CLIENTS\n");
    assert!(keyspace.contains("# Clients\n") && keyspace.contains("# Keyspace\n"));
    assert!(!keyspace.contains("# Server"));
    assert_eq!(connection.text(&mut world, "info nothing\n"), "$0\n\n");
    let list = connection.text(&mut world, "client list\n");
    assert_eq!(list.matches("id=").count(), 2);
    assert!(list.contains("cmd=client|list"));
    assert!(list.contains("io-thread=1\n") && list.contains("io-thread=2\n"), "{list}");
    let own = connection.text(&mut world, "client info\n");
    assert!(own.contains("io-thread=1\n"), "the shard that serves it: {own}");
    world.homes[2].clients.clear();
    assert_eq!(connection.text(&mut world, "client list\n").matches("id=").count(), 1);
}

#[test]
fn keys_expire_on_every_shard() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let (here, there) = (key_on(0, 2), key_on(1, 2));
    let set = format!("set {here} v px 100\nset {there} v px 100\npttl {there}\n");
    assert_eq!(connection.text(&mut world, &set), "+OK\n+OK\n:100\n");
    world.pass(40);
    assert_eq!(connection.text(&mut world, &format!("pttl {there}\npttl {here}\n")), ":60\n:60\n");
    world.pass(61);
    assert_eq!(connection.text(&mut world, &format!("mget {here} {there}\n")), "*2\n$-1\n$-1\n");
}

#[test]
fn hello_changes_the_form_in_the_middle_of_a_pipeline() {
    let mut world = World::new(2);
    let mut connection = world.connect(0);
    let there = key_on(1, 2);
    let answers = connection.text(&mut world, &format!("get {there}\nhello 3\nget {there}\n"));
    assert!(answers.starts_with("$-1\n%7\n$6\nserver\n"), "{answers}");
    assert!(answers.ends_with("*0\n_\n"), "{answers}");
    assert_eq!(connection.text(&mut world, "reset\nget a\n"), "+RESET\n$-1\n");
}

#[test]
fn more_clients_than_allowed_are_turned_away() {
    let world = World::new(1);
    let admitted: Vec<_> = (0..10_000).map(|_| world.facts.admit().unwrap()).collect();
    assert!(world.facts.admit().is_none());
    drop(admitted);
    assert!(world.facts.admit().is_some());
}
