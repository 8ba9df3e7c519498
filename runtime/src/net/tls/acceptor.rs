//! The server's side of TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::identity::Identity;
use super::sealed::{Begun, Side};
use super::{Timeouts, bad_config, provider};
use crate::error::Result;
use crate::io::session::Session;
use crate::io::{StreamReader, StreamWriter};
use crate::net::resolve::ToSocketAddrs;
use crate::net::server::{Server, ServerBuilder};

/// The server's side of TLS: who it is, whom it lets in, and how long things may take.
///
/// A client that comes back resumes its session with whatever clone of the acceptor it meets: the sessions
/// are in the tickets that the clients hold, and the keys of the tickets are shared and change.
#[derive(Debug, Clone)]
pub struct TlsAcceptor {
    config: Arc<ServerConfig>,
    timeouts: Timeouts,
}

impl TlsAcceptor {
    /// One that asks nothing of its clients.
    ///
    /// # Errors
    /// As [`TlsAcceptorBuilder::build`].
    pub fn new(identity: Identity) -> io::Result<Self> {
        Self::builder(identity).build()
    }

    /// One that is yet to be made.
    pub fn builder(identity: Identity) -> TlsAcceptorBuilder {
        TlsAcceptorBuilder { identity, clients: Clients::Anybody, alpn: Vec::new() }
    }

    /// How long a handshake may take; 60 seconds by default. Until then a client that says nothing counts as
    /// a connection.
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
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Makes a handler of TLS connections one of plain ones, for every kind of server: hands are shaken before
    /// `handler` is called, in the connection's own task. A handshake that fails closes its connection and is
    /// no error of the handler: it is logged with level debug.
    pub fn handler<H>(
        &self,
        handler: H,
    ) -> impl AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        let acceptor = self.clone();
        async move |mut reader, writer| {
            if let Err(error) = StreamWriter::start_tls(&writer, &mut reader, &acceptor).await {
                tracing::debug!(%error, "a TLS handshake failed");
                return Ok(());
            }
            handler(reader, writer).await
        }
    }
}

impl From<Arc<ServerConfig>> for TlsAcceptor {
    /// For everything that [`TlsAcceptorBuilder`] does not offer, such as a certificate for each name.
    fn from(config: Arc<ServerConfig>) -> Self {
        Self { config, timeouts: Timeouts::default() }
    }
}

impl Side for TlsAcceptor {
    fn begin(&self) -> io::Result<Begun> {
        let session = Session::server(Arc::clone(&self.config)).map_err(bad_config)?;
        Ok(Begun { session, server_name: None, timeouts: self.timeouts })
    }
}

/// What a [`TlsAcceptor`] is made with.
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing by itself"]
pub struct TlsAcceptorBuilder {
    identity: Identity,
    clients: Clients,
    alpn: Vec<Vec<u8>>,
}

/// Whom a server lets in.
#[derive(Debug, Clone)]
enum Clients {
    Anybody,
    /// Who shows a certificate must be known.
    Asked(Arc<RootCertStore>),
    Known(Arc<RootCertStore>),
}

impl TlsAcceptorBuilder {
    /// Lets in only clients that show a certificate from one of these roots.
    pub fn require_client_certificates(mut self, roots: impl Into<Arc<RootCertStore>>) -> Self {
        self.clients = Clients::Known(roots.into());
        self
    }

    /// Asks clients for a certificate: one that is shown must come from one of these roots.
    pub fn ask_for_client_certificates(mut self, roots: impl Into<Arc<RootCertStore>>) -> Self {
        self.clients = Clients::Asked(roots.into());
        self
    }

    /// The protocols to speak inside TLS, the best first, such as `["h2", "http/1.1"]` (ALPN). A client that
    /// names others only is refused.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item: AsRef<[u8]>>) -> Self {
        self.alpn = protocols.into_iter().map(|protocol| protocol.as_ref().to_vec()).collect();
        self
    }

    /// Makes it, with TLS 1.2 and 1.3, and with the program's default provider of cryptography if it has
    /// installed one, else ring.
    ///
    /// # Errors
    /// `InvalidInput`, if the certificate and its key do not belong together, or without roots that clients
    /// could be known by.
    pub fn build(self) -> io::Result<TlsAcceptor> {
        let provider = provider();
        let verifier = match self.clients {
            Clients::Anybody => WebPkiClientVerifier::no_client_auth(),
            Clients::Asked(roots) => {
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .allow_unauthenticated()
                    .build()
                    .map_err(bad_config)?
            }
            Clients::Known(roots) => {
                WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(bad_config)?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(bad_config)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.identity.chain, self.identity.key)
            .map_err(bad_config)?;
        config.alpn_protocols = self.alpn;
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(bad_config)?;
        Ok(Arc::new(config).into())
    }
}

impl ServerBuilder {
    /// Starts servers that speak TLS. What this offers no method for is started with
    /// [`TlsAcceptor::handler`].
    pub fn tls(self, acceptor: &TlsAcceptor) -> TlsServerBuilder {
        TlsServerBuilder { plain: self, acceptor: acceptor.clone() }
    }
}

/// Starts servers that speak TLS.
#[derive(Debug, Clone)]
#[must_use = "a builder starts nothing by itself"]
pub struct TlsServerBuilder {
    plain: ServerBuilder,
    acceptor: TlsAcceptor,
}

impl TlsServerBuilder {
    /// As [`ServerBuilder::start`], with hands shaken before `handler` is called: see
    /// [`TlsAcceptor::handler`].
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn start<H>(&self, handler: H, addr: impl ToSocketAddrs) -> io::Result<Server>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        self.plain.start(self.acceptor.handler(handler), addr).await
    }

    /// The same on a Unix socket, as [`ServerBuilder::start_unix`].
    ///
    /// # Errors
    /// As [`ServerBuilder::start_unix`].
    ///
    /// # Cancel safety
    /// Safe: nothing listens if it is given up.
    pub async fn start_unix<H>(&self, handler: H, path: impl AsRef<Path>) -> io::Result<Server>
    where
        H: AsyncFn(StreamReader, StreamWriter) -> Result<()> + 'static,
    {
        self.plain.start_unix(self.acceptor.handler(handler), path).await
    }
}
