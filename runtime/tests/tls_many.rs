//! Many TLS connections come and go, and nothing of them stays. Alone in its program, because it counts what
//! the process has. `CORELANE_CONNECTIONS` says how many; `scripts/deep.sh` takes ten thousand.
#![cfg(feature = "tls")]

mod peer;
mod tls_support;

use std::io::Write;
use std::net::TcpStream;

use corelane::tls::TlsConnectBuilder;
use corelane::{ConnectBuilder, Result, Server, all_tasks, set_report_handler, yield_now};
use peer::{descriptor_count, reset, resident_bytes, run_many, settle};
use tls_support::{Authority, echo_server};

/// The beginning of a greeting of TLS, as far as a peer got.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

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
        while server.connection_count() > 0 {
            yield_now().await;
        }
    }
    Ok(())
}

#[test]
fn many_tls_connections_leave_nothing_behind() {
    let count = std::env::var("CORELANE_CONNECTIONS").map_or(600, |text| text.parse().unwrap());
    run_many(count, async move || {
        set_report_handler(|_| {});
        let authority = Authority::new();
        let server = echo_server(&authority.acceptor()).await?;
        let builder = ConnectBuilder::new().tls(&authority.connector());
        // Fills what keeps sessions for later connections, on both sides.
        come_and_go(&server, &builder, 300).await?;
        settle().await;
        let (descriptors, bytes) = (descriptor_count()?, resident_bytes()?);
        come_and_go(&server, &builder, count).await?;
        settle().await;
        assert_eq!(all_tasks()?.len(), 1, "only main is left");
        assert_eq!(descriptor_count()?, descriptors);
        let grown_bytes = resident_bytes()?.saturating_sub(bytes);
        assert!(grown_bytes < 1 << 20, "{grown_bytes} bytes more than before");
        Ok(())
    })
    .unwrap();
}
