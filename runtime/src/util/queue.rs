//! A queue that any thread may push to. Under `cfg(loom)` it is a stand-in: the real one cannot run there.

#[cfg(not(loom))]
use crossbeam_channel::{Receiver, Sender, unbounded};

/// Unbounded and first in, first out. Never blocks.
pub(crate) struct Queue<T> {
    #[cfg(not(loom))]
    ends: (Sender<T>, Receiver<T>),
    #[cfg(loom)]
    items: crate::util::atomic::Mutex<std::collections::VecDeque<T>>,
}

#[cfg(not(loom))]
impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { ends: unbounded() }
    }

    pub(crate) fn push(&self, item: T) {
        // It fails only when the receiver is gone, and the receiver is ours.
        let _ = self.ends.0.send(item);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.ends.1.try_recv().ok()
    }
}

#[cfg(loom)]
impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self { items: crate::util::atomic::Mutex::new(std::collections::VecDeque::new()) }
    }

    pub(crate) fn push(&self, item: T) {
        self.items.lock().push_back(item);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.items.lock().pop_front()
    }
}
