//! The half of a connection that its reader and its writers share, and how it ends.
//!
//! ```text
//!    reading                          sending                   life
//!  ┌▶ InFlight ──Eof────▶ Ended     Open                      Open ──close──▶ Closing
//!  │     │ 2 × limit       ▲          │ write_eof               │                │ flushed
//!  │  Pausing              │          ▼                         ▼                ▼
//!  │     ▼ cancelled       │        EofWanted ──flushed──▶    abort, error ────▶ Lost
//!  └─── Idle              lost                   EofSent
//!        └─close─▶ Stopped ┘
//! ```
//!
//! The stream owns its ops and futures only wait, so a future that is dropped loses nothing. What was
//! written in a turn goes out at its end as one op. A stream ends in one place, [`Stream::lose`].

use std::cell::{Cell, RefCell};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;

pub use self::detach::InUse;
use self::encrypted::Tls;
pub(crate) use self::hold::Hold;
pub(crate) use self::polled::PolledPlace;
use crate::driver::{Buf, End, OpId, Outcome, PeerCredentials, SocketOption, SourceId};
use crate::executor::{Flush, IoHandle, OpOwner};
use crate::io::incoming::Incoming;
use crate::io::lines::Lines;
use crate::io::outgoing::Outgoing;
use crate::task::TaskWaker;
use crate::util::slab::Key;

mod bound;
mod detach;
#[cfg(feature = "tls")]
mod encrypted;
#[cfg(not(feature = "tls"))]
#[path = "stream/plain.rs"]
mod encrypted;
mod hold;
mod polled;
mod reader_wait;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;
mod wait;

/// A reader's limit unless another is given (rule S4).
pub(crate) const DEFAULT_LIMIT_BYTES: usize = 65_536;

/// What is kept for a peer that does not read: 64 MiB.
const DEFAULT_BOUND_POWER: u8 = 26;

/// The same in bytes.
pub(crate) const DEFAULT_BOUND_BYTES: usize = 1 << DEFAULT_BOUND_POWER;

/// Tags of the two ops of a stream.
const READ: u32 = 0;
const WRITE: u32 = 1;

/// Which ways bytes go through a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A connection.
    Both,
    /// The receiving end of a pipe. It ends with its reader, or with the bytes.
    In,
    /// The sending end of a pipe. It ends with its writers, or with the pipe's other end.
    Out,
}

/// Who keeps count of connections (rules S22, S27).
pub(crate) trait ConnectionList {
    /// The connection with this key is gone. Called with nothing borrowed.
    fn connection_lost(self: Rc<Self>, key: Key);
}

/// The same as its connections know it: one word in each of them.
pub(crate) type List = Rc<Rc<dyn ConnectionList>>;

/// A connection.
pub(crate) struct Stream {
    io: IoHandle,
    source: SourceId,
    limit_bytes: usize,
    way: Way,
    /// Unread bytes that the reader has taken over; they count for flow control (rule S40).
    held_bytes: Cell<usize>,
    writer_count: Cell<u32>,
    /// The power of two that bounds what is kept for a peer that does not read.
    bound_power: Cell<u8>,
    /// Receives in a row that the loop had no part in.
    inline_receives: Cell<u8>,
    inner: RefCell<Inner>,
}

struct Inner {
    life: Life,
    read_op: Option<OpId>,
    reading: Reading,
    incoming: Incoming,
    /// Who waits for bytes, if it is a task of ours; another executor's is in `lines`.
    reader: Option<TaskWaker>,
    write_op: Option<OpId>,
    sending: Sending,
    outgoing: Outgoing,
    /// Bytes that the driver has and did not report as sent.
    in_flight_bytes: usize,
    flow: Flow,
    /// Whether the end of this turn will flush this stream.
    enlisted: bool,
    /// Whether the buffer is out with a caller of `with_buffer`.
    lent: bool,
    /// What few connections use; `None` means default water marks and nobody in line.
    lines: Option<Box<Lines>>,
    /// Stands between the raw bytes and the two buffers, once the connection speaks TLS.
    tls: Option<Tls>,
    list: Option<(List, Key)>,
}

#[derive(Debug, Clone, Copy)]
enum Life {
    Open,
    /// Lost as soon as everything is sent.
    Closing,
    Lost(Option<Failure>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// No read is in flight. Between two events: flow control has paused it.
    Idle,
    /// Every piece that comes is taken.
    InFlight,
    /// Flow control has asked the read to end.
    Pausing,
    /// Nobody wants to read any more; the end of the connection is still to come.
    Stopped,
    /// No more bytes will come.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    /// Half-closed as soon as everything is sent.
    EofWanted,
    EofSent,
}

/// Whether `drain` has to wait (rule S71).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Free,
    Paused,
}

/// Why a connection was lost, small enough to be kept by each.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Os(i32),
    Kind(io::ErrorKind),
}

impl Stream {
    /// Takes over a connected source and begins to read.
    pub(crate) fn new(
        io: IoHandle,
        source: SourceId,
        limit_bytes: usize,
        list: Option<(List, Key)>,
    ) -> Rc<Self> {
        Self::open(io, source, limit_bytes, Way::Both, list)
    }

    /// Takes over one end of a pipe.
    pub(crate) fn one_way(
        io: IoHandle,
        source: SourceId,
        limit_bytes: usize,
        way: Way,
    ) -> Rc<Self> {
        Self::open(io, source, limit_bytes, way, None)
    }

    fn open(
        io: IoHandle,
        source: SourceId,
        limit_bytes: usize,
        way: Way,
        list: Option<(List, Key)>,
    ) -> Rc<Self> {
        let inner = Inner {
            life: Life::Open,
            read_op: None,
            reading: Reading::Idle,
            incoming: Incoming::default(),
            reader: None,
            write_op: None,
            sending: Sending::Open,
            outgoing: Outgoing::default(),
            in_flight_bytes: 0,
            flow: Flow::Free,
            enlisted: false,
            lent: false,
            lines: None,
            tls: None,
            list,
        };
        let stream = Rc::new(Self {
            io,
            source,
            limit_bytes,
            way,
            held_bytes: Cell::new(0),
            writer_count: Cell::new(0),
            bound_power: Cell::new(DEFAULT_BOUND_POWER),
            inline_receives: Cell::new(0),
            inner: RefCell::new(inner),
        });
        let read_op = stream.io.register(Rc::clone(&stream) as Rc<dyn OpOwner>, READ);
        stream.inner.borrow_mut().read_op = Some(read_op);
        stream.read_on();
        stream
    }

    /// The loop it lives on.
    pub(crate) fn io(&self) -> &IoHandle {
        &self.io
    }

    /// The reader's limit.
    pub(crate) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// The address of this end.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr(self.source)
    }

    /// The address of the other end.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr(self.source)
    }

    /// The address of one end, if it is a Unix socket.
    pub(crate) fn unix_addr(&self, end: End) -> io::Result<UnixAddr> {
        self.io.unix_addr(self.source, end)
    }

    /// A second descriptor of the socket.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.io.share(self.source)
    }

    /// Changes a property of the socket.
    pub(crate) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.io.set_option(self.source, option)
    }

    /// Who is at the other end of a Unix socket.
    pub(crate) fn peer_credentials(&self) -> io::Result<PeerCredentials> {
        self.io.peer_credentials(self.source)
    }

    /// The error that ended the connection, if one did (rule S51).
    pub(crate) fn failure(&self) -> io::Result<()> {
        self.end_with_loop();
        let inner = self.inner.borrow();
        match inner.life {
            Life::Lost(Some(failure)) => Err(inner.error(failure)),
            _ => Ok(()),
        }
    }

    /// Whether it speaks TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.inner.borrow().tls.is_some()
    }

    /// Whether `close`, `abort` or an error has ended the connection, or is about to.
    pub(crate) fn is_closing(&self) -> bool {
        self.end_with_loop();
        !matches!(self.inner.borrow().life, Life::Open)
    }

    /// Sends what is left, then ends the connection. Reading ends now (rule S76).
    pub(crate) fn close(self: &Rc<Self>) {
        {
            let mut inner = self.inner.borrow_mut();
            if !matches!(inner.life, Life::Open) {
                return;
            }
            inner.life = Life::Closing;
        }
        self.limit_end();
        self.stop_reading();
        self.enlist();
    }

    /// Ends the connection now; what was not sent is thrown away.
    pub(crate) fn abort(&self) {
        self.lose(None);
    }

    /// A handle that outlives its loop finds a lost connection: nothing would ever end its wait. What was not sent
    /// is lost with it, of which only the log can tell.
    pub(crate) fn end_with_loop(&self) {
        if self.io.is_shut() {
            self.tell_unsent();
            self.lose(Some(Failure::Kind(io::ErrorKind::ConnectionAborted)));
        }
    }

    /// The connection is gone, with or without an error.
    fn lose(&self, failure: Option<Failure>) {
        self.end(failure, true);
    }

    /// The same; its source may be for somebody else.
    fn end(&self, failure: Option<Failure>, closes_source: bool) {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.life, Life::Lost(_)) {
            return;
        }
        inner.life = Life::Lost(failure);
        inner.reading = Reading::Ended;
        let ops = [inner.read_op.take(), inner.write_op.take()];
        let incoming = failure.map(|_| mem::take(&mut inner.incoming));
        let outgoing = mem::take(&mut inner.outgoing);
        inner.in_flight_bytes = 0;
        let (reader, lines, list) = (inner.take_reader(), inner.lines.take(), inner.list.take());
        let tls = inner.tls.as_mut().map(Tls::lost);
        drop(inner);

        // The op before its source: the driver then has nothing left to tell us.
        ops.into_iter().flatten().for_each(|op| self.io.release(op));
        if closes_source {
            self.io.close(self.source);
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        if let Some(lines) = lines {
            lines.wake_all();
        }
        if let Some((list, key)) = list {
            Rc::clone(&*list).connection_lost(key);
        }
        // Last: written slices may run their owner's code when they are dropped.
        drop((incoming, outgoing, tls));
    }
}

impl Inner {
    /// What ended the connection, as far as it is known.
    fn error(&self, failure: Failure) -> io::Error {
        if let Failure::Kind(kind @ io::ErrorKind::QuotaExceeded) = failure {
            let text =
                "the peer does not read, and more was written than set_write_buffer_bound allows";
            return io::Error::new(kind, text);
        }
        self.tls.as_ref().and_then(Tls::error).unwrap_or_else(|| failure.into())
    }
}

impl OpOwner for Stream {
    fn complete(self: Rc<Self>, tag: u32, outcome: Outcome) {
        match outcome {
            outcome if tag == READ => self.read_ended(outcome),
            outcome => {
                self.sent(outcome);
                self.send_all();
            }
        }
    }

    fn piece(self: Rc<Self>, _tag: u32, chunk: Buf) {
        self.piece_came(chunk);
    }

    fn abandoned(self: Rc<Self>) {
        self.end_with_loop();
    }
}

impl Flush for Stream {
    fn flush(self: Rc<Self>) {
        let mut inner = self.inner.borrow_mut();
        inner.enlisted = false;
        if !self.send_plainly(inner) {
            self.send_all();
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        error.raw_os_error().map_or(Self::Kind(error.kind()), Self::Os)
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Os(code) => Self::from_raw_os_error(code),
            Failure::Kind(kind) => Self::from(kind),
        }
    }
}
