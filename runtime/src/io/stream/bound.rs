//! The bound on what is kept for a peer that does not read.

use std::io;

use super::{Failure, Flow, Inner, Life, Stream};

impl Stream {
    /// Whether what is written is kept until it is sent.
    pub(super) fn takes(&self, inner: &Inner) -> bool {
        // Looked at only where writing is paused, so the usual write does not pay for it.
        let is_overfull =
            || inner.flow == Flow::Paused && inner.unsent_bytes() > self.bound_bytes();
        matches!(inner.life, Life::Open) && !is_overfull()
    }

    /// Ends an open connection for which too much is kept: whoever writes on and on without `drain` would fill the
    /// memory.
    #[cold]
    pub(super) fn cut_off_slow_peer(&self) {
        let is_open = matches!(self.inner.borrow().life, Life::Open);
        if is_open {
            self.lose(Some(Failure::Kind(io::ErrorKind::QuotaExceeded)));
        }
    }

    /// Says of a connection that ends with its loop what never left.
    #[cold]
    pub(super) fn tell_unsent(&self) {
        let (bytes, is_lost) = {
            let inner = self.inner.borrow();
            (inner.unsent_bytes(), matches!(inner.life, Life::Lost(_)))
        };
        if is_lost || bytes == 0 {
            return;
        }
        match self.peer_addr() {
            Ok(peer) => {
                __report!(WARN, "a connection to {peer} dropped with {bytes} bytes unsent");
            }
            Err(_) => __report!(WARN, "a connection dropped with {bytes} bytes unsent"),
        }
    }

    /// How many bytes may be kept before a write ends the connection.
    pub(crate) fn bound_bytes(&self) -> usize {
        1_usize.checked_shl(self.bound_power.get().into()).unwrap_or(usize::MAX)
    }

    /// The same, to be changed: rounded up to a power of two, which fits in what is spare of a connection.
    pub(crate) fn set_bound_bytes(&self, bytes: usize) {
        let power = bytes.checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros);
        self.bound_power.set(power as u8);
    }
}
