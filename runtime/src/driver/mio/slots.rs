//! What the driver knows of each source, in slots that are used again.
//!
//! Readiness is edge-triggered and remembered: an event sets a bit, and only an attempt that found
//! nothing clears it. A connection on which nothing happens costs its slot and no more.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use mio::event::Event;
use rustix::io::Errno;

use crate::driver::Keep;
use crate::driver::buf::{BUF_BYTES, Buf, BufPool};
use crate::driver::mio::calls::{self, DatagramRoom};
use crate::driver::op::{Addressed, Completion, OpId, Outcome, Unsent, WriteData};
use crate::driver::source::{SourceId, SourceKind};
use crate::util::slab::Slab;

/// All sources of a driver.
#[derive(Default)]
pub(super) struct Slots {
    sources: Slab<Source>,
    /// By op: the source that it was parked at last. Only a hint: the source knows what waits there.
    parked_at: Vec<SourceId>,
}

impl Slots {
    /// Finds room for a source.
    pub(super) fn insert(&mut self, source: Source) -> SourceId {
        SourceId(self.sources.insert(source))
    }

    /// Takes a source out; `None` if the id is stale.
    pub(super) fn remove(&mut self, id: SourceId) -> Option<Source> {
        self.sources.remove(id.0)
    }

    /// The source, unless the id is stale.
    pub(super) fn get_mut(&mut self, id: SourceId) -> Option<&mut Source> {
        self.sources.get_mut(id.0)
    }

    /// The source, unless the id is stale.
    pub(super) fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0)
    }

    /// Remembers where an op waits.
    pub(super) fn note_parked(&mut self, op: OpId, source: SourceId) {
        if self.parked_at.len() <= op.index() {
            self.parked_at.resize(op.index() + 1, SourceId::NONE);
        }
        self.parked_at[op.index()] = source;
    }

    /// The source where an op waits, if it does.
    pub(super) fn waits_at(&mut self, op: OpId) -> Option<&mut Source> {
        let source = *self.parked_at.get(op.index())?;
        self.get_mut(source)
    }
}

/// What a driver receives into.
pub(super) struct Rooms {
    pool: BufPool,
    datagrams: DatagramRoom,
}

impl Rooms {
    /// Of the driver that this thread is about to have.
    pub(super) fn new() -> Self {
        Self { pool: BufPool::new(), datagrams: DatagramRoom::default() }
    }
}

/// One source: its descriptor, what is known of its readiness, and the ops that wait for it.
pub(super) struct Source {
    pub(super) descriptor: OwnedFd,
    pub(super) kind: SourceKind,
    /// Others may hold the same open file, so closing it here does not end its registration.
    pub(super) adopted: bool,
    /// There may be something to receive or to accept.
    pub(super) readable: bool,
    /// There may be room to send; for a connection that is being made: it is made, or has failed.
    pub(super) writable: bool,
    /// A read that filled less than its room has emptied the socket. True of TCP until the peer closes
    /// (the end of the stream is behind the bytes and gives no second edge) or sends urgent data (where
    /// a receive stops short). Trusting it saves a receive that finds nothing.
    short_read_empties: bool,
    /// What the read that waits may bring: no more than one buffer. 0 of a connection only waits.
    read_bytes: u16,
    /// A read that waits for bytes, or to be told of them; an accept that waits for a connection; or a watch.
    read: Option<OpId>,
    write: Option<Box<ParkedWrite>>,
}

const _: () = assert!(size_of::<Source>() <= 24, "an idle connection pays for its slot");
const _: () =
    assert!(BUF_BYTES <= u16::MAX as usize, "a source keeps the length of its read in 16 bits");

/// An op that waits until its source can be written to.
struct ParkedWrite {
    id: OpId,
    work: WriteWork,
}

/// What is to be done when a source becomes writable.
pub(super) enum WriteWork {
    /// See whether the connection was made.
    Connect,
    /// Send what follows the first `sent` bytes.
    Send { data: WriteData, sent: usize },
    /// Send a datagram.
    SendTo(Box<Addressed>),
    /// Nothing: somebody else will try.
    Room,
}

/// How a read or an accept ended.
pub(super) enum ReadEnd {
    /// A read, or a failure.
    Outcome(Outcome),
    /// An accept got a connection, which is not registered yet.
    Accepted(OwnedFd, SourceKind),
}

/// What a receive has brought.
enum Received {
    /// At least one byte, and nothing is left for now.
    All(Buf),
    /// At least one byte, and there may be more.
    Some(Buf),
    Eof,
}

impl Received {
    fn into_outcome(self) -> Outcome {
        match self {
            Self::All(buf) => Outcome::Read(buf),
            Self::Some(buf) => Outcome::Filled(buf),
            Self::Eof => Outcome::Eof,
        }
    }
}

impl Source {
    /// A source of which no event has told yet. `writable` is worth a guess: a socket that is connected
    /// nearly always has room, one that is connecting must wait for its event.
    pub(super) fn new(
        descriptor: OwnedFd,
        kind: SourceKind,
        adopted: bool,
        writable: bool,
    ) -> Self {
        let short_read_empties = kind == SourceKind::Stream;
        Self {
            descriptor,
            kind,
            adopted,
            readable: false,
            writable,
            short_read_empties,
            read_bytes: 0,
            read: None,
            write: None,
        }
    }

    /// The system cannot wait for it: whatever is tried is done at once.
    pub(super) fn never_waits(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// Whether a read, an accept or a watch waits.
    pub(super) fn reads(&self) -> bool {
        self.read.is_some()
    }

    /// Whether a write or a connect waits.
    pub(super) fn writes(&self) -> bool {
        self.write.is_some()
    }

    /// Whether a read waits that would receive something.
    pub(super) fn receives(&self) -> bool {
        self.read.is_some() && self.read_bytes > 0
    }

    /// Whether a write waits that would send something.
    pub(super) fn sends(&self) -> bool {
        self.write.as_ref().is_some_and(|parked| !matches!(parked.work, WriteWork::Room))
    }

    /// Whether it may be read, and written.
    #[cfg(test)]
    pub(super) fn readiness(&self) -> (bool, bool) {
        (self.readable, self.writable)
    }

    /// A socket that is not TCP may keep messages apart, and then a read that leaves room has not emptied
    /// it.
    pub(super) fn distrust_short_reads(&mut self) {
        self.short_read_empties = false;
    }

    /// Remembers what an event says.
    pub(super) fn note(&mut self, event: &Event) {
        let closed = event.is_read_closed();
        let error = event.is_error();
        self.readable |= event.is_readable() | closed | error;
        self.writable |= event.is_writable() | event.is_write_closed() | error;
        self.short_read_empties &= !(closed | error | event.is_priority());
    }

    /// Tries a read or an accept that is not parked. `None` if it has to wait.
    pub(super) fn try_read(&mut self, rooms: &mut Rooms, max_bytes: usize) -> Option<ReadEnd> {
        if self.kind == SourceKind::Listener {
            return self.try_accept();
        }
        match self.try_receive_or_watch(rooms, max_bytes)? {
            // It did not wait, so nothing stands here that could go on.
            Outcome::Read(buf) => Some(ReadEnd::Outcome(Outcome::Filled(buf))),
            outcome => Some(ReadEnd::Outcome(outcome)),
        }
    }

    /// Tries an accept. `None` if it has to wait.
    fn try_accept(&mut self) -> Option<ReadEnd> {
        if !self.readable {
            return None;
        }
        match calls::accept(self.descriptor.as_fd()) {
            Ok((descriptor, kind)) => {
                // An accept that finds nobody first makes a socket and a file and throws them away: a look is
                // far cheaper.
                self.readable = !matches!(self.watch(), Err(Errno::AGAIN));
                Some(ReadEnd::Accepted(descriptor, kind))
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                None
            }
            Err(error) => Some(ReadEnd::Outcome(Outcome::Failed(error.into(), None))),
        }
    }

    /// Sees whether what is waited for has happened.
    fn watch(&self) -> Result<Outcome, Errno> {
        match calls::has_happened(self.descriptor.as_fd(), self.kind)? {
            true => Ok(Outcome::Happened),
            false => Err(Errno::AGAIN),
        }
    }

    /// Receives what is there, or sees whether it has happened. `None` if nothing is and it has not.
    fn try_receive_or_watch(&mut self, rooms: &mut Rooms, max_bytes: usize) -> Option<Outcome> {
        if !self.readable {
            return None;
        }
        let tried = match self.kind {
            SourceKind::Process | SourceKind::PipeEnd => self.watch(),
            SourceKind::Datagrams => self.receive_datagrams(&mut rooms.datagrams),
            _ if max_bytes == 0 => Ok(Outcome::Ready),
            _ => self.receive(rooms, max_bytes).map(Received::into_outcome),
        };
        match tried {
            Ok(outcome) => Some(outcome),
            Err(Errno::AGAIN) => {
                self.readable = false;
                None
            }
            Err(error) => Some(Outcome::Failed(error.into(), None)),
        }
    }

    // Into both callers: a call of its own would cost a request as much as this does.
    #[inline(always)]
    fn receive(&mut self, rooms: &mut Rooms, max_bytes: usize) -> Result<Received, Errno> {
        let mut buf = rooms.pool.take();
        let room = max_bytes.min(BUF_BYTES);
        match calls::receive(self.descriptor.as_fd(), self.kind, buf.storage_mut(), room)? {
            0 => Ok(Received::Eof),
            count if count < room && self.short_read_empties => {
                self.readable = false;
                Ok(Received::All(buf))
            }
            _ => Ok(Received::Some(buf)),
        }
    }

    /// Tries a write or a connect. Its work comes back as the error if it has to wait.
    pub(super) fn try_write(&mut self, work: WriteWork) -> Result<Outcome, WriteWork> {
        if !self.writable {
            return Err(work);
        }
        match work {
            WriteWork::Connect => Ok(self.connected()),
            WriteWork::Room => Ok(Outcome::Ready),
            WriteWork::Send { data, sent } => self.send(data, sent),
            WriteWork::SendTo(datagram) => match self.try_send_to(&datagram.bytes, datagram.to) {
                Ok(true) => Ok(Outcome::Sent),
                Ok(false) => Err(WriteWork::SendTo(datagram)),
                Err(error) => Ok(Outcome::Failed(error.into(), None)),
            },
        }
    }

    fn connected(&self) -> Outcome {
        match rustix::net::sockopt::socket_error(&self.descriptor) {
            Ok(Ok(())) => Outcome::Connected,
            Ok(Err(error)) | Err(error) => Outcome::Failed(error.into(), None),
        }
    }

    /// Receives into `into` what is there; `None` if nothing is.
    pub(super) fn try_receive(
        &mut self,
        into: &mut [u8],
        keep: Keep,
    ) -> Result<Option<usize>, Errno> {
        if !self.readable {
            return Ok(None);
        }
        match calls::receive_into(self.descriptor.as_fd(), self.kind, into, keep) {
            Ok(count) => {
                let is_short = count > 0 && count < into.len();
                if is_short && keep == Keep::No && self.short_read_empties {
                    self.readable = false;
                }
                Ok(Some(count))
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The same for sending several slices by one call.
    pub(super) fn try_send_vectored(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
        if !self.writable {
            return Ok(0);
        }
        match calls::send_slices(self.descriptor.as_fd(), self.kind, slices) {
            Err(Errno::AGAIN) => {
                self.writable = false;
                Ok(0)
            }
            sent => sent,
        }
    }

    /// Sends what needs no waiting, and says how much that was.
    pub(super) fn try_send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let mut sent = 0;
        while self.writable && sent < bytes.len() {
            match calls::send_slice(self.descriptor.as_fd(), self.kind, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => self.writable = false,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn send(&mut self, data: WriteData, mut sent: usize) -> Result<Outcome, WriteWork> {
        let total = data.len();
        while sent < total {
            match calls::send(self.descriptor.as_fd(), self.kind, &data, sent) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    return Err(WriteWork::Send { data, sent });
                }
                Err(error) => {
                    return Ok(Outcome::Failed(error.into(), Some(Box::new(data))));
                }
            }
        }
        Ok(Outcome::Wrote(data))
    }

    /// Lets a read wait.
    pub(super) fn park_read(&mut self, id: OpId, max_bytes: usize) {
        self.read_bytes = max_bytes.min(BUF_BYTES) as u16;
        self.read = Some(id);
    }

    /// Lets a write wait.
    pub(super) fn park_write(&mut self, id: OpId, work: WriteWork) {
        self.write = Some(Box::new(ParkedWrite { id, work }));
    }

    /// Tries the read that waits, and adds to `done` how it went on or ended if it did.
    #[inline]
    pub(super) fn retry_read(&mut self, rooms: &mut Rooms, done: &mut Vec<Completion>) {
        let Some(id) = self.read else { return };
        if self.kind == SourceKind::Stream && self.readable && self.read_bytes > 0 {
            // What nearly every event is of, without the detour.
            match self.receive(rooms, usize::from(self.read_bytes)) {
                Ok(Received::All(buf)) => done.push(Completion { id, outcome: Outcome::Read(buf) }),
                received => self.note_end(id, received, done),
            }
            return;
        }
        let tried = self.try_receive_or_watch(rooms, usize::from(self.read_bytes));
        let Some(outcome) = tried else { return };
        if outcome.is_end() {
            self.read = None;
        }
        done.push(Completion { id, outcome });
    }

    /// A read that waited has not brought all there was: it is over, unless there was nothing.
    #[inline(never)]
    fn note_end(
        &mut self,
        id: OpId,
        received: Result<Received, Errno>,
        done: &mut Vec<Completion>,
    ) {
        let outcome = match received {
            Ok(received) => received.into_outcome(),
            Err(Errno::AGAIN) => {
                self.readable = false;
                return;
            }
            Err(error) => Outcome::Failed(error.into(), None),
        };
        self.read = None;
        done.push(Completion { id, outcome });
    }

    /// Tries the accept that waits, and says how it ended if it did.
    pub(super) fn retry_accept(&mut self) -> Option<(OpId, ReadEnd)> {
        let id = self.read?;
        let end = self.try_accept()?;
        self.read = None;
        Some((id, end))
    }

    /// Tries the write that waits, and says how it ended if it did.
    pub(super) fn retry_write(&mut self) -> Option<Completion> {
        if !self.writable {
            return None;
        }
        let ParkedWrite { id, work } = *self.write.take()?;
        match self.try_write(work) {
            Ok(outcome) => Some(Completion { id, outcome }),
            Err(work) => {
                self.park_write(id, work);
                None
            }
        }
    }

    /// Takes the ops out that wait and are meant, each as cancelled.
    pub(super) fn cancel(
        &mut self,
        is_meant: impl Fn(OpId) -> bool,
    ) -> impl Iterator<Item = Completion> {
        let read = self.read.take_if(|id| is_meant(*id));
        let write = self.write.take_if(|parked| is_meant(parked.id));
        let cancelled = |id, unsent| Completion { id, outcome: Outcome::Cancelled(unsent) };
        let read = read.map(|id| cancelled(id, None));
        let write = write.map(|parked| cancelled(parked.id, parked.work.unsent()));
        read.into_iter().chain(write)
    }
}

impl WriteWork {
    /// The bytes of a write.
    pub(super) fn unsent(self) -> Unsent {
        match self {
            Self::Connect | Self::SendTo(_) | Self::Room => None,
            Self::Send { data, .. } => Some(Box::new(data)),
        }
    }
}
