//! The writing half of a stream: what a turn writes goes out at its end as one op.

use std::cell::RefMut;
use std::io::IoSlice;
use std::mem;
use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::{Failure, Flow, Inner, Life, Sending, Stream, Tls, WRITE, Way};
use crate::driver::buf::COPY_LIMIT_BYTES;
use crate::driver::{Op, Outcome, Started, WriteData};
use crate::error::{Error, Result};
use crate::executor::{Flush, OpOwner};
use crate::io::lines::{Line, Lines};
use crate::io::outgoing::{self, Outgoing};
use crate::util::watermark::Watermarks;

impl Stream {
    /// Copies bytes to the end of what is to be sent.
    pub(crate) fn write(self: &Rc<Self>, bytes: &[u8]) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        if !bytes.is_empty() && inner.takes_plainly() {
            inner.outgoing.write(bytes);
            self.wrote_plainly(inner);
            return Ok(());
        }
        drop(inner);
        self.write_by(|outgoing| {
            // An empty write must not make an idle writer hold a buffer.
            if !bytes.is_empty() {
                outgoing.write(bytes);
            }
        })
    }

    /// Lists a shared slice at the end of what is to be sent.
    pub(crate) fn write_shared(self: &Rc<Self>, bytes: Bytes) -> Result<()> {
        // Small slices are copied, which is cheaper than sending them apart.
        if bytes.len() <= COPY_LIMIT_BYTES {
            return self.write(&bytes);
        }
        self.write_by(|outgoing| outgoing.write_shared(bytes))
    }

    /// Lets `f` write to the buffer in place. What it writes to a closed connection is thrown away.
    pub(crate) fn write_in_place<R>(
        self: &Rc<Self>,
        f: impl FnOnce(&mut BytesMut) -> R,
    ) -> Result<R> {
        let tail = {
            let mut inner = self.inner.borrow_mut();
            inner.check_writable()?;
            if !self.takes(&inner) {
                drop(inner);
                self.cut_off_slow_peer();
                return Ok(f(&mut BytesMut::new()));
            }
            inner.lent = true;
            inner.unsent().take_tail()
        };
        // Gives the buffer back also when `f` panics: it may hold bytes of earlier writes.
        let mut loan = Loan { stream: self, tail: Some(tail) };
        Ok(f(loan.tail.get_or_insert_default()))
    }

    fn write_by(self: &Rc<Self>, put: impl FnOnce(&mut Outgoing)) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        inner.check_writable()?;
        if !self.takes(&inner) {
            // Thrown away, without a word (rules S76, S81).
            drop(inner);
            self.cut_off_slow_peer();
            return Ok(());
        }
        put(inner.unsent());
        self.wrote(inner);
        Ok(())
    }

    /// Sends slices from where they are, as far as that needs no waiting and nothing goes before them, and copies the
    /// rest.
    pub(crate) fn write_vectored(self: &Rc<Self>, slices: &[IoSlice<'_>]) -> Result<()> {
        let total_bytes: usize = slices.iter().map(|slice| slice.len()).sum();
        // Few bytes wait for what else the turn writes, which is cheaper than a call of their own.
        let mut sent_bytes = 0;
        if total_bytes > COPY_LIMIT_BYTES {
            let inner = self.inner.borrow();
            inner.check_writable()?;
            let is_first = matches!(inner.life, Life::Open)
                && inner.unsent_bytes() == 0
                && inner.tls.is_none()
                && !inner.is_held();
            drop(inner);
            if is_first {
                match self.io.try_send_vectored(self.source, slices) {
                    Ok(count) => sent_bytes = count,
                    Err(error) => {
                        self.lose(Some(Failure::from(&error)));
                        return Ok(());
                    }
                }
            }
        }
        self.write_by(|outgoing| {
            for slice in slices {
                let rest = slice.get(sent_bytes..).unwrap_or_default();
                sent_bytes = sent_bytes.saturating_sub(slice.len());
                if !rest.is_empty() {
                    outgoing.write(rest);
                }
            }
        })
    }

    /// After bytes were added: they go at the end of the turn, or now if they are many (rule S70).
    pub(super) fn wrote(self: &Rc<Self>, mut inner: RefMut<'_, Inner>) {
        inner.update_flow();
        let pending_bytes = inner.outgoing.len();
        if inner.in_flight_bytes > 0 || pending_bytes == 0 {
            // What is in flight sends the rest when it has completed.
            return;
        }
        let urgent = pending_bytes > inner.marks().high_bytes();
        if inner.enlisted && !urgent {
            return;
        }
        let enlists = !mem::replace(&mut inner.enlisted, true);
        drop(inner);
        if enlists {
            self.await_flush();
        }
        if urgent {
            self.send_next();
        }
    }

    /// The same for a connection that [`Inner::takes_plainly`].
    #[inline]
    pub(super) fn wrote_plainly(self: &Rc<Self>, mut inner: RefMut<'_, Inner>) {
        if inner.outgoing.len() > Watermarks::DEFAULT.high_bytes() {
            self.wrote(inner);
        } else if !mem::replace(&mut inner.enlisted, true) {
            drop(inner);
            self.await_flush();
        }
    }

    /// Half-closes the connection when everything is sent.
    pub(crate) fn write_eof(self: &Rc<Self>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.sending != Sending::Open || !matches!(inner.life, Life::Open) {
                return;
            }
            inner.sending = Sending::EofWanted;
        }
        self.enlist();
    }

    /// Bytes that were written and not sent.
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.inner.borrow().unsent_bytes()
    }

    /// Sets the marks at which writers pause and go on.
    pub(crate) fn set_marks(&self, marks: Watermarks) {
        let mut inner = self.inner.borrow_mut();
        if let Life::Lost(_) = inner.life {
            return;
        }
        inner.lines().marks = marks;
        inner.update_flow();
        drop(inner);
        self.wake_all(Line::Drained, Inner::is_free);
    }

    /// The marks at which writers pause and go on.
    pub(crate) fn marks(&self) -> Watermarks {
        self.inner.borrow().marks()
    }

    /// A writer handle more.
    pub(crate) fn add_writer(&self) {
        self.writer_count.set(self.writer_count.get() + 1);
    }

    /// A writer handle less. The last one closes the connection (rule S79).
    pub(crate) fn drop_writer(self: &Rc<Self>) {
        self.writer_count.set(self.writer_count.get() - 1);
        if self.writer_count.get() == 0 {
            self.close();
        }
    }

    /// Has `flush` called at the end of this turn, unless what is in flight will do the same.
    pub(super) fn enlist(self: &Rc<Self>) {
        let enlists = {
            let mut inner = self.inner.borrow_mut();
            inner.in_flight_bytes == 0 && !mem::replace(&mut inner.enlisted, true)
        };
        if enlists {
            self.await_flush();
        }
    }

    #[inline(always)]
    fn await_flush(self: &Rc<Self>) {
        if self.io.is_shut() {
            return self.end_with_loop();
        }
        self.io.enlist_flush(Rc::clone(self) as Rc<dyn Flush>);
    }

    /// The usual flush: an open connection of which nobody waits for anything, and a socket that takes all there
    /// is. False if there is more to be done.
    #[inline(always)]
    pub(super) fn send_plainly(&self, mut guard: RefMut<'_, Inner>) -> bool {
        let inner = &mut *guard;
        let is_usual = inner.is_usual();
        let Some(bytes) = inner.outgoing.plain_all().filter(|_| is_usual) else { return false };
        if bytes.is_empty() {
            // Who polls has flushed before the end of the turn.
            return true;
        }
        let total_bytes = bytes.len();
        match self.io.try_send(self.source, bytes) {
            Ok(sent_bytes) => {
                inner.outgoing.discard(sent_bytes);
                // Sending never pauses a writer.
                if inner.flow == Flow::Paused {
                    inner.update_flow();
                }
                sent_bytes == total_bytes
            }
            Err(error) => {
                drop(guard);
                self.lose(Some(Failure::from(&error)));
                false
            }
        }
    }

    /// Sends everything, as far as that needs no waiting. With all of it sent, a wanted end is made.
    pub(super) fn send_all(self: &Rc<Self>) {
        while self.send_next() {}
        let is_encrypted = self.inner.borrow().tls.is_some();
        if is_encrypted {
            self.finish_encrypted();
        } else {
            self.finish_plain();
        }
        self.wake_all(Line::Sent, Inner::is_sent);
        self.wake_holder();
    }

    fn finish_plain(self: &Rc<Self>) {
        let inner = self.inner.borrow();
        let has_more = inner.in_flight_bytes > 0 || inner.outgoing.len() > 0;
        if has_more || inner.is_held() || inner.lent {
            return;
        }
        match (inner.life, inner.sending) {
            (Life::Open, Sending::EofWanted) if self.way == Way::Out => {
                drop(inner);
                self.lose(None);
            }
            (Life::Closing, _) => {
                drop(inner);
                self.lose(None);
            }
            (Life::Open, Sending::EofWanted) => {
                drop(inner);
                self.half_close();
            }
            _ => {}
        }
    }

    /// Tells the peer that no more will come.
    pub(super) fn half_close(&self) {
        self.inner.borrow_mut().sending = Sending::EofSent;
        if let Err(error) = self.io.shutdown(self.source, Shutdown::Write) {
            self.lose(Some(Failure::from(&error)));
        }
    }

    /// Sends the next bytes: at once from where they are, or, what is left of them, by an op. True if that
    /// needed no waiting and there may be more.
    pub(super) fn send_next(self: &Rc<Self>) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.tls.is_some() {
            drop(inner);
            // Asked once more, TLS says what it has.
            return self.take_encrypted().is_some_and(|data| self.write_op(data));
        }
        let mut count_bytes = inner.next_op_bytes();
        if count_bytes == 0 {
            return false;
        }
        if let Some(bytes) = inner.outgoing.plain(count_bytes) {
            let sent = self.io.try_send(self.source, bytes);
            let Ok(sent_bytes) = sent else {
                drop(inner);
                sent.map_err(|error| self.lose(Some(Failure::from(&error)))).ok();
                return false;
            };
            inner.outgoing.discard(sent_bytes);
            inner.update_flow();
            count_bytes -= sent_bytes;
            if count_bytes == 0 {
                let has_more = inner.outgoing.len() > 0;
                drop(inner);
                self.wake_all(Line::Drained, Inner::is_free);
                return has_more;
            }
        }
        inner.in_flight_bytes = count_bytes;
        let data = inner.outgoing.take(count_bytes);
        drop(inner);
        let is_done = self.write_op(data);
        self.wake_all(Line::Drained, Inner::is_free);
        is_done && self.inner.borrow().outgoing.len() > 0
    }

    /// Starts a write op. True if it was done at once.
    fn write_op(self: &Rc<Self>, data: WriteData) -> bool {
        match self.start_write(data) {
            Started::Parked => false,
            Started::Done(outcome) => {
                self.sent(outcome);
                true
            }
        }
    }

    /// Starts the write op of this stream, which may have its number from an earlier one.
    pub(super) fn start_write(self: &Rc<Self>, data: WriteData) -> Started {
        let write_op = self.inner.borrow().write_op;
        let write_op = write_op.unwrap_or_else(|| {
            let owner = Rc::clone(self) as Rc<dyn OpOwner>;
            let write_op = self.io.register(owner, WRITE);
            self.inner.borrow_mut().write_op = Some(write_op);
            write_op
        });
        self.io.start(write_op, Op::Write { source: self.source, data })
    }

    /// Takes note of the end of a write.
    pub(super) fn sent(&self, outcome: Outcome) {
        let sent = match outcome {
            Outcome::Wrote(sent) => sent,
            Outcome::Failed(error, unsent) => {
                self.lose(Some(Failure::from(&error)));
                return drop(unsent);
            }
            // The source was closed, which only `lose` does.
            Outcome::Cancelled(unsent) => return drop(unsent),
            _ => return,
        };
        let mut inner = self.inner.borrow_mut();
        inner.in_flight_bytes = 0;
        inner.update_flow();
        drop(inner);
        self.wake_all(Line::Drained, Inner::is_free);
        // Last, with nothing borrowed: slices may run their owner's code when they are dropped.
        outgoing::reclaim(sent);
    }

    /// Wakes who waits in `line`, as long as that is not in vain.
    fn wake_all(&self, line: Line, is_reached: impl Fn(&Inner) -> bool) {
        loop {
            let mut inner = self.inner.borrow_mut();
            if !is_reached(&inner) {
                return;
            }
            let Some(lines) = &mut inner.lines else { return };
            let Some(waker) = lines.take_first(line) else { return };
            drop(inner);
            waker.wake();
        }
    }
}

impl Inner {
    pub(super) fn check_writable(&self) -> Result<()> {
        if self.lent {
            return Err(Error::runtime("a writer was written to inside its own with_buffer"));
        }
        match self.sending {
            Sending::Open => Ok(()),
            Sending::EofWanted | Sending::EofSent => {
                Err(Error::runtime("a writer was written to after write_eof"))
            }
        }
    }

    /// Whether it is open, nothing of it is with the driver, nobody waits for anything, and what is written goes
    /// out as it is.
    fn is_usual(&self) -> bool {
        matches!((self.life, self.sending), (Life::Open, Sending::Open))
            && self.in_flight_bytes == 0
            && self.lines.is_none()
            && self.tls.is_none()
    }

    /// Whether what is written may be put behind the rest without another look.
    #[inline]
    pub(super) fn takes_plainly(&self) -> bool {
        self.flow == Flow::Free && !self.lent && self.is_usual()
    }

    /// Whether writers may go on.
    pub(super) fn is_free(&self) -> bool {
        self.flow == Flow::Free
    }

    /// Whether the system has everything that was written, and the end if one is wanted. Of a buffer that is out
    /// nobody knows what it holds.
    pub(super) fn is_sent(&self) -> bool {
        self.unsent_bytes() == 0 && !self.lent && self.sending != Sending::EofWanted
    }

    pub(super) fn marks(&self) -> Watermarks {
        self.lines.as_ref().map_or(Watermarks::DEFAULT, |lines| lines.marks)
    }

    pub(super) fn lines(&mut self) -> &mut Lines {
        self.lines.get_or_insert_default()
    }

    /// Bytes that were written and not sent. What is in flight counts as it is sent: encrypted, if it is.
    pub(super) fn unsent_bytes(&self) -> usize {
        let before_bytes = self.tls.as_ref().map_or(0, Tls::unsent_bytes);
        self.outgoing.len() + self.in_flight_bytes + before_bytes + self.held_back_bytes()
    }

    fn update_flow(&mut self) {
        let unsent_bytes = self.unsent_bytes();
        let paused = self.marks().is_paused(self.flow == Flow::Paused, unsent_bytes);
        self.flow = if paused { Flow::Paused } else { Flow::Free };
    }

    /// How many bytes the next write takes. Of a buffer above its high mark only what is above the low
    /// one: then its completion is the moment at which `drain` may go on (rule S71).
    pub(super) fn next_op_bytes(&self) -> usize {
        let (marks, pending_bytes) = (self.marks(), self.outgoing.len());
        if self.in_flight_bytes > 0 {
            0
        } else if pending_bytes > marks.high_bytes() {
            pending_bytes - marks.low_bytes()
        } else {
            pending_bytes
        }
    }
}

/// A write buffer that is out with a caller of `with_buffer`.
struct Loan<'s> {
    stream: &'s Rc<Stream>,
    /// There until it is dropped.
    tail: Option<Box<BytesMut>>,
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut inner = self.stream.inner.borrow_mut();
        inner.lent = false;
        // Also while closing: the buffer may hold bytes that were written before.
        if !matches!(inner.life, Life::Lost(_)) {
            self.tail.take().into_iter().for_each(|tail| inner.unsent().put_tail(tail));
            let is_awaited = !inner.is_usual();
            self.stream.wrote(inner);
            if is_awaited {
                // Who wanted a flush or the end meanwhile has it now, whether or not anything was written.
                self.stream.enlist();
            }
        }
    }
}
