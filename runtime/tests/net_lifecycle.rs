//! The life of a server: bound, serving, served for ever, closed (rules S10, S11, S20 to S26).

mod everywhere;
mod peer;

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use corelane::{
    Error, ReportKind, Result, Server, StreamReader, StreamWriter, catch_cancel_plain, create_task,
    open_connection, set_report_handler, start_server,
};
use everywhere::everywhere;
use peer::{run, settle};

/// Reads until the other end closes.
async fn wait_for_end(mut reader: StreamReader, _writer: StreamWriter) -> Result<()> {
    reader.read_to_end().await?;
    Ok(())
}

#[test]
fn s10_a_server_that_does_not_serve_yet_has_its_port_and_refuses() {
    everywhere(async || {
        let builder = Server::builder().start_serving(false);
        let server = builder.start(wait_for_end, "127.0.0.1:0").await?;
        let addrs = server.local_addrs();
        assert!(!server.is_serving());
        assert_ne!(addrs[0].port(), 0);
        let refused = open_connection(&addrs[..]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        server.start_serving()?;
        assert!(server.is_serving());
        open_connection(&addrs[..]).await?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_a_server_that_listens_too_late_is_told_which_address_is_in_use() {
    everywhere(async || {
        let builder = Server::builder().start_serving(false);
        let late = builder.start(wait_for_end, "127.0.0.1:0").await?;
        let addr = late.local_addrs()[0];
        let fast = start_server(wait_for_end, addr).await?;
        let error = late.start_serving().unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::AddrInUse));
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
        assert!(!late.is_serving());
        drop(fast);
        late.start_serving()?;
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_a_server_comes_back_while_connections_of_the_one_before_die_away() {
    peer::run(async || {
        let close = async |_reader: StreamReader, writer: StreamWriter| {
            writer.close();
            Ok(writer.wait_closed().await?)
        };
        let server = start_server(close, "127.0.0.1:0").await?;
        let addr = server.local_addrs()[0];
        let (mut reader, writer) = open_connection(addr).await?;
        // The server's end is closed first, so it is that one which lingers in TIME_WAIT.
        assert!(reader.read_to_end().await?.is_empty());
        writer.close();
        writer.wait_closed().await?;
        server.close();
        server.wait_closed().await;
        let strict = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        let in_use = strict.bind(&addr.into()).unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse, "nothing lingers: this would show nothing");
        let again = start_server(wait_for_end, addr).await?;
        assert_eq!(again.local_addrs(), [addr]);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s10_a_bound_server_gives_its_port_back_when_it_is_dropped() {
    run(async || {
        let bound = Server::builder().bind("127.0.0.1:0").await?;
        let addr = bound.local_addrs()[0];
        // Without SO_REUSEADDR, which would let it share the port as long as nobody listens.
        let bind = || -> Result<()> {
            let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
            Ok(other.bind(&addr.into())?)
        };
        assert_eq!(bind().unwrap_err().io_kind(), Some(ErrorKind::AddrInUse));
        drop(bound);
        bind()
    })
    .unwrap();
}

#[test]
fn s10_a_listener_made_elsewhere_can_be_given() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let server = Server::builder().adopt(listener)?.start(wait_for_end)?;
        assert_eq!(server.local_addrs(), [addr]);
        let (_reader, _writer) = open_connection(addr).await?;
        settle().await;
        assert_eq!(server.connection_count(), 1);
        server.close();
        assert_eq!(open_connection(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s11_a_plain_callback_runs_inline_and_a_panic_in_it_is_reported() {
    everywhere(async || {
        let reports = Rc::new(Cell::new(0));
        let seen = Rc::clone(&reports);
        set_report_handler(move |report| {
            assert_eq!(report.kind, ReportKind::ClientCallback);
            assert_eq!(report.error.as_ref().and_then(Error::panic_message), Some("on purpose"));
            seen.set(seen.get() + 1);
        });
        let kept = Rc::new(RefCell::new(Vec::new()));
        let theirs = Rc::clone(&kept);
        let callback = move |reader, writer: StreamWriter| {
            writer.write(b"hello").unwrap();
            assert!(theirs.borrow().is_empty(), "on purpose");
            theirs.borrow_mut().push((reader, writer));
        };
        let server = Server::builder().bind("127.0.0.1:0").await?.start_inline(callback)?;
        let (mut first, _writer) = open_connection(server.local_addrs()).await?;
        assert_eq!(first.read_exactly(5).await?, "hello");
        assert_eq!(corelane::all_tasks()?.len(), 1, "no task but main");
        // The second is closed when its callback panics, and the first is not touched.
        let (mut second, _writer) = open_connection(server.local_addrs()).await?;
        assert_eq!(second.read_to_end().await?, "hello");
        assert_eq!((reports.get(), server.connection_count()), (1, 1));
        kept.take().clear();
        assert_eq!(first.read_to_end().await?, "");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s21_close_ends_serve_forever_as_cancelled() {
    everywhere(async || {
        let server = Rc::new(start_server(wait_for_end, "127.0.0.1:0").await?);
        let forever = Rc::clone(&server);
        let serving = create_task(async move { forever.serve_forever().await });
        everywhere::settle().await;
        server.close();
        assert!(serving.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
}

/// A copy of the socket of this process at `addr`, which has no connections yet, as a child has it between fork and exec.
fn copy_of_listener(addr: SocketAddr) -> Option<socket2::Socket> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

    let this = pidfd_open(getpid(), PidfdFlags::empty()).ok()?;
    let mut copies = (3..500).filter_map(|number| {
        Some(socket2::Socket::from(pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok()?))
    });
    copies.find(|copy| copy.local_addr().is_ok_and(|local| local.as_socket() == Some(addr)))
}

#[test]
fn s21_close_refuses_also_while_a_child_has_a_copy_of_the_socket() {
    run(async || {
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        let addr = server.local_addrs()[0];
        let copy = copy_of_listener(addr).expect("it listens");
        open_connection(addr).await?;
        server.close();
        assert_eq!(open_connection(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        drop(copy);
        Ok(())
    })
    .unwrap();
}

#[test]
fn s23_start_serving_is_idempotent_until_the_server_is_closed() {
    everywhere(async || {
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        server.start_serving()?;
        server.start_serving()?;
        server.close();
        assert!(server.start_serving().unwrap_err().is_runtime());
        assert!(!server.is_serving());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s24_serve_forever_begins_to_serve_and_its_cancellation_waits_for_connections() {
    everywhere(async || {
        let builder = Server::builder().start_serving(false);
        let server = Rc::new(builder.start(wait_for_end, "127.0.0.1:0").await?);
        let addrs = server.local_addrs();
        let forever = Rc::clone(&server);
        let serving = create_task(async move { forever.serve_forever().await });
        everywhere::settle().await;
        assert!(server.is_serving());
        assert!(server.serve_forever().await.unwrap_err().is_runtime(), "a second one");
        let (_reader, writer) = open_connection(&addrs[..]).await?;
        everywhere::settle().await;
        serving.cancel();
        everywhere::settle().await;
        assert!(!server.is_serving());
        assert!(!serving.done(), "a connection is there still");
        drop(writer);
        assert!(serving.await.unwrap_err().is_cancelled());
        assert!(server.serve_forever().await.unwrap_err().is_runtime(), "after close");
        Ok(())
    })
    .unwrap();
}

#[test]
fn s24_a_cancellation_that_arrives_in_serve_forever_can_be_caught_around_it() {
    everywhere(async || {
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        let task = create_task(async move {
            let caught = catch_cancel_plain(server.serve_forever()).await;
            Ok((caught.is_err(), server.is_serving()))
        });
        everywhere::settle().await;
        task.cancel();
        assert_eq!(task.await?, (true, false));
        Ok(())
    })
    .unwrap();
}

#[test]
fn s24_serve_forever_that_is_only_dropped_leaves_the_server_and_can_be_called_again() {
    everywhere(async || {
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        for _ in 0..2 {
            let mut serving = Box::pin(server.serve_forever());
            assert!(peer::poll_once(&mut serving).await.is_pending());
        }
        assert!(server.is_serving());
        Ok(())
    })
    .unwrap();
}

#[test]
fn s26_the_scope_closes_and_waits_whatever_its_body_does() {
    everywhere(async || {
        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        let value = server.scope(async |server| Ok(server.is_serving())).await?;
        assert!(value && !server.is_serving());

        let server = start_server(wait_for_end, "127.0.0.1:0").await?;
        let failed = server.scope(async |_| Err::<(), _>(Error::msg("mine"))).await;
        assert_eq!(failed.unwrap_err().to_string(), "mine");
        assert!(!server.is_serving());

        let server = Rc::new(start_server(wait_for_end, "127.0.0.1:0").await?);
        let (_reader, writer) = open_connection(server.local_addrs()).await?;
        let theirs = Rc::clone(&server);
        let scoped = create_task(async move {
            theirs.scope(async |_| std::future::pending::<Result<()>>().await).await
        });
        everywhere::settle().await;
        scoped.cancel();
        everywhere::settle().await;
        assert!(!server.is_serving() && !scoped.done(), "it waits for the connection");
        writer.close();
        assert!(scoped.await.unwrap_err().is_cancelled());
        Ok(())
    })
    .unwrap();
}
