//! Sending apart from the writers: what they write meanwhile waits.
//!
//! ```text
//!   written before ──▶ outgoing ──▶ socket ◀── who holds the stream
//!   written since ───▶ behind ──── when it lets go ──▶ outgoing
//! ```

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{Inner, Life, Sending, Stream};
use crate::driver::{Op, Outcome};
use crate::io::lines::Held;
use crate::io::one_op::run_op;
use crate::io::outgoing::Outgoing;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// The place between what was written before and what is written since. Dropping it lets the latter go.
pub(crate) struct Hold {
    stream: Rc<Stream>,
}

impl Stream {
    /// Has what is written from now on wait.
    ///
    /// # Errors
    /// What ended the connection; `BrokenPipe` when this end was closed or half-closed; `ResourceBusy` if somebody
    /// else holds it, or inside `with_buffer`.
    pub(crate) fn hold(self: &Rc<Self>) -> io::Result<Hold> {
        self.failure()?;
        let mut inner = self.inner.borrow_mut();
        if !matches!((inner.life, inner.sending), (Life::Open, Sending::Open)) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if inner.is_held() || inner.lent {
            let text = "a file is being sent on this connection already";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        inner.lines().held = Some(Held::default());
        drop(inner);
        Ok(Hold { stream: Rc::clone(self) })
    }

    /// Wakes who holds the stream, if everything before is sent.
    pub(super) fn wake_holder(&self) {
        let mut inner = self.inner.borrow_mut();
        if !inner.is_clear() {
            return;
        }
        let waiter = inner.held().and_then(|held| held.waiter.take());
        drop(inner);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl Hold {
    /// Waits until everything that goes before is sent.
    pub(crate) async fn cleared(&self) -> io::Result<()> {
        let is_idle = self.stream.inner.borrow().in_flight_bytes == 0;
        if is_idle {
            self.stream.send_all();
        }
        poll_fn(|context| self.poll_cleared(context)).await
    }

    fn poll_cleared(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        // Cloning a waker may be another executor's code: nothing is borrowed meanwhile.
        let waker = context.waker().clone();
        let mut inner = self.stream.inner.borrow_mut();
        if inner.is_clear() {
            drop(inner);
            return Poll::Ready(Ok(()));
        }
        let replaced = inner.held().and_then(|held| held.waiter.replace(waker));
        drop(inner);
        drop(replaced);
        cancel::note_wait(WaitKind::Sent);
        Poll::Pending
    }

    /// Sends bytes before what waits.
    pub(crate) fn send(&self, bytes: Bytes) {
        let mut inner = self.stream.inner.borrow_mut();
        if !matches!(inner.life, Life::Lost(_)) {
            inner.outgoing.write_shared(bytes);
            self.stream.wrote(inner);
        }
    }

    /// A descriptor for another thread to send on, when everything before is sent.
    pub(crate) fn share(&self) -> io::Result<OwnedFd> {
        self.stream.share()
    }

    /// That thread is about to try.
    pub(crate) fn forget_room(&self) {
        self.stream.io.forget_room(self.stream.source);
    }

    /// That thread was not refused.
    pub(crate) fn found_room(&self) {
        self.stream.io.found_room(self.stream.source);
    }

    /// That thread has sent so many bytes.
    pub(crate) fn note_sent(&self, bytes: usize) {
        self.stream.io.note_sent(bytes as u64);
    }

    /// Waits until there is room again, after that thread was refused.
    pub(crate) async fn room(&self) -> io::Result<()> {
        self.check()?;
        let writable = Op::Writable { source: self.stream.source };
        match run_op(&self.stream.io, writable, WaitKind::Write).await {
            Outcome::Ready => Ok(()),
            _ => self.check(),
        }
    }

    /// Whether bytes have to go through TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.stream.is_encrypted()
    }

    /// Ends the connection.
    pub(crate) fn abort(&self) {
        self.stream.abort();
    }

    /// Fails if the connection is gone, with or without an error.
    fn check(&self) -> io::Result<()> {
        self.stream.failure()?;
        match self.stream.inner.borrow().life {
            Life::Lost(_) => Err(io::ErrorKind::ConnectionReset.into()),
            Life::Open | Life::Closing => Ok(()),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut inner = self.stream.inner.borrow_mut();
        let held = inner.lines.as_mut().and_then(|lines| lines.held.take());
        let Some(Held { behind, waiter }) = held else { return };
        inner.outgoing.append(behind);
        self.stream.wrote(inner);
        drop(waiter);
        // An end may have been wanted meanwhile.
        self.stream.enlist();
    }
}

impl Inner {
    /// Where writers put their bytes.
    pub(super) fn unsent(&mut self) -> &mut Outgoing {
        let held = self.lines.as_mut().and_then(|lines| lines.held.as_mut());
        held.map_or(&mut self.outgoing, |held| &mut held.behind)
    }

    /// Whether somebody sends apart from the writers.
    pub(super) fn is_held(&self) -> bool {
        self.lines.as_ref().is_some_and(|lines| lines.held.is_some())
    }

    /// Bytes that wait for who sends apart.
    pub(super) fn held_back_bytes(&self) -> usize {
        let held = self.lines.as_ref().and_then(|lines| lines.held.as_ref());
        held.map_or(0, |held| held.behind.len())
    }

    /// Whether nothing is left of what goes before.
    fn is_clear(&self) -> bool {
        self.unsent_bytes() == self.held_back_bytes()
    }

    fn held(&mut self) -> Option<&mut Held> {
        self.lines.as_mut()?.held.as_mut()
    }
}
