//! TCP connections that we open.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::race::{interleave, race};
use super::resolve::{Resolved, ToSocketAddrs, resolve};
use super::socket::TcpStream;
use crate::driver::{Op, Outcome, SocketOption, SourceId, SourceKind, SourceSpec};
use crate::error::ValueError;
use crate::executor::{IoHandle, current_io};
use crate::io::one_op::run_op;
use crate::io::stream::{DEFAULT_LIMIT_BYTES, Stream};
use crate::io::{StreamReader, StreamWriter};
use crate::util::wait_kind::WaitKind;

/// How long the address of a name may take before the next one is tried beside it (RFC 8305).
const NAME_DELAY: Duration = Duration::from_millis(250);

/// Opens a TCP connection with `TCP_NODELAY` (rules S1, S3).
///
/// Addresses that are given are tried in their order, one after the other. Those of a name are tried in the
/// resolver's order with both families by turns, the next one as soon as one has failed or a quarter of a
/// second has passed, and the first that connects is taken (Happy Eyeballs). [`ConnectBuilder`] changes both.
///
/// ```no_run
/// # async fn example() -> corelane::Result<()> {
/// let (mut reader, writer) = corelane::open_connection("localhost:6379").await?;
/// writer.write(b"PING\r\n")?;
/// assert_eq!(&reader.read_line().await?[..], b"+PONG\r\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` for what is no address; what the resolver or the system says, with the addresses that
/// were tried.
///
/// # Cancel safety
/// Safe: a connection that is half made is closed (rule S2).
pub async fn open_connection(addr: impl ToSocketAddrs) -> io::Result<(StreamReader, StreamWriter)> {
    ConnectBuilder::new().open(addr).await
}

/// Opens TCP connections that are not as usual (rules S2, S4, S5).
#[derive(Debug, Clone)]
#[must_use = "a builder opens nothing by itself"]
pub struct ConnectBuilder {
    pub(super) limit_bytes: usize,
    local_addr: Option<SocketAddr>,
    family: IpFamily,
    delay: Delay,
    interleave: Option<usize>,
}

/// Which addresses are tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IpFamily {
    /// All.
    #[default]
    Any,
    /// Those of version 4.
    V4,
    /// Those of version 6.
    V6,
}

/// When the next address is tried while another one is under way.
#[derive(Debug, Clone, Copy)]
enum Delay {
    /// Of a name: after the usual time. Of a list: not at all.
    Usual,
    Chosen(Option<Duration>),
}

impl ConnectBuilder {
    /// With a limit of 64 KiB and whatever local address the system chooses.
    pub fn new() -> Self {
        Self {
            limit_bytes: DEFAULT_LIMIT_BYTES,
            local_addr: None,
            family: IpFamily::Any,
            delay: Delay::Usual,
            interleave: None,
        }
    }

    /// How many bytes may come before a separator; twice as many are read ahead. Must not be 0.
    pub fn limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// The address to connect from. Addresses of the other family are not tried.
    pub fn local_addr(mut self, local_addr: SocketAddr) -> Self {
        self.local_addr = Some(local_addr);
        self
    }

    /// Tries only addresses of one family.
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = family;
        self
    }

    /// How long an address may take before the next one is tried beside it, also for addresses that are given;
    /// `None` tries one after the other, also those of a name.
    pub fn happy_eyeballs_delay(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.delay = Delay::Chosen(delay.into());
        self
    }

    /// How many addresses of the first one's family are tried before both families take turns; 0 keeps the order
    /// as it is. The default is 1 where addresses are tried beside each other, and else 0.
    pub fn interleave(mut self, first_count: usize) -> Self {
        self.interleave = Some(first_count);
        self
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// As [`open_connection`]; `InvalidInput` for a limit of 0, or if no address is of the family that is wanted.
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed (rule S2).
    pub async fn open(&self, addr: impl ToSocketAddrs) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let (io, source) = self.connected(addr).await?;
        Ok(streams(Stream::new(io, source, self.limit_bytes, None)))
    }

    /// Opens a connection and gives its socket alone: nothing is read ahead, nothing is kept to be sent. The limit
    /// does not matter.
    ///
    /// # Errors
    /// As [`open_connection`]; `InvalidInput` if no address is of the family that is wanted.
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed (rule S2).
    pub async fn open_socket(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let (io, source) = self.connected(addr).await?;
        Ok(TcpStream::of(io, source))
    }

    async fn connected(&self, addr: impl ToSocketAddrs) -> io::Result<(IoHandle, SourceId)> {
        let io = current_io()?;
        let (addrs, delay) = self.candidates(resolve(addr).await?)?;
        let source = race(addrs, delay, |addr| connect(&io, addr, self.local_addr)).await?;
        Ok((io, source))
    }

    /// The addresses to be tried, in order, and how long each is given before the next one begins.
    fn candidates(&self, resolved: Resolved) -> io::Result<(Vec<SocketAddr>, Option<Duration>)> {
        let Resolved { mut addrs, by_name } = resolved;
        let is_v6 = match (self.local_addr, self.family) {
            (Some(local), IpFamily::Any) => Some(local.is_ipv6()),
            (None, IpFamily::Any) => None,
            (_, family) => Some(family == IpFamily::V6),
        };
        addrs.retain(|addr| is_v6.is_none_or(|is_v6| addr.is_ipv6() == is_v6));
        if addrs.is_empty() {
            let text = "no address is of the family that is wanted";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let delay = match self.delay {
            Delay::Chosen(delay) => delay,
            Delay::Usual => by_name.then_some(NAME_DELAY),
        };
        match self.interleave.unwrap_or(usize::from(delay.is_some())) {
            0 => Ok((addrs, delay)),
            first_count => Ok((interleave(addrs, first_count), delay)),
        }
    }

    /// Takes over a connection that was made elsewhere. It becomes non-blocking and gets `TCP_NODELAY`.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a limit of 0.
    pub fn adopt(&self, connected: net::TcpStream) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let io = current_io()?;
        let source = adopt(&io, connected.into(), SourceKind::Stream)?;
        Ok(streams(Stream::new(io, source, self.limit_bytes, None)))
    }
}

impl Default for ConnectBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// The two ends of a connection.
pub(super) fn streams(stream: Rc<Stream>) -> (StreamReader, StreamWriter) {
    (StreamReader::new(Rc::clone(&stream)), StreamWriter::new(stream))
}

/// Refuses a limit that nothing could be read with (rule S4).
pub(super) fn check_limit(limit_bytes: usize) -> io::Result<()> {
    if limit_bytes == 0 {
        let error = ValueError("a reader's limit must not be 0");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
    }
    Ok(())
}

/// Takes over a TCP socket, connected or listening, and gives it `TCP_NODELAY`.
pub(super) fn adopt(io: &IoHandle, descriptor: OwnedFd, kind: SourceKind) -> io::Result<SourceId> {
    let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
    let source = Opened { io, source, kept: false };
    io.set_option(source.source, SocketOption::NoDelay(true))?;
    Ok(source.keep())
}

/// Opens one connection to one address.
async fn connect(
    io: &IoHandle,
    addr: SocketAddr,
    local: Option<SocketAddr>,
) -> io::Result<SourceId> {
    let source = io.open(SourceSpec::Connect { addr, local })?;
    let source = Opened { io, source, kept: false };
    match run_op(io, Op::Connected { source: source.source }, WaitKind::Connect).await {
        Outcome::Connected => Ok(source.keep()),
        Outcome::Failed(error, _) => {
            Err(io::Error::new(error.kind(), format!("cannot connect to {addr}: {error}")))
        }
        _ => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// A source that is closed unless it is kept: its connection is half made.
struct Opened<'io> {
    io: &'io IoHandle,
    source: SourceId,
    kept: bool,
}

impl Opened<'_> {
    fn keep(mut self) -> SourceId {
        self.kept = true;
        self.source
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.io.close(self.source);
        }
    }
}
