//! Why a handshake failed: with whom, and what can be done about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::io::stream::Stream;

/// What TLS has against the peer, if that is what an error of a connection is about.
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// use corelane::ConnectBuilder;
/// use corelane::tls::{TlsConnector, rustls, tls_error};
///
/// let builder = ConnectBuilder::new().tls(&TlsConnector::new()?);
/// if let Err(error) = builder.open("example.org:443").await {
///     // It names the peer and says what may be done; this is for who wants to know more exactly.
///     if let Some(rustls::Error::InvalidCertificate(why)) = tls_error(&error) {
///         eprintln!("{error} ({why:?})");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<HandshakeError>() {
        Some(handshake) => tls_error(&handshake.cause),
        None => inner.downcast_ref(),
    }
}

/// With whom hands are shaken.
#[derive(Debug)]
pub(super) struct Peer {
    /// A Unix socket has none, and one whose other end is gone has it no more.
    addr: io::Result<SocketAddr>,
    /// What a client expects the server to be called; `None` on the server's side.
    server_name: Option<String>,
}

impl Peer {
    pub(super) fn of(stream: &Stream, server_name: Option<String>) -> Self {
        Self { addr: stream.peer_addr(), server_name }
    }

    /// The same error, with what is known about it.
    pub(super) fn failed(self, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), HandshakeError { peer: self, cause })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.addr {
            Ok(addr) => write!(f, "the peer at {addr}")?,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                f.write_str("the peer at a Unix socket")?;
            }
            Err(_) => f.write_str("a peer that is gone")?,
        }
        match &self.server_name {
            Some(name) => write!(f, " as {name:?}"),
            None => Ok(()),
        }
    }
}

/// A handshake that failed.
#[derive(Debug)]
struct HandshakeError {
    peer: Peer,
    cause: io::Error,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no TLS with {}: {}", self.peer, self.cause)?;
        let advice = match tls_error(&self.cause) {
            Some(error) => advice(error, self.peer.server_name.is_some()),
            None => advice_without_tls(self.cause.kind()),
        };
        match advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match tls_error(&self.cause) {
            Some(error) => Some(error),
            None => Some(&self.cause),
        }
    }
}

/// What to do about what TLS has against the peer.
fn advice(error: &rustls::Error, is_client: bool) -> Option<&'static str> {
    Some(match error {
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the peer does not speak TLS, at least not on this port",
        rustls::Error::InvalidCertificate(why) => return advice_on_certificate(why, is_client),
        rustls::Error::AlertReceived(alert) => return advice_on_alert(*alert),
        rustls::Error::PeerIncompatible(_) => NOTHING_IN_COMMON,
        rustls::Error::NoCertificatesPresented => {
            "the acceptor demands a certificate of its clients, and this one has no identity to show"
        }
        rustls::Error::NoApplicationProtocol => NO_PROTOCOL,
        _ => return None,
    })
}

const NOTHING_IN_COMMON: &str = "the two sides have no version of TLS or no cipher suite in common";

const NO_PROTOCOL: &str =
    "the two sides have none of the protocols in common that each named by alpn";

fn advice_on_certificate(why: &CertificateError, is_client: bool) -> Option<&'static str> {
    use CertificateError as Why;
    Some(match why {
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "connect to a name that the certificate is made out to, or say so by TlsConnector::server_name"
        }
        Why::Expired | Why::ExpiredContext { .. } => {
            "the peer needs a new certificate, if the clock of this machine is right"
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "the certificate is for later, if the clock of this machine is right"
        }
        Why::UnknownIssuer | Why::BadSignature if is_client => {
            "if the peer is to be believed, give who issued its certificate to TlsConnectorBuilder::roots"
        }
        Why::UnknownIssuer | Why::BadSignature => {
            "if the peer is to be believed, give who issued its certificate to the acceptor's roots of clients"
        }
        _ => return None,
    })
}

fn advice_on_alert(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::NoApplicationProtocol => NO_PROTOCOL,
        Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => {
            NOTHING_IN_COMMON
        }
        Alert::CertificateRequired => "the peer demands a certificate: give this side an identity",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => "the peer does not accept the certificate of this side",
        Alert::UnrecognisedName => "the peer has no certificate for this name",
        _ => return None,
    })
}

/// What to do about a connection that ended before hands were shaken.
fn advice_without_tls(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => Some(
            "the peer ended the connection: it may not speak TLS on this port, or does not want what was offered",
        ),
        io::ErrorKind::TimedOut => {
            Some("the peer may not speak TLS on this port, or be too busy: see handshake_timeout")
        }
        _ => None,
    }
}
