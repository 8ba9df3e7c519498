//! Client and server that speak TLS: `cargo run --features tls --example tls`.
//!
//! The certificate is made here. A real server has its own in files (`Identity::from_pem_files`), and a client that
//! believes the roots of the system is `TlsConnector::new()`.

use corelane::tls::{Identity, TlsAcceptor, TlsConnector, roots_from_pem};
use corelane::{ConnectBuilder, Result, Server, StreamReader, StreamWriter};

pub(crate) fn main() -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    corelane::run(async move || {
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes())?;
        let acceptor = TlsAcceptor::new(identity)?;
        let server = Server::builder().tls(&acceptor).start(answer, "127.0.0.1:0").await?;

        let roots = roots_from_pem(certificate.as_bytes())?;
        let connector = TlsConnector::builder().roots(roots).build()?.server_name("localhost");
        let builder = ConnectBuilder::new().tls(&connector);
        let (mut reader, writer) = builder.open(server.local_addrs()[0]).await?;
        writer.write("hello\n")?;
        println!("{}", reader.next_text().await?.unwrap_or_default());
        writer.close();
        Ok(writer.wait_closed().await?)
    })
}

async fn answer(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write(line.to_ascii_uppercase())?;
    }
    Ok(())
}
