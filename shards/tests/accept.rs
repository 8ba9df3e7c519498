//! How connections come to shards: few long ones for each way of accepting, limits, and parts that close.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use corelane::{RemoteLoop, Result, Server, StreamReader, StreamWriter};
use corelane_shards::{
    Accept, AllowedCores, Builder, PanicPolicy, Placement, Shard, ShardServer, ShardServerBuilder,
    Shards,
};
use rustix::thread::{CpuSet, sched_setaffinity};
use support::shards;

thread_local! {
    /// The part of the shard that this thread is.
    static PART: RefCell<Option<ShardServer>> = const { RefCell::new(None) };
}

/// Answers each line: with the number of the shard, or with what its part of the server says.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let shard = Shard::current().expect("a handler runs on a shard");
    let part = PART.with_borrow(Clone::clone).expect("it serves");
    while let Some(line) = reader.next_line().await? {
        let text = match line.trim_ascii() {
            b"who" => shard.id().to_string(),
            b"balance" => part.balance().to_string(),
            b"accept" => part.accept().to_string(),
            b"panic" => panic!("on purpose"),
            b"close" => {
                part.close();
                format!("{:?}", part.local_addrs())
            }
            _ => "what?".to_owned(),
        };
        writer.write(format!("{text}\n").as_bytes())?;
    }
    Ok(())
}

const SHARD_COUNT: usize = 2;

/// A run in a thread of its own.
struct Run {
    addr: SocketAddr,
    remotes: Vec<RemoteLoop>,
    thread: JoinHandle<Result<Vec<()>>>,
}

/// Serves on every shard until it is stopped; shard 0 is the first to serve.
#[expect(clippy::disallowed_methods, reason = "the test is the client, and blocks")]
fn serve(run: Builder, shard_count: usize, builder: impl Into<ShardServerBuilder>) -> Run {
    let builder = builder.into();
    let (report, reported) = channel();
    let thread = thread::spawn(move || {
        run.run(async move |shard: Shard| {
            if let Some(before) = shard.id().index().checked_sub(1) {
                let before = shard.all().nth(before).expect("it is one of them");
                let serves = || PART.with_borrow(Option::is_some);
                while !shard.invoke(before, serves).await? {}
            }
            let part = shard.serve_with(builder, "127.0.0.1:0", answer).await?;
            PART.set(Some(part.clone()));
            let remote = corelane::lowlevel::current_remote()?;
            report.send((part.local_addrs()[0], remote)).expect("the test waits");
            shard.shutdown().requested().await;
            part.wait_closed().await;
            Ok(())
        })
    });
    let started = (0..shard_count).map(|_| reported.recv().expect("it starts"));
    let (addrs, remotes): (Vec<_>, Vec<_>) = started.unzip();
    Run { addr: addrs[0], remotes, thread }
}

impl Run {
    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.addr).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a duration above zero");
        Client(BufReader::new(stream))
    }

    /// Connects so often, one after the other, and says which shard each came to.
    fn connect_each(&self, count: usize) -> Vec<(Client, usize)> {
        let one = |_| {
            let mut client = self.connect();
            let shard = client.ask("who").parse().expect("a number");
            (client, shard)
        };
        (0..count).map(one).collect()
    }

    fn stop(self) {
        self.remotes[0].submit(request_end).expect("the shard runs");
        self.thread.join().expect("it does not panic").expect("no main fails");
    }
}

fn request_end() {
    Shard::current().expect("runs on a shard").shutdown().request();
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn say(&mut self, words: &str) {
        self.0.get_mut().write_all(format!("{words}\n").as_bytes()).expect("it is open");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer comes");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, words: &str) -> String {
        self.say(words);
        self.hear()
    }
}

fn shards_of(clients: &[(Client, usize)]) -> Vec<usize> {
    clients.iter().map(|(_, shard)| *shard).collect()
}

#[test]
fn in_turn_deals_few_long_connections_exactly() {
    let run = serve(shards(3), 3, Accept::InTurn);
    let mut clients = run.connect_each(7);
    assert_eq!(shards_of(&clients), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(clients[0].0.ask("balance"), "3.00, 2.00, 2.00 (max/mean 1.29)");
    assert_eq!(clients[0].0.ask("accept"), "in-turn");
    drop(clients);
    run.stop();
}

#[test]
fn when_the_accepting_shard_is_lost_another_accepts() {
    let run = serve(shards(3).panic_policy(PanicPolicy::ShutShard), 3, Accept::InTurn);
    let mut clients = run.connect_each(4);
    assert_eq!(shards_of(&clients), [0, 1, 2, 0]);
    clients[0].0.say("panic");
    assert_eq!(clients[3].0.hear(), "", "it is closed with its shard");
    let more = run.connect_each(4);
    assert_eq!(shards_of(&more), [1, 2, 1, 2]);
    assert_eq!(clients[1].0.ask("balance"), "3.00, 3.00 (max/mean 1.00)");
    drop((clients, more));
    run.remotes[1].submit(request_end).expect("the shard runs");
    assert!(run.thread.join().expect("it does not panic").unwrap_err().is_panic());
}

#[test]
fn the_least_loaded_gets_the_next_of_few_long_connections() {
    let run = serve(shards(SHARD_COUNT), SHARD_COUNT, Accept::LeastLoaded);
    let mut clients = run.connect_each(6);
    assert_eq!(shards_of(&clients), [0, 1, 0, 1, 0, 1]);
    // All of the first shard's end: it gets the next three.
    clients.retain(|(_, shard)| *shard == 1);
    while clients[0].0.ask("balance") != "0.00, 3.00 (max/mean 2.00)" {
        thread::yield_now();
    }
    let more = run.connect_each(3);
    assert_eq!(shards_of(&more), [0, 0, 0]);
    assert_eq!(clients[0].0.ask("balance"), "3.00, 3.00 (max/mean 1.00)");
    drop((clients, more));
    run.stop();
}

#[test]
fn a_shared_port_leaves_few_long_connections_to_chance_and_says_how_they_fell() {
    let run = serve(shards(SHARD_COUNT), SHARD_COUNT, Accept::ReusePort);
    let mut clients = run.connect_each(6);
    let mut counts = BTreeMap::from([(0, 0), (1, 0)]);
    shards_of(&clients).into_iter().for_each(|shard| *counts.entry(shard).or_default() += 1);
    let balance = clients[0].0.ask("balance");
    assert!(balance.starts_with(&format!("{}.00, {}.00 ", counts[&0], counts[&1])), "{balance}");
    drop(clients);
    run.stop();
}

/// Connects from a thread that runs on `core`, where loopback packets come in then.
#[expect(clippy::disallowed_methods, reason = "only a thread has a core")]
fn connect_from<T: Send + 'static>(core: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    let from_there = move || {
        let mut mask = CpuSet::new();
        mask.set(core);
        sched_setaffinity(None, &mask).expect("the process may use it");
        f()
    };
    thread::spawn(from_there).join().expect("it does not panic")
}

/// Two pinned shards, unless there is only one core.
fn two_cores() -> Option<(Builder, [usize; 2])> {
    let allowed = AllowedCores::of_process().expect("the kernel tells");
    let &[first, second, ..] = allowed.cores() else {
        println!("skipped: with one core there is nothing to choose by");
        return None;
    };
    let placement = Placement::Cores(vec![first, second]);
    Some((Shards::builder().placement(placement).handle_signals(false), [first, second]))
}

#[test]
fn by_cpu_few_long_connections_come_to_the_shard_of_the_core_they_come_from() {
    let Some((builder, cores)) = two_cores() else { return };
    let run = serve(builder, SHARD_COUNT, Accept::ByCpu);
    let addr = run.addr;
    let mut held = Vec::new();
    for (shard, core) in cores.into_iter().enumerate() {
        let streams = connect_from(core, move || [(); 3].map(|()| TcpStream::connect(addr)));
        for stream in streams {
            let mut client = Client(BufReader::new(stream.unwrap()));
            assert_eq!(client.ask("who"), shard.to_string(), "from core {core}");
            assert_eq!(client.ask("accept"), "by-cpu");
            held.push(client);
        }
    }
    assert_eq!(held[0].ask("balance"), "3.00, 3.00 (max/mean 1.00)");
    drop(held);
    run.stop();
}

#[test]
fn by_cpu_falls_back_to_the_hash_when_one_core_gets_everything() {
    let Some((builder, [first, _])) = two_cores() else { return };
    let run = serve(builder, SHARD_COUNT, Accept::ByCpu);
    let addr = run.addr;
    let accept = connect_from(first, move || {
        let connect = || Client(BufReader::new(TcpStream::connect(addr).expect("it listens")));
        for _ in 0..255 {
            assert_eq!(connect().ask("who"), "0");
        }
        let mut last = connect();
        (0..1_000_000).find(|_| last.ask("accept") == "reuse-port").map(|_| last)
    });
    let mut accept = accept.expect("it falls back");
    // A hash that leaves all of sixty to one shard has some other fault.
    let clients = connect_from(first, move || [(); 60].map(|()| TcpStream::connect(addr)));
    let mut clients = clients.map(|stream| Client(BufReader::new(stream.unwrap())));
    assert!(clients.iter_mut().any(|client| client.ask("who") == "1"));
    assert_eq!(accept.ask("accept"), "reuse-port");
    drop((clients, accept));
    run.stop();
}

#[test]
fn when_every_shard_is_full_the_next_connection_waits_for_room() {
    let limits = Server::builder().max_connections(1);
    let builder = ShardServer::builder().accept(Accept::LeastLoaded).limits(limits);
    let run = serve(shards(SHARD_COUNT), SHARD_COUNT, builder);
    let mut clients = run.connect_each(2);
    assert_eq!(shards_of(&clients), [0, 1]);
    for (full, mut waiting) in [(1, run.connect()), (0, run.connect())] {
        waiting.say("who");
        for _ in 0..20 {
            let balance = clients[0].0.ask("balance");
            assert_eq!(balance, "1.00, 1.00 (max/mean 1.00)", "it waits");
        }
        let (client, shard) = clients.remove(full);
        drop(client);
        assert_eq!(waiting.hear(), shard.to_string(), "it comes to where there is room");
        clients.insert(full, (waiting, shard));
    }
    drop(clients);
    run.stop();
}

#[test]
fn a_part_that_is_closed_gets_nothing_more_also_if_its_shard_accepts_for_all() {
    let run = serve(shards(3), 3, Accept::InTurn);
    let mut clients = run.connect_each(3);
    // Shard 0 was the first to serve, so it accepts for all, and goes on with that.
    assert_eq!(clients[0].0.ask("close"), "[]");
    assert_eq!(shards_of(&run.connect_each(3)), [1, 2, 1]);
    assert_eq!(clients[0].0.ask("who"), "0", "what it has goes on");
    assert_eq!(clients[1].0.ask("close"), "[]");
    assert_eq!(shards_of(&run.connect_each(2)), [2, 2]);
    assert_eq!(clients[2].0.ask("close"), "[]");
    let refused = (0..100_000).any(|_| TcpStream::connect(run.addr).is_err());
    assert!(refused, "nobody serves any more, and the door is still open");
    drop(clients);
    run.stop();
}

#[test]
fn an_address_of_somebody_else_is_an_error_also_if_he_would_share_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let run = shards(1).run(async move |shard: Shard| {
        shard.serve_with(Accept::InTurn, addr, answer).await?;
        Ok(())
    });
    let error = run.unwrap_err();
    assert_eq!(error.io_kind(), Some(ErrorKind::AddrInUse));
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[test]
fn shards_that_would_accept_in_different_ways_are_told() {
    let run = shards(SHARD_COUNT).run(async |shard: Shard| {
        let ways = [Accept::InTurn, Accept::LeastLoaded];
        let addr = "127.0.0.1:0";
        let served = shard.serve_with(ways[shard.id().index()], addr, answer).await;
        Ok(served.map(|part| part.accept()).map_err(|error| error.kind()))
    });
    let outcomes = run.unwrap();
    let refused = |outcome: &std::result::Result<_, _>| *outcome == Err(ErrorKind::InvalidInput);
    assert_eq!(outcomes.iter().filter(|outcome| refused(outcome)).count(), 1, "{outcomes:?}");
}
