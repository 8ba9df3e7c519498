//! Servers over real sockets on the loopback interface (rules S10 to S14, S20 to S22, S25 to S29).

mod everywhere;
mod peer;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::Event;
use corelane::{
    Error, LocalKey, ReportKind, Result, SchedulingGroup, Server, StreamReader, StreamWriter,
    all_tasks, create_task, open_connection, set_report_handler, start_server, yield_now,
};
use everywhere::everywhere;
use peer::{pattern, receive, run, settle};

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

/// Reads until the other end closes.
async fn wait_for_end(mut reader: StreamReader, _writer: StreamWriter) -> Result<()> {
    reader.read_to_end().await?;
    Ok(())
}

/// Connects a plain socket to a server on this thread.
fn connect(server: &Server) -> Result<TcpStream> {
    let peer = TcpStream::connect(&server.local_addrs()[..])?;
    peer.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(peer)
}

/// Collects what is reported, as kind and text.
fn collect_reports() -> Rc<RefCell<Vec<(ReportKind, String)>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let theirs = Rc::clone(&reports);
    set_report_handler(move |report| {
        let text = report.error.as_ref().map(Error::to_string).unwrap_or_default();
        theirs.borrow_mut().push((report.kind, text));
    });
    reports
}

#[test]
fn s10_the_server_serves_when_it_returns() {
    everywhere(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        assert!(server.is_serving());
        assert_ne!(server.local_addrs()[0].port(), 0);
        let (mut reader, writer) = open_connection(server.local_addrs()).await?;
        for _ in 0..3 {
            writer.write(b"hello ")?;
            writer.write(b"world\n")?;
            assert_eq!(reader.read_line().await?, "hello world\n");
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_several_addresses_are_several_listeners() {
    everywhere(async || {
        let addrs: Vec<SocketAddr> =
            vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap()];
        let server = start_server(echo, addrs).await?;
        assert_eq!(server.local_addrs().len(), 2);
        for addr in server.local_addrs() {
            let (mut reader, writer) = open_connection(addr).await?;
            writer.write(b"here\n")?;
            assert_eq!(reader.read_line().await?, "here\n");
        }
        Ok(())
    })
    .unwrap();
}

/// An address that is kept for documents, and so is no machine's.
const NOBODYS: &str = "198.51.100.7:0";

#[test]
fn s10_an_address_that_this_machine_lacks_is_passed_over_beside_one_that_it_has() {
    everywhere(async || {
        for addrs in [["127.0.0.1:0", NOBODYS], [NOBODYS, "127.0.0.1:0"]] {
            let server = start_server(echo, addrs).await?;
            let [addr] = server.local_addrs()[..] else { panic!("{server:?}") };
            assert!(addr.ip().is_loopback());
        }
        let refused = start_server(echo, [NOBODYS, "203.0.113.7:0"]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
        assert!(refused.to_string().contains("203.0.113.7"), "{refused}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_an_address_in_use_is_named_and_nothing_listens() {
    run(async || {
        let taken = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let holder = start_server(echo, taken).await?;
        let free: SocketAddr = "127.0.0.3:0".parse().unwrap();
        let error = start_server(echo, [free, taken]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        let refused = Server::builder().limit_bytes(0).start(echo, free).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(holder);
        start_server(echo, taken).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_listeners_can_share_a_port() {
    everywhere(async || {
        let builder = Server::builder().reuse_port(true).backlog(16);
        let first = builder.start(echo, "127.0.0.1:0").await?;
        let second = builder.start(echo, first.local_addrs()).await?;
        assert_eq!(first.local_addrs(), second.local_addrs());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s12_a_failing_handler_is_reported_and_only_its_connection_closed() {
    everywhere(async || {
        let reports = collect_reports();
        let kept = Rc::new(RefCell::new(Vec::new()));
        let writers = Rc::clone(&kept);
        let handler = async move |mut reader: StreamReader, writer: StreamWriter| {
            // Somebody else keeps a writer: the connection is closed all the same.
            writers.borrow_mut().push(writer.clone());
            match &reader.read_line().await?[..] {
                b"fail\n" => return Err(Error::msg("on purpose")),
                b"panic\n" => panic!("by accident"),
                b"cancel\n" => return Err(Error::cancelled()),
                line => writer.write(line)?,
            }
            echo(reader, writer).await
        };
        let server = start_server(handler, "127.0.0.1:0").await?;
        let (mut reader, writer) = open_connection(server.local_addrs()).await?;
        for word in ["fail\n", "panic\n", "cancel\n"] {
            let (mut reader, writer) = open_connection(server.local_addrs()).await?;
            writer.write(word.as_bytes())?;
            assert_eq!(reader.read_to_end().await?, "", "{word}");
        }
        writer.write(b"still\n")?;
        assert_eq!(reader.read_line().await?, "still\n");
        let expected = [("on purpose", 0), ("panicked: by accident", 1)];
        assert_eq!(reports.borrow().len(), expected.len());
        for (text, place) in expected {
            assert_eq!(reports.borrow()[place], (ReportKind::ClientCallback, text.to_owned()));
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s13_a_handler_that_returns_leaves_the_connection_to_its_writer() {
    everywhere(async || {
        let kept = Rc::new(RefCell::new(None));
        let theirs = Rc::clone(&kept);
        let handler = async move |_reader, writer: StreamWriter| {
            *theirs.borrow_mut() = Some(writer);
            Ok(())
        };
        let server = start_server(handler, "127.0.0.1:0").await?;
        let (mut reader, _writer) = open_connection(server.local_addrs()).await?;
        everywhere::settle().await;
        let writer = kept.take().expect("the handler has run");
        assert_eq!(server.connection_count(), 1);
        writer.write(b"later")?;
        drop(writer);
        assert_eq!(reader.read_to_end().await?, "later");
        assert_eq!(server.connection_count(), 0);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s14_handlers_are_cancelled_when_the_run_ends() {
    struct Flag(std::sync::Arc<std::sync::atomic::AtomicBool>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let dropped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let theirs = std::sync::Arc::clone(&dropped);
    let mut peer = run(async move || {
        let handler = async move |reader, writer| {
            let _flag = Flag(std::sync::Arc::clone(&theirs));
            wait_for_end(reader, writer).await
        };
        let server = start_server(handler, "127.0.0.1:0").await?;
        let peer = connect(&server)?;
        settle().await;
        assert_eq!(server.connection_count(), 1);
        Ok(peer)
    })
    .unwrap();
    assert!(dropped.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn s21_a_closed_server_refuses_and_its_connections_go_on() {
    everywhere(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        let (mut reader, writer) = open_connection(&addrs[..]).await?;
        everywhere::settle().await;
        server.close();
        server.close();
        assert!(!server.is_serving());
        assert!(server.local_addrs().is_empty());
        let refused = open_connection(&addrs[..]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        writer.write(b"still\n")?;
        assert_eq!(reader.read_line().await?, "still\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s22_wait_closed_waits_for_the_server_and_all_its_connections() {
    run(async || {
        for server_first in [true, false] {
            let server = Rc::new(start_server(echo, "127.0.0.1:0").await?);
            let peer = connect(&server)?;
            settle().await;
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    let server = Rc::clone(&server);
                    create_task(async move {
                        server.wait_closed().await;
                        Ok(())
                    })
                })
                .collect();
            waiters[1].cancel();
            settle().await;
            if server_first {
                server.close();
                settle().await;
                assert!(!waiters[0].done());
                drop(peer);
            } else {
                drop(peer);
                settle().await;
                assert!(!waiters[0].done());
                server.close();
            }
            for (number, waiter) in waiters.into_iter().enumerate() {
                assert_eq!(waiter.await.is_ok(), number != 1);
            }
            server.wait_closed().await;
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn s25_close_clients_flushes_and_abort_clients_does_not() {
    run(async || {
        let talker = async |reader, writer: StreamWriter| {
            writer.write(pattern(8_000_000))?;
            wait_for_end(reader, writer).await
        };
        let server = start_server(talker, "127.0.0.1:0").await?;
        let mut flushed = connect(&server)?;
        settle().await;
        server.close_clients();
        assert_eq!(receive(&mut flushed, 9_000_000).await?.len(), 8_000_000);
        settle().await;
        assert_eq!(server.connection_count(), 0);

        let mut aborted = connect(&server)?;
        settle().await;
        server.abort_clients();
        assert_eq!(server.connection_count(), 0);
        assert!(receive(&mut aborted, 9_000_000).await?.len() < 8_000_000);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s27_a_connection_is_gone_when_it_is_lost_and_not_when_its_handler_ends() {
    run(async || {
        let ended = Rc::new(Event::new());
        let theirs = Rc::clone(&ended);
        let talker = async move |_reader, writer: StreamWriter| {
            writer.write(pattern(8_000_000))?;
            theirs.set();
            Ok(())
        };
        let server = start_server(talker, "127.0.0.1:0").await?;
        let mut slow = connect(&server)?;
        ended.wait().await;
        settle().await;
        assert_eq!(server.connection_count(), 1);
        assert_eq!(receive(&mut slow, 9_000_000).await?, pattern(8_000_000));
        assert_eq!(server.connection_count(), 0);
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
    let output = std::process::Command::new(this)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it can be started again");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn s28_out_of_descriptors_is_reported_and_survived() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    in_a_child("s28_out_of_descriptors_is_reported_and_survived", || {
        run(async || {
            let reports = collect_reports();
            let server = start_server(echo, "127.0.0.1:0").await?;
            // A socket of ours that is not connected yet, and no descriptor beyond it.
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            let last = std::fs::File::open("/proc/self/fd")?;
            let highest = std::os::fd::AsRawFd::as_raw_fd(&last);
            let limit = Rlimit { current: Some(highest as u64), ..getrlimit(Resource::Nofile) };
            drop(last);
            setrlimit(Resource::Nofile, limit)?;
            socket.connect(&server.local_addrs()[0].into())?;
            let mut peer = TcpStream::from(socket);
            peer.write_all(b"patience\n")?;
            settle().await;
            assert_eq!(server.connection_count(), 0);
            assert_eq!(reports.borrow().len(), 1, "{:?}", reports.borrow());
            assert!(reports.borrow()[0].1.contains("Too many open files"));
            // That it waits is no task, which somebody could cancel.
            assert_eq!(all_tasks()?.len(), 1);
            // Descriptors come back; nobody knocks again, and yet it is let in.
            setrlimit(Resource::Nofile, getrlimit(Resource::Nofile).with_room())?;
            assert_eq!(receive(&mut peer, 9).await?, b"patience\n");
            assert_eq!(reports.borrow().len(), 1);
            Ok(())
        })
    });
}

/// A limit with room for more.
trait WithRoom {
    fn with_room(self) -> Self;
}

impl WithRoom for rustix::process::Rlimit {
    fn with_room(self) -> Self {
        Self { current: self.current.map(|current| current + 100), ..self }
    }
}

#[test]
fn s29_dropping_the_server_closes_the_listener_only() {
    everywhere(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        let (mut reader, writer) = open_connection(&addrs[..]).await?;
        everywhere::settle().await;
        drop(server);
        assert!(open_connection(&addrs[..]).await.is_err());
        writer.write(b"still\n")?;
        assert_eq!(reader.read_line().await?, "still\n");
        Ok(())
    })
    .unwrap();
}

#[test]
fn no_more_connections_than_allowed_and_the_next_one_when_one_is_gone() {
    run(async || {
        let most = Rc::new(Cell::new(0));
        let now = Rc::new(Cell::new(0));
        let (peak, count) = (Rc::clone(&most), Rc::clone(&now));
        let handler = async move |reader, writer| {
            count.set(count.get() + 1);
            peak.set(peak.get().max(count.get()));
            let ended = echo(reader, writer).await;
            count.set(count.get() - 1);
            ended
        };
        let server = Server::builder().max_connections(2).start(handler, "127.0.0.1:0").await?;
        let mut peers: Vec<_> = (0..10).map(|_| connect(&server)).collect::<Result<_>>()?;
        for mut peer in peers.drain(..) {
            peer.write_all(b"served\n")?;
            assert_eq!(receive(&mut peer, 7).await?, b"served\n");
            assert!(server.connection_count() <= 2);
        }
        settle().await;
        assert_eq!((most.get(), now.get(), server.connection_count()), (2, 0, 0));
        Ok(())
    })
    .unwrap();
}

#[test]
fn more_connections_than_one_turn_accepts() {
    run(async || {
        let server = start_server(echo, "127.0.0.1:0").await?;
        let mut peers: Vec<_> = (0..300).map(|_| connect(&server)).collect::<Result<_>>()?;
        for peer in &mut peers {
            peer.write_all(b"hello\n")?;
        }
        for peer in &mut peers {
            assert_eq!(receive(peer, 6).await?, b"hello\n");
        }
        assert_eq!(server.connection_count(), 300);
        drop(peers);
        while server.connection_count() > 0 {
            yield_now().await;
        }
        Ok(())
    })
    .unwrap();
}

/// Who asked for something.
static USER: LocalKey<&'static str> = LocalKey::new();

#[test]
fn t42_handlers_have_the_context_and_the_group_of_who_began_to_serve() {
    everywhere(async || {
        let seen: Rc<RefCell<Vec<_>>> = Rc::default();
        let theirs = Rc::clone(&seen);
        let handler = async move |_reader, _writer| {
            theirs.borrow_mut().push((USER.get(), SchedulingGroup::current().name().to_owned()));
            USER.set("a handler");
            Ok(())
        };
        USER.set("who bound");
        let server = Server::builder().start_serving(false).start(handler, "127.0.0.1:0").await?;
        USER.set("who began");
        let front = SchedulingGroup::new("front", 500)?;
        let addrs = front.create_task(async move {
            server.start_serving()?;
            USER.set("who began, later");
            Ok(server)
        });
        let server = addrs.await?;
        USER.set("who connects");
        for _ in 0..2 {
            let (mut reader, _writer) = open_connection(server.local_addrs()).await?;
            assert!(reader.read_to_end().await?.is_empty());
        }
        let expected = (Some("who began"), "front".to_owned());
        assert_eq!(*seen.borrow(), [expected.clone(), expected]);
        assert_eq!(
            (USER.get(), SchedulingGroup::current().is_default()),
            (Some("who connects"), true)
        );
        Ok(())
    })
    .unwrap();
}
