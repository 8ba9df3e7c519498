//! Connected sockets.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{self, SocketAddr};
use std::os::unix::net::{self as unix_net, SocketAddr as UnixAddr};
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::connection::Connection;
use super::halves::{SocketReader, SocketWriter};
use super::reclaim::{StreamsInUse, reclaim};
use crate::driver::{End, PeerCredentials, SocketOption, SourceId, SourceKind, SourceSpec};
use crate::executor::{IoHandle, current_io};
use crate::io::stream::{DEFAULT_LIMIT_BYTES, Stream};
use crate::io::{StreamReader, StreamWriter};
use crate::net::resolve::ToSocketAddrs;
use crate::net::tcp::{ConnectBuilder, adopt, check_limit, streams};
use crate::net::unix::connected;

/// A TCP connection as the system has it: bytes go between its buffers and the caller's, and nothing is read ahead.
///
/// [`open_connection`](crate::open_connection) is what most programs want: its reader finds lines and frames, its
/// writer never waits. This is for who counts every copy, passes the socket on, or peeks. It has `TCP_NODELAY`
/// until told otherwise. Dropping it closes the connection.
///
/// ```
/// # corelane::run(async || {
/// use corelane::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let mut server = listener.accept().await?;
/// client.write_all(b"ping").await?;
/// let mut question = [0; 16];
/// let count = server.read(&mut question).await?;
/// assert_eq!(&question[..count], b"ping");
/// // The rest of the conversation is in lines.
/// let (_reader, writer) = server.into_streams();
/// writer.write(b"pong\n")?;
/// let (mut reader, _writer) = client.into_streams();
/// assert_eq!(reader.read_line().await?, "pong\n");
/// # Ok(())
/// # }).unwrap();
/// ```
pub struct TcpStream {
    // First, so that it is gone when the writer asks whether it has to half-close.
    reader: SocketReader,
    writer: SocketWriter,
}

/// A Unix stream socket as the system has it: [`TcpStream`] says what that means, and
/// [`open_unix_connection`](crate::open_unix_connection) is what most programs want.
pub struct UnixStream {
    reader: SocketReader,
    writer: SocketWriter,
}

impl TcpStream {
    /// Opens a connection, as [`open_connection`](crate::open_connection) does;
    /// [`ConnectBuilder::open_socket`] has the options.
    ///
    /// # Errors
    /// As [`open_connection`](crate::open_connection).
    ///
    /// # Cancel safety
    /// Safe: a connection that is half made is closed.
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        ConnectBuilder::new().open_socket(addr).await
    }

    /// Takes over a connection that was made elsewhere. It becomes non-blocking and gets `TCP_NODELAY`.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn from_std(connected: net::TcpStream) -> io::Result<Self> {
        let io = current_io()?;
        let source = adopt(&io, connected.into(), SourceKind::Stream)?;
        Ok(Self::of(io, source))
    }

    /// Gives the connection away. It stays non-blocking until it is told otherwise.
    ///
    /// # Errors
    /// `NotConnected` when the loop has ended.
    pub fn into_std(self) -> io::Result<net::TcpStream> {
        let (io, source) = self.give_away();
        Ok(io.take(source)?.into())
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// What the system says, for instance that the peer has reset the connection.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let (io, source) = self.parts();
        io.peer_addr(source)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let (io, source) = self.parts();
        io.local_addr(source)
    }

    /// Whether small segments leave at once (`TCP_NODELAY`), as they do unless this says otherwise.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_option(SocketOption::NoDelay(on))
    }

    /// Has the system probe a peer that has been silent for so long, in whole seconds; `None` never does. The
    /// connection of one that does not answer fails.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::KeepAlive(idle))
    }

    /// With zero the end of the connection is a reset, which throws away what the system has not sent yet; with
    /// `None`, the default, the system goes on sending in the background.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for another time than zero: the loop would have to wait for it.
    pub fn set_linger(&self, limit: Option<Duration>) -> io::Result<()> {
        self.set_option(SocketOption::linger(limit)?)
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_time_to_live(&self, router_count: u8) -> io::Result<()> {
        self.set_option(SocketOption::TimeToLive(router_count))
    }
}

impl UnixStream {
    /// Opens a connection to a Unix socket, as [`open_unix_connection`](crate::open_unix_connection) does.
    ///
    /// # Errors
    /// As [`open_unix_connection`](crate::open_unix_connection).
    ///
    /// # Cancel safety
    /// Safe: nothing stays open.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let (io, source) = connected(path.as_ref()).await?;
        Ok(Self::of(io, source))
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = unix_net::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a connection that was made elsewhere. It becomes non-blocking.
    ///
    /// # Errors
    /// What the system says; Runtime, off a loop.
    pub fn from_std(connected: unix_net::UnixStream) -> io::Result<Self> {
        let io = current_io()?;
        let (descriptor, kind) = (connected.into(), SourceKind::UnixStream);
        let source = io.open(SourceSpec::Adopt { descriptor, kind })?;
        Ok(Self::of(io, source))
    }

    /// Gives the connection away. It stays non-blocking until it is told otherwise.
    ///
    /// # Errors
    /// `NotConnected` when the loop has ended.
    pub fn into_std(self) -> io::Result<unix_net::UnixStream> {
        let (io, source) = self.give_away();
        Ok(io.take(source)?.into())
    }

    /// The address of the other end; unnamed, as a client's is, if nobody gave it one.
    ///
    /// # Errors
    /// What the system says.
    pub fn peer_addr(&self) -> io::Result<UnixAddr> {
        let (io, source) = self.parts();
        io.unix_addr(source, End::Peer)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<UnixAddr> {
        let (io, source) = self.parts();
        io.unix_addr(source, End::Local)
    }

    /// Which process is at the other end, and whose it is.
    ///
    /// # Errors
    /// What the system says.
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        let (io, source) = self.parts();
        io.peer_credentials(source)
    }
}

/// What both are alike in. A type parameter would show in every signature of their users.
macro_rules! connected_socket {
    ($Stream:ident, $is_of_kind:expr) => {
        impl $Stream {
            pub(in crate::net) fn of(io: IoHandle, source: SourceId) -> Self {
                let connection = Connection::new(io, source);
                let reader = SocketReader { connection: Rc::clone(&connection) };
                Self { reader, writer: SocketWriter { connection } }
            }

            /// Reads what is there, at least one byte; 0 at the end of the stream, or if `into` is empty.
            ///
            /// # Errors
            /// What ended the connection; `ConnectionAborted` when the loop has ended.
            ///
            /// # Cancel safety
            /// Safe: no byte is taken before it returns.
            pub async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.reader.read(into).await
            }

            /// The same, and leaves the bytes where they are: see [`SocketReader::peek`].
            ///
            /// # Errors
            /// As [`read`](Self::read).
            ///
            /// # Cancel safety
            /// Safe: no byte is taken at all.
            pub async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
                self.reader.peek(into).await
            }

            /// Gives the system as many of `bytes` as it has room for, at least one unless there are none, and
            /// says how many those were.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            ///
            /// # Cancel safety
            /// Safe: no byte is sent before it returns.
            pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.writer.write(bytes).await
            }

            /// Gives the system all of `bytes`.
            ///
            /// # Errors
            /// As [`read`](Self::read). A part may have been sent.
            ///
            /// # Cancel safety
            /// A part may have been sent: see [`SocketWriter::write_all`].
            pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.writer.write_all(bytes).await
            }

            /// [`read`](Self::read) for who writes futures. The last task that polled is woken.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn poll_read(
                &mut self,
                context: &mut Context<'_>,
                into: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.reader.poll_read(context, into)
            }

            /// [`write`](Self::write) for who writes futures. The last task that polled is woken.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn poll_write(
                &mut self,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.writer.poll_write(context, bytes)
            }

            /// [`SocketWriter::write_vectored`] for who writes futures. The last task that polled is woken.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn poll_write_vectored(
                &mut self,
                context: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.writer.poll_write_vectored(context, slices)
            }

            /// Half-closes the connection: the peer sees the end of the stream after what was written, and this
            /// end reads on.
            ///
            /// # Errors
            /// What the system says.
            pub fn shutdown(&mut self) -> io::Result<()> {
                self.writer.shutdown()
            }

            /// Both halves, to be used by two futures at a time. They have what this type leaves out.
            pub fn split(&mut self) -> (&mut SocketReader, &mut SocketWriter) {
                (&mut self.reader, &mut self.writer)
            }

            /// Both halves for two tasks. The connection is closed with the second of them.
            #[must_use]
            pub fn into_split(self) -> (SocketReader, SocketWriter) {
                (self.reader, self.writer)
            }

            /// Goes on with a reader and a writer that have buffers; the reader's limit is 64 KiB.
            #[must_use]
            pub fn into_streams(self) -> (StreamReader, StreamWriter) {
                let (io, source) = self.give_away();
                streams(Stream::new(io, source, DEFAULT_LIMIT_BYTES, None))
            }

            /// The same with another limit: how many bytes may come before a separator.
            ///
            /// # Errors
            /// `InvalidInput` for a limit of 0.
            pub fn into_streams_with(
                self,
                limit_bytes: usize,
            ) -> io::Result<(StreamReader, StreamWriter)> {
                check_limit(limit_bytes)?;
                let (io, source) = self.give_away();
                Ok(streams(Stream::new(io, source, limit_bytes, None)))
            }

            /// The way back from [`into_streams`](Self::into_streams), for a connection on which something else is
            /// spoken from now on. Nothing may be in the buffers then: what has come is to be read
            /// ([`read_more`](StreamReader::read_more) waits for it), what was written to be sent,
            /// which is tried once more ([`poll_flush`](StreamWriter::poll_flush) waits for it). A server that has accepted the connection
            /// counts it as gone. An end that the peer has sent, or was told of, stays.
            ///
            /// ```
            /// # async fn example() -> corelane::Result<()> {
            /// use corelane::TcpStream;
            ///
            /// let (mut reader, writer) = corelane::open_connection("localhost:7000").await?;
            /// writer.write(b"upgrade\n")?;
            /// assert_eq!(reader.read_line().await?, "ok\n");
            /// let socket = TcpStream::from_streams(reader, writer).map_err(std::io::Error::from)?;
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Errors
            /// Both come back, with what is in the way.
            pub fn from_streams(
                reader: StreamReader,
                writer: StreamWriter,
            ) -> Result<Self, StreamsInUse> {
                let (io, source) = reclaim(reader, writer, $is_of_kind)?;
                Ok(Self::of(io, source))
            }

            /// The size of the system's send buffer. The system may round it.
            ///
            /// # Errors
            /// What the system says.
            pub fn set_send_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
                self.set_option(SocketOption::SendBufferBytes(bytes))
            }

            /// The size of the system's receive buffer. The system may round it.
            ///
            /// # Errors
            /// What the system says.
            pub fn set_receive_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
                self.set_option(SocketOption::ReceiveBufferBytes(bytes))
            }

            fn set_option(&self, option: SocketOption) -> io::Result<()> {
                let (io, source) = self.parts();
                io.set_option(source, option)
            }

            fn parts(&self) -> (&IoHandle, SourceId) {
                self.reader.connection.parts()
            }

            fn give_away(self) -> (IoHandle, SourceId) {
                self.reader.connection.give_away()
            }
        }

        impl fmt::Debug for $Stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Stream))
                    .field("local_addr", &self.local_addr().ok())
                    .field("peer_addr", &self.peer_addr().ok())
                    .finish_non_exhaustive()
            }
        }
    };
}

connected_socket!(TcpStream, |stream| stream.local_addr().is_ok());
connected_socket!(UnixStream, |stream| stream.unix_addr(End::Local).is_ok());
