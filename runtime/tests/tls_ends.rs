//! How connections that speak TLS end: well, cut, given up, or not at all.
#![cfg(feature = "tls")]

mod peer;
mod tls_support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use corelane::tls::{TlsAcceptor, TlsConnector, rustls};
use corelane::{ConnectBuilder, Runner, create_task, now, open_connection, spawn, yield_now};
use peer::{pattern, poll_once, receive, settle};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tls_support::{Authority, Wire, echo_server, plain_pair, test, tls_error, tls_pair};

#[test]
fn an_end_that_the_peer_has_said_is_an_end() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, far_reader, far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        far_writer.write(b"the last words")?;
        far_writer.close();
        assert_eq!(&reader.read_to_end().await?[..], b"the last words");
        assert!(reader.at_eof());
        assert!(reader.read(1).await?.is_empty());
        assert!(!writer.is_closing());
        drop(far_reader);
        writer.close();
        writer.wait_closed().await?;
        far_writer.wait_closed().await?;
        Ok(())
    });
}

#[test]
fn a_cut_connection_is_told_apart_from_one_that_ended() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let wire = Wire::to(server.local_addrs()[0], 100_000).await?;
        let (mut reader, writer) =
            ConnectBuilder::new().tls(&authority.connector()).open(wire.addr()).await?;
        writer.write(b"one line\n")?;
        assert_eq!(&reader.read_exactly(3).await?[..], b"one");
        wire.cut();
        // What came before the cut can be read. Then the reader is told, as often as it asks.
        settle().await;
        assert_eq!(&reader.read_line().await?[..], b" line\n");
        for _ in 0..2 {
            let error = reader.read(10).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
        assert_eq!(reader.read_line().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(!reader.at_eof());
        writer.close();
        writer.wait_closed().await?;
        Ok(())
    });
}

#[test]
fn s75_half_closed_connections_go_on_in_the_other_direction() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        writer.write(b"question")?;
        writer.write_eof();
        assert!(writer.write(b"more").unwrap_err().is_runtime());
        assert_eq!(&far_reader.read_to_end().await?[..], b"question");
        far_writer.write(b"answer")?;
        far_writer.close();
        assert_eq!(&reader.read_to_end().await?[..], b"answer");
        writer.close();
        writer.wait_closed().await?;
        far_writer.wait_closed().await?;
        Ok(())
    });
}

#[test]
fn s76_close_sends_what_was_written_and_throws_away_what_comes() {
    test(async || {
        let authority = Authority::new();
        let (reader, writer, mut far_reader, far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        let data = pattern(300_000);
        writer.write(&data)?;
        writer.close();
        writer.write(b"too late")?;
        drop(reader);
        // Who closes listens on: what comes now must not end in a reset, which might overtake the data.
        far_writer.write(pattern(50_000))?;
        assert_eq!(far_reader.read_to_end().await?, data);
        assert!(!far_writer.is_closing());
        far_writer.close();
        far_writer.wait_closed().await?;
        writer.wait_closed().await?;
        Ok(())
    });
}

#[test]
fn s77_a_peer_that_does_not_end_is_left_after_the_shutdown_timeout() {
    test(async || {
        let authority = Authority::new();
        let connector = authority.connector().shutdown_timeout(Duration::from_millis(50));
        let (_reader, writer, _far_reader, _far_writer) =
            tls_pair(&connector, &authority.acceptor()).await?;
        let start = now();
        writer.close();
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), ErrorKind::TimedOut);
        let waited = now() - start;
        assert!(waited >= Duration::from_millis(50) && waited < Duration::from_secs(20));
        Ok(())
    });
}

#[test]
fn s77_the_shutdown_timeout_is_no_task_that_somebody_could_cancel() {
    test(async || {
        let authority = Authority::new();
        let connector = authority.connector().shutdown_timeout(Duration::from_millis(50));
        let (_reader, writer, _far_reader, _far_writer) =
            tls_pair(&connector, &authority.acceptor()).await?;
        let before = corelane::all_tasks()?.len();
        writer.close();
        settle().await;
        assert_eq!(corelane::all_tasks()?.len(), before);
        let this = corelane::current_task()?.map(|task| task.id());
        for task in corelane::all_tasks()?.iter().filter(|task| Some(task.id()) != this) {
            task.cancel();
        }
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), ErrorKind::TimedOut);
        Ok(())
    });
}

#[test]
fn t3_a_run_ends_though_a_peer_does_not_answer_the_end() {
    let outcome = peer::run(async || {
        let authority = Authority::new();
        let connector = authority.connector().shutdown_timeout(Duration::from_millis(300));
        let pair = tls_pair(&connector, &authority.acceptor()).await?;
        let closing = create_task(async move {
            let (_reader, writer, _far_reader, _far_writer) = pair;
            writer.close();
            // Clean-up that insists, as a scope around a connection does.
            drop(corelane::catch_cancel(async { Ok(writer.wait_closed().await?) }).await);
            Ok(writer.wait_closed().await?)
        });
        settle().await;
        drop(closing);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn s77_a_peer_that_does_not_read_is_left_after_the_shutdown_timeout() {
    test(async || {
        let authority = Authority::new();
        let connector = authority.connector().shutdown_timeout(Duration::from_millis(50));
        let (_reader, writer, _far_reader, far_writer) =
            tls_pair(&connector, &authority.acceptor()).await?;
        writer.write(pattern(30_000_000))?;
        writer.close();
        let closed = corelane::timeout(Duration::from_secs(30), async |_| {
            Ok(writer.wait_closed().await.unwrap_err().kind())
        });
        assert_eq!(closed.await?, ErrorKind::TimedOut);
        assert_eq!(writer.write_buffer_len(), 0, "nothing is kept for it");
        drop(far_writer);
        Ok(())
    });
}

#[test]
fn a_peer_that_sends_on_and_on_is_cut_off() {
    test(async || {
        let authority = Authority::new();
        let (_reader, writer, _far_reader, far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        writer.close();
        let flood = create_task(async move {
            while far_writer.drain().await.is_ok() {
                far_writer.write(pattern(10_000))?;
                yield_now().await;
            }
            Ok(())
        });
        writer.wait_closed().await?;
        flood.await?;
        Ok(())
    });
}

#[test]
fn a_closed_connection_leaves_no_task_behind() {
    test(async || {
        let authority = Authority::new();
        let before = corelane::all_tasks()?.len();
        for _ in 0..3 {
            let (_r, writer, _far_reader, far_writer) =
                tls_pair(&authority.connector(), &authority.acceptor()).await?;
            writer.close();
            far_writer.close();
            writer.wait_closed().await?;
            far_writer.wait_closed().await?;
        }
        settle().await;
        assert_eq!(corelane::all_tasks()?.len(), before);
        Ok(())
    });
}

#[test]
fn a_handshake_that_takes_too_long_ends_the_connection() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, _far_writer) = plain_pair().await?;
        let connector = authority.connector().handshake_timeout(Duration::from_millis(30));
        let error = writer.start_tls(&mut reader, &connector).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(writer.is_closing());
        // The other side has got a first message, and the end.
        assert!(!far_reader.read_to_end().await?.is_empty());
        Ok(())
    });
}

#[test]
fn a_client_that_says_nothing_is_not_served_for_ever() {
    test(async || {
        let authority = Authority::new();
        let acceptor = authority.acceptor().handshake_timeout(Duration::from_millis(30));
        let server = echo_server(&acceptor).await?;
        let (mut reader, _writer) = open_connection(server.local_addrs()[0]).await?;
        assert!(reader.read_to_end().await?.is_empty());
        settle().await;
        assert_eq!(server.connection_count(), 0);
        Ok(())
    });
}

#[test]
fn a_client_that_speaks_no_tls_is_sent_away_and_others_are_served() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
        writer.write(b"GET / HTTP/1.1\r\n\r\n")?;
        // An alert comes back, a record of seven bytes, and then the end.
        let alert = reader.read_to_end().await?;
        assert_eq!((alert[0], alert.len()), (21, 7));
        settle().await;
        assert_eq!(server.connection_count(), 0);
        let connector = authority.connector();
        let builder = ConnectBuilder::new().tls(&connector);
        let (mut reader, writer) = builder.open(server.local_addrs()[0]).await?;
        writer.write(b"hello\n")?;
        assert_eq!(&reader.read_line().await?[..], b"hello\n");
        Ok(())
    });
}

#[test]
fn a_peer_that_closes_in_mid_handshake_is_an_early_end() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let connector = authority.connector();
        let far = create_task(async move {
            far_reader.read(1).await?;
            far_writer.close();
            Ok(far_writer.wait_closed().await?)
        });
        let error = writer.start_tls(&mut reader, &connector).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
            "{error:?}"
        );
        assert!(writer.is_closing());
        far.await
    });
}

#[test]
fn a_handshake_that_is_given_up_closes_the_connection() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, _far_writer) = plain_pair().await?;
        let (kept, connector) = (writer.clone(), authority.connector());
        let opening =
            create_task(async move { Ok(writer.start_tls(&mut reader, &connector).await?) });
        assert_eq!(far_reader.read(1).await?.len(), 1);
        opening.cancel();
        assert!(opening.await.unwrap_err().is_cancelled());
        assert!(kept.is_closing());
        kept.wait_closed().await?;
        far_reader.read_to_end().await?;
        Ok(())
    });
}

#[test]
fn a_wrong_byte_ends_the_connection_for_both_sides() {
    test(async || {
        let authority = Authority::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let (mut reader, writer) = open_connection(listener.local_addr()?).await?;
        let (mut peer, _) = listener.accept()?;
        peer.set_nonblocking(true)?;
        let config = authority.acceptor().config().clone();
        let mut far = corelane::tls::rustls::ServerConnection::new(config)?;
        let connector = authority.connector();
        let opening = create_task(async move {
            writer.start_tls(&mut reader, &connector).await?;
            Ok((reader, writer))
        });
        while far.is_handshaking() || far.wants_write() || !opening.done() {
            far.read_tls(&mut peer).ok();
            far.process_new_packets()?;
            far.write_tls(&mut peer).ok();
            yield_now().await;
        }
        let (mut reader, writer) = opening.await?;
        // A record of application data that no key has made.
        peer.write_all(&[23, 3, 3, 0, 20])?;
        peer.write_all(&[7; 20])?;
        let error = reader.read(1).await.unwrap_err();
        assert_eq!(*tls_error(&error), corelane::tls::rustls::Error::DecryptError);
        assert!(writer.is_closing());
        let alert = receive(&mut peer, 100).await?;
        assert_eq!(alert[0], 23, "the alert is encrypted like everything");
        Ok(())
    });
}

#[test]
fn a_stream_that_outlives_its_loop_has_failed_under_tls_too() {
    let authority = Authority::new();
    let mut runner = Runner::new();
    let (connector, acceptor) = (authority.connector(), authority.acceptor());
    let (reader, writer, ..) =
        runner.run(async move || tls_pair(&connector, &acceptor).await).unwrap();
    drop(runner);
    writer.write(b"nobody sends this").unwrap();
    writer.close();
    drop(reader);
    let error = corelane::run(async move || Ok(writer.wait_closed().await?)).unwrap_err();
    assert_eq!(error.io_kind(), Some(ErrorKind::ConnectionAborted));
}

#[test]
fn closing_in_mid_handshake_ends_it() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, _far_reader, _far_writer) = plain_pair().await?;
        let (other, connector) = (writer.clone(), authority.connector());
        let opening = spawn(async move { writer.start_tls(&mut reader, &connector).await });
        settle().await;
        other.close();
        let error = opening.await?.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        other.wait_closed().await?;
        Ok(())
    });
}

#[test]
fn a_reset_in_mid_course_is_a_reset() {
    test(async || {
        let authority = Authority::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let server = echo_server(&authority.acceptor()).await?;
        let mut far = TcpStream::connect(server.local_addrs()[0])?;
        let (mut reader, writer) = open_connection(listener.local_addr()?).await?;
        let (mut near, _) = listener.accept()?;
        let connector: TlsConnector = authority.connector();
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let mut opening = Box::pin(writer.start_tls(&mut reader, &connector));
        let mut bytes = [0; 10_000];
        while poll_once(&mut opening).await.is_pending() {
            if let Ok(count) = near.read(&mut bytes) {
                far.write_all(&bytes[..count])?;
            }
            if let Ok(count) = far.read(&mut bytes) {
                near.write_all(&bytes[..count])?;
            }
            yield_now().await;
        }
        drop(opening);
        peer::reset(near)?;
        assert_eq!(reader.read(1).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.drain().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        Ok(())
    });
}

/// Chooses no certificate.
#[derive(Debug)]
struct Panics;

impl ResolvesServerCert for Panics {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        panic!("no certificate is to my taste");
    }
}

#[test]
fn a_configuration_whose_code_panics_ends_the_connection_and_not_the_loop() {
    test(async || {
        let authority = Authority::new();
        let mut config = rustls::ServerConfig::clone(authority.acceptor().config());
        config.cert_resolver = Arc::new(Panics);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let connector = authority.connector();
        let near = spawn(async move { writer.start_tls(&mut reader, &connector).await });
        let error = far_writer.start_tls(&mut far_reader, &acceptor).await.unwrap_err();
        assert!(matches!(tls_error(&error), rustls::Error::General(_)), "{error}");
        assert!(far_writer.is_closing());
        let kind = near.await?.unwrap_err().kind();
        assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{kind}");
        Ok(())
    });
}

#[test]
fn e6_a_file_goes_through_tls_between_what_was_written_before_and_after() {
    test(async || {
        let authority = Authority::new();
        let (_reader, writer, mut far_reader, _far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        let bytes = pattern(1_500_000);
        let mut kept = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut kept, &bytes)?;
        let file = corelane::fs::File::open(kept.path()).await?;
        writer.write(b"before")?;
        let sender = writer.clone();
        let sending =
            create_task(async move { Ok(sender.sendfile(&file, 1, Some(1_400_000)).await?) });
        corelane::yield_now().await;
        writer.write(b"after")?;
        writer.close();
        assert_eq!(far_reader.read_exactly(6).await?, "before");
        assert!(far_reader.read_exactly(1_400_000).await? == bytes[1..1_400_001]);
        assert_eq!(far_reader.read_to_end().await?, "after");
        assert_eq!(sending.await?, 1_400_000);
        Ok(())
    });
}
