//! A listening socket of a server: where it listens, and what becomes of its file.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::SocketAddr as UnixAddr;

use crate::driver::{OpId, SourceId};
use crate::executor::{Alarm, IoHandle};
use crate::net::unix::SocketFile;

/// A listening socket and its accept loop.
pub(super) struct Listener {
    pub(super) source: SourceId,
    pub(super) addr: ListenAddr,
    /// Somebody else made it and may go on with it.
    is_adopted: bool,
    /// Once it serves.
    pub(super) op: Option<OpId>,
    pub(super) state: Accepting,
    /// Ends its rest when the system had no descriptor left.
    pub(super) alarm: Option<Alarm>,
}

/// Where a listener listens.
pub(super) enum ListenAddr {
    Internet(SocketAddr),
    /// With the file that is removed when the server is closed.
    Unix(UnixAddr, Option<SocketFile>),
}

/// What an accept loop is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepting {
    /// It has not begun.
    Idle,
    InFlight,
    /// As many connections as allowed.
    Full,
    /// Others have their turn, or the system has no descriptor left.
    Resting,
}

impl Listener {
    pub(super) fn internet_addr(&self) -> Option<SocketAddr> {
        match self.addr {
            ListenAddr::Internet(addr) => Some(addr),
            ListenAddr::Unix(..) => None,
        }
    }

    pub(super) fn unix_addr(&self) -> Option<UnixAddr> {
        match &self.addr {
            ListenAddr::Internet(_) => None,
            ListenAddr::Unix(addr, _) => Some(addr.clone()),
        }
    }

    /// Stops listening, and removes the file if there is one and it is still ours.
    pub(super) fn close(self, io: &IoHandle) {
        // The file first: as long as the socket lives nobody else's file can have its number.
        if let ListenAddr::Unix(_, Some(file)) = self.addr {
            file.remove();
        }
        if let Some(op) = self.op {
            io.release(op);
        }
        stop_listening(io, self.source, self.is_adopted);
    }
}

/// Closes a listening socket. One that was made elsewhere may go on there.
pub(in crate::net) fn stop_listening(io: &IoHandle, source: SourceId, is_adopted: bool) {
    if !is_adopted {
        // A child process that has not executed its program yet has a copy of the socket, which would go on
        // listening. It fails for a socket that never listened.
        let _ = io.shutdown(source, Shutdown::Both);
    }
    io.close(source);
}

/// Listeners that are closed again if they do not become a server's.
pub(super) struct Unstarted {
    pub(super) io: IoHandle,
    pub(super) listeners: Vec<Listener>,
}

impl Unstarted {
    pub(super) fn new(io: IoHandle) -> Self {
        Self { io, listeners: Vec::new() }
    }

    /// Takes over a source that is bound; it is closed if `find_addr` cannot say where.
    pub(super) fn add(
        &mut self,
        source: SourceId,
        is_adopted: bool,
        find_addr: impl FnOnce(&IoHandle, SourceId) -> io::Result<ListenAddr>,
    ) -> io::Result<()> {
        match find_addr(&self.io, source) {
            Ok(addr) => {
                let (op, state, alarm) = (None, Accepting::Idle, None);
                self.listeners.push(Listener { source, addr, is_adopted, op, state, alarm });
                Ok(())
            }
            Err(error) => {
                self.io.close(source);
                Err(error)
            }
        }
    }

    pub(super) fn take(&mut self) -> Vec<Listener> {
        std::mem::take(&mut self.listeners)
    }
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        for listener in self.take() {
            listener.close(&self.io);
        }
    }
}
