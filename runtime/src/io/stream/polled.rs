//! Waiting by `poll_…` calls, for which no future stands in line.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Flow, Life, Sending, Stream};
use crate::io::lines::Line;
use crate::sync::wait_list::Key;

/// What may be written at a time however full the buffer is, as long as it takes anything. So a buffer that is
/// filled by polling holds no more than its high mark and this.
const LEAST_ROOM_BYTES: usize = 16 * 1024;

/// The place of one handle in a line of its stream. In a box, as most handles never wait by polling.
#[derive(Debug, Default)]
pub(crate) struct PolledPlace(Option<Box<(Line, Key)>>);

impl PolledPlace {
    /// Gives the place up.
    pub(crate) fn leave(&mut self, stream: &Stream) {
        let Some(place) = self.0.take() else { return };
        let (line, key) = *place;
        let mut inner = stream.inner.borrow_mut();
        let waker = inner.lines.as_mut().and_then(|lines| lines.of(line).leave(key));
        drop(inner);
        drop(waker);
    }

    /// Waits in `line` for the task of `context`, and no longer where it waited before.
    fn wait(&mut self, stream: &Stream, line: Line, context: &mut Context<'_>) {
        if self.0.as_ref().is_some_and(|place| place.0 != line) {
            self.leave(stream);
        }
        let waker = context.waker();
        if self.0.as_ref().is_some_and(|place| stream.keeps_place(line, place.1, waker)) {
            return;
        }
        match (stream.take_place(line, waker), &mut self.0) {
            (Some(key), Some(place)) => place.1 = key,
            (Some(key), None) => self.0 = Some(Box::new((line, key))),
            // There is nothing to wait for any more, as the next poll will find.
            (None, _) => waker.wake_by_ref(),
        }
    }
}

impl Stream {
    /// Copies as much of `slices` as there is room for to the end of what is to be sent, and says how much that
    /// is; waits while the buffer is too full.
    pub(crate) fn poll_write(
        self: &Rc<Self>,
        slices: &[IoSlice<'_>],
        place: &mut PolledPlace,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.end_with_loop();
        let mut inner = self.inner.borrow_mut();
        if inner.takes_plainly() {
            let total_bytes: usize = slices.iter().map(|slice| slice.len()).sum();
            if (1..=LEAST_ROOM_BYTES).contains(&total_bytes) {
                slices.iter().for_each(|slice| inner.outgoing.write(slice));
                self.wrote_plainly(inner);
                return Poll::Ready(Ok(total_bytes));
            }
        }
        match (inner.life, inner.sending) {
            (Life::Open, Sending::Open) => {}
            (Life::Lost(Some(failure)), _) => return Poll::Ready(Err(inner.error(failure))),
            _ => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        inner.check_writable().map_err(io::Error::other)?;
        if inner.flow == Flow::Paused {
            drop(inner);
            place.wait(self, Line::Drained, context);
            return Poll::Pending;
        }
        let room_bytes = inner.marks().high_bytes().saturating_sub(inner.unsent_bytes());
        let room_bytes = room_bytes.max(LEAST_ROOM_BYTES);
        let mut left_bytes = room_bytes;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            let count_bytes = slice.len().min(left_bytes);
            inner.unsent().write(&slice[..count_bytes]);
            left_bytes -= count_bytes;
            if left_bytes == 0 {
                break;
            }
        }
        self.wrote(inner);
        Poll::Ready(Ok(room_bytes - left_bytes))
    }

    /// Waits while the buffer is too full.
    pub(crate) fn poll_drained(
        self: &Rc<Self>,
        place: &mut PolledPlace,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.failure()?;
        if let Some(drained) = self.drained() {
            return Poll::Ready(drained);
        }
        place.wait(self, Line::Drained, context);
        Poll::Pending
    }

    /// Sends what was written, and the end if one is wanted; waits until the system has all of it. Of a
    /// connection that is closing it waits for the end.
    pub(crate) fn poll_sent(
        self: &Rc<Self>,
        place: &mut PolledPlace,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.end_with_loop();
        let is_lent = self.inner.borrow().lent;
        if !is_lent && self.send_plainly(self.inner.borrow_mut()) {
            return Poll::Ready(Ok(()));
        }
        self.failure()?;
        let is_idle = self.inner.borrow().in_flight_bytes == 0;
        if is_idle {
            self.send_all();
            self.failure()?;
        }
        let line = {
            let inner = self.inner.borrow();
            match inner.life {
                Life::Lost(_) => return Poll::Ready(Ok(())),
                Life::Open if inner.is_sent() => return Poll::Ready(Ok(())),
                Life::Open => Line::Sent,
                Life::Closing => Line::Closed,
            }
        };
        place.wait(self, line, context);
        Poll::Pending
    }

    /// Half-closes and waits until the system has everything, the end included.
    pub(crate) fn poll_ended(
        self: &Rc<Self>,
        place: &mut PolledPlace,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.write_eof();
        self.poll_sent(place, context)
    }
}
