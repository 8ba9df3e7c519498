//! TLS by rustls: clients, servers, and connections that change to it in mid-course.
//!
//! A connection that speaks TLS has the same [`StreamReader`] and [`StreamWriter`] as any other, with all
//! their rules: what a turn writes leaves together, `drain` slows a fast writer down, a read that is given up
//! loses nothing.
//!
//! ```no_run
//! # async fn example() -> corelane::Result<()> {
//! use corelane::tls::{Identity, TlsAcceptor, TlsConnector};
//! use corelane::{ConnectBuilder, Server, StreamReader, StreamWriter};
//!
//! // A server, and a client that believes the roots of the system.
//! let acceptor = TlsAcceptor::new(Identity::from_pem_files("chain.pem", "key.pem")?)?;
//! let echo = async |mut reader: StreamReader, writer: StreamWriter| {
//!     writer.write_bytes(reader.read_line().await?)
//! };
//! let server = Server::builder().tls(&acceptor).start(echo, "0.0.0.0:8443").await?;
//!
//! let connector = TlsConnector::new()?;
//! let builder = ConnectBuilder::new().tls(&connector);
//! let (mut reader, writer) = builder.open("example.org:8443").await?;
//! writer.write(b"hello\n")?;
//! assert_eq!(&reader.read_line().await?[..], b"hello\n");
//! server.close();
//! # Ok(())
//! # }
//! ```
//!
//! # How a connection ends
//!
//! A peer that ends well says so first (`close_notify`): then the reader is at its end. If the connection ends
//! without that, somebody may have cut it, and a read gets `UnexpectedEof` once what came before is read.
//!
//! [`StreamWriter::close`] sends what was written and our own end, and then waits for the peer's, as long as
//! the shutdown timeout allows; then [`StreamWriter::wait_closed`] fails with `TimedOut`. What the peer sends
//! meanwhile is thrown away, and one that sends more than 256 KiB is cut off. [`StreamWriter::write_eof`]
//! says our end and leaves reading open, but many peers take it for the end of the whole connection, which
//! is why [`StreamWriter::can_write_eof`] is false.
//!
//! # Errors
//! What TLS has against a peer is an [`io::Error`] of kind `InvalidData`, out of which [`tls_error`] takes the
//! [`rustls::Error`]. One that ends a handshake names the peer, by its address and the name it should have, and says
//! what may be done about it: other port, other roots, other name. A server
//! that wants a certificate of its clients and does not get it says so after the client's handshake has
//! ended: the client meets the error at its first read.
//!
//! # On several loops
//! [`TlsConnector`] and [`TlsAcceptor`] are cheap to clone and may be sent: make one, and give each shard a
//! clone. Then a session that began on one shard is resumed on another. What they share is read, apart from the
//! client's session cache and the change of the server's ticket keys every few hours.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use self::failure::Peer;
use self::sealed::{Begun, Side};
use crate::io::stream::Stream;
use crate::io::{StreamReader, StreamWriter};
use crate::time::sleep;

mod acceptor;
mod connector;
mod failure;
mod identity;

pub use self::acceptor::{TlsAcceptor, TlsAcceptorBuilder, TlsServerBuilder};
pub use self::connector::{TlsConnectBuilder, TlsConnector, TlsConnectorBuilder};
pub use self::failure::tls_error;
pub use self::identity::{Identity, roots_from_pem, roots_from_pem_file, system_roots};
pub use rustls;

/// How long a handshake may take unless told otherwise; asyncio's value.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a closed connection waits for the peer's end unless told otherwise; asyncio's value.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the two ends of a connection may take.
#[derive(Debug, Clone, Copy)]
struct Timeouts {
    handshake: Duration,
    shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, shutdown: SHUTDOWN_TIMEOUT }
    }
}

/// A side of TLS that a connection can take: [`TlsConnector`] or [`TlsAcceptor`].
pub trait TlsSide: Side {}

impl<T: Side> TlsSide for T {}

mod sealed {
    use std::io;

    use super::Timeouts;
    use crate::io::session::Session;

    /// What begins a session.
    pub trait Side {
        #[doc(hidden)]
        fn begin(&self) -> io::Result<Begun>;
    }

    /// A session that has begun, and how long it may take.
    pub struct Begun {
        pub(super) session: Session,
        /// Whom a client expects.
        pub(super) server_name: Option<String>,
        pub(super) timeouts: Timeouts,
    }
}

/// What a TLS connection has agreed upon (rule S80).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsInfo {
    /// Such as TLS 1.3.
    pub protocol: rustls::ProtocolVersion,
    /// The cipher suite.
    pub cipher_suite: rustls::CipherSuite,
    /// The protocol inside TLS, if both sides have named one that the other has (ALPN).
    pub alpn: Option<Vec<u8>>,
    /// On the server's side, the name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The peer's certificate and those that lead from it to a root; empty if it has shown none.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// Whether the handshake went on from an earlier session.
    pub is_resumed: bool,
}

impl TlsInfo {
    fn of(connection: &rustls::Connection) -> Option<Self> {
        let server_name = match connection {
            rustls::Connection::Server(server) => server.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        };
        let certificates = connection.peer_certificates().unwrap_or_default();
        Some(Self {
            protocol: connection.protocol_version()?,
            cipher_suite: connection.negotiated_cipher_suite()?.suite(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: certificates.iter().map(|c| c.clone().into_owned()).collect(),
            is_resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        })
    }
}

impl StreamWriter {
    /// Changes to TLS in mid-course (rule S82): drains, shakes hands, and then this writer, its clones and
    /// `reader`, which is the other half of the connection, speak TLS. A [`TlsConnector`] makes this the
    /// client's side and needs a [`server_name`](TlsConnector::server_name); a [`TlsAcceptor`] makes it the
    /// server's.
    ///
    /// What was written before goes first, as it is. What was received and not read is taken for the peer's
    /// part of the handshake, so nothing that a stranger slipped in before it is ever read as if it had been
    /// protected.
    ///
    /// # Errors
    /// - `InvalidData`, around a [`rustls::Error`](tls_error), if the peer does not speak TLS, the sides cannot agree
    ///   or one does not trust the other.
    /// - `TimedOut`, when the handshake timeout has passed.
    /// - What ended the connection; `UnexpectedEof` if the peer closes it.
    ///
    /// Their texts name the peer and say what may be done. After these the connection is closed. The others leave it as it is: `NotConnected` if it is closing, and
    /// `InvalidInput` if it speaks TLS already, after [`write_eof`](Self::write_eof), if `reader` is that
    /// of another connection, or without a valid server name.
    ///
    /// # Cancel safety
    /// Not safe: a connection is closed whose handshake is given up.
    pub async fn start_tls(
        &self,
        reader: &mut StreamReader,
        side: &impl TlsSide,
    ) -> io::Result<()> {
        if !reader.stream().is_some_and(|stream| Rc::ptr_eq(stream, self.stream())) {
            return Err(invalid("start_tls with the reader of another connection"));
        }
        let Begun { session, server_name, timeouts } = side.begin()?;
        self.drain().await?;
        let stream = Rc::clone(self.stream());
        // Of a connection that is lost the system does not know any more who it was.
        let peer = Peer::of(&stream, server_name);
        stream.start_tls(session, timeouts.shutdown, reader.buffer())?;
        let end = AbortUnlessDone { stream, is_done: false };
        reader.consume(reader.buffer().len());
        end.handshake(timeouts.handshake).await.map_err(|error| peer.failed(error))
    }

    /// What TLS has agreed upon; `None` for a connection that does not speak it, or not yet.
    #[must_use]
    pub fn tls_info(&self) -> Option<TlsInfo> {
        self.stream().with_tls(TlsInfo::of).flatten()
    }
}

/// Ends a connection whose handshake fails or is given up.
struct AbortUnlessDone {
    stream: Rc<Stream>,
    is_done: bool,
}

impl AbortUnlessDone {
    /// Waits for the end of the handshake.
    async fn handshake(mut self, limit: Duration) -> io::Result<()> {
        let mut timer = pin!(sleep(limit));
        poll_fn(|context| {
            let handshake = self.stream.poll_handshake(context);
            if handshake.is_ready() || timer.as_mut().poll(context).is_pending() {
                return handshake;
            }
            let text = format!("the handshake took longer than {limit:?}");
            Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
        })
        .await?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for AbortUnlessDone {
    fn drop(&mut self) {
        if !self.is_done {
            self.stream.abort();
        }
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// What rustls has against a configuration.
fn bad_config(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// The arithmetic: what the program has installed as its own, and else ring.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    match rustls::crypto::CryptoProvider::get_default() {
        Some(provider) => std::sync::Arc::clone(provider),
        None => std::sync::Arc::new(rustls::crypto::ring::default_provider()),
    }
}
