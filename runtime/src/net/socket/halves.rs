//! One way of a connection each.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::connection::{Connection, Way};
use crate::driver::Keep;

/// The reading half of a [`TcpStream`](crate::TcpStream) or a [`UnixStream`](crate::UnixStream).
///
/// A task that always finds something to read lets others run now and then.
pub struct SocketReader {
    pub(super) connection: Rc<Connection>,
}

impl SocketReader {
    /// Reads what is there, at least one byte; 0 at the end of the stream, or if `into` is empty.
    ///
    /// # Errors
    /// What ended the connection; `ConnectionAborted` when the loop has ended.
    ///
    /// # Cancel safety
    /// Safe: no byte is taken before it returns.
    pub async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_read(context, into)).await
    }

    /// The same, and leaves the bytes where they are: the next read begins with them. What is there already
    /// does not make it wait, so it is of no use to wait for more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Safe: no byte is taken at all.
    pub async fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.connection.poll_read(context, into, Keep::Yes)).await
    }

    /// Reads what is there, if something is.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is, as far as the loop has heard; else as [`read`](Self::read).
    pub fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.connection.try_read(into, Keep::No)
    }

    /// Waits until [`try_read`](Self::try_read) may find something. It may find nothing after all.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn readable(&mut self) -> io::Result<()> {
        poll_fn(|context| self.connection.poll_ready(Way::In, context)).await
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
        self.connection.poll_read(context, into, Keep::No)
    }
}

/// The writing half of a [`TcpStream`](crate::TcpStream) or a [`UnixStream`](crate::UnixStream). Dropping it
/// half-closes the connection: the peer sees the end of the stream, and the other half reads on.
pub struct SocketWriter {
    pub(super) connection: Rc<Connection>,
}

impl SocketWriter {
    /// Gives the system as many of `bytes` as it has room for, at least one unless there are none, and says how
    /// many those were.
    ///
    /// # Errors
    /// What ended the connection; `ConnectionAborted` when the loop has ended.
    ///
    /// # Cancel safety
    /// Safe: no byte is sent before it returns.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write(context, bytes)).await
    }

    /// The same for bytes in pieces, which leave by one gathering call.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Safe: no byte is sent before it returns.
    pub async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|context| self.poll_write_vectored(context, slices)).await
    }

    /// Gives the system all of `bytes`.
    ///
    /// # Errors
    /// As [`write`](Self::write). A part may have been sent.
    ///
    /// # Cancel safety
    /// A part may have been sent. What must not be lost is written by [`write`](Self::write), or by a
    /// [`StreamWriter`](crate::StreamWriter), which keeps it.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = self.write(bytes).await?;
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// Gives the system what it has room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, as far as the loop has heard; else as [`write`](Self::write).
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.try_write(&[IoSlice::new(bytes)])
    }

    /// Waits until [`try_write`](Self::try_write) may find room. It may find none after all.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn writable(&mut self) -> io::Result<()> {
        poll_fn(|context| self.connection.poll_ready(Way::Out, context)).await
    }

    /// [`write`](Self::write) for who writes futures. The last task that polled is woken.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// [`write_vectored`](Self::write_vectored) for who writes futures. The last task that polled is woken.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.poll_write(context, slices)
    }

    /// Half-closes the connection: the peer sees the end of the stream after what was written. Writing fails
    /// from here on.
    ///
    /// # Errors
    /// What the system says; `NotConnected` when the peer has reset the connection.
    pub fn shutdown(&mut self) -> io::Result<()> {
        let (io, source) = self.connection.parts();
        io.shutdown(source, Shutdown::Write)
    }
}

impl Drop for SocketWriter {
    fn drop(&mut self) {
        // Without a reader the socket is closed just now, which tells the peer the same.
        if Rc::strong_count(&self.connection) > 1 {
            // Fails when the connection is gone: then there is nobody to be told.
            let _ = self.shutdown();
        }
    }
}

impl fmt::Debug for SocketReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketReader").finish_non_exhaustive()
    }
}

impl fmt::Debug for SocketWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketWriter").finish_non_exhaustive()
    }
}
