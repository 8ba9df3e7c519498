//! Bad peers and hard times: resets, ends in mid-message, peers that stall, no descriptors, full queues.

mod everywhere;
mod lines;
mod peer;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::Simulation;
use corelane::sync::Event;
use corelane::{
    Error, ReportKind, Result, Server, StreamReader, StreamWriter, all_tasks, create_task,
    open_connection, open_unix_connection, set_report_handler, sleep, start_server, yield_now,
};
use everywhere::everywhere;
use lines::Lines;
use peer::{pair, pattern, receive, reset, run, settle};

/// Messages of a hundred bytes, each answered by one.
const MESSAGE_BYTES: usize = 100;

async fn answer_messages(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while !reader.fill_buf().await?.is_empty() {
        let message = reader.read_exactly(MESSAGE_BYTES).await?;
        writer.write(&message[..1])?;
        writer.drain().await?;
    }
    Ok(())
}

/// Counts what is reported as a handler's failure, by the kind of its I/O error.
fn collect_failures() -> Rc<RefCell<Vec<ErrorKind>>> {
    let failures = Rc::new(RefCell::new(Vec::new()));
    let theirs = Rc::clone(&failures);
    set_report_handler(move |report| {
        assert_eq!(report.kind, ReportKind::ClientCallback);
        theirs.borrow_mut().extend(report.error.as_ref().and_then(Error::io_kind));
    });
    failures
}

fn connect(server: &Server) -> Result<TcpStream> {
    Ok(TcpStream::connect(&server.local_addrs()[..])?)
}

/// Waits until no connection of a server is left.
async fn all_gone(server: &Server) {
    while server.connection_count() > 0 {
        yield_now().await;
    }
}

/// Sends a message and has it answered: the server serves.
async fn check_serves(server: &Server) -> Result<()> {
    let mut peer = connect(server)?;
    peer.write_all(&pattern(MESSAGE_BYTES))?;
    assert_eq!(receive(&mut peer, 1).await?, pattern(1));
    Ok(())
}

#[test]
fn a_peer_that_resets_in_mid_message_fails_its_handler_and_nobody_else() {
    run(async || {
        let failures = collect_failures();
        let server = start_server(answer_messages, "127.0.0.1:0").await?;
        let mut bystander = connect(&server)?;
        for _ in 0..20 {
            let mut peer = connect(&server)?;
            peer.write_all(&pattern(MESSAGE_BYTES / 2))?;
            settle().await;
            reset(peer)?;
        }
        while server.connection_count() > 1 {
            yield_now().await;
        }
        // A handler ends a turn after its connection.
        settle().await;
        assert_eq!(*failures.borrow(), [ErrorKind::ConnectionReset; 20]);
        bystander.write_all(&pattern(MESSAGE_BYTES))?;
        assert_eq!(receive(&mut bystander, 1).await?, pattern(1));
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_peer_that_ends_in_mid_message_is_told_apart_from_one_that_ends_between_two() {
    run(async || {
        let failures = collect_failures();
        let server = start_server(answer_messages, "127.0.0.1:0").await?;
        for (bytes, failed) in [(2 * MESSAGE_BYTES, 0), (MESSAGE_BYTES + 1, 1)] {
            let mut peer = connect(&server)?;
            peer.write_all(&pattern(bytes))?;
            peer.shutdown(Shutdown::Write)?;
            // What was answered before still arrives: the connection is flushed and closed.
            assert_eq!(receive(&mut peer, 10).await?.len(), bytes / MESSAGE_BYTES);
            all_gone(&server).await;
            settle().await;
            assert_eq!(*failures.borrow(), vec![ErrorKind::UnexpectedEof; failed]);
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_peer_that_sends_single_bytes_is_served_like_any_other() {
    run(async || {
        let server = start_server(answer_messages, "127.0.0.1:0").await?;
        let mut peer = connect(&server)?;
        peer.set_nodelay(true)?;
        for byte in pattern(MESSAGE_BYTES) {
            peer.write_all(&[byte])?;
            yield_now().await;
        }
        assert_eq!(receive(&mut peer, 1).await?, pattern(1));
        check_serves(&server).await
    })
    .unwrap();
}

/// Floods its peer until that, or somebody, ends the connection.
async fn flood(_reader: StreamReader, writer: StreamWriter, most: &Cell<usize>) -> Result<()> {
    let piece = pattern(100_000);
    loop {
        writer.write(&piece)?;
        most.set(most.get().max(writer.write_buffer_len()));
        writer.drain().await?;
    }
}

#[test]
fn s72_a_peer_that_stalls_stops_the_writer_and_costs_no_more_than_the_marks() {
    run(async || {
        collect_failures();
        let most = Rc::new(Cell::new(0));
        let theirs = Rc::clone(&most);
        let handler = async move |reader, writer| flood(reader, writer, &theirs).await;
        let server = start_server(handler, "127.0.0.1:0").await?;
        let stalled = connect(&server)?;
        settle().await;
        assert!(most.get() > 0);
        assert!(most.get() <= 65_536 + 100_000, "{} bytes are kept", most.get());
        let before = all_tasks()?.len();
        settle().await;
        assert_eq!((all_tasks()?.len(), server.connection_count()), (before, 1));
        server.abort_clients();
        server.close();
        server.wait_closed().await;
        drop(stalled);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s73_a_peer_that_closes_while_we_write_ends_the_writer() {
    run(async || {
        let failures = collect_failures();
        let most = Rc::new(Cell::new(0));
        let handler = async move |reader, writer| flood(reader, writer, &most).await;
        let server = start_server(handler, "127.0.0.1:0").await?;
        for _ in 0..10 {
            let mut peer = connect(&server)?;
            assert_eq!(receive(&mut peer, 150_000).await?.len(), 150_000);
            drop(peer);
        }
        all_gone(&server).await;
        settle().await;
        let is_lost =
            |kind: &ErrorKind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        assert_eq!(failures.borrow().len(), 10);
        assert!(failures.borrow().iter().all(is_lost), "{:?}", failures.borrow());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s20_a_server_serves_from_its_start_until_it_is_closed() {
    run(async || {
        let server = Server::builder().start_serving(false);
        let server = server.start(answer_messages, "127.0.0.1:0").await?;
        assert!(!server.is_serving());
        server.start_serving()?;
        assert!(server.is_serving());
        check_serves(&server).await?;
        assert!(server.is_serving());
        server.close();
        assert!(!server.is_serving());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s77_wait_closed_may_be_called_by_many_and_again_and_says_what_ended_the_connection() {
    run(async || {
        for is_reset in [false, true] {
            let (_reader, writer, mut peer) = pair().await?;
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let writer = writer.clone();
                    create_task(async move { Ok(writer.wait_closed().await?) })
                })
                .collect();
            settle().await;
            assert!(waiting.iter().all(|task| !task.done()));
            if is_reset {
                reset(peer)?;
            } else {
                writer.close();
                assert!(receive(&mut peer, 8).await?.is_empty());
            }
            let expected = is_reset.then_some(ErrorKind::ConnectionReset);
            for task in waiting {
                assert_eq!(task.await.err().and_then(|error| error.io_kind()), expected);
            }
            for _ in 0..2 {
                let again = writer.wait_closed().await;
                assert_eq!(again.err().map(|error| error.kind()), expected);
            }
        }
        Ok(())
    })
    .unwrap();
}

/// Runs one test of this program in a process of its own, where it may change limits.
fn in_a_child(test: &str, body: impl FnOnce() -> Result<()>) {
    const CHILD: &str = "CORELANE_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        return body().expect("the child's part");
    }
    let this = std::env::current_exe().expect("a test is a program");
    let mut child = std::process::Command::new(this);
    child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let output = child.output().expect("it can be started again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn s1_out_of_descriptors_is_an_error_and_the_loop_goes_on() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    in_a_child("s1_out_of_descriptors_is_an_error_and_the_loop_goes_on", || {
        run(async || {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let addr = listener.local_addr()?;
            let last = std::fs::File::open("/proc/self/fd")?;
            let next = std::os::fd::AsRawFd::as_raw_fd(&last) as u64;
            drop(last);
            let before = getrlimit(Resource::Nofile);
            setrlimit(Resource::Nofile, Rlimit { current: Some(next), ..before })?;
            for error in [
                open_connection(addr).await.unwrap_err(),
                start_server(answer_messages, "127.0.0.1:0").await.unwrap_err(),
                open_unix_connection("\0nobody").await.unwrap_err(),
            ] {
                assert!(error.to_string().contains("Too many open files"), "{error}");
            }
            setrlimit(Resource::Nofile, before)?;
            open_connection(addr).await?;
            Ok(())
        })
    });
}

/// A handler that answers when `gate` is set.
fn answer_after(
    gate: &Rc<Event>,
) -> impl AsyncFn(StreamReader, StreamWriter) -> Result<()> + use<> {
    let gate = Rc::clone(gate);
    async move |reader, writer| {
        gate.wait().await;
        answer_messages(reader, writer).await
    }
}

/// So many come by `connect` to a server for one at a time, whose handler waits for `gate`: all are served.
async fn check_all_are_served<F>(
    server: &Server,
    gate: &Event,
    count: usize,
    connect: impl Fn() -> F,
) -> Result<()>
where
    F: Future<Output = io::Result<(StreamReader, StreamWriter)>> + 'static,
{
    let clients: Vec<_> = (0..count)
        .map(|_| {
            let connecting = connect();
            create_task(async move {
                let (mut reader, writer) = connecting.await?;
                writer.write(pattern(MESSAGE_BYTES))?;
                Ok(reader.read_exactly(1).await?)
            })
        })
        .collect();
    everywhere::settle().await;
    assert!(clients.iter().all(|client| !client.done()));
    assert_eq!(server.connection_count(), 1);
    gate.set();
    for client in clients {
        assert_eq!(client.await?, pattern(1));
    }
    all_gone(server).await;
    // A handler ends a turn after its connection.
    everywhere::settle().await;
    assert_eq!(all_tasks()?.len(), 1);
    Ok(())
}

#[test]
fn s10_when_the_queue_is_full_others_wait_and_all_are_served_in_the_end() {
    run(async || {
        let path = format!("\0corelane-queue-{}", std::process::id());
        let gate = Rc::new(Event::new());
        let builder = Server::builder().backlog(1).max_connections(1);
        let server = builder.start_unix(answer_after(&gate), &path).await?;
        check_all_are_served(&server, &gate, 20, || open_unix_connection(path.clone())).await
    })
    .unwrap();
}

#[test]
fn s10_connections_that_a_full_queue_of_tcp_turns_away_come_again_and_none_is_lost() {
    everywhere(async || {
        let gate = Rc::new(Event::new());
        let builder = Server::builder().backlog(1).max_connections(1);
        let server = builder.start(answer_after(&gate), "127.0.0.1:0").await?;
        let addr = server.local_addrs()[0];
        // One is served, and the queue holds two: the system asks again for the others, a second later.
        check_all_are_served(&server, &gate, 8, || open_connection(addr)).await
    })
    .unwrap();
}

/// What was logged of servers that are full.
fn full_lines(log: &Lines) -> usize {
    let lines = log.0.lock().expect("nobody panics while it is held");
    lines.iter().filter(|line| line.contains("connections, the most it may have")).count()
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// A simulated host, for what takes minutes.
fn simulated(main: impl AsyncFnOnce() -> Result<()> + 'static) {
    let mut sim = Simulation::builder(1).calm().build();
    let host = sim.host("only").expect("a host of a new world can be made");
    sim.run(host, main).expect("nothing fails in a calm world");
}

#[test]
fn a_server_that_is_full_says_so_and_not_again_before_half_have_gone_and_a_minute() {
    simulated(async || {
        let log = Lines::default();
        let _logs = tracing::subscriber::set_default(log.clone());
        let server = Server::builder().max_connections(4).start(echo, "127.0.0.1:0").await?;
        for round in 1..=3 {
            let mut peers = Vec::new();
            for _ in 0..4 {
                assert_eq!(full_lines(&log), round - 1);
                peers.push(answered(&server).await?);
            }
            assert_eq!(full_lines(&log), round);
            sleep(Duration::from_secs(61)).await;
            drop(peers.pop());
            while server.connection_count() == 4 {
                yield_now().await;
            }
            peers.push(answered(&server).await?);
            assert_eq!((full_lines(&log), server.connection_count()), (round, 4));
            drop(peers);
            while server.connection_count() > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    });
}

#[test]
fn a_small_server_that_is_full_with_each_connection_does_not_say_so_each_time() {
    simulated(async || {
        for limit in [1, 2] {
            let log = Lines::default();
            let _logs = tracing::subscriber::set_default(log.clone());
            let limited = Server::builder().max_connections(limit);
            let server = limited.start(echo, "127.0.0.1:0").await?;
            for _ in 0..100 {
                let mut peers = Vec::new();
                for _ in 0..limit {
                    peers.push(answered(&server).await?);
                }
                drop(peers);
                while server.connection_count() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            assert_eq!(full_lines(&log), 1);
        }
        Ok(())
    });
}

#[test]
fn a_server_that_is_given_its_connections_says_when_it_is_full_too() {
    run(async || {
        let log = Lines::default();
        let _logs = tracing::subscriber::set_default(log.clone());
        let server = Server::builder().max_connections(2).unbound()?.start(echo)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut peers = Vec::new();
        for count in 0..2 {
            assert_eq!((full_lines(&log), server.connection_count()), (0, count));
            peers.push(TcpStream::connect(listener.local_addr()?)?);
            server.admit(listener.accept()?.0)?;
        }
        assert_eq!(full_lines(&log), 1);
        Ok(())
    })
    .unwrap();
}

/// A connection that the server has taken.
async fn answered(server: &Server) -> Result<(StreamReader, StreamWriter)> {
    let (mut reader, writer) = open_connection(server.local_addrs()).await?;
    writer.write("here\n")?;
    reader.read_line().await?;
    Ok((reader, writer))
}
