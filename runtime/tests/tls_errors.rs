//! What a handshake that fails says: with whom it was, what was wrong, and what to do about it.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod tls_support;

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use corelane::tls::{Identity, TlsAcceptor, TlsConnector, rustls};
use corelane::{
    ConnectBuilder, Result, StreamReader, StreamWriter, start_server, start_unix_server,
};
use tls_support::{Authority, echo_server, plain_pair, test};

/// The error of a client that shakes hands with a server at `addr`.
async fn refused(connector: &TlsConnector, addr: SocketAddr) -> io::Error {
    match ConnectBuilder::new().tls(connector).open(addr).await {
        Ok(_) => panic!("the handshake was expected to fail"),
        Err(error) => error,
    }
}

/// The error of a client of `localhost` whose server, which has no TLS, does what `handler` does.
async fn refused_by<H>(connector: &TlsConnector, handler: H) -> Result<(io::Error, SocketAddr)>
where
    H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
{
    let server = start_server(handler, "127.0.0.1:0").await?;
    let addr = server.local_addrs()[0];
    Ok((refused(connector, addr).await, addr))
}

/// A certificate that nobody stands up for.
fn self_signed(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem()).unwrap()
}

#[test]
fn a_peer_that_does_not_speak_tls_is_named_and_that_is_said() {
    test(async || {
        let connector = Authority::new().connector();
        let (error, addr) = refused_by(&connector, async |mut reader, writer: StreamWriter| {
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
            reader.read_to_end().await?;
            Ok(())
        })
        .await?;
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            format!(
                "no TLS with the peer at {addr} as \"localhost\": received corrupt message of type \
                 InvalidContentType; the peer does not speak TLS, at least not on this port"
            )
        );
        // rustls' own error is behind it.
        let source = error.source().and_then(|source| source.downcast_ref::<rustls::Error>());
        assert_eq!(source, corelane::tls::tls_error(&error));
        assert!(source.is_some());
        Ok(())
    });
}

#[test]
fn a_peer_that_hangs_up_is_named_with_what_that_may_mean() {
    test(async || {
        let connector = Authority::new().connector();
        let (error, addr) = refused_by(&connector, async |mut reader, _writer| {
            reader.read(65_536).await?;
            Ok(())
        })
        .await?;
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let text = error.to_string();
        assert!(text.starts_with(&format!("no TLS with the peer at {addr} as \"localhost\": ")));
        assert!(
            text.ends_with("it may not speak TLS on this port, or does not want what was offered")
        );

        let (error, addr) = refused_by(&connector, async |mut reader, writer: StreamWriter| {
            reader.read(65_536).await?;
            writer.set_linger(Some(Duration::ZERO))?;
            writer.abort();
            Ok(())
        })
        .await?;
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let text = error.to_string();
        assert!(text.starts_with(&format!("no TLS with the peer at {addr} as ")), "{text}");
        assert!(text.contains("it may not speak TLS on this port"), "{text}");
        Ok(())
    });
}

#[test]
fn a_peer_that_is_silent_is_named_with_the_limit() {
    test(async || {
        let limit = Duration::from_millis(1);
        let connector = Authority::new().connector().handshake_timeout(limit);
        let (error, addr) = refused_by(&connector, async |mut reader, _writer| {
            reader.read_to_end().await?;
            Ok(())
        })
        .await?;
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            format!(
                "no TLS with the peer at {addr} as \"localhost\": the handshake took longer than 1ms; the \
                 peer may not speak TLS on this port, or be too busy: see handshake_timeout"
            )
        );
        Ok(())
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_said_with_what_to_do() {
    test(async || {
        let authority = Authority::new();
        let (server, expired, stranger) = (
            echo_server(&authority.acceptor()).await?,
            echo_server(&TlsAcceptor::new(authority.issue_expired("localhost"))?).await?,
            echo_server(&TlsAcceptor::new(self_signed("localhost"))?).await?,
        );

        let addr = server.local_addrs()[0];
        let connector = authority.connector();
        let text = refused(&connector.clone().server_name("example.org"), addr).await.to_string();
        assert!(text.starts_with(&format!("no TLS with the peer at {addr} as \"example.org\": ")));
        assert!(text.contains("not valid for name") && text.contains("localhost"), "{text}");
        assert!(text.ends_with("or say so by TlsConnector::server_name"), "{text}");

        let addr = expired.local_addrs()[0];
        let text = refused(&connector, addr).await.to_string();
        assert!(text.starts_with(&format!("no TLS with the peer at {addr} as \"localhost\": ")));
        assert!(text.contains("certificate expired"), "{text}");
        assert!(text.ends_with("needs a new certificate, if the clock of this machine is right"));

        let addr = stranger.local_addrs()[0];
        let text = refused(&connector, addr).await.to_string();
        assert!(text.starts_with(&format!("no TLS with the peer at {addr} as \"localhost\": ")));
        assert!(text.contains("UnknownIssuer"), "{text}");
        assert!(text.ends_with("issued its certificate to TlsConnectorBuilder::roots"), "{text}");
        Ok(())
    });
}

#[test]
fn what_two_sides_do_not_have_in_common_is_said() {
    test(async || {
        let authority = Authority::new();
        let acceptor = TlsAcceptor::builder(authority.issue("localhost")).alpn(["h2"]).build()?;
        let server = echo_server(&acceptor).await?;
        let connector = TlsConnector::builder().roots(authority.roots()).alpn(["smtp"]).build()?;
        let connector = connector.server_name("localhost");
        let text = refused(&connector, server.local_addrs()[0]).await.to_string();
        assert!(
            text.ends_with("none of the protocols in common that each named by alpn"),
            "{text}"
        );
        Ok(())
    });
}

#[test]
fn a_server_names_the_client_that_it_does_not_let_in() {
    test(async || {
        let authority = Authority::new();
        let (_reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let addr = writer.local_addr()?;
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let acceptor = authority.acceptor();
        let error = far_writer.start_tls(&mut far_reader, &acceptor).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("no TLS with the peer at {addr}: received corrupt")),
            "{text}"
        );
        assert!(text.ends_with("the peer does not speak TLS, at least not on this port"), "{text}");

        let demanding = TlsAcceptor::builder(authority.issue("localhost"))
            .require_client_certificates(authority.roots())
            .build()?;
        let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
        let connector = authority.connector();
        let near = corelane::create_task(async move {
            // It meets the refusal at its first read.
            writer.start_tls(&mut reader, &connector).await?;
            Ok((reader, writer))
        });
        let error = far_writer.start_tls(&mut far_reader, &demanding).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("peer sent no certificates"), "{text}");
        assert!(text.ends_with("and this one has no identity to show"), "{text}");
        near.await?;
        Ok(())
    });
}

#[test]
fn the_peer_at_a_unix_socket_is_said_to_be_there() {
    test(async || {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("plain");
        let handler = async |mut reader: StreamReader, writer: StreamWriter| {
            writer.write(b"hello, plainly\n")?;
            reader.read_to_end().await?;
            Ok(())
        };
        let _server = start_unix_server(handler, &path).await?;
        let connector = Authority::new().connector();
        let opened = ConnectBuilder::new().tls(&connector).open_unix(&path).await;
        let text = opened.unwrap_err().to_string();
        assert!(
            text.starts_with("no TLS with the peer at a Unix socket as \"localhost\": "),
            "{text}"
        );
        Ok(())
    });
}
