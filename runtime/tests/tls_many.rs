//! Many TLS connections come and go, and nothing of them stays. Alone in its program, because it counts what
//! the process has. `CORELANE_CONNECTIONS` says how many; `scripts/deep.sh` takes ten thousand.
#![cfg(feature = "tls")]

mod peer;
mod tls_support;

use std::cell::Cell;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use corelane::tls::TlsConnectBuilder;
use corelane::{
    ConnectBuilder, Error, Result, Server, StreamReader, StreamWriter, open_connection,
    set_report_handler, start_server, yield_now,
};
use peer::{connection_count, leaves_nothing, reset, run_many};
use rustix::net::Shutdown;
use tls_support::{Authority, echo_server, tls_pair};

/// The beginning of a greeting of TLS, as far as a peer got.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

async fn all_gone(server: &Server) {
    while server.connection_count() > 0 {
        yield_now().await;
    }
}

/// Connections, each used once: every third ends by its client's close, every third by its abort, and beside
/// every third a peer resets in the middle of its handshake.
async fn come_and_go(server: &Server, builder: &TlsConnectBuilder, count: usize) -> Result<()> {
    for number in 0..count {
        let addr = server.local_addrs()[0];
        let (mut reader, writer) = builder.open(addr).await?;
        writer.write(b"hello\n")?;
        assert_eq!(reader.read_line().await?, "hello\n");
        match number % 3 {
            0 => writer.close(),
            1 => writer.abort(),
            _ => {
                let mut peer = TcpStream::connect(addr)?;
                peer.write_all(HALF_A_HELLO)?;
                reset(peer)?;
            }
        }
        drop((reader, writer));
        all_gone(server).await;
    }
    Ok(())
}

/// Connections that end in one direction first: the client has said that it sends no more, and gets the answer.
async fn half_close(server: &Server, builder: &TlsConnectBuilder, count: usize) -> Result<()> {
    for _ in 0..count {
        let (mut reader, writer) = builder.open(server.local_addrs()[0]).await?;
        writer.write(b"hello\n")?;
        writer.write_eof();
        assert_eq!(reader.read_to_end().await?, "hello\n");
        writer.close();
        writer.wait_closed().await?;
        all_gone(server).await;
    }
    Ok(())
}

/// Connections of which TCP ends and TLS does not: the server is told that they were cut, as often as it happens.
async fn cut_short(server: &Server, builder: &TlsConnectBuilder, count: usize) -> Result<()> {
    let cut = Rc::new(Cell::new(0));
    let theirs = Rc::clone(&cut);
    set_report_handler(move |report| {
        if report.error.as_ref().and_then(Error::io_kind) == Some(ErrorKind::UnexpectedEof) {
            theirs.set(theirs.get() + 1);
        }
    });
    for number in 1..=count {
        let (mut reader, writer) = builder.open(server.local_addrs()[0]).await?;
        writer.write(b"hello\nand so o")?;
        assert_eq!(reader.read_line().await?, "hello\n");
        writer.with_socket(|socket| rustix::net::shutdown(socket, Shutdown::Write))??;
        while cut.get() < number {
            yield_now().await;
        }
        drop((reader, writer));
        all_gone(server).await;
    }
    set_report_handler(|_| {});
    Ok(())
}

/// Handshakes that fail: a server that speaks no TLS, a client that speaks none, a client that trusts somebody else, and
/// a connection that changes to TLS in mid-course with a server that then does not.
async fn fail_to_agree(server: &Server, builder: &TlsConnectBuilder, count: usize) -> Result<()> {
    let refuse = async |mut reader: StreamReader, writer: StreamWriter| {
        reader.read(1).await?;
        writer.write(b"454 not today\n")
    };
    let no_tls = start_server(refuse, "127.0.0.1:0").await?;
    let stranger = ConnectBuilder::new().tls(&Authority::new().connector());
    let connector = Authority::new().connector();
    let is_refused = |opened: io::Result<_>| {
        let kind = opened.err().map(|error| error.kind());
        assert!(
            matches!(kind, Some(ErrorKind::InvalidData | ErrorKind::ConnectionReset)),
            "{kind:?}"
        );
    };
    for _ in 0..count {
        is_refused(builder.open(no_tls.local_addrs()[0]).await.map(drop));
        is_refused(stranger.open(server.local_addrs()[0]).await.map(drop));
        let (mut reader, writer) = open_connection(no_tls.local_addrs()[0]).await?;
        writer.write(b"STARTTLS\n")?;
        is_refused(writer.start_tls(&mut reader, &connector).await);
        drop((reader, writer));
        let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
        writer.write(b"GET / HTTP/1.1\r\n\r\n")?;
        assert_eq!(reader.read_to_end().await?.first(), Some(&21), "an alert comes back");
        drop((reader, writer));
        all_gone(server).await;
        all_gone(&no_tls).await;
    }
    Ok(())
}

/// How many wait for their peer's end at a time.
const WAITING_COUNT: usize = 20;

/// Connections whose peer never says that it ends: they are left after the time for it.
async fn wait_for_the_end(authority: &Authority, count: usize) -> Result<()> {
    let connector = authority.connector().shutdown_timeout(Duration::from_millis(10));
    let acceptor = authority.acceptor();
    for _ in 0..count / WAITING_COUNT {
        let mut pairs = Vec::new();
        for _ in 0..WAITING_COUNT {
            pairs.push(tls_pair(&connector, &acceptor).await?);
        }
        for (_, writer, ..) in &pairs {
            writer.close();
        }
        for (_, writer, _, far_writer) in &pairs {
            let error = writer.wait_closed().await.err();
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::TimedOut));
            far_writer.abort();
        }
    }
    Ok(())
}

#[test]
fn many_tls_connections_of_each_end_leave_nothing_behind() {
    let count = connection_count(100);
    run_many(9 * count, async move || {
        set_report_handler(|_| {});
        let authority = Authority::new();
        let server = &echo_server(&authority.acceptor()).await?;
        let builder = &ConnectBuilder::new().tls(&authority.connector());
        // Fills what keeps sessions for later connections, on both sides.
        come_and_go(server, builder, 300).await?;
        leaves_nothing("come and go", count, async |count| {
            come_and_go(server, builder, count).await
        })
        .await?;
        leaves_nothing("half-close", count, async |count| half_close(server, builder, count).await)
            .await?;
        leaves_nothing("cut short", count, async |count| cut_short(server, builder, count).await)
            .await?;
        leaves_nothing("fail to agree", count, async |count| {
            fail_to_agree(server, builder, count).await
        })
        .await?;
        leaves_nothing("wait for the end", count, async |count| {
            wait_for_the_end(&authority, count).await
        })
        .await
    })
    .unwrap();
}
