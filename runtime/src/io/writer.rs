//! The writing end of a connection.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::lines::Line;
use super::stream::{PolledPlace, Stream};
use crate::driver::{End, PeerCredentials, SocketOption};
use crate::error::{Error, Result};
use crate::executor::yield_now;
use crate::util::watermark::Watermarks;

mod polling;

/// Writes to a connection. Clones write to the same connection; dropping the last one closes it.
///
/// [`write`](Self::write) never waits: it appends, and what a turn of the loop wrote leaves at its end with
/// one system call, or at once when more than the high water mark is waiting. Nobody has to flush. A writer
/// of much data awaits [`drain`](Self::drain) now and then, so that a slow peer slows it down instead of
/// filling the memory. For a peer that does not read under a writer that does not drain there is
/// [a bound](Self::set_write_buffer_bound).
///
/// Bytes arrive in the order of the calls (rule S83). A connection ends with its loop: what a writer that
/// is still there writes is thrown away, and what waits fails with `ConnectionAborted`.
pub struct StreamWriter {
    stream: Rc<Stream>,
    /// Where the last `poll_…` that had to wait does so.
    polled: PolledPlace,
}

impl StreamWriter {
    pub(crate) fn new(stream: Rc<Stream>) -> Self {
        stream.add_writer();
        Self { stream, polled: PolledPlace::default() }
    }

    /// Appends bytes (rule S70). After [`close`](Self::close), or when the connection is gone, they are
    /// thrown away; a lost connection shows in [`drain`](Self::drain), [`wait_closed`](Self::wait_closed) and
    /// the reader (rules S76, S81).
    ///
    /// # Errors
    /// Runtime after [`write_eof`](Self::write_eof).
    #[inline]
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write(bytes.as_ref())
    }

    /// Appends what `write!` and `writeln!` make of their arguments, without a string in between.
    ///
    /// ```
    /// # corelane::run(async || {
    /// # let answer = async |_reader, writer: corelane::StreamWriter| {
    /// let items = ["a", "b"];
    /// writeln!(writer, "{} items: {items:?}", items.len())?;
    /// # Ok(())
    /// # };
    /// # let server = corelane::start_server(answer, "127.0.0.1:0").await?;
    /// # let (mut reader, _writer) = corelane::open_connection(server.local_addrs()[0]).await?;
    /// # assert_eq!(reader.read_to_end().await?, "2 items: [\"a\", \"b\"]\n");
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`with_buffer`](Self::with_buffer); [`fmt::Error`] if an argument has given it, and then nothing is
    /// appended.
    pub fn write_fmt(&self, text: fmt::Arguments<'_>) -> Result<()> {
        self.with_buffer(|buffer| {
            let start = buffer.len();
            fmt::Write::write_fmt(buffer, text).inspect_err(|_| buffer.truncate(start))
        })?
        .map_err(Error::from)
    }

    /// Appends bytes that may be shared: many are sent from where they are, few are copied.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_bytes(&self, bytes: Bytes) -> Result<()> {
        self.stream.write_shared(bytes)
    }

    /// Appends several slices one after the other, as one [`write`](Self::write) of all of them would. Shared
    /// slices that are large go by [`write_bytes`](Self::write_bytes) without a copy; either way what a turn
    /// wrote leaves by one gathering system call.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_lines(&self, slices: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<()> {
        slices.into_iter().try_for_each(|slice| self.write(slice))
    }

    /// Appends several slices as one. Where nothing waits to be sent and they are more than 2 KiB, they leave now, by
    /// one gathering system call and without a copy; what the system does not take is copied, as few bytes are.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, slices: &[IoSlice<'_>]) -> Result<()> {
        self.stream.write_vectored(slices)
    }

    /// Lets `append` write into the send buffer, without a copy in between. Bytes that are in it already were
    /// written before: leave them there.
    ///
    /// # Errors
    /// As [`write`](Self::write); also if `append` itself writes to this connection.
    pub fn with_buffer<R>(&self, append: impl FnOnce(&mut BytesMut) -> R) -> Result<R> {
        self.stream.write_in_place(append)
    }

    /// Waits until few enough bytes are left to send: not at all below the high water mark, else until the
    /// low one (rules S71, S72).
    ///
    /// # Errors
    /// What ended the connection; `ConnectionReset` if it is gone without an error. A wait that is going on
    /// when the connection is closed without an error ends without one (rule S73).
    ///
    /// # Cancel safety
    /// Safe: what was written stays written, and other tasks that drain go on waiting (rule S84).
    pub fn drain(&self) -> impl Future<Output = io::Result<()>> {
        Drain { writer: self, waiting: None }
    }

    async fn drain_by_waiting(&self) -> io::Result<()> {
        self.stream.failure()?;
        if self.is_closing() {
            // So that a loop of write and drain notices the end (rule S74).
            yield_now().await;
        }
        if let Some(drained) = self.stream.drained() {
            return drained;
        }
        self.stream.wait(Line::Drained).await;
        self.stream.failure()
    }

    /// Half-closes the connection when everything is sent: the peer sees the end of the stream, and can still
    /// answer (rule S75). Twice is once.
    pub fn write_eof(&self) {
        self.stream.write_eof();
    }

    /// Whether a peer can be expected to go on after [`write_eof`](Self::write_eof): not one that speaks TLS.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        !self.stream.is_encrypted()
    }

    /// Closes the connection when everything is sent, however long the peer takes, as long as the loop runs; over
    /// TLS no longer than the shutdown timeout. Reading ends now (rules S76, S78). Twice is once.
    ///
    /// A loop that ends sends what the system takes at once and waits for no peer, as in asyncio: the rest is
    /// lost, and a warning says how much. Before `main` returns, await [`wait_closed`](Self::wait_closed).
    pub fn close(&self) {
        self.stream.close();
    }

    /// Closes the connection now. What was not sent is thrown away.
    pub fn abort(&self) {
        self.stream.abort();
    }

    /// Waits until the connection is gone (rule S77). Any number of tasks may wait, also afterwards.
    ///
    /// # Errors
    /// What ended the connection, if it was an error.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn wait_closed(&self) -> io::Result<()> {
        self.stream.wait(Line::Closed).await;
        self.stream.failure()
    }

    /// Whether the connection is closed, closing or lost.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.stream.is_closing()
    }

    /// Sets the water marks, in bytes. With only one given the other is a quarter of it or four times as
    /// much, with none they are 64 KiB and 16 KiB (rule S71). At a high mark of 0 every `drain` waits until
    /// everything is sent.
    ///
    /// # Errors
    /// Value, if the high mark is below the low one.
    pub fn set_write_buffer_limits(
        &self,
        high_bytes: Option<usize>,
        low_bytes: Option<usize>,
    ) -> Result<()> {
        let marks = Watermarks::new(high_bytes, low_bytes).map_err(Error::value)?;
        self.stream.set_marks(marks);
        Ok(())
    }

    /// How many bytes may wait to be sent before a further write ends the connection: 64 MiB unless told otherwise,
    /// rounded up to a power of two, and never below the high water mark. It is for peers that do not read, under
    /// writers that do not [`drain`](Self::drain): the reader, and who drains, get an error of the kind
    /// `QuotaExceeded`. One write may be as large as it likes.
    pub fn set_write_buffer_bound(&self, bytes: usize) {
        self.stream.set_bound_bytes(bytes);
    }

    /// How many bytes may wait to be sent before a further write ends the connection.
    #[must_use]
    pub fn write_buffer_bound(&self) -> usize {
        self.stream.bound_bytes()
    }

    /// The low and the high water mark, in bytes.
    #[must_use]
    pub fn write_buffer_limits(&self) -> (usize, usize) {
        let marks = self.stream.marks();
        (marks.low_bytes(), marks.high_bytes())
    }

    /// How many bytes were written and not sent.
    #[must_use]
    pub fn write_buffer_len(&self) -> usize {
        self.stream.unsent_bytes()
    }

    /// The connection.
    pub(crate) fn stream(&self) -> &Rc<Stream> {
        &self.stream
    }

    /// Whether small segments leave at once (`TCP_NODELAY`), as they do unless this says otherwise (rule S3).
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the connection is gone.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.stream.set_option(SocketOption::NoDelay(on))
    }

    /// Has the system probe a peer that has been silent for so long, in whole seconds; `None` never does. The
    /// connection of one that does not answer fails.
    ///
    /// # Errors
    /// As [`set_nodelay`](Self::set_nodelay).
    pub fn set_keepalive(&self, idle: Option<Duration>) -> io::Result<()> {
        self.stream.set_option(SocketOption::KeepAlive(idle))
    }

    /// With zero the end of the connection is a reset, which throws away what the system has not sent yet; with
    /// `None`, the default, the system goes on sending in the background. Other times are refused: the loop
    /// would have to wait for them.
    ///
    /// # Errors
    /// As [`set_nodelay`](Self::set_nodelay); `InvalidInput` for another time than zero.
    pub fn set_linger(&self, limit: Option<Duration>) -> io::Result<()> {
        self.stream.set_option(SocketOption::linger(limit)?)
    }

    /// The size of the system's send buffer. The system may round it.
    ///
    /// # Errors
    /// As [`set_nodelay`](Self::set_nodelay).
    pub fn set_send_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
        self.stream.set_option(SocketOption::SendBufferBytes(bytes))
    }

    /// The size of the system's receive buffer. The system may round it.
    ///
    /// # Errors
    /// As [`set_nodelay`](Self::set_nodelay).
    pub fn set_receive_buffer_bytes(&self, bytes: usize) -> io::Result<()> {
        self.stream.set_option(SocketOption::ReceiveBufferBytes(bytes))
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    /// As [`set_nodelay`](Self::set_nodelay).
    pub fn set_time_to_live(&self, router_count: u8) -> io::Result<()> {
        self.stream.set_option(SocketOption::TimeToLive(router_count))
    }

    /// Lets `look` have the socket: for options that have no method here, and for what other crates ask of a
    /// descriptor. It is a second descriptor of the same socket, closed when `look` returns. Bytes that are read or
    /// written by it go past the reader and this writer.
    ///
    /// ```
    /// # corelane::run(async || {
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let (_reader, writer) = corelane::open_connection(listener.local_addr()?).await?;
    /// writer.with_socket(|socket| rustix::net::sockopt::set_ip_tos(socket, 0x10))??;
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What the system says, out of descriptors for instance; `NotConnected` when the connection is gone,
    /// `Unsupported` in a simulation.
    pub fn with_socket<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> R) -> io::Result<R> {
        let socket = self.stream.share()?;
        Ok(look(socket.as_fd()))
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the connection is gone, `Unsupported` if it is a Unix socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the connection is gone, `Unsupported` if it is a Unix socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The Unix address of the other end; unnamed, as a client's is, if nobody gave it one.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the connection is gone, `Unsupported` if it is no Unix socket.
    pub fn unix_peer_addr(&self) -> io::Result<UnixAddr> {
        self.stream.unix_addr(End::Peer)
    }

    /// The Unix address of this end.
    ///
    /// # Errors
    /// As [`unix_peer_addr`](Self::unix_peer_addr).
    pub fn unix_local_addr(&self) -> io::Result<UnixAddr> {
        self.stream.unix_addr(End::Local)
    }

    /// Which process is at the other end of a Unix socket, and whose it is.
    ///
    /// # Errors
    /// As [`unix_peer_addr`](Self::unix_peer_addr).
    pub fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        self.stream.peer_credentials()
    }
}

/// The future of [`StreamWriter::drain`]. Few ever wait, and every task that drains holds room for it, so what
/// waits is in a box.
struct Drain<'w> {
    writer: &'w StreamWriter,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + 'w>>>,
}

impl Future for Drain<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writer = self.writer;
        if self.waiting.is_none() && writer.stream.is_flowing() {
            return Poll::Ready(Ok(()));
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(writer.drain_by_waiting()));
        waiting.as_mut().poll(context)
    }
}

impl Clone for StreamWriter {
    fn clone(&self) -> Self {
        Self::new(Rc::clone(&self.stream))
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.polled.leave(&self.stream);
        self.stream.drop_writer();
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("unsent_bytes", &self.write_buffer_len())
            .field("is_closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
