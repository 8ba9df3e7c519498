//! Many connections at once, with and without pipelines: every single reply is compared with what the
//! keyspace must hold.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes and threads are the subject: their time is the system's"
)]

mod support;

use std::collections::VecDeque;

use support::{Client, Server, encode};

/// Threads that share the connections among them.
const THREADS: usize = 4;
/// Requests of one load.
const REQUESTS: usize = 16_000;
/// Keys that only one connection writes; with so many they lie on all shards.
const OWN_KEYS: usize = 8;
/// Counters that all connections share.
const COUNTERS: usize = 4;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// What a request must be answered with.
enum Expected {
    Exactly(Vec<u8>),
    /// The next number of this counter, larger than any that this connection has seen.
    Counted(usize),
}

fn bulk(value: Option<&String>) -> String {
    value.map_or_else(|| "$-1\r\n".to_owned(), |value| format!("${}\r\n{value}\r\n", value.len()))
}

/// A connection with a copy of all that it has written.
struct Loader {
    client: Client,
    number: usize,
    numbers: Numbers,
    own: [Option<String>; OWN_KEYS],
    written: usize,
    counted: [u64; COUNTERS],
    expected: VecDeque<Expected>,
}

impl Loader {
    fn new(server: &Server, number: usize) -> Self {
        Self {
            client: server.connect(),
            number,
            numbers: Numbers(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1)),
            own: Default::default(),
            written: 0,
            counted: [0; COUNTERS],
            expected: VecDeque::new(),
        }
    }

    fn key(&self, index: usize) -> String {
        format!("own:{}:{index}", self.number)
    }

    /// Writes a value of its own under a key; gives both.
    fn write(&mut self, index: usize) -> [String; 2] {
        self.written += 1;
        // Some are longer than what a server reads at once.
        let length = if self.written.is_multiple_of(50) { 5_000 } else { self.written % 60 };
        let value = format!("{}-{}-{}", self.number, self.written, "x".repeat(length));
        self.own[index] = Some(value.clone());
        [self.key(index), value]
    }

    /// Makes up a request and what must come of it.
    fn request(&mut self) -> Vec<u8> {
        let index = self.numbers.below(OWN_KEYS);
        let key = self.key(index);
        let (words, expected) = match self.numbers.below(8) {
            0 => (vec!["PING".to_owned(), key.clone()], bulk(Some(&key))),
            1 | 2 => {
                let [key, value] = self.write(index);
                (vec!["SET".to_owned(), key, value], "+OK\r\n".to_owned())
            }
            3 | 4 => (vec!["GET".to_owned(), key], bulk(self.own[index].as_ref())),
            5 => {
                let words =
                    (0..OWN_KEYS / 2).flat_map(|step| self.write((index + step) % OWN_KEYS));
                ([vec!["MSET".to_owned()], words.collect()].concat(), "+OK\r\n".to_owned())
            }
            6 => {
                let keys = (0..OWN_KEYS).map(|index| self.key(index)).collect();
                let values: String = self.own.iter().map(|value| bulk(value.as_ref())).collect();
                ([vec!["MGET".to_owned()], keys].concat(), format!("*{OWN_KEYS}\r\n{values}"))
            }
            _ => {
                let counter = self.numbers.below(COUNTERS);
                self.expected.push_back(Expected::Counted(counter));
                return encode(&["INCR", &format!("counter:{counter}")]);
            }
        };
        self.expected.push_back(Expected::Exactly(expected.into_bytes()));
        encode(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn send(&mut self, depth: usize) {
        let requests: Vec<u8> = (0..depth).flat_map(|_| self.request()).collect();
        self.client.send(&requests);
    }

    /// Compares all answers that are owed; the numbers of the counters go into `counts`.
    fn check(&mut self, counts: &mut [Vec<u64>; COUNTERS]) {
        while let Some(expected) = self.expected.pop_front() {
            let answer = self.client.answer();
            let text = String::from_utf8_lossy(&answer);
            match expected {
                Expected::Exactly(bytes) => {
                    let expected = String::from_utf8_lossy(&bytes);
                    assert!(answer == bytes, "{}: {text:?}, not {expected:?}", self.number);
                }
                Expected::Counted(counter) => {
                    let count =
                        text.strip_prefix(':').and_then(|text| text.trim_end().parse().ok());
                    let count = count.unwrap_or_else(|| panic!("{text:?} is no count"));
                    assert!(count > self.counted[counter], "{count} comes after a larger count");
                    self.counted[counter] = count;
                    counts[counter].push(count);
                }
            }
        }
    }
}

/// Loads a server and gives every number that a counter was answered with.
fn load(server: &Server, connections: usize, depth: usize) -> [Vec<u64>; COUNTERS] {
    let rounds = REQUESTS / connections / depth;
    let of_thread = |thread: usize| {
        let numbers = (thread..connections).step_by(THREADS);
        let mut loaders: Vec<Loader> = numbers.map(|number| Loader::new(server, number)).collect();
        let mut counts: [Vec<u64>; COUNTERS] = Default::default();
        for _ in 0..rounds {
            // All connections have requests under way before the first answer is read.
            loaders.iter_mut().for_each(|loader| loader.send(depth));
            loaders.iter_mut().for_each(|loader| loader.check(&mut counts));
        }
        counts
    };
    let mut counts: [Vec<u64>; COUNTERS] = Default::default();
    std::thread::scope(|scope| {
        let threads = [(); THREADS];
        let threads = threads.iter().enumerate().map(|(n, ())| scope.spawn(move || of_thread(n)));
        for thread in threads.collect::<Vec<_>>() {
            for (all, some) in counts.iter_mut().zip(thread.join().unwrap()) {
                all.extend(some);
            }
        }
    });
    counts
}

fn every_reply_is_right(connections: usize, depth: usize) {
    for shard_count in [1, 2] {
        let server = Server::kv(shard_count, &[]);
        let counts = load(&server, connections, depth);
        let mut client = server.connect();
        for (counter, mut numbers) in counts.into_iter().enumerate() {
            numbers.sort_unstable();
            let all: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert!(numbers == all, "each number of counter {counter} was given to one");
            let total = bulk(Some(&all.len().to_string()));
            assert_eq!(client.text(&format!("GET counter:{counter}")), total);
        }
    }
}

#[test]
fn every_reply_to_fifty_connections_is_right() {
    every_reply_is_right(50, 1);
}

#[test]
fn every_reply_to_fifty_pipelines_is_right() {
    every_reply_is_right(50, 16);
}

#[test]
fn every_reply_to_five_hundred_connections_is_right() {
    every_reply_is_right(500, 1);
}

#[test]
fn every_reply_to_five_hundred_pipelines_is_right() {
    every_reply_is_right(500, 16);
}
