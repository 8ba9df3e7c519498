//! The part of a stream that speaks TLS. It stands between the raw bytes and the two buffers, which hold
//! plaintext: what is received goes through the session into `incoming`, what `outgoing` gives for a write
//! goes through it to the driver.
//!
//! ```text
//!   handshake ──done──▶ open ──close──▶ flushing ──our end said──▶ listening ──the peer's end──▶ lost
//!       │                │                  │ time is up               │ time is up, or too much came
//!       └── refused ─────┴─────▶ lost ◀─────┘                          └──────────────────────────▶ lost
//! ```
//!
//! A closed connection listens for the peer's end, as asyncio's does: a socket that is closed while bytes
//! come in is reset, and a reset may overtake what was sent last.

use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;

use super::{Failure, Inner, Life, READ, Reading, Sending, Stream};
use crate::driver::{Buf, Op, Outcome, Started, WriteData};
use crate::executor::{Alarm, OpOwner};
use crate::io::incoming::Incoming;
use crate::io::outgoing::{self, Outgoing};
use crate::io::session::Session;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// What one write seals at most, so that a large buffer is not in memory twice.
const SEAL_BYTES: usize = 256 * 1024;

/// What a closed connection takes in until the peer's end. Who sends on and on is cut off.
const LISTEN_BYTES: usize = 256 * 1024;

/// TLS of one stream. Apart from it, because most have none.
pub(crate) struct Tls(Box<State>);

struct State {
    session: Session,
    /// Written before TLS began, so it goes as it is, and first.
    before: Outgoing,
    /// Why the session has failed.
    error: Option<rustls::Error>,
    /// The connection ended, and the peer had not said that it would.
    is_truncated: bool,
    /// How long a closed connection may take to send what is left and to hear the peer's end.
    shutdown_timeout: Duration,
    /// Our own end is said, and the peer's is waited for.
    is_listening: bool,
    /// What came since.
    heard_bytes: usize,
    /// Ends a closed connection whose peer does not read, or does not end it.
    watchdog: Option<Alarm>,
}

impl Tls {
    fn new(session: Session, before: Outgoing, shutdown_timeout: Duration) -> Self {
        Self(Box::new(State {
            session,
            before,
            error: None,
            is_truncated: false,
            shutdown_timeout,
            is_listening: false,
            heard_bytes: 0,
            watchdog: None,
        }))
    }

    /// Why the session has failed, if it has.
    pub(super) fn error(&self) -> Option<io::Error> {
        let error = self.0.error.clone()?;
        Some(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// What a reader is told instead of the end, if the end is not one that the peer has vouched for.
    pub(super) fn truncation(&self) -> Option<io::Error> {
        let text = "the connection ended without a close_notify: what was read may not be all";
        self.0.is_truncated.then(|| io::Error::new(io::ErrorKind::UnexpectedEof, text))
    }

    /// What was written before TLS began and is not sent.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.0.before.len()
    }

    /// What waits for the end of the connection, to be dropped with nothing borrowed.
    pub(super) fn lost(&mut self) -> Lost {
        Lost { _watchdog: self.0.watchdog.take(), _before: mem::take(&mut self.0.before) }
    }
}

/// What a lost connection lets go of.
pub(super) struct Lost {
    _watchdog: Option<Alarm>,
    _before: Outgoing,
}

impl Stream {
    /// Begins TLS on a connection in use (rule S82). What was written so far goes first, as it is. `held`,
    /// which the reader has taken over and not read, and what came after it, is the peer's part of TLS.
    ///
    /// # Errors
    /// What ended the connection; `NotConnected` if it is closing, `InvalidInput` after `write_eof` and if it
    /// speaks TLS already.
    pub(crate) fn start_tls(
        self: &Rc<Self>,
        session: Session,
        shutdown_timeout: Duration,
        held: &[u8],
    ) -> io::Result<()> {
        self.failure()?;
        let mut inner = self.inner.borrow_mut();
        inner.check_tls()?;
        let before = mem::take(&mut inner.outgoing);
        let mut unread = mem::take(&mut inner.incoming);
        inner.tls = Some(Tls::new(session, before, shutdown_timeout));
        let has_ended = inner.reading == Reading::Ended;
        drop(inner);
        self.held_bytes.set(0);
        self.received_encrypted(held);
        while let Some(chunk) = unread.pop() {
            self.received_encrypted(&chunk);
        }
        if has_ended {
            self.ended_encrypted();
        }
        self.enlist();
        if self.inner.borrow().reading == Reading::Idle {
            self.read_on();
        }
        Ok(())
    }

    /// Waits for the end of the handshake. It takes the place of a reader that waits.
    pub(crate) fn poll_handshake(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.failure()?;
        let inner = self.inner.borrow();
        if inner.tls.as_ref().is_none_or(|tls| tls.0.session.is_open()) {
            return Poll::Ready(Ok(()));
        }
        if !matches!(inner.life, Life::Open) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        drop(inner);
        self.await_bytes(context.waker());
        cancel::note_wait(WaitKind::Handshake);
        Poll::Pending
    }

    /// Gives what TLS has agreed upon to `look`; `None` without TLS, and before the end of the handshake.
    pub(crate) fn with_tls<R>(&self, look: impl FnOnce(&rustls::Connection) -> R) -> Option<R> {
        let inner = self.inner.borrow();
        let session = &inner.tls.as_ref()?.0.session;
        session.is_open().then(|| look(session.connection()))
    }

    /// Raw bytes have come.
    pub(super) fn received_encrypted(self: &Rc<Self>, raw: &[u8]) {
        let mut inner = self.inner.borrow_mut();
        let Inner { tls: Some(tls), incoming, life, .. } = &mut *inner else { return };
        if matches!(life, Life::Lost(_)) {
            return;
        }
        let session = &mut tls.0.session;
        let was_open = session.is_open();
        let mut plaintext = Plaintext { incoming, last: None };
        let result = session.receive(raw, |piece| plaintext.append(piece));
        drop(plaintext);
        let has_more_to_send = session.has_output() || session.is_open() != was_open;
        let peer_said_end = session.peer_said_end();
        if let Err(error) = result {
            tls.0.error = Some(error);
            drop(inner);
            return self.refuse();
        }
        let read_op = if peer_said_end {
            inner.reading = Reading::Ended;
            inner.read_op.take()
        } else {
            None
        };
        drop(inner);
        if let Some(read_op) = read_op {
            self.io.release(read_op);
        }
        if has_more_to_send {
            self.enlist();
        }
    }

    /// The session has failed: tells the peer why, if it can be told at once, and ends the connection.
    fn refuse(self: &Rc<Self>) {
        let mut inner = self.inner.borrow_mut();
        let mut alert = BytesMut::new();
        if inner.in_flight_bytes == 0
            && let Some(tls) = &mut inner.tls
        {
            tls.0.session.take_output(&mut alert);
            inner.in_flight_bytes = alert.len();
        }
        drop(inner);
        if !alert.is_empty() {
            // Whatever becomes of it, the connection ends.
            drop(self.start_write(WriteData::Buf(alert)));
        }
        self.lose(Some(Failure::Kind(io::ErrorKind::InvalidData)));
    }

    /// No more raw bytes will come.
    pub(super) fn ended_encrypted(&self) {
        let mut inner = self.inner.borrow_mut();
        let Some(tls) = &mut inner.tls else { return };
        let session = &tls.0.session;
        tls.0.is_truncated = !session.peer_said_end();
        if !session.is_open() {
            drop(inner);
            self.lose(Some(Failure::Kind(io::ErrorKind::UnexpectedEof)));
        }
    }

    /// Takes what the next write sends. `None` if there is nothing to be sent now.
    pub(super) fn take_encrypted(&self) -> Option<WriteData> {
        let mut inner = self.inner.borrow_mut();
        let plain_bytes = inner.next_op_bytes().min(SEAL_BYTES);
        let Inner { tls: Some(tls), outgoing, in_flight_bytes, .. } = &mut *inner else {
            return None;
        };
        let State { session, before, .. } = &mut *tls.0;
        if *in_flight_bytes > 0 {
            return None;
        }
        if before.len() > 0 {
            *in_flight_bytes = before.len();
            return Some(before.take(before.len()));
        }
        let plaintext = (plain_bytes > 0 && session.is_open() && !session.said_end())
            .then(|| outgoing.take(plain_bytes));
        if let Some(plaintext) = &plaintext {
            session.seal(plaintext);
        }
        let sealed = session.has_output().then(|| {
            let mut sealed = *outgoing::take_storage();
            session.take_output(&mut sealed);
            *in_flight_bytes = sealed.len();
            WriteData::Buf(sealed)
        });
        drop(inner);
        // With nothing borrowed: slices may run their owner's code when they are dropped.
        if let Some(plaintext) = plaintext {
            outgoing::reclaim(plaintext);
        }
        sealed
    }

    /// After everything that can be sent now was sent: makes the end, if one is wanted.
    pub(super) fn finish_encrypted(self: &Rc<Self>) {
        loop {
            let mut inner = self.inner.borrow_mut();
            let (life, sending) = (inner.life, inner.sending);
            let ends = matches!(life, Life::Closing) || sending == Sending::EofWanted;
            if !ends
                || inner.in_flight_bytes > 0
                || inner.is_held()
                || inner.lent
                || matches!(life, Life::Lost(_))
            {
                return;
            }
            let Some(tls) = &mut inner.tls else { return };
            let session = &mut tls.0.session;
            if !session.is_open() {
                drop(inner);
                if matches!(life, Life::Closing) {
                    // Nobody is there yet who could be told of an end.
                    self.lose(None);
                }
                return;
            }
            if !session.said_end() {
                session.say_end();
                drop(inner);
                while self.send_next() {}
                continue;
            }
            let has_ended = inner.reading == Reading::Ended;
            drop(inner);
            return match life {
                Life::Closing if has_ended => self.lose(None),
                Life::Closing => self.listen(),
                _ => self.half_close(),
            };
        }
    }

    /// The connection was closed just now. What is left of it, the flush of what was written included, has its time:
    /// asyncio's timeout begins as early.
    pub(super) fn limit_end(self: &Rc<Self>) {
        let Some(limit) = self.inner.borrow().tls.as_ref().map(|tls| tls.0.shutdown_timeout) else {
            return;
        };
        let stream = Rc::downgrade(self);
        let end = move || {
            if let Some(stream) = stream.upgrade() {
                stream.lose(Some(Failure::Kind(io::ErrorKind::TimedOut)));
            }
        };
        let watchdog = self.io.call_at(self.io.now() + limit, Box::new(end));
        if let Some(tls) = &mut self.inner.borrow_mut().tls {
            tls.0.watchdog = Some(watchdog);
        }
    }

    /// Everything is sent and our end is said: waits for the peer's, until the time is up.
    fn listen(self: &Rc<Self>) {
        let mut inner = self.inner.borrow_mut();
        let Some(tls) = &mut inner.tls else { return };
        if mem::replace(&mut tls.0.is_listening, true) {
            return;
        }
        drop(inner);
        let read_op = self.io.register(Rc::clone(self) as Rc<dyn OpOwner>, READ);
        self.inner.borrow_mut().read_op = Some(read_op);
        self.listen_on();
    }

    fn listen_on(&self) {
        loop {
            let Some(read_op) = self.inner.borrow().read_op else { return };
            let op = Op::Read { source: self.source, max_bytes: super::receiving::RECEIVE_BYTES };
            match self.io.start(read_op, op) {
                Started::Parked => return,
                Started::Done(outcome) => self.heard(outcome),
            }
        }
    }

    /// Whether a closed connection waits for the peer's end.
    pub(super) fn is_listening(&self) -> bool {
        let inner = self.inner.borrow();
        inner.tls.as_ref().is_some_and(|tls| tls.0.is_listening)
    }

    /// Something came while the peer's end is waited for.
    pub(super) fn heard_and_listen_on(&self, outcome: Outcome) {
        self.heard(outcome);
        self.listen_on();
    }

    /// Takes note of what came while the peer's end is waited for.
    pub(super) fn heard(&self, outcome: Outcome) {
        let mut inner = self.inner.borrow_mut();
        let Some(tls) = &mut inner.tls else { return };
        let failure = match outcome {
            Outcome::Read(raw) | Outcome::Filled(raw) => {
                tls.0.heard_bytes += raw.len();
                let result = tls.0.session.receive(&raw, |_| ());
                let goes_on = tls.0.heard_bytes <= LISTEN_BYTES;
                if result.is_ok() && goes_on && !tls.0.session.peer_said_end() {
                    return;
                }
                None
            }
            Outcome::Failed(error, _) => Some(Failure::from(&error)),
            _ => None,
        };
        drop(inner);
        self.lose(failure);
    }
}

impl Inner {
    /// Whether TLS may begin here.
    fn check_tls(&self) -> io::Result<()> {
        let invalid = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !matches!(self.life, Life::Open) {
            let text = "start_tls on a connection that is closing";
            return Err(io::Error::new(io::ErrorKind::NotConnected, text));
        }
        if self.tls.is_some() {
            return invalid("start_tls on a connection that speaks TLS already");
        }
        if self.sending != Sending::Open || self.lent || self.is_held() {
            return invalid("start_tls after write_eof, inside with_buffer or during sendfile");
        }
        Ok(())
    }
}

/// Where the session puts plaintext: into buffers of the pool, and these into `incoming`.
struct Plaintext<'i> {
    incoming: &'i mut Incoming,
    last: Option<Buf>,
}

impl Plaintext<'_> {
    fn append(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let buf = self.last.get_or_insert_with(Buf::from_pool);
            let taken = buf.append(piece);
            piece = &piece[taken..];
            if buf.spare_bytes() == 0
                && let Some(full) = self.last.take()
            {
                self.incoming.push(full);
            }
        }
    }
}

impl Drop for Plaintext<'_> {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            self.incoming.push(last);
        }
    }
}
