//! Connections that speak TLS from the beginning: clients, servers, and what they know of each other.
#![cfg(feature = "tls")]

mod peer;
mod tls_support;

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;

use corelane::tls::{TlsAcceptor, TlsConnector, TlsInfo, rustls};
use corelane::{ConnectBuilder, Result, Server, StreamReader, StreamWriter, Task, create_task};
use peer::pattern;
use rustls::{AlertDescription, CertificateError, ProtocolVersion};
use tls_support::{Authority, Wire, echo, echo_server, test, tls_error, tls_pair};

async fn open(
    connector: &TlsConnector,
    server: &Server,
) -> std::io::Result<(StreamReader, StreamWriter)> {
    ConnectBuilder::new().tls(connector).open(server.local_addrs()[0]).await
}

#[test]
fn lines_cross_and_come_back() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let (mut reader, writer) = open(&authority.connector(), &server).await?;
        for _ in 0..3 {
            writer.write(b"one ")?;
            writer.write(b"line\n")?;
            assert_eq!(reader.next_line().await?.as_deref(), Some(&b"one line\n"[..]));
        }
        writer.close();
        writer.wait_closed().await?;
        server.close();
        server.wait_closed().await;
        Ok(())
    });
}

#[test]
fn s80_both_sides_know_what_was_agreed_upon_and_with_whom() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::builder(authority.issue("localhost"))
            .require_client_certificates(authority.roots())
            .alpn(["h2", "http/1.1"])
            .build()?;
        let connector = TlsConnector::builder()
            .roots(authority.roots())
            .identity(authority.issue("a client"))
            .alpn(["http/1.1"])
            .build()?;
        let connector = connector.server_name("localhost");
        let (_reader, writer, _far_reader, far_writer) = tls_pair(&connector, &acceptor).await?;
        let (near, far) = (writer.tls_info().unwrap(), far_writer.tls_info().unwrap());
        assert_eq!(near.protocol, ProtocolVersion::TLSv1_3);
        assert_eq!((near.protocol, near.cipher_suite), (far.protocol, far.cipher_suite));
        assert_eq!((near.alpn, far.alpn), (Some(b"http/1.1".into()), Some(b"http/1.1".into())));
        assert_eq!((near.server_name, far.server_name), (None, Some("localhost".into())));
        assert_eq!((near.peer_certificates.len(), far.peer_certificates.len()), (1, 1));
        assert_ne!(near.peer_certificates, far.peer_certificates);
        assert!(!near.is_resumed && !far.is_resumed);
        assert!(!writer.can_write_eof());
        Ok(())
    });
}

#[test]
fn s80_a_plain_connection_has_agreed_upon_nothing() {
    test(async || {
        let (_reader, writer, ..) = tls_support::plain_pair().await?;
        assert!(writer.tls_info().is_none() && writer.can_write_eof());
        Ok(())
    });
}

#[test]
fn a_second_connection_resumes_the_session_of_the_first() {
    test(async || {
        let authority = Authority::new();
        let seen: Rc<RefCell<Vec<TlsInfo>>> = Rc::default();
        let kept = Rc::clone(&seen);
        let handler = async move |reader, writer: StreamWriter| {
            kept.borrow_mut().extend(writer.tls_info());
            echo(reader, writer).await
        };
        let acceptor = authority.acceptor();
        let server = Server::builder().tls(&acceptor).start(handler, "127.0.0.1:0").await?;
        let connector = authority.connector();
        for is_second in [false, true] {
            let (mut reader, writer) = open(&connector, &server).await?;
            // The ticket comes with the first bytes after the handshake.
            writer.write(b"hello\n")?;
            reader.read_line().await?;
            assert_eq!(writer.tls_info().unwrap().is_resumed, is_second);
        }
        let resumed: Vec<_> = seen.borrow().iter().map(|info| info.is_resumed).collect();
        assert_eq!(resumed, [false, true]);
        Ok(())
    });
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let connector = authority.connector().server_name("example.org");
        let error = open(&connector, &server).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let rustls::Error::InvalidCertificate(why) = tls_error(&error) else {
            panic!("{error}");
        };
        assert!(matches!(why, CertificateError::NotValidForNameContext { .. }), "{why}");
        Ok(())
    });
}

#[test]
fn an_expired_certificate_and_one_of_a_stranger_are_refused() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::new(authority.issue_expired("localhost"))?;
        let server = echo_server(&acceptor).await?;
        let error = open(&authority.connector(), &server).await.unwrap_err();
        let rustls::Error::InvalidCertificate(why) = tls_error(&error) else {
            panic!("{error}");
        };
        assert!(matches!(why, CertificateError::ExpiredContext { .. }), "{why}");
        let stranger = Authority::new();
        let server = echo_server(&stranger.acceptor()).await?;
        let error = open(&authority.connector(), &server).await.unwrap_err();
        assert!(matches!(tls_error(&error), rustls::Error::InvalidCertificate(_)), "{error}");
        Ok(())
    });
}

#[test]
fn a_client_without_the_certificate_that_is_demanded_is_told_at_its_first_read() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::builder(authority.issue("localhost"))
            .require_client_certificates(authority.roots())
            .build()?;
        let server = echo_server(&acceptor).await?;
        let (mut reader, writer) = open(&authority.connector(), &server).await?;
        let error = reader.read(1).await.unwrap_err();
        let expected = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        assert_eq!(*tls_error(&error), expected);
        // It is what ended the connection, for whoever asks.
        assert_eq!(*tls_error(&writer.wait_closed().await.unwrap_err()), expected);
        assert_eq!(*tls_error(&writer.drain().await.unwrap_err()), expected);
        Ok(())
    });
}

#[test]
fn a_client_that_is_only_asked_may_stay_unknown() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::builder(authority.issue("localhost"))
            .ask_for_client_certificates(authority.roots())
            .build()?;
        let (_r, _w, _far_reader, far_writer) = tls_pair(&authority.connector(), &acceptor).await?;
        assert!(far_writer.tls_info().unwrap().peer_certificates.is_empty());
        let stranger = TlsConnector::builder()
            .roots(authority.roots())
            .identity(Authority::new().issue("a stranger"))
            .build()?;
        assert!(tls_pair(&stranger.server_name("localhost"), &acceptor).await.is_err());
        Ok(())
    });
}

#[test]
fn sides_without_a_common_protocol_do_not_come_together() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::builder(authority.issue("localhost")).alpn(["h2"]).build()?;
        let server = echo_server(&acceptor).await?;
        let connector = TlsConnector::builder().roots(authority.roots()).alpn(["smtp"]).build()?;
        let error = open(&connector.server_name("localhost"), &server).await.unwrap_err();
        let expected = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(*tls_error(&error), expected);
        Ok(())
    });
}

#[test]
fn a_handshake_and_lines_cross_a_wire_of_one_byte_at_a_time() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let wire = Wire::to(server.local_addrs()[0], 1).await?;
        let (mut reader, writer) =
            ConnectBuilder::new().tls(&authority.connector()).open(wire.addr()).await?;
        writer.write(b"byte by byte\n")?;
        assert_eq!(&reader.read_line().await?[..], b"byte by byte\n");
        writer.close();
        writer.wait_closed().await?;
        Ok(())
    });
}

/// Sends `data` and says that this was all. The writer comes back: without it the connection would close.
fn send_all(writer: StreamWriter, data: Vec<u8>) -> Task<StreamWriter> {
    create_task(async move {
        for piece in data.chunks(50_000) {
            writer.write(piece)?;
            writer.drain().await?;
            assert!(writer.write_buffer_len() <= 130_000, "drain did not wait");
        }
        writer.write_eof();
        Ok(writer)
    })
}

#[test]
fn large_transfers_both_ways_at_once_wait_for_slow_readers() {
    test(async || {
        let authority = Authority::new();
        let (mut reader, writer, mut far_reader, far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        let data = pattern(5_000_000);
        let sending = [send_all(writer, data.clone()), send_all(far_writer, data.clone())];
        peer::settle().await;
        assert!(!sending[0].done() && !sending[1].done(), "nobody reads, and all is sent");
        let there = create_task(async move { Ok(far_reader.read_to_end().await?) });
        assert_eq!(reader.read_to_end().await?, data);
        assert_eq!(there.await?, data);
        for task in sending {
            task.await?;
        }
        Ok(())
    });
}

#[test]
fn s83_small_and_large_slices_arrive_in_the_order_of_the_calls() {
    test(async || {
        let authority = Authority::new();
        let (_reader, writer, mut far_reader, _far_writer) =
            tls_pair(&authority.connector(), &authority.acceptor()).await?;
        let mut expected = Vec::new();
        for (number, count_bytes) in [3, 200_000, 1, 5_000, 70_000, 2].into_iter().enumerate() {
            let mut data = pattern(count_bytes);
            data[0] = number as u8;
            expected.extend_from_slice(&data);
            writer.write_bytes(data.into())?;
            writer.with_buffer(|buf| buf.extend_from_slice(&[number as u8]))?;
            expected.push(number as u8);
        }
        writer.write_eof();
        assert_eq!(far_reader.read_to_end().await?, expected);
        Ok(())
    });
}

#[test]
fn tls_1_2_is_spoken_with_those_who_know_no_better() -> Result<()> {
    let authority = Authority::new();
    let config = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS12])
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    let connector = TlsConnector::from(std::sync::Arc::new(config)).server_name("localhost");
    test(async move || {
        let (mut reader, writer, mut far_reader, far_writer) =
            tls_pair(&connector, &authority.acceptor()).await?;
        assert_eq!(writer.tls_info().unwrap().protocol, ProtocolVersion::TLSv1_2);
        writer.write(b"there\n")?;
        assert_eq!(&far_reader.read_line().await?[..], b"there\n");
        far_writer.write(b"back\n")?;
        far_writer.close();
        assert_eq!(&reader.read_to_end().await?[..], b"back\n");
        writer.close();
        far_writer.wait_closed().await?;
        Ok(writer.wait_closed().await?)
    });
    Ok(())
}

#[test]
fn sides_and_what_they_are_made_of_may_be_sent_to_other_threads() {
    fn is_shared<T: Clone + Send + Sync + Unpin>() {}
    is_shared::<TlsConnector>();
    is_shared::<TlsAcceptor>();
    is_shared::<TlsInfo>();
    is_shared::<corelane::tls::Identity>();
}

#[test]
fn the_roots_of_the_system_do_not_vouch_for_a_stranger() {
    let connector = match TlsConnector::new() {
        Ok(connector) => connector.server_name("localhost"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            return eprintln!("skipped: {error}");
        }
    };
    test(async move || {
        let server = echo_server(&Authority::new().acceptor()).await?;
        let error = open(&connector, &server).await.unwrap_err();
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(*tls_error(&error), unknown);
        Ok(())
    });
}

#[test]
fn the_name_of_the_address_is_the_name_that_is_expected() {
    test(async || {
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let port = server.local_addrs()[0].port();
        let connector = TlsConnector::builder().roots(authority.roots()).build()?;
        let builder = ConnectBuilder::new().tls(&connector);
        let (_reader, writer) = builder.open(("localhost", port)).await?;
        assert!(writer.tls_info().is_some());
        // The number is another name, which the certificate was not made out to.
        let error = builder.open(("127.0.0.1", port)).await.unwrap_err();
        assert!(matches!(tls_error(&error), rustls::Error::InvalidCertificate(_)), "{error}");
        let numbered = TlsAcceptor::new(authority.issue("127.0.0.1"))?;
        let server = echo_server(&numbered).await?;
        builder.open(server.local_addrs()[0]).await?;
        // Without a name, or with one that cannot be, nothing is even connected.
        let error = builder.open(&server.local_addrs().repeat(2)[..]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[test]
fn unix_sockets_speak_tls_too() {
    test(async || {
        let authority = Authority::new();
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let server = Server::builder().tls(&authority.acceptor()).start_unix(echo, &path).await?;
        let builder = ConnectBuilder::new().tls(&authority.connector());
        let (mut reader, writer) = builder.open_unix(&path).await?;
        writer.write(b"hello\n")?;
        assert_eq!(&reader.read_line().await?[..], b"hello\n");
        writer.close();
        writer.wait_closed().await?;
        server.close();
        Ok(())
    });
}
