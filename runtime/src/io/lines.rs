//! Who waits for a connection to take more bytes, to have sent them all, or to be gone.

use std::task::Waker;

use super::outgoing::Outgoing;
use crate::sync::wait_list::WaitList;
use crate::util::wait_kind::WaitKind;
use crate::util::watermark::Watermarks;

/// The part of a connection that only slow or closing ones need, and those that another executor polls.
#[derive(Debug)]
pub(crate) struct Lines {
    /// When writers pause.
    pub(crate) marks: Watermarks,
    drainers: WaitList,
    flushers: WaitList,
    closers: WaitList,
    /// Waits for bytes, and is no task of ours.
    pub(crate) reader: Option<Waker>,
    /// Somebody sends apart from the writers.
    pub(crate) held: Option<Held>,
}

/// What is put off while somebody sends apart from the writers.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Was written since, and goes afterwards.
    pub(crate) behind: Outgoing,
    /// Waits until what was written before is sent.
    pub(crate) waiter: Option<Waker>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The buffer is at or below its low mark again, or the connection is gone.
    Drained,
    /// The system has everything that was written, and the end if one is wanted, or the connection is gone.
    Sent,
    /// The connection is gone.
    Closed,
}

impl Lines {
    /// The line for `line`.
    pub(crate) fn of(&mut self, line: Line) -> &mut WaitList {
        match line {
            Line::Drained => &mut self.drainers,
            Line::Sent => &mut self.flushers,
            Line::Closed => &mut self.closers,
        }
    }

    /// Takes the first of a line, to be woken by the caller with nothing borrowed.
    pub(crate) fn take_first(&mut self, line: Line) -> Option<Waker> {
        self.of(line).take_first().map(|(_, waker)| waker)
    }

    /// Wakes everybody.
    pub(crate) fn wake_all(mut self) {
        if let Some(waiter) = self.held.as_mut().and_then(|held| held.waiter.take()) {
            waiter.wake();
        }
        for line in [Line::Drained, Line::Sent, Line::Closed] {
            while let Some(waker) = self.take_first(line) {
                waker.wake();
            }
        }
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            marks: Watermarks::DEFAULT,
            drainers: WaitList::new(WaitKind::Write),
            flushers: WaitList::new(WaitKind::Sent),
            closers: WaitList::new(WaitKind::Closed),
            reader: None,
            held: None,
        }
    }
}
