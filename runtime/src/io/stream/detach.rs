//! A connection that is had without its buffers again.

use std::rc::Rc;

use super::{Life, Sending, Stream, Way};
use crate::driver::SourceId;
use crate::executor::IoHandle;

/// Why a reader and a writer do not become a socket: see [`StreamsInUse`](crate::StreamsInUse).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InUse {
    /// They are not the two ends of one connection of this kind.
    Unrelated,
    /// The connection is closed, closing or lost.
    Closed,
    /// It speaks TLS: the socket alone would be of no use.
    Encrypted,
    /// The writer has clones, or somebody is sending a file.
    Shared,
    /// Bytes have come that nobody has read, or may just be coming.
    Unread,
    /// Bytes were written that the system does not have yet, or an end that the peer was not told of.
    Unsent,
}

impl Stream {
    /// Lets go of the source, which is the caller's from now on; for whoever has kept the stream, the connection is
    /// gone.
    pub(crate) fn detach(&self) -> Result<(IoHandle, SourceId), InUse> {
        self.end_with_loop();
        // What was written just now may go at once, and then nobody has to wait for the end of the turn.
        self.send_plainly(self.inner.borrow_mut());
        self.check_unused()?;
        self.end(None, false);
        Ok((Rc::clone(&self.io), self.source))
    }

    fn check_unused(&self) -> Result<(), InUse> {
        let inner = self.inner.borrow();
        if self.way != Way::Both {
            return Err(InUse::Unrelated);
        }
        if !matches!(inner.life, Life::Open) {
            return Err(InUse::Closed);
        }
        if inner.tls.is_some() {
            return Err(InUse::Encrypted);
        }
        if self.writer_count.get() > 1 || inner.is_held() || inner.lent {
            return Err(InUse::Shared);
        }
        // The read that is in flight may have brought something of which this stream was not told yet.
        let is_coming = inner.read_op.is_some_and(|op| self.io.may_have_come(op));
        if self.held_bytes.get() > 0 || !inner.incoming.is_empty() || is_coming {
            return Err(InUse::Unread);
        }
        if inner.unsent_bytes() > 0 || inner.sending == Sending::EofWanted {
            return Err(InUse::Unsent);
        }
        Ok(())
    }
}
