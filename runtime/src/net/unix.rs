//! Connections over Unix sockets, and the files that those have (rules S100 to S103).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::path::Path;
use std::time::Duration;

pub(super) use self::file::{SocketFile, clear_stale};
use super::tcp::{ConnectBuilder, check_limit, streams};
use crate::driver::{SourceId, SourceKind, SourceSpec};
use crate::executor::{IoHandle, current_io};
use crate::io::stream::Stream;
use crate::io::{StreamReader, StreamWriter};
use crate::time::sleep;

mod file;

/// How long a connection waits when a listener's queue is full, at first …
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// … and at most, after twice as long each time.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Opens a connection to a Unix socket (rule S100). A path that begins with a NUL is an abstract name (rule
/// S103).
///
/// If the queue of the listener is full, it tries again until there is room; put a
/// [`timeout`](crate::timeout) around it if that may take too long.
///
/// # Errors
/// `NotFound` if there is no such file; `ConnectionRefused` if nobody listens on it; what else the system says,
/// with the path; `InvalidInput` for a path that is empty, too long or has a NUL inside.
///
/// # Cancel safety
/// Safe: nothing stays open.
pub async fn open_unix_connection(
    path: impl AsRef<Path>,
) -> io::Result<(StreamReader, StreamWriter)> {
    ConnectBuilder::new().open_unix(path).await
}

impl ConnectBuilder {
    /// Opens a connection to a Unix socket, with this builder's limit.
    ///
    /// # Errors
    /// As [`open_unix_connection`]; `InvalidInput` for a limit of 0.
    ///
    /// # Cancel safety
    /// Safe: nothing stays open.
    pub async fn open_unix(
        &self,
        path: impl AsRef<Path>,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let (io, source) = connected(path.as_ref()).await?;
        Ok(streams(Stream::new(io, source, self.limit_bytes, None)))
    }

    /// Takes over a connected Unix socket that was made elsewhere. It becomes non-blocking.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a limit of 0.
    pub fn adopt_unix(&self, connected: UnixStream) -> io::Result<(StreamReader, StreamWriter)> {
        check_limit(self.limit_bytes)?;
        let io = current_io()?;
        let (descriptor, kind) = (connected.into(), SourceKind::UnixStream);
        let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
        Ok(streams(Stream::new(io, source, self.limit_bytes, None)))
    }
}

/// Opens a connection to a Unix socket.
pub(super) async fn connected(path: &Path) -> io::Result<(IoHandle, SourceId)> {
    let io = current_io()?;
    let source = connect(&io, unix_addr(path)?).await?;
    Ok((io, source))
}

/// A connection to a Unix socket is made at once, unless the listener's queue is full. Then the system does not
/// tell when there is room again, so all that can be done is to try.
async fn connect(io: &IoHandle, addr: UnixAddr) -> io::Result<SourceId> {
    let mut wait = FIRST_WAIT;
    loop {
        match io.open(SourceSpec::ConnectUnix { addr: addr.clone() }) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(wait).await,
            opened => return opened,
        }
        wait = LONGEST_WAIT.min(wait * 2);
    }
}

/// A path as an address: one that begins with a NUL is an abstract name.
pub(super) fn unix_addr(path: &Path) -> io::Result<UnixAddr> {
    match path.as_os_str().as_bytes() {
        [] => Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty path is no address")),
        [0, name @ ..] => UnixAddr::from_abstract_name(name),
        _ => UnixAddr::from_pathname(path),
    }
}
