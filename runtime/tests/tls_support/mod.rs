//! What the tests of TLS share: an authority that makes certificates, a server, and a wire that can be cut.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corelane::tls::{Identity, TlsAcceptor, TlsConnector, roots_from_pem, rustls};
use corelane::{
    ConnectBuilder, Result, Server, StreamReader, StreamWriter, create_task, open_connection, run,
    start_server, timeout,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::RootCertStore;

/// Runs a test that must not hang.
pub(crate) fn test(body: impl AsyncFnOnce() -> Result<()> + 'static) {
    run(async || timeout(Duration::from_secs(60), async move |_| body().await).await).unwrap();
}

/// Makes certificates that those believe who believe its own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "corelane's test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // CPython 3.13 is strict.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        roots_from_pem(self.pem()).unwrap()
    }

    /// A certificate and a key for `name`.
    pub(crate) fn issue_pem(&self, name: &str) -> (String, String) {
        self.issue_with(name, |_| ())
    }

    pub(crate) fn issue(&self, name: &str) -> Identity {
        let (certificate, key) = self.issue_pem(name);
        Identity::from_pem(certificate, key).unwrap()
    }

    /// A certificate whose time is over.
    pub(crate) fn issue_expired(&self, name: &str) -> Identity {
        let (certificate, key) =
            self.issue_with(name, |params| params.not_after = date_time_ymd(2020, 1, 1));
        Identity::from_pem(certificate, key).unwrap()
    }

    fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server's side for `localhost`.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::new(self.issue("localhost")).unwrap()
    }

    /// A client's side that expects `localhost`.
    pub(crate) fn connector(&self) -> TlsConnector {
        let connector = TlsConnector::builder().roots(self.roots()).build().unwrap();
        connector.server_name("localhost")
    }
}

/// A server that answers each line with itself.
pub(crate) async fn echo_server(acceptor: &TlsAcceptor) -> Result<Server> {
    Ok(Server::builder().tls(acceptor).start(echo, "127.0.0.1:0").await?)
}

pub(crate) async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

/// A connection of ours with TLS on both ends: that of the client, and that of the server.
pub(crate) async fn tls_pair(
    connector: &TlsConnector,
    acceptor: &TlsAcceptor,
) -> Result<(StreamReader, StreamWriter, StreamReader, StreamWriter)> {
    let (mut reader, writer, mut far_reader, far_writer) = plain_pair().await?;
    let acceptor = acceptor.clone();
    let far = create_task(async move {
        far_writer.start_tls(&mut far_reader, &acceptor).await?;
        Ok((far_reader, far_writer))
    });
    writer.start_tls(&mut reader, connector).await?;
    let (far_reader, far_writer) = far.await?;
    Ok((reader, writer, far_reader, far_writer))
}

/// The two ends of a plain connection, both ours.
pub(crate) async fn plain_pair() -> Result<(StreamReader, StreamWriter, StreamReader, StreamWriter)>
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let (reader, writer) = open_connection(listener.local_addr()?).await?;
    let (far_reader, far_writer) = ConnectBuilder::new().adopt(listener.accept()?.0)?;
    Ok((reader, writer, far_reader, far_writer))
}

/// A wire between a client and a server: it passes bytes on in pieces, and can be cut.
pub(crate) struct Wire {
    server: Server,
    ends: Rc<RefCell<Vec<StreamWriter>>>,
    pub(crate) carried_bytes: Rc<Cell<usize>>,
}

impl Wire {
    /// A wire to `target` that carries no more than `step_bytes` at a time.
    pub(crate) async fn to(target: SocketAddr, step_bytes: usize) -> Result<Self> {
        let ends: Rc<RefCell<Vec<StreamWriter>>> = Rc::default();
        let carried_bytes = Rc::new(Cell::new(0));
        let (kept, count) = (Rc::clone(&ends), Rc::clone(&carried_bytes));
        let handler = async move |reader, writer: StreamWriter| {
            let (far_reader, far_writer) = open_connection(target).await?;
            kept.borrow_mut().extend([writer.clone(), far_writer.clone()]);
            let back = carry(far_reader, writer, step_bytes, Rc::clone(&count));
            let back = create_task(back);
            carry(reader, far_writer, step_bytes, Rc::clone(&count)).await?;
            back.await
        };
        let server = start_server(handler, "127.0.0.1:0").await?;
        Ok(Self { server, ends, carried_bytes })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    /// Ends every connection on both sides, without a word from one end to the other.
    pub(crate) fn cut(&self) {
        for end in self.ends.take() {
            end.close();
        }
    }
}

async fn carry(
    mut from: StreamReader,
    to: StreamWriter,
    step_bytes: usize,
    count: Rc<Cell<usize>>,
) -> Result<()> {
    loop {
        let Ok(piece) = from.read(step_bytes).await else { return Ok(()) };
        if piece.is_empty() {
            to.write_eof();
            return Ok(());
        }
        count.set(count.get() + piece.len());
        if to.write_bytes(piece).is_err() || to.drain().await.is_err() {
            return Ok(());
        }
        // So that each piece is a send of its own.
        corelane::yield_now().await;
    }
}

/// What rustls says in an error.
pub(crate) fn tls_error(error: &std::io::Error) -> &rustls::Error {
    corelane::tls::tls_error(error).unwrap_or_else(|| panic!("no error of TLS: {error:?}"))
}
