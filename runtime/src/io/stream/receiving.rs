//! The reading half of a stream: one read in flight until the reader has enough.

use std::cell::RefMut;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Failure, Inner, Life, Reading, Stream, Tls, Way};
use crate::driver::{Buf, Op, Outcome, Started};
use crate::io::read_buffer::ReadBuffer;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// The most that one receive brings.
pub(super) const RECEIVE_BYTES: usize = 16 * 1024;

/// Receives in a row that need no waiting. After so many the next one is the next turn's: a peer that always has more
/// must not have the loop for itself. A quarter of a MiB is what asyncio takes in at a time.
const IN_A_ROW: u8 = 16;

/// So many receives in a row mean that the next turn goes on.
const LEFT_TO_NEXT_TURN: u8 = IN_A_ROW + 1;

impl Stream {
    /// Adds the next chunk to `unread`; false at the end of the stream. Fails if the connection has, even if
    /// bytes are left (rule S51).
    pub(crate) fn poll_chunk(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        unread: &mut ReadBuffer,
    ) -> Poll<io::Result<bool>> {
        self.end_with_loop();
        let mut inner = self.inner.borrow_mut();
        while inner.reading == Reading::Idle
            && inner.incoming.is_empty()
            && self.inline_receives.get() != LEFT_TO_NEXT_TURN
        {
            // A read that needs more goes on whatever the limit says (rule S40), and again if all that came was
            // a part of a TLS record.
            drop(inner);
            self.read_on();
            inner = self.inner.borrow_mut();
        }
        if let Life::Lost(Some(failure)) = inner.life {
            return Poll::Ready(Err(inner.error(failure)));
        }
        if let Some(chunk) = inner.incoming.pop() {
            drop(inner);
            unread.push(chunk);
            self.set_held_bytes(unread.len());
            return Poll::Ready(Ok(true));
        }
        if inner.reading == Reading::Ended {
            let truncation = inner.tls.as_ref().and_then(Tls::truncation);
            return Poll::Ready(truncation.map_or(Ok(false), Err));
        }
        if self.inline_receives.get() != LEFT_TO_NEXT_TURN {
            self.inline_receives.set(0);
        }
        drop(inner);
        self.await_bytes(context.waker());
        cancel::note_wait(WaitKind::Read);
        Poll::Pending
    }

    /// Takes a chunk that is here already.
    pub(crate) fn next_chunk(&self) -> Option<Buf> {
        self.inner.borrow_mut().incoming.pop()
    }

    /// Whether no chunk is here and none will come.
    pub(crate) fn is_read_up(&self) -> bool {
        let inner = self.inner.borrow();
        let is_truncated = inner.tls.as_ref().is_some_and(|tls| tls.truncation().is_some());
        inner.reading == Reading::Ended && inner.incoming.is_empty() && !is_truncated
    }

    /// The reader says how many unread bytes it holds now. At or below the limit, paused reading goes on.
    #[inline]
    pub(crate) fn set_held_bytes(self: &Rc<Self>, held_bytes: usize) {
        self.held_bytes.set(held_bytes);
        let is_paused = self.inner.borrow().reading == Reading::Idle;
        if is_paused {
            self.resume();
        }
    }

    #[inline(never)]
    fn resume(self: &Rc<Self>) {
        let buffered_bytes = self.held_bytes.get() + self.inner.borrow().incoming.len();
        if buffered_bytes <= self.limit_bytes {
            self.read_on();
        }
    }

    /// Nobody will read any more: lets go of what came and of the read that is in flight.
    pub(crate) fn stop_reading(&self) {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.reading, Reading::Stopped | Reading::Ended) {
            // A read that is in flight all the same listens for the peer's end.
            return;
        }
        inner.reading = Reading::Stopped;
        let read_op = inner.read_op.take();
        drop(inner);
        if let Some(read_op) = read_op {
            self.io.release(read_op);
        }
    }

    /// The reader is gone: what came for it goes too.
    pub(crate) fn reader_dropped(&self) {
        if self.way == Way::In {
            self.lose(None);
        }
        self.stop_reading();
        let mut inner = self.inner.borrow_mut();
        let gone = (mem::take(&mut inner.incoming), inner.take_reader());
        drop(inner);
        drop(gone);
    }

    /// Starts a read, and further ones as long as they need no waiting and there is room, but only so many.
    pub(super) fn read_on(self: &Rc<Self>) {
        loop {
            if self.inline_receives.get() >= IN_A_ROW {
                return self.read_on_next_turn();
            }
            let Some(read_op) = self.inner.borrow().read_op else { return };
            let op = match self.way {
                Way::Out => Op::Watch { source: self.source },
                Way::Both | Way::In => Op::Read { source: self.source, max_bytes: RECEIVE_BYTES },
            };
            match self.io.start(read_op, op) {
                Started::Parked => {
                    self.inner.borrow_mut().reading = Reading::InFlight;
                    return;
                }
                Started::Done(outcome) => {
                    self.inline_receives.set(self.inline_receives.get() + 1);
                    self.received(outcome);
                }
            }
            if !self.has_room() {
                return;
            }
        }
    }

    /// Others have their turn before the next receive.
    #[cold]
    fn read_on_next_turn(self: &Rc<Self>) {
        if self.inline_receives.replace(LEFT_TO_NEXT_TURN) == LEFT_TO_NEXT_TURN {
            return;
        }
        let stream = Rc::downgrade(self);
        self.io.call_soon(Box::new(move || {
            if let Some(stream) = stream.upgrade() {
                stream.read_on_after_others();
            }
        }));
    }

    fn read_on_after_others(self: &Rc<Self>) {
        self.inline_receives.set(0);
        if self.has_room() {
            self.read_on();
        }
        // Also where there is no room: a read that needs more goes on whatever the limit says.
        self.wake_reader();
    }

    fn wake_reader(&self) {
        let reader = self.inner.borrow_mut().take_reader();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether reading may go on without being asked (rule S40).
    fn has_room(&self) -> bool {
        let inner = self.inner.borrow();
        let buffered_bytes = self.held_bytes.get() + inner.incoming.len();
        inner.reading == Reading::Idle && buffered_bytes <= self.most_bytes()
    }

    /// With more than this buffered, reading pauses (rule S40).
    fn most_bytes(&self) -> usize {
        self.limit_bytes.saturating_mul(2)
    }

    /// Takes note of the end of a read.
    fn received(self: &Rc<Self>, outcome: Outcome) {
        let mut inner = self.inner.borrow_mut();
        // It may have been on its way when reading was stopped; then nobody wants it.
        if matches!(inner.reading, Reading::Stopped | Reading::Ended) {
            return;
        }
        inner.reading = Reading::Idle;
        match outcome {
            Outcome::Read(chunk) | Outcome::Filled(chunk) => self.take_in(inner, chunk),
            // That was asked for, to pause.
            Outcome::Cancelled(_) => {}
            Outcome::Failed(error, _) => {
                drop(inner);
                self.lose(Some(Failure::from(&error)));
            }
            Outcome::Happened => {
                // The other end of a pipe has gone: what it did not take is lost.
                let is_unsent = inner.outgoing.len() + inner.in_flight_bytes > 0;
                drop(inner);
                self.lose(is_unsent.then_some(Failure::Kind(io::ErrorKind::BrokenPipe)));
            }
            _ if self.way == Way::In => {
                drop(inner);
                self.lose(None);
            }
            _ => {
                // The end: no read will follow, so its number is free.
                inner.reading = Reading::Ended;
                let read_op = inner.read_op.take();
                let is_encrypted = inner.tls.is_some();
                drop(inner);
                if let Some(read_op) = read_op {
                    self.io.release(read_op);
                }
                if is_encrypted {
                    self.ended_encrypted();
                }
            }
        }
    }

    /// Puts a chunk where the reader finds it, by way of TLS if that is spoken.
    fn take_in(self: &Rc<Self>, mut inner: RefMut<'_, Inner>, chunk: Buf) {
        if inner.tls.is_some() {
            drop(inner);
            self.received_encrypted(&chunk);
        } else {
            inner.incoming.push(chunk);
        }
    }

    /// A read has brought a piece and goes on: wakes who waits for it.
    pub(super) fn piece_came(self: &Rc<Self>, chunk: Buf) {
        let mut inner = self.inner.borrow_mut();
        if !matches!(inner.reading, Reading::InFlight | Reading::Pausing) {
            drop(inner);
            // It may have been on its way when reading was stopped; then only TLS may want it, for its end.
            if self.is_listening() {
                self.heard(Outcome::Read(chunk));
            }
            return;
        }
        if inner.tls.is_some() {
            drop(inner);
            self.received_encrypted(&chunk);
            inner = self.inner.borrow_mut();
        } else {
            inner.incoming.push(chunk);
        }
        let buffered_bytes = self.held_bytes.get() + inner.incoming.len();
        let reader = inner.take_reader();
        if buffered_bytes > self.most_bytes() {
            self.pause(inner);
        } else {
            drop(inner);
        }
        if let Some(reader) = reader {
            reader.wake_in_turn(&self.io);
        }
    }

    /// Has the read that goes on end, as more than enough is here (rule S40).
    #[cold]
    fn pause(&self, mut inner: RefMut<'_, Inner>) {
        if inner.reading != Reading::InFlight {
            return;
        }
        inner.reading = Reading::Pausing;
        let read_op = inner.read_op;
        drop(inner);
        if let Some(read_op) = read_op {
            self.io.cancel(read_op);
        }
    }

    /// A read has ended: starts the next, and wakes who waits.
    pub(super) fn read_ended(self: &Rc<Self>, outcome: Outcome) {
        if self.is_listening() {
            return self.heard_and_listen_on(outcome);
        }
        self.received(outcome);
        // The loop had a part in it.
        if self.inline_receives.get() != LEFT_TO_NEXT_TURN {
            self.inline_receives.set(0);
        }
        if self.has_room() {
            self.read_on();
        }
        self.wake_reader();
    }
}
