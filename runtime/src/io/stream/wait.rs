//! Waiting until a connection takes more bytes, or is gone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::{Failure, Flow, Life, Stream};
use crate::io::lines::Line;
use crate::sync::wait_list::{Place, Standing};

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
        self.stream.end_with_loop();
        let mut replaced = None;
        let mut inner = self.stream.inner.borrow_mut();
        let place = match self.place {
            // Out of line means woken; a line that is gone means that the connection is.
            _ if matches!(inner.life, Life::Lost(_)) => Place::Done,
            Place::Done => Place::Done,
            Place::New => Place::Waiting(inner.lines().of(self.line).join(context.waker())),
            Place::Waiting(key) => {
                match inner.lines().of(self.line).renew(key, context.waker(), &mut replaced) {
                    Standing::Waiting => Place::Waiting(key),
                    Standing::Woken | Standing::PassedOver => Place::Done,
                }
            }
        };
        drop(inner);
        drop(replaced);
        self.place = place;
        if place == Place::Done { Poll::Ready(()) } else { Poll::Pending }
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
