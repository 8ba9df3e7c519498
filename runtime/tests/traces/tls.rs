//! Ports of the scenarios about TLS.

use std::path::Path;

use corelane::tls::{Identity, TlsAcceptor, TlsConnector, roots_from_pem_file};
use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, open_connection, start_server,
};

use crate::support::check_real;

/// The two sides that the scenarios' certificate makes.
fn sides() -> Result<(TlsAcceptor, TlsConnector)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/golden");
    let certificate = folder.join("testcert.pem");
    let identity = Identity::from_pem_files(&certificate, folder.join("testkey.pem"))?;
    let connector = TlsConnector::builder().roots(roots_from_pem_file(&certificate)?).build()?;
    Ok((TlsAcceptor::new(identity)?, connector.server_name("localhost")))
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line.to_ascii_uppercase())?;
    }
    writer.close();
    Ok(())
}

async fn upgrade(
    mut reader: StreamReader,
    writer: StreamWriter,
    acceptor: &TlsAcceptor,
) -> Result<()> {
    ev!("server plain", reader.read_line().await?);
    writer.write(b"go ahead\n")?;
    writer.start_tls(&mut reader, acceptor).await?;
    ev!("server secret", reader.read_line().await?);
    writer.write(b"bye\n")?;
    writer.close();
    Ok(())
}

#[test]
fn tls_streams() {
    check_real("tls_streams", async || {
        let (acceptor, connector) = sides()?;
        let server = Server::builder().tls(&acceptor).start(echo, "127.0.0.1:0").await?;
        let builder = ConnectBuilder::new().tls(&connector);
        let (mut reader, writer) = builder.open(server.local_addrs()[0]).await?;
        let has_certificate =
            writer.tls_info().is_some_and(|info| !info.peer_certificates.is_empty());
        ev!("peer certificate", has_certificate, "half-close", writer.can_write_eof());
        writer.write(b"hello\n")?;
        ev!(reader.read_line().await?);
        writer.write([b'x'; 30_000])?;
        writer.write(b"\n")?;
        ev!(reader.read_line().await?.len());
        writer.close();
        writer.wait_closed().await?;
        server.close();
        server.wait_closed().await;

        let handler = async move |reader, writer| upgrade(reader, writer, &acceptor).await;
        let server = start_server(handler, "127.0.0.1:0").await?;
        let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
        ev!("plain", writer.tls_info().is_none());
        writer.write(b"please upgrade\n")?;
        ev!("client plain", reader.read_line().await?);
        writer.start_tls(&mut reader, &connector).await?;
        ev!("upgraded", writer.tls_info().is_some());
        writer.write(b"secret\n")?;
        ev!("client secret", reader.read_line().await?);
        writer.close();
        server.close();
        Ok(())
    });
}
