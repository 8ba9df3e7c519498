//! The driver on the system's sockets: epoll through mio.
//!
//! ```text
//!  start(Read) ── readable? ── yes ─▶ recv ──▶ Done
//!                    │no                 └ nothing there: clear the bit ─┐
//!                    └──────▶ parked in the source's slot ◀──────────────┘
//!                                   │
//!  turn: epoll_wait ─ event ─▶ set the bits ─▶ try what is parked ─▶ completion
//! ```
//!
//! Every source is registered once, edge-triggered and for both directions. An edge is told once, so a
//! readiness bit stays until an attempt finds nothing, or until a short read of a TCP socket shows the
//! same for the price of no further call; a read that ends with such a piece stays where it is for the
//! next event. A warm request costs one `recv`, one `send` and its share of one `epoll_wait`. After an accept the
//! listener is looked at by `poll`, which costs a tenth of an accept that finds nobody.
//!
//! Deadlines go through a timerfd: `epoll_wait` counts in milliseconds. It is set only when it is not
//! set to an earlier moment already, so a deadline that moves away with each request (a time-out) costs
//! one early wake-up in the end and no system call a turn.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::driver::op::{Completion, Op, OpId, Outcome, Outgoing, Started, Unsent};
use crate::driver::source::{
    CpuSteering, End, PeerCredentials, SocketOption, SourceId, SourceKind, SourceSpec,
};
use crate::driver::{Driver, EVENTS_PER_TURN, Keep, Park};
use crate::util::instant::Instant;
use crate::util::slab::Key;
use crate::util::unpark::{Unpark, Unparker};

mod calls;
mod datagrams;
mod open;
mod slots;
mod steering;

use slots::{ReadEnd, Rooms, Slots, Source, WriteWork};

/// The eventfd that other threads ring. No source has it: no slot has the number `u32::MAX`.
const BELL: Token = Token(usize::MAX);
/// The timerfd.
const TIMER: Token = Token(usize::MAX - (1 << 32));

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "a token holds a whole source id");

/// The driver on epoll.
pub(crate) struct MioDriver {
    poll: Poll,
    events: Events,
    slots: Slots,
    rooms: Rooms,
    clock: calls::Clock,
    timer: OwnedFd,
    /// What the timer is set to, until it has gone off.
    armed: Option<Instant>,
    /// Ops that ended by `cancel` and `close`: their completions, for the next turn.
    ended: Vec<Completion>,
    bell: Arc<Bell>,
}

impl MioDriver {
    /// A driver whose time begins now.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let bell = Arc::new(Bell(Waker::new(poll.registry(), BELL)?));
        let timer = calls::timer()?;
        let timer_descriptor = timer.as_raw_fd();
        poll.registry().register(&mut SourceFd(&timer_descriptor), TIMER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            slots: Slots::default(),
            rooms: Rooms::new(),
            clock: calls::Clock::new(),
            timer,
            armed: None,
            ended: Vec::new(),
            bell,
        })
    }

    fn start_read(&mut self, id: OpId, source_id: SourceId, max_bytes: usize) -> Started {
        let Some(source) = self.slots.get_mut(source_id) else { return no_source(None) };
        assert!(!source.reads(), "a source has at most one read in flight");
        match source.try_read(&mut self.rooms, max_bytes) {
            Some(end) => Started::Done(finish_read(end, &mut self.slots, self.poll.registry())),
            None => {
                source.park_read(id, max_bytes);
                self.slots.note_parked(id, source_id);
                Started::Parked
            }
        }
    }

    fn start_write(&mut self, id: OpId, source_id: SourceId, work: WriteWork) -> Started {
        let Some(source) = self.slots.get_mut(source_id) else {
            return no_source(work.unsent());
        };
        assert!(!source.writes(), "a source has at most one write in flight");
        match source.try_write(work) {
            Ok(outcome) => Started::Done(outcome),
            Err(work) => {
                source.park_write(id, work);
                self.slots.note_parked(id, source_id);
                Started::Parked
            }
        }
    }

    /// How long to wait, having set the timer if a deadline needs it.
    fn timeout(&mut self, park: Park) -> io::Result<Option<Duration>> {
        let deadline = match park {
            _ if !self.ended.is_empty() => return Ok(Some(Duration::ZERO)),
            Park::No => return Ok(Some(Duration::ZERO)),
            Park::Forever => return Ok(None),
            Park::Until(deadline) => deadline,
        };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(None);
        }
        if deadline <= self.now() {
            return Ok(Some(Duration::ZERO));
        }
        calls::arm(self.timer.as_fd(), &self.clock, deadline)?;
        self.armed = Some(deadline);
        Ok(None)
    }

    /// Sets the bits that the events tell of and tries what waits for them.
    fn serve_events(&mut self, done: &mut Vec<Completion>) {
        let Self { poll, events, slots, rooms, armed, .. } = self;
        for event in events.iter() {
            match event.token() {
                BELL => {}
                TIMER => *armed = None,
                token => {
                    // An event of a source that was closed may still come if somebody else holds the
                    // same open file; its token is stale.
                    let Some(source) = slots.get_mut(source_id(token)) else { continue };
                    source.note(event);
                    if source.kind == SourceKind::Listener {
                        let Some((id, end)) = source.retry_accept() else { continue };
                        let outcome = finish_read(end, slots, poll.registry());
                        done.push(Completion { id, outcome });
                        continue;
                    }
                    source.retry_read(rooms, done);
                    if let Some(completion) = source.retry_write() {
                        done.push(completion);
                    }
                }
            }
        }
    }

    fn source(&self, id: SourceId) -> io::Result<&Source> {
        self.slots.get(id).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Driver for MioDriver {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn open(&mut self, spec: SourceSpec) -> io::Result<SourceId> {
        register(open::open(spec)?, &mut self.slots, self.poll.registry())
    }

    fn close(&mut self, id: SourceId) {
        let Some(mut source) = self.slots.remove(id) else { return };
        self.ended.extend(source.cancel(|_| true));
        if source.adopted {
            // Fails only if the descriptor was never registered, and it was.
            let descriptor = source.descriptor.as_raw_fd();
            let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor));
        }
    }

    fn start(&mut self, id: OpId, op: Op) -> Started {
        match op {
            Op::Read { source, max_bytes } => {
                assert!(max_bytes > 0, "a read of nothing cannot be told from the end");
                self.start_read(id, source, max_bytes)
            }
            Op::Accept { source } | Op::Watch { source } | Op::Readable { source } => {
                self.start_read(id, source, 0)
            }
            Op::Writable { source } => self.start_write(id, source, WriteWork::Room),
            Op::Write { source, data } => {
                self.start_write(id, source, WriteWork::Send { data, sent: 0 })
            }
            Op::ReceiveFrom { source } => self.start_read(id, source, 0),
            Op::SendTo { source, datagram } => {
                self.start_write(id, source, WriteWork::SendTo(datagram))
            }
            Op::Connected { source } => self.start_write(id, source, WriteWork::Connect),
        }
    }

    fn try_send(&mut self, source: SourceId, bytes: &[u8]) -> io::Result<usize> {
        let source = self.slots.get_mut(source).ok_or(io::ErrorKind::NotConnected)?;
        debug_assert!(!source.sends(), "bytes would overtake the write in flight");
        Ok(source.try_send(bytes)?)
    }

    fn try_send_vectored(&mut self, source: SourceId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.slots.get_mut(source).ok_or(io::ErrorKind::NotConnected)?;
        debug_assert!(!source.sends(), "bytes would overtake the write in flight");
        Ok(source.try_send_vectored(slices)?)
    }

    fn try_receive(
        &mut self,
        source: SourceId,
        into: &mut [u8],
        keep: Keep,
    ) -> io::Result<Option<usize>> {
        debug_assert!(!into.is_empty(), "a receive of nothing cannot be told from the end");
        let source = self.slots.get_mut(source).ok_or(io::ErrorKind::NotConnected)?;
        debug_assert!(!source.receives(), "bytes would overtake the read in flight");
        Ok(source.try_receive(into, keep)?)
    }

    fn share(&self, source: SourceId) -> io::Result<OwnedFd> {
        self.source(source)?.descriptor.try_clone()
    }

    fn forget_room(&mut self, source: SourceId) {
        if let Some(source) = self.slots.get_mut(source) {
            source.writable = false;
        }
    }

    fn found_room(&mut self, source: SourceId) {
        if let Some(source) = self.slots.get_mut(source) {
            source.writable = true;
        }
    }

    fn take(&mut self, id: SourceId) -> io::Result<OwnedFd> {
        let mut source = self.slots.remove(id).ok_or(io::ErrorKind::NotConnected)?;
        self.ended.extend(source.cancel(|_| true));
        let descriptor = source.descriptor.as_raw_fd();
        // Fails only if it was never registered, as a file on a disk is not.
        let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor));
        Ok(source.descriptor)
    }

    fn try_send_to(
        &mut self,
        source: SourceId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<bool> {
        let source = self.slots.get_mut(source).ok_or(io::ErrorKind::NotConnected)?;
        debug_assert!(!source.writes(), "a datagram would overtake the one in flight");
        Ok(source.try_send_to(bytes, to)?)
    }

    fn try_send_batch(
        &mut self,
        source: SourceId,
        datagrams: &[Outgoing<'_>],
    ) -> io::Result<usize> {
        let source = self.slots.get_mut(source).ok_or(io::ErrorKind::NotConnected)?;
        debug_assert!(!source.sends(), "datagrams would overtake the one in flight");
        Ok(source.try_send_batch(datagrams)?)
    }

    fn set_peer(&mut self, source: SourceId, peer: SocketAddr) -> io::Result<()> {
        open::set_peer(&self.source(source)?.descriptor, peer)
    }

    fn cancel(&mut self, id: OpId) {
        if let Some(source) = self.slots.waits_at(id) {
            self.ended.extend(source.cancel(|parked| parked == id));
        }
    }

    fn turn(&mut self, park: Park, done: &mut Vec<Completion>) -> io::Result<()> {
        let timeout = self.timeout(park)?;
        done.append(&mut self.ended);
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => self.serve_events(done),
            // A signal: the caller looks at what it brought, and comes back.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn unparker(&self) -> Unparker {
        Unparker::new(self.bell.clone())
    }

    fn shutdown(&mut self, source: SourceId, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.source(source)?.descriptor, how)?)
    }

    fn local_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        open::local_addr(&self.source(source)?.descriptor)
    }

    fn peer_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        open::peer_addr(&self.source(source)?.descriptor)
    }

    fn unix_addr(&self, source: SourceId, end: End) -> io::Result<UnixAddr> {
        open::unix_addr(&self.source(source)?.descriptor, end)
    }

    fn peer_credentials(&self, source: SourceId) -> io::Result<PeerCredentials> {
        open::peer_credentials(&self.source(source)?.descriptor)
    }

    fn listen(&mut self, source: SourceId, backlog: u32) -> io::Result<()> {
        open::listen_later(&self.source(source)?.descriptor, backlog)
    }

    fn steer(&mut self, source: SourceId, steering: &CpuSteering) -> io::Result<()> {
        let program = steering::program(steering)?;
        calls::attach_steering(self.source(source)?.descriptor.as_fd(), &program)
    }

    fn set_option(&mut self, source: SourceId, option: SocketOption) -> io::Result<()> {
        open::set_option(&self.source(source)?.descriptor, option)
    }
}

/// Gives a source its slot and registers it there, once and for both directions.
fn register(source: Source, slots: &mut Slots, registry: &Registry) -> io::Result<SourceId> {
    let interest = match source.kind {
        SourceKind::Listener | SourceKind::Process => Interest::READABLE,
        SourceKind::Stream => Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY,
        SourceKind::UnixStream | SourceKind::Pipe | SourceKind::Datagrams => {
            Interest::READABLE | Interest::WRITABLE
        }
        // A pipe that has lost its reading end says so without being asked.
        SourceKind::PipeEnd => Interest::WRITABLE,
    };
    let (descriptor, kind) = (source.descriptor.as_raw_fd(), source.kind);
    let id = slots.insert(source);
    let registered = registry.register(&mut SourceFd(&descriptor), token(id), interest);
    match registered {
        Ok(()) => Ok(id),
        Err(error) if is_never_waited_for(kind, &error) => {
            slots.get_mut(id).into_iter().for_each(Source::never_waits);
            Ok(id)
        }
        Err(error) => {
            slots.remove(id);
            Err(error)
        }
    }
}

/// Files on a disk, and devices as `/dev/null`, cannot be waited for: they never keep anybody waiting.
fn is_never_waited_for(kind: SourceKind, error: &io::Error) -> bool {
    matches!(kind, SourceKind::Pipe | SourceKind::PipeEnd)
        && error.raw_os_error() == Some(libc::EPERM)
}

/// The outcome of a read or an accept; an accepted connection is registered first.
fn finish_read(end: ReadEnd, slots: &mut Slots, registry: &Registry) -> Outcome {
    match end {
        ReadEnd::Outcome(outcome) => outcome,
        ReadEnd::Accepted(descriptor, kind) => {
            match register(Source::new(descriptor, kind, false, true), slots, registry) {
                Ok(source) => Outcome::Accepted { source },
                Err(error) => Outcome::Failed(error, None),
            }
        }
    }
}

/// What an op on a stale source comes to.
fn no_source(unsent: Unsent) -> Started {
    Started::Done(Outcome::Failed(io::ErrorKind::NotConnected.into(), unsent))
}

fn token(id: SourceId) -> Token {
    Token(id.0.to_bits() as usize)
}

fn source_id(token: Token) -> SourceId {
    SourceId(Key::from_bits(token.0 as u64))
}

/// The eventfd that ends a wait. It lives as long as somebody may ring it, so a late ring writes into
/// nobody's file.
#[derive(Debug)]
struct Bell(Waker);

impl Unpark for Bell {
    fn unpark(&self) {
        // Fails only for a descriptor that is not an eventfd's, and ours is one.
        let _ = self.0.wake();
    }
}

#[cfg(test)]
mod tests;
