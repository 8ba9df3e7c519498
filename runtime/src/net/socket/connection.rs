//! What the handles of one socket share: its source, and who waits for it to be ready.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use crate::driver::{Keep, Op, OpId, Outcome, SourceId, Started};
use crate::executor::{IoHandle, OpOwner};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// Calls in a row that may be done without waiting.
const IN_A_ROW: u8 = 64;

/// Counts them. After so many the next one lets other tasks run first, so that a peer who always has something does
/// not have the loop for itself.
#[derive(Default)]
pub(in crate::net) struct Patience(Cell<u8>);

impl Patience {
    /// `Pending`, for one turn, when it is the turn of others.
    pub(in crate::net) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.0.get() < IN_A_ROW {
            self.0.set(self.0.get() + 1);
            return Poll::Ready(());
        }
        self.renew();
        context.waker().wake_by_ref();
        cancel::note_wait(WaitKind::Turn);
        Poll::Pending
    }

    /// A call did as much as so many others would have, besides itself.
    pub(in crate::net) fn spend(&self, call_count: usize) {
        let call_count = u8::try_from(call_count).unwrap_or(IN_A_ROW);
        self.0.set(self.0.get().saturating_add(call_count));
    }

    /// A call has to wait, which lets others run as well.
    pub(in crate::net) fn renew(&self) {
        self.0.set(0);
    }
}

/// A connected socket. Dropping it closes the socket.
pub(super) struct Connection {
    io: IoHandle,
    source: SourceId,
    is_given_away: Cell<bool>,
    reading: Side,
    writing: Side,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

impl Way {
    fn wait_kind(self) -> WaitKind {
        match self {
            Self::In => WaitKind::Read,
            Self::Out => WaitKind::Write,
        }
    }
}

/// One way of a connection.
#[derive(Default)]
struct Side {
    waiting: Rc<Waiting>,
    /// Made for the first wait.
    op: Cell<Option<OpId>>,
    patience: Patience,
}

/// Apart from the connection, because the loop's op table keeps it alive.
#[derive(Default)]
struct Waiting {
    in_flight: Cell<bool>,
    /// Of the last task that polled.
    waker: RefCell<Option<Waker>>,
}

impl Connection {
    pub(super) fn new(io: IoHandle, source: SourceId) -> Rc<Self> {
        let (reading, writing) = (Side::default(), Side::default());
        Rc::new(Self { io, source, is_given_away: Cell::new(false), reading, writing })
    }

    /// The loop it lives on, and its source there.
    pub(super) fn parts(&self) -> (&IoHandle, SourceId) {
        (&self.io, self.source)
    }

    /// Gives the source to somebody else: nothing here waits for it any more, or closes it.
    pub(super) fn give_away(&self) -> (IoHandle, SourceId) {
        self.is_given_away.set(true);
        self.let_go();
        (Rc::clone(&self.io), self.source)
    }

    /// Receives what is there; `WouldBlock` if nothing is.
    pub(super) fn try_read(&self, into: &mut [u8], keep: Keep) -> io::Result<usize> {
        self.check_loop()?;
        if into.is_empty() {
            return Ok(0);
        }
        let received = self.io.try_receive(self.source, into, keep)?;
        received.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Sends what there is room for; `WouldBlock` if there is none.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.check_loop()?;
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        let sent = match slices {
            [bytes] => self.io.try_send(self.source, bytes),
            _ => self.io.try_send_vectored(self.source, slices),
        };
        match sent? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        into: &mut [u8],
        keep: Keep,
    ) -> Poll<io::Result<usize>> {
        self.poll_by(Way::In, context, || self.try_read(into, keep))
    }

    pub(super) fn poll_write(
        &self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_by(Way::Out, context, || self.try_write(slices))
    }

    /// Waits until a try may find something.
    pub(super) fn poll_ready(&self, way: Way, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let side = self.side(way);
        loop {
            self.check_loop()?;
            if side.waiting.in_flight.get() {
                let replaced = side.waiting.waker.replace(Some(context.waker().clone()));
                drop(replaced);
                cancel::note_wait(way.wait_kind());
                return Poll::Pending;
            }
            let op = side.op.get().unwrap_or_else(|| {
                let op = self.io.register(Rc::clone(&side.waiting) as Rc<dyn OpOwner>, 0);
                side.op.set(Some(op));
                op
            });
            let op_to_start = match way {
                Way::In => Op::Readable { source: self.source },
                Way::Out => Op::Writable { source: self.source },
            };
            match self.io.start(op, op_to_start) {
                Started::Parked => side.waiting.in_flight.set(true),
                Started::Done(Outcome::Failed(error, _)) => return Poll::Ready(Err(error)),
                Started::Done(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Tries until it does not have to wait.
    fn poll_by<T>(
        &self,
        way: Way,
        context: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        let side = self.side(way);
        ready!(side.patience.poll(context));
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    side.patience.renew();
                    ready!(self.poll_ready(way, context))?;
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn side(&self, way: Way) -> &Side {
        match way {
            Way::In => &self.reading,
            Way::Out => &self.writing,
        }
    }

    fn let_go(&self) {
        for side in [&self.reading, &self.writing] {
            if let Some(op) = side.op.take() {
                self.io.release(op);
            }
        }
    }

    /// A socket that outlives its loop has lost its connection.
    fn check_loop(&self) -> io::Result<()> {
        if self.io.is_shut() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_given_away.get() {
            self.let_go();
            self.io.close(self.source);
        }
    }
}

impl OpOwner for Waiting {
    fn complete(self: Rc<Self>, _tag: u32, _outcome: Outcome) {
        // A failure shows in the next try.
        self.in_flight.set(false);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn abandoned(self: Rc<Self>) {
        self.complete(0, Outcome::Cancelled(None));
    }
}
