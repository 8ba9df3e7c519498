//! A server on several shards, and how it ends.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use corelane::{RemoteLoop, Result, StreamReader, StreamWriter, sleep};
use corelane_shards::{Accept, Builder, Shard, ShardServer};
use support::{run_everywhere, run_to_end, shards};

/// Answers every line with the number of its shard.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let shard = Shard::current().ok_or_else(|| corelane::Error::msg("no shard"))?;
    while !reader.read_until(&[b"\n"]).await?.is_empty() {
        writer.write(format!("{}\n", shard.id()).as_bytes())?;
    }
    Ok(())
}

const SHARD_COUNT: usize = 2;

/// What stops a run from outside, and where it listens.
struct Run {
    addrs: Vec<SocketAddr>,
    remotes: Vec<RemoteLoop>,
    thread: JoinHandle<Result<Vec<()>>>,
}

/// Serves on every shard, in a thread of its own, until it is stopped.
#[expect(clippy::disallowed_methods, reason = "the test is the client, and blocks")]
fn serve(builder: Builder) -> Run {
    let (report, reported): (Sender<(SocketAddr, RemoteLoop)>, Receiver<_>) = channel();
    let thread = thread::spawn(move || {
        builder.run(async move |shard: Shard| {
            let server = shard.serve("127.0.0.1:0", answer).await?;
            let remote = corelane::lowlevel::current_remote()?;
            report.send((server.local_addrs()[0], remote)).expect("the test waits");
            server.wait_closed().await;
            Ok(())
        })
    });
    let (addrs, remotes) = (0..SHARD_COUNT).map(|_| reported.recv().expect("it starts")).unzip();
    Run { addrs, remotes, thread }
}

impl Run {
    fn connect(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.addrs[0]).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a duration above zero");
        BufReader::new(stream)
    }

    fn request_stop(&self) {
        let request = || Shard::current().expect("runs on a shard").shutdown().request();
        self.remotes[0].submit(request).expect("the shard runs");
    }
}

fn ask(connection: &mut BufReader<TcpStream>) -> String {
    connection.get_mut().write_all(b"who\n").expect("the connection is open");
    let mut line = String::new();
    connection.read_line(&mut line).expect("an answer comes");
    line.trim_end().to_owned()
}

#[test]
fn all_shards_listen_on_one_port_and_share_the_connections() {
    let run = serve(shards(SHARD_COUNT));
    assert_eq!(run.addrs.iter().collect::<BTreeSet<_>>().len(), 1, "{:?}", run.addrs);
    let mut connections: Vec<_> = (0..40).map(|_| run.connect()).collect();
    let shards_seen: BTreeSet<_> = connections.iter_mut().map(ask).collect();
    assert_eq!(shards_seen.len(), SHARD_COUNT, "{shards_seen:?}");
    drop(connections);
    run.request_stop();
    run.thread.join().unwrap().unwrap();
}

#[test]
fn at_the_end_no_connection_is_accepted_and_open_ones_may_finish() {
    let run = serve(shards(SHARD_COUNT));
    let mut open = run.connect();
    let first = ask(&mut open);
    run.request_stop();
    // The listeners close within a turn or two; from then on a connection is refused.
    let refused = (0..1_000).any(|_| {
        thread::yield_now();
        TcpStream::connect(run.addrs[0]).is_err()
    });
    assert!(refused, "the server still accepts");
    assert_eq!(ask(&mut open), first, "an open connection is served while it drains");
    assert!(!run.thread.is_finished());
    drop(open);
    run.thread.join().unwrap().unwrap();
}

#[test]
fn connections_that_stay_are_cut_at_the_deadline() {
    let run = serve(shards(SHARD_COUNT).drain(Duration::from_millis(100)));
    let mut open = run.connect();
    ask(&mut open);
    #[expect(clippy::disallowed_methods, reason = "the deadline is the subject")]
    let asked = Instant::now();
    run.request_stop();
    assert_eq!(open.read(&mut [0]).unwrap(), 0, "the connection is closed");
    assert!(asked.elapsed() >= Duration::from_millis(100), "not before the deadline");
    // The mains waited for nothing but their connections, so they have ended as they should.
    assert_eq!(run.thread.join().unwrap().unwrap().len(), SHARD_COUNT);
}

#[test]
fn a_server_whose_handle_is_dropped_goes_on_until_the_end_and_is_drained() {
    let answers = run_everywhere(shards(1), async |shard: Shard| {
        let addr = shard.serve("127.0.0.1:0", answer).await?.local_addrs()[0];
        let (mut reader, writer) = corelane::open_connection(addr).await?;
        writer.write(b"who\n")?;
        let line = reader.read_until(&[b"\n"]).await?;
        shard.shutdown().request();
        shard.shutdown().requested().await;
        sleep(Duration::from_millis(1)).await;
        writer.write(b"who\n")?;
        let again = reader.read_until(&[b"\n"]).await?;
        writer.close();
        Ok((line, again))
    });
    let (line, again) = answers.unwrap().remove(0);
    assert_eq!((&line[..], &again[..]), (&b"0\n"[..], &b"0\n"[..]));
}

#[test]
fn a_port_that_is_taken_without_sharing_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let run = shards(SHARD_COUNT).run(async move |shard: Shard| {
        shard.serve(addr, answer).await?;
        Ok(())
    });
    assert_eq!(run.unwrap_err().io_kind(), Some(std::io::ErrorKind::AddrInUse));
}

#[test]
fn an_adopted_listener_is_its_shards_alone_and_ends_with_the_run() {
    static SERVED: AtomicUsize = AtomicUsize::new(0);
    let addrs = shards(SHARD_COUNT).run(async |shard: Shard| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let server = shard.adopt(corelane::Server::builder(), listener, answer)?;
        let addr = server.local_addrs()[0];
        for _ in 0..5 {
            let (mut reader, writer) = corelane::open_connection(addr).await?;
            writer.write(b"who\n")?;
            assert_eq!(reader.read_line().await?, format!("{}\n", shard.id()).as_bytes());
        }
        // Whoever is last asks for the end, which closes the listeners of all.
        if SERVED.fetch_add(1, Ordering::SeqCst) == 1 {
            shard.shutdown().request();
        }
        server.wait_closed().await;
        assert!(!server.is_serving());
        Ok(addr)
    });
    let addrs = addrs.unwrap();
    assert_ne!(addrs[0], addrs[1]);
    for addr in addrs {
        assert!(TcpStream::connect(addr).is_err(), "nobody listens there any more");
    }
}

#[test]
fn a_name_is_looked_up_beside_the_loop() {
    // What is asked for on the loop itself would have no turns: the look-up takes one at least.
    let run = shards(SHARD_COUNT).run(async |shard: Shard| {
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let counted = std::rc::Rc::clone(&turns);
        let bystander = corelane::create_task(async move {
            loop {
                counted.set(counted.get() + 1);
                corelane::yield_now().await;
            }
            #[allow(unreachable_code, reason = "it says what the task would return")]
            Ok(())
        });
        // One that is over before anybody else had a turn proves nothing: ask again.
        let mut server = shard.serve("localhost:0", answer).await?;
        for _ in 0..100 {
            if turns.get() > 0 {
                break;
            }
            server = shard.serve("localhost:0", answer).await?;
        }
        assert!(turns.get() > 0, "the loop never went on");
        bystander.cancel();
        assert!(server.local_addrs().iter().all(|addr| addr.ip().is_loopback()));
        let nowhere = shard.serve("no port", answer).await.unwrap_err();
        assert_eq!(nowhere.kind(), std::io::ErrorKind::InvalidInput);
        Ok(())
    });
    run.expect("it serves");
}

#[test]
fn an_address_that_this_machine_lacks_is_passed_over_beside_one_that_it_has() {
    // One that is kept for documents, and so is no machine's.
    let nobodys = "198.51.100.7:0";
    for accept in [Accept::ReusePort, Accept::LeastLoaded] {
        let run = run_everywhere(shards(SHARD_COUNT), async move |shard: Shard| {
            let server = shard.serve_with(accept, [nobodys, "127.0.0.1:0"], answer).await?;
            let [addr] = server.local_addrs()[..] else { panic!("{server:?}") };
            assert!(addr.ip().is_loopback());
            let (mut reader, writer) = corelane::open_connection(addr).await?;
            writer.write(b"who?\n")?;
            assert!(reader.read_line().await?.ends_with(b"\n"));
            let refused = shard.serve_with(accept, nobodys, answer).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::AddrNotAvailable);
            assert!(refused.to_string().contains("198.51.100.7"), "{refused}");
            Ok(())
        });
        run.expect("it serves where it can");
    }
}

thread_local! {
    /// Whom [`AsksBack`] asks, and how often it has.
    static ASKED: RefCell<Option<Rc<ShardServer>>> = const { RefCell::new(None) };
    static ANSWER_COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Asks, when it is woken, what only the shards together know.
struct AsksBack;

impl Wake for AsksBack {
    fn wake(self: Arc<Self>) {
        ASKED.with_borrow(|server| {
            let server = server.as_ref().expect("it is set before anybody waits");
            let (_, is_serving) = (server.accept(), server.is_serving());
            assert!(!is_serving);
        });
        ANSWER_COUNT.set(ANSWER_COUNT.get() + 1);
    }
}

#[test]
fn who_is_woken_by_the_end_of_a_server_may_ask_how_connections_came() {
    for accept in [Accept::ReusePort, Accept::InTurn] {
        let ending = run_to_end(shards(SHARD_COUNT), async move |shard: Shard| {
            let server = Rc::new(shard.serve_with(accept, "127.0.0.1:0", answer).await?);
            let mut closed = Box::pin(server.wait_closed());
            let waker = Waker::from(Arc::new(AsksBack));
            ASKED.set(Some(Rc::clone(&server)));
            assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            server.close();
            assert_eq!(ANSWER_COUNT.replace(0), 1);
            assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            ASKED.take();
            Ok(())
        });
        ending.into_result().expect("no main fails");
    }
}
