//! TCP connections that we open.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use super::resolve::{ToSocketAddrs, resolve};
use crate::driver::{Op, Outcome, SocketOption, SourceId, SourceKind, SourceSpec};
use crate::error::ValueError;
use crate::executor::{IoHandle, current_io};
use crate::io::one_op::run_op;
use crate::io::stream::{DEFAULT_LIMIT_BYTES, Stream};
use crate::io::{StreamReader, StreamWriter};

/// Opens a TCP connection with `TCP_NODELAY` (rules S1, S3). Addresses are tried in the resolver's order.
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
}

impl ConnectBuilder {
    /// With a limit of 64 KiB and whatever local address the system chooses.
    pub fn new() -> Self {
        Self { limit_bytes: DEFAULT_LIMIT_BYTES, local_addr: None }
    }

    /// How many bytes may come before a separator; twice as many are read ahead. Must not be 0.
    pub fn limit_bytes(mut self, limit_bytes: usize) -> Self {
        self.limit_bytes = limit_bytes;
        self
    }

    /// The address to connect from.
    pub fn local_addr(mut self, local_addr: SocketAddr) -> Self {
        self.local_addr = Some(local_addr);
        self
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// As [`open_connection`]; `InvalidInput` for a limit of 0.
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed (rule S2).
    pub async fn open(&self, addr: impl ToSocketAddrs) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let io = current_io()?;
        let resolved = resolve(addr).await?;
        let mut failures = Vec::new();
        for addr in resolved.addrs {
            match connect(&io, addr, self.local_addr).await {
                Ok(source) => return Ok(streams(Stream::new(io, source, self.limit_bytes, None))),
                Err(error) => failures.push(error),
            }
        }
        Err(one_error(failures))
    }

    /// Takes over a connection that was made elsewhere. It becomes non-blocking and gets `TCP_NODELAY`.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a limit of 0.
    pub fn adopt(&self, connected: TcpStream) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let io = current_io()?;
        let descriptor = connected.into();
        let source = io.open(SourceSpec::Adopt { descriptor, kind: SourceKind::Stream })?;
        let source = Opened { io: &io, source, kept: false };
        io.set_option(source.source, SocketOption::NoDelay(true))?;
        let source = source.keep();
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

/// Opens one connection to one address.
async fn connect(
    io: &IoHandle,
    addr: SocketAddr,
    local: Option<SocketAddr>,
) -> io::Result<SourceId> {
    let source = io.open(SourceSpec::Connect { addr, local })?;
    let source = Opened { io, source, kept: false };
    match run_op(io, Op::Connected { source: source.source }).await {
        Outcome::Connected => Ok(source.keep()),
        Outcome::Failed(error, _) => {
            Err(io::Error::new(error.kind(), format!("cannot connect to {addr}: {error}")))
        }
        _ => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// All that failed, as one error of the kind of the last.
fn one_error(mut failures: Vec<io::Error>) -> io::Error {
    let Some(last) = failures.pop() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no address was given");
    };
    if failures.is_empty() {
        return last;
    }
    let texts: Vec<String> = failures.iter().chain([&last]).map(io::Error::to_string).collect();
    io::Error::new(last.kind(), texts.join("; "))
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
