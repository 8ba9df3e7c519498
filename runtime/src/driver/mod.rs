//! The seam between a loop and the system it does its I/O on.
//!
//! A loop speaks to its backend in *ops*: owned requests that go down and come back as completions. What
//! is above this seam knows no descriptor, no readiness and no system call, so a backend can be epoll, a
//! completion ring, or a simulated network, and nothing above changes.
//!
//! ```text
//!   loop ── start(id, op) ──▶ driver          loop ◀── Started::Done(outcome)   (did not wait)
//!   loop ── turn(park) ─────▶ driver          loop ◀── Completion { id, outcome }  (waited)
//! ```
//!
//! The contract, kept by every driver and relied on by every loop:
//!
//! 1. Every started op that was not `Done` MUST end exactly once, also after `cancel` and `close`, and only
//!    from `turn`. A read MAY bring pieces before its end, each an `Outcome::Read`.
//! 2. From `start` to completion the driver MUST own the op's bytes. An op holds no borrowed pointer. The
//!    bytes of a write MUST come back with its outcome, whichever it is: to drop them may run foreign code.
//! 3. `Op::Read` carries no buffer: the driver MUST take one only when bytes are there, so that a
//!    connection on which nothing happens holds none.
//! 4. The caller MUST NOT start a read (or accept) while one of the same source is in flight, nor a write
//!    (or connect). A driver may panic if it does.
//! 5. A driver MUST NOT call wakers, tasks or any other foreign code.
//! 6. An outcome MUST NOT be `WouldBlock` or `Interrupted`: a driver waits, or tries again.
//! 7. `turn` MAY return early, and with nothing. With completions in hand it MUST NOT wait.
//! 8. `now` MUST NOT go back.
//! 9. A bounded number of completions comes from one turn ([`EVENTS_PER_TURN`] sources at most, two each,
//!    and those cancelled), because each read holds a buffer until its owner has taken it.
//! 10. After [`Unparker::unpark`] the turn that waits, or else the next one that would, MUST return.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::util::chance::Chance;
use crate::util::instant::Instant;
use crate::util::unpark::Unparker;

pub(crate) mod buf;
mod mio;
pub(crate) mod op;
#[cfg(feature = "sim")]
pub(crate) mod sim;
pub(crate) mod source;
mod virtual_clock;

#[cfg(test)]
mod conformance;

pub(crate) use buf::Buf;
pub(crate) use op::{
    Addressed, Completion, Datagram, Op, OpId, Outcome, Outgoing, Started, WriteData,
};
pub use source::{CpuSteering, PeerCredentials};
pub(crate) use source::{End, SocketOption, SourceId, SourceKind, SourceSpec};

/// The most sources that one turn serves. A thousand ready connections must not hold a thousand buffers.
pub(crate) const EVENTS_PER_TURN: usize = 256;

/// The most datagrams that one op brings, and that one call sends.
pub(crate) const DATAGRAM_BATCH_COUNT: usize = 32;

/// How long a turn of the driver may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Park {
    /// Not at all: it only looks.
    No,
    /// Until something happens, but no longer than this.
    Until(Instant),
    /// Until something happens.
    Forever,
}

/// What becomes of bytes that are received at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They are taken.
    No,
    /// They stay and are received again (`MSG_PEEK`).
    Yes,
}

/// What a loop asks of its I/O backend. One per loop; it never leaves the loop's thread.
pub(crate) trait Driver {
    /// Time in this driver's world, read anew at each call.
    fn now(&self) -> Instant;

    /// Creates or adopts a source.
    ///
    /// # Errors
    /// What the system says; for an address, the message names it.
    fn open(&mut self, spec: SourceSpec) -> io::Result<SourceId>;

    /// Closes a source. Its unfinished ops complete as `Outcome::Cancelled`. A stale id does nothing.
    fn close(&mut self, source: SourceId);

    /// Starts an op. `Started::Done` if it needed no waiting, else a completion comes from `turn`. On a
    /// stale source the op fails with `NotConnected`.
    fn start(&mut self, id: OpId, op: Op) -> Started;

    /// Sends at once as much of `bytes` as needs no waiting, and says how much that was. Only for a source
    /// with no write in flight, but perhaps an `Op::Writable`: what is left then goes as `Op::Write`. A driver
    /// that cannot send from borrowed bytes says 0.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn try_send(&mut self, source: SourceId, bytes: &[u8]) -> io::Result<usize>;

    /// The same for several slices, by one gathering call; what is left after it may still need no waiting.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    fn try_send_vectored(&mut self, source: SourceId, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Receives at once into `into` what is there of a connection, 0 bytes at its end, and `None` if nothing is:
    /// then `Op::Readable` waits. Only for a source with no read in flight but such a one, and for an `into` that
    /// is not empty.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn try_receive(
        &mut self,
        source: SourceId,
        into: &mut [u8],
        keep: Keep,
    ) -> io::Result<Option<usize>>;

    /// A second descriptor of the same open file, for another thread to send on while no write is in flight
    /// here.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn share(&self, source: SourceId) -> io::Result<OwnedFd>;

    /// Somebody is about to send on a shared descriptor: that there is room for bytes is not known from now on,
    /// until an event or [`found_room`](Self::found_room) says so. A stale id does nothing.
    fn forget_room(&mut self, source: SourceId);

    /// Who sends on a shared descriptor was not refused, so there may be room. Who was refused says nothing: the
    /// event that tells of room may have come before the refusal was heard of here. A stale id does nothing.
    fn found_room(&mut self, source: SourceId);

    /// Closes a source and gives its descriptor away instead of closing that too.
    ///
    /// # Errors
    /// `NotConnected` for a stale source.
    fn take(&mut self, source: SourceId) -> io::Result<OwnedFd>;

    /// Sends a datagram at once, to the connected peer if none is named. False if that would wait: then it
    /// goes as `Op::SendTo`. Only for a source with no write in flight.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn try_send_to(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<bool>;

    /// Sends as many of `datagrams` at once as need no waiting, in their order, but no more than
    /// [`DATAGRAM_BATCH_COUNT`], and says how many those were. Only for a source with no write in flight, but
    /// perhaps an `Op::Writable`.
    ///
    /// # Errors
    /// As [`try_send_to`](Self::try_send_to), of the first one; a later one that is refused ends the batch.
    fn try_send_batch(
        &mut self,
        source: SourceId,
        datagrams: &[Outgoing<'_>],
    ) -> io::Result<usize> {
        // Without a call for many: one by one.
        for (count, datagram) in datagrams.iter().take(DATAGRAM_BATCH_COUNT).enumerate() {
            match self.try_send_to(source, datagram.bytes, datagram.to) {
                Ok(true) => {}
                Err(error) if count == 0 => return Err(error),
                Ok(false) | Err(_) => return Ok(count),
            }
        }
        Ok(datagrams.len().min(DATAGRAM_BATCH_COUNT))
    }

    /// Connects a UDP socket: it sends to this peer, and receives from no other.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn set_peer(&mut self, source: SourceId, peer: SocketAddr) -> io::Result<()>;

    /// Asks a parked op to end early. It still ends: as `Cancelled`, or as it would have. An id that is not
    /// in flight does nothing.
    fn cancel(&mut self, id: OpId);

    /// Submits what is queued, waits no longer than `park`, and appends what completed to `done`.
    ///
    /// # Errors
    /// What the system says when waiting itself fails; the loop cannot go on after that.
    fn turn(&mut self, park: Park, done: &mut Vec<Completion>) -> io::Result<()>;

    /// A handle that other threads use to end `turn` early.
    fn unparker(&self) -> Unparker;

    /// Shuts down one or both directions of a connection. Bytes of a write in flight may be lost.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn shutdown(&mut self, source: SourceId, how: Shutdown) -> io::Result<()>;

    /// The address a source is bound to.
    ///
    /// # Errors
    /// What the system says; `Unsupported` if the source has no internet address.
    fn local_addr(&self, source: SourceId) -> io::Result<SocketAddr>;

    /// The address of a connection's other end.
    ///
    /// # Errors
    /// As [`local_addr`](Self::local_addr).
    fn peer_addr(&self, source: SourceId) -> io::Result<SocketAddr>;

    /// The address of one end of a Unix socket; an end that nobody gave one is unnamed.
    ///
    /// # Errors
    /// What the system says; `Unsupported` for another kind of source.
    fn unix_addr(&self, source: SourceId, end: End) -> io::Result<UnixAddr>;

    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    /// As [`unix_addr`](Self::unix_addr).
    fn peer_credentials(&self, source: SourceId) -> io::Result<PeerCredentials>;

    /// Lets a listener that is only bound take connections, of which the system keeps `backlog` waiting.
    ///
    /// # Errors
    /// What the system says, for instance that another listener was faster; `NotConnected` for a stale
    /// source.
    fn listen(&mut self, source: SourceId, backlog: u32) -> io::Result<()>;

    /// Changes a property of a socket.
    ///
    /// # Errors
    /// What the system says; `NotConnected` for a stale source.
    fn set_option(&mut self, source: SourceId, option: SocketOption) -> io::Result<()>;

    /// Has the system choose between the listeners that share this one's address as `steering` says.
    ///
    /// # Errors
    /// What the system says, for instance that it has no packet filter; `NotConnected` for a stale source.
    fn steer(&mut self, source: SourceId, steering: &CpuSteering) -> io::Result<()>;

    /// Moves the clock forward, if it is one that can be moved, and says whether it was.
    fn advance(&mut self, _duration: Duration) -> bool {
        false
    }

    /// Who decides, in a simulation, what the system decides elsewhere.
    fn chance(&self) -> Option<Rc<dyn Chance>> {
        None
    }
}

/// Which backend a loop runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverKind {
    /// The system's sockets and clock, through mio.
    #[default]
    Mio,
    /// No sockets, and a clock that jumps to the next deadline whenever the loop would wait for it. For
    /// tests of anything that takes time.
    VirtualClock,
    /// A simulated net and clock. Only a [`Simulation`](crate::sim::Simulation) makes such a loop.
    #[cfg(feature = "sim")]
    Simulated,
}

impl DriverKind {
    /// What reports call it: by what it waits for sockets.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DriverKind::Mio => "epoll",
            DriverKind::VirtualClock => "virtual clock",
            #[cfg(feature = "sim")]
            DriverKind::Simulated => "simulation",
        }
    }
}

/// Makes a driver of the given kind.
///
/// # Errors
/// What the system says, for instance that the process has no descriptors left.
pub(crate) fn open(kind: DriverKind) -> io::Result<Box<dyn Driver>> {
    Ok(match kind {
        DriverKind::Mio => Box::new(mio::MioDriver::new()?),
        DriverKind::VirtualClock => Box::new(virtual_clock::VirtualClock::default()),
        #[cfg(feature = "sim")]
        DriverKind::Simulated => Box::new(sim::SimDriver::new()?),
    })
}
