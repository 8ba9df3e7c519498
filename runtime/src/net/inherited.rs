//! Sockets that were open before the program began.

use std::fmt;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

/// Sockets that a service manager has opened and handed over: systemd's socket activation. The program starts
/// when the first connection comes, needs no right to open a low port, and can be replaced without refusing
/// anybody.
///
/// They are what the variables `LISTEN_FDS` and `LISTEN_PID` say, from descriptor 3 on; `LISTEN_FDNAMES` has a
/// name for each, which is the `FileDescriptorName=` of the socket's unit. Each can be taken once, and is closed when
/// the program executes another. What is not taken stays open.
///
/// ```no_run
/// use corelane::{Inherited, Server};
///
/// // In `main`, before there are other threads.
/// let mut inherited = Inherited::from_env();
/// let listener = match inherited.tcp_listener("http")? {
///     Some(listener) => listener,
///     None => std::net::TcpListener::bind("127.0.0.1:8080")?,
/// };
/// corelane::run(async move || {
///     let answer = async |_reader, writer: corelane::StreamWriter| writer.write(b"hello\n");
///     Server::builder().adopt(listener)?.start(answer)?.serve_forever().await
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// Other types take them over as well: [`TcpListener::from_std`](crate::TcpListener::from_std),
/// [`UdpSocket::from_std`](crate::UdpSocket::from_std). For shards, each adopts a `try_clone` of its own.
pub struct Inherited {
    sockets: ListenFd,
    names: Vec<String>,
}

impl Inherited {
    /// What this process was handed; nothing, if it was not started that way or the sockets are meant for
    /// another process. The variables are taken out of the environment, so that a child does not take them for its
    /// own and a second call finds nothing: call it at the beginning of `main`, as a change of the environment
    /// is no business of several threads.
    #[must_use]
    pub fn from_env() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let sockets = ListenFd::from_env();
        let mut names: Vec<_> = names.split(':').map(str::to_owned).collect();
        // What systemd calls a socket to which nobody gave a name.
        names.resize(sockets.len(), "unknown".to_owned());
        Self { sockets, names }
    }

    /// How many there were, taken or not.
    #[must_use]
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Their names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Takes the first listener of this name that was not taken yet; `None` if there is none.
    ///
    /// # Errors
    /// `InvalidInput`, if that is no TCP socket; it can still be taken for what it is.
    pub fn tcp_listener(&mut self, name: &str) -> io::Result<Option<TcpListener>> {
        self.take(name, ListenFd::take_tcp_listener)
    }

    /// The same of a Unix stream socket.
    ///
    /// # Errors
    /// `InvalidInput`, if it is something else.
    pub fn unix_listener(&mut self, name: &str) -> io::Result<Option<UnixListener>> {
        self.take(name, ListenFd::take_unix_listener)
    }

    /// The same of a UDP socket.
    ///
    /// # Errors
    /// `InvalidInput`, if it is something else.
    pub fn udp_socket(&mut self, name: &str) -> io::Result<Option<UdpSocket>> {
        self.take(name, ListenFd::take_udp_socket)
    }

    fn take<T>(
        &mut self,
        name: &str,
        take: impl Fn(&mut ListenFd, usize) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        for (number, _) in self.names.iter().enumerate().filter(|(_, named)| *named == name) {
            if let Some(socket) = take(&mut self.sockets, number)? {
                return Ok(Some(socket));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").field("names", &self.names).finish_non_exhaustive()
    }
}
