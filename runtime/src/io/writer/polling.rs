//! Writing for who writes futures, and for the traits of other crates.
//!
//! Each handle waits in one place, whichever of these calls it was that had to: the last one is woken.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use super::StreamWriter;

impl StreamWriter {
    /// Appends as many of `bytes` as there is room for and says how many those were, or waits while the high
    /// water mark is passed, as [`drain`](Self::drain) does. The buffer holds at most 16 KiB more than its
    /// high mark that way.
    ///
    /// # Errors
    /// What ended the connection; `BrokenPipe` when this end was closed or half-closed.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// The same for bytes in pieces, which leave together.
    ///
    /// # Errors
    /// As [`poll_write`](Self::poll_write).
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(slices, &mut self.polled, context)
    }

    /// [`drain`](Self::drain) for who writes futures: waits while the high water mark is passed.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_drained(&mut self.polled, context)
    }

    /// Sends what was written now, not only at the end of the turn, and waits until the system has all of it.
    ///
    /// # Errors
    /// What ended the connection.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_sent(&mut self.polled, context)
    }

    /// Half-closes the connection, as [`write_eof`](Self::write_eof) does, and waits until the system has
    /// everything that was written, the end included.
    ///
    /// # Errors
    /// What ended the connection.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_ended(&mut self.polled, context)
    }
}
