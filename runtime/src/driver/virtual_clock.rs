//! A driver without sockets whose clock jumps: a test of a one-hour timeout takes a microsecond.
//!
//! When the loop would wait until a deadline, nothing else can happen before it, so time moves there at
//! once. When the loop would wait for ever, only another thread can help, and the driver really waits.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::driver::op::{Completion, Op, OpId, Outcome, Started};
use crate::driver::source::{
    CpuSteering, End, PeerCredentials, SocketOption, SourceId, SourceSpec,
};
use crate::driver::{Driver, Keep, Park};
use crate::util::instant::Instant;
use crate::util::unpark::{Unpark, Unparker};

/// The virtual clock. It starts at [`Instant::ZERO`].
#[derive(Debug, Default)]
pub(crate) struct VirtualClock {
    now: Instant,
    bell: Arc<Bell>,
}

impl Driver for VirtualClock {
    fn now(&self) -> Instant {
        self.now
    }

    fn open(&mut self, _spec: SourceSpec) -> io::Result<SourceId> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the virtual clock has no sockets"))
    }

    fn close(&mut self, _source: SourceId) {}

    fn start(&mut self, _id: OpId, op: Op) -> Started {
        let error = io::ErrorKind::NotConnected.into();
        Started::Done(Outcome::Failed(error, op.unsent()))
    }

    fn try_send(&mut self, _source: SourceId, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn try_send_vectored(
        &mut self,
        _source: SourceId,
        _slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn try_receive(
        &mut self,
        _source: SourceId,
        _into: &mut [u8],
        _keep: Keep,
    ) -> io::Result<Option<usize>> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn share(&self, _source: SourceId) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn forget_room(&mut self, _source: SourceId) {}

    fn found_room(&mut self, _source: SourceId) {}

    fn take(&mut self, _source: SourceId) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn try_send_to(
        &mut self,
        _source: SourceId,
        _bytes: &[u8],
        _to: Option<SocketAddr>,
    ) -> io::Result<bool> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn set_peer(&mut self, _source: SourceId, _peer: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn cancel(&mut self, _id: OpId) {}

    fn turn(&mut self, park: Park, _done: &mut Vec<Completion>) -> io::Result<()> {
        match park {
            Park::No => {}
            // Who unparked has something to say at the present time, so time does not move.
            Park::Until(_) if self.bell.take() => {}
            Park::Until(deadline) => self.now = self.now.max(deadline),
            Park::Forever => self.bell.wait(),
        }
        Ok(())
    }

    fn unparker(&self) -> Unparker {
        Unparker::new(self.bell.clone())
    }

    fn shutdown(&mut self, _source: SourceId, _how: Shutdown) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn local_addr(&self, _source: SourceId) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn peer_addr(&self, _source: SourceId) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn unix_addr(&self, _source: SourceId, _end: End) -> io::Result<UnixAddr> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn peer_credentials(&self, _source: SourceId) -> io::Result<PeerCredentials> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn listen(&mut self, _source: SourceId, _backlog: u32) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn steer(&mut self, _source: SourceId, _steering: &CpuSteering) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn set_option(&mut self, _source: SourceId, _option: SocketOption) -> io::Result<()> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn advance(&mut self, duration: Duration) -> bool {
        self.now += duration;
        true
    }
}

/// What other threads ring. It remembers one ring.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Whether it was rung since the last look.
    fn take(&self) -> bool {
        std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until it has been rung since the last look.
    fn wait(&self) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = self.heard.wait_while(rung, |rung| !*rung);
        *rung.unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl Unpark for Bell {
    fn unpark(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_one();
    }
}
