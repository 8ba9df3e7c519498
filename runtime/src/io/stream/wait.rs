//! Waiting until a connection takes more bytes, or is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Failure, Flow, Inner, Life, Stream};
use crate::io::lines::Line;
use crate::sync::wait_list::{Key, Place, Standing, renew};

impl Stream {
    /// Waits as long as `line` says.
    pub(crate) fn wait(&self, line: Line) -> Wait<'_> {
        Wait { stream: self, line, place: Place::New }
    }

    /// Whether it is open and has few enough bytes left to send: the usual case, seen by one look.
    pub(crate) fn is_flowing(&self) -> bool {
        self.end_with_loop();
        let inner = self.inner.borrow();
        matches!((inner.life, inner.flow), (Life::Open, Flow::Free))
    }

    /// How a `drain` that does not wait ends, and `None` if it has to wait (rules S72, S73).
    pub(crate) fn drained(&self) -> Option<io::Result<()>> {
        let inner = self.inner.borrow();
        match (inner.life, inner.flow) {
            (Life::Lost(failure), _) => {
                let failure = failure.unwrap_or(Failure::Kind(io::ErrorKind::ConnectionReset));
                Some(Err(inner.error(failure)))
            }
            (_, Flow::Free) => Some(Ok(())),
            (_, Flow::Paused) => None,
        }
    }

    /// A place at the end of `line`, with a copy of `waker`; `None` if there is nothing to wait for, which the
    /// copying may have brought about.
    pub(super) fn take_place(&self, line: Line, waker: &Waker) -> Option<Key> {
        // Cloning and dropping a waker may be another executor's code: nothing is borrowed meanwhile.
        let waker = waker.clone();
        let mut inner = self.inner.borrow_mut();
        if inner.has_reached(line) {
            drop(inner);
            return None;
        }
        Some(inner.lines().of(line).join(waker))
    }

    /// Whether a place in `line` is still waited at, which is then by `waker`. It is not if it was woken; a line that
    /// is gone means that the connection is.
    pub(super) fn keeps_place(&self, line: Line, key: Key, waker: &Waker) -> bool {
        let is_gone = self.inner.borrow().lines.is_none();
        !is_gone
            && renew(&self.inner, |inner| inner.lines().of(line), key, waker) == Standing::Waiting
    }
}

impl Inner {
    /// Whether there is nothing to wait for in `line`.
    fn has_reached(&self, line: Line) -> bool {
        matches!(self.life, Life::Lost(_))
            || match line {
                Line::Drained => self.is_free(),
                Line::Sent => self.is_sent(),
                Line::Closed => false,
            }
    }
}

/// A place in one of a stream's lines.
pub(crate) struct Wait<'s> {
    stream: &'s Stream,
    line: Line,
    place: Place,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stream = self.stream;
        stream.end_with_loop();
        if let Place::Waiting(key) = self.place
            && stream.keeps_place(self.line, key, context.waker())
        {
            return Poll::Pending;
        }
        // Out of line means woken.
        if self.place == Place::New
            && let Some(key) = stream.take_place(self.line, context.waker())
        {
            self.place = Place::Waiting(key);
            return Poll::Pending;
        }
        self.place = Place::Done;
        Poll::Ready(())
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            let mut inner = self.stream.inner.borrow_mut();
            let waker = inner.lines.as_mut().and_then(|lines| lines.of(self.line).leave(key));
            drop(inner);
            drop(waker);
        }
    }
}
