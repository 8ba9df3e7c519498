//! Who waits for bytes: a task of ours as one word, or somebody else's waker, for which there is room when it
//! is needed.

use std::task::Waker;

use super::{Inner, Reading, Stream};
use crate::executor::IoHandle;
use crate::task::TaskWaker;

/// Who has waited, to be woken with nothing borrowed.
pub(super) enum Sleeper {
    Task(TaskWaker),
    Other(Waker),
}

impl Sleeper {
    pub(super) fn wake(self) {
        match self {
            Self::Task(task) => task.wake(),
            Self::Other(waker) => waker.wake(),
        }
    }

    /// The same in a turn of the loop `io`, of which the task most likely is.
    #[inline]
    pub(super) fn wake_in_turn(self, io: &IoHandle) {
        match self {
            Self::Task(task) => task.wake_in_turn(io.home()),
            Self::Other(waker) => waker.wake(),
        }
    }
}

impl Stream {
    /// Has `waker` woken when bytes, or the end, come. It replaces whoever has waited.
    #[inline]
    pub(super) fn await_bytes(&self, waker: &Waker) {
        match TaskWaker::of(waker) {
            Some(task) => {
                let mut inner = self.inner.borrow_mut();
                inner.reader = Some(task);
                let replaced = inner.lines.as_mut().and_then(|lines| lines.reader.take());
                drop(inner);
                drop(replaced);
            }
            None => self.await_bytes_elsewhere(waker),
        }
    }

    /// Cloning and dropping a waker may be another executor's code: nothing is borrowed meanwhile.
    #[inline(never)]
    fn await_bytes_elsewhere(&self, waker: &Waker) {
        let inner = self.inner.borrow();
        let waits = inner.lines.as_ref().and_then(|lines| lines.reader.as_ref());
        let is_known = waits.is_some_and(|reader| reader.will_wake(waker));
        drop(inner);
        if is_known {
            return;
        }
        let waker = waker.clone();
        let mut inner = self.inner.borrow_mut();
        if inner.reading == Reading::Ended {
            // That code has ended the connection: the next poll finds it so.
            drop(inner);
            return waker.wake();
        }
        inner.reader = None;
        let replaced = inner.lines().reader.replace(waker);
        drop(inner);
        drop(replaced);
    }
}

impl Inner {
    /// Takes out who waits for bytes.
    #[inline]
    pub(super) fn take_reader(&mut self) -> Option<Sleeper> {
        match self.reader.take() {
            Some(task) => Some(Sleeper::Task(task)),
            None => self.lines.as_mut()?.reader.take().map(Sleeper::Other),
        }
    }
}
