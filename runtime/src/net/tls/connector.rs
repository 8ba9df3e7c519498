//! The client's side of TLS.

use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::identity::{Identity, system_roots};
use super::sealed::{Begun, Side};
use super::{Timeouts, bad_config, invalid, provider};
use crate::io::session::Session;
use crate::io::{StreamReader, StreamWriter};
use crate::net::resolve::ToSocketAddrs;
use crate::net::tcp::ConnectBuilder;

/// The client's side of TLS: what it believes, who it is, and how long things may take.
///
/// Connections made with clones of one connector resume each other's sessions, which saves a round trip's worth
/// of arithmetic.
#[derive(Debug, Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
    timeouts: Timeouts,
}

impl TlsConnector {
    /// One that believes the roots of the system and shows no certificate.
    ///
    /// # Errors
    /// As [`TlsConnectorBuilder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// One that is yet to be made.
    pub fn builder() -> TlsConnectorBuilder {
        TlsConnectorBuilder::default()
    }

    /// The name that the server's certificate must have been made out to; an IP address is one too. Without
    /// it the host of the address counts that is connected to, and [`StreamWriter::start_tls`] fails.
    #[must_use]
    pub fn server_name(mut self, server_name: impl Into<String>) -> Self {
        self.server_name = Some(server_name.into());
        self
    }

    /// How long a handshake may take; 60 seconds by default.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.handshake = limit;
        self
    }

    /// How long a closed connection may take to send what is left and to hear the peer's end; 30 seconds by default.
    /// Then it is cut, and whoever waits for its end gets an error of the kind `TimedOut`.
    #[must_use]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.shutdown = limit;
        self
    }

    /// rustls' own configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// This one, for a server at `host` unless it has a name already.
    fn towards(&self, host: String) -> Self {
        let mut connector = self.clone();
        connector.server_name.get_or_insert(host);
        connector
    }
}

impl From<Arc<ClientConfig>> for TlsConnector {
    /// For everything that [`TlsConnectorBuilder`] does not offer.
    fn from(config: Arc<ClientConfig>) -> Self {
        Self { config, server_name: None, timeouts: Timeouts::default() }
    }
}

impl Side for TlsConnector {
    fn begin(&self) -> io::Result<Begun> {
        let Some(server_name) = &self.server_name else {
            return Err(invalid("a TLS client must know the server's name"));
        };
        let name = ServerName::try_from(server_name.clone()).map_err(|_| {
            let text = format!("{server_name:?} is no name that a TLS server can have");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let session = Session::client(Arc::clone(&self.config), name).map_err(bad_config)?;
        Ok(Begun { session, server_name: Some(server_name.clone()), timeouts: self.timeouts })
    }
}

/// What a [`TlsConnector`] is made with.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes nothing by itself"]
pub struct TlsConnectorBuilder {
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
}

impl TlsConnectorBuilder {
    /// What to believe, in place of the roots of the system.
    pub fn roots(mut self, roots: impl Into<Arc<RootCertStore>>) -> Self {
        self.roots = Some(roots.into());
        self
    }

    /// Who to be, if a server asks.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The protocols to speak inside TLS, the best first, such as `["h2", "http/1.1"]` (ALPN).
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Makes it, with TLS 1.2 and 1.3, and with the program's default provider of cryptography if it has
    /// installed one, else ring.
    ///
    /// # Errors
    /// `InvalidInput`, if a certificate and its key do not belong together; as [`system_roots`].
    pub fn build(self) -> io::Result<TlsConnector> {
        let roots = self.roots.map_or_else(system_roots, Ok)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(bad_config)?
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(Identity { chain, key }) => {
                builder.with_client_auth_cert(chain, key).map_err(bad_config)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        Ok(Arc::new(config).into())
    }
}

impl ConnectBuilder {
    /// Opens connections that speak TLS.
    pub fn tls(self, connector: &TlsConnector) -> TlsConnectBuilder {
        TlsConnectBuilder { plain: self, connector: connector.clone() }
    }
}

/// Opens TCP connections that speak TLS.
#[derive(Debug, Clone)]
#[must_use = "a builder opens nothing by itself"]
pub struct TlsConnectBuilder {
    plain: ConnectBuilder,
    connector: TlsConnector,
}

impl TlsConnectBuilder {
    /// Opens a connection and shakes hands. The server's certificate must have been made out to the host in
    /// `addr`, or to the connector's [`server_name`](TlsConnector::server_name).
    ///
    /// # Errors
    /// As [`ConnectBuilder::open`] and [`StreamWriter::start_tls`].
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed.
    pub async fn open(&self, addr: impl ToSocketAddrs) -> io::Result<(StreamReader, StreamWriter)> {
        let connector = match addr.host() {
            Some(host) => self.connector.towards(host),
            None => self.connector.clone(),
        };
        // What cannot become a session need not become a connection.
        connector.begin()?;
        let (mut reader, writer) = self.plain.open(addr).await?;
        writer.start_tls(&mut reader, &connector).await?;
        Ok((reader, writer))
    }

    /// Takes over a connection that was made elsewhere, and shakes hands. The connector must have a
    /// [`server_name`](TlsConnector::server_name).
    ///
    /// # Errors
    /// As [`ConnectBuilder::adopt`] and [`StreamWriter::start_tls`].
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed.
    pub async fn adopt(&self, connected: TcpStream) -> io::Result<(StreamReader, StreamWriter)> {
        self.connector.begin()?;
        let (mut reader, writer) = self.plain.adopt(connected)?;
        writer.start_tls(&mut reader, &self.connector).await?;
        Ok((reader, writer))
    }

    /// Opens a connection to a Unix socket and shakes hands. The connector must have a
    /// [`server_name`](TlsConnector::server_name).
    ///
    /// # Errors
    /// As [`ConnectBuilder::open_unix`] and [`StreamWriter::start_tls`].
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed.
    pub async fn open_unix(
        &self,
        path: impl AsRef<Path>,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        self.connector.begin()?;
        let (mut reader, writer) = self.plain.open_unix(path).await?;
        writer.start_tls(&mut reader, &self.connector).await?;
        Ok((reader, writer))
    }
}
