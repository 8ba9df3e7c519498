//! A flag that tasks can wait for (rules L15 to L17).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::wait_list::{Place, Standing, WaitList, renew, wake_all};
use crate::util::wait_kind::WaitKind;

/// A flag that is set or clear, and a line of tasks that wait for it to be set.
///
/// A clone is the same event.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Event;
///
/// corelane::run(async || {
///     let ready = Event::new();
///     let seen = ready.clone();
///     let waiter = corelane::spawn(async move { seen.wait().await });
///     ready.set();
///     waiter.await
/// })
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Event {
    inner: Rc<Inner>,
}

struct Inner {
    set: Cell<bool>,
    line: RefCell<WaitList>,
}

impl Event {
    /// Makes an event that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag and wakes all who wait, in the order in which they began. Setting it again
    /// changes nothing.
    pub fn set(&self) {
        if !self.inner.set.replace(true) {
            wake_all(&self.inner.line, |line| line);
        }
    }

    /// Clears the flag. Those who were woken by an earlier [`set`](Self::set) return all the same.
    pub fn clear(&self) {
        self.inner.set.set(false);
    }

    /// The same for who waits, seen from outside, for something else than an event.
    pub(crate) fn of_kind(kind: WaitKind) -> Self {
        Self { inner: Rc::new(Inner::new(kind)) }
    }

    /// Whether the flag is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.inner.set.get()
    }

    /// Waits until the flag is set; returns without suspending if it is.
    ///
    /// # Cancel safety
    /// Safe: a dropped wait leaves nothing behind.
    pub fn wait(&self) -> EventWait<'_> {
        EventWait { inner: &self.inner, place: Place::New }
    }
}

impl Inner {
    fn new(kind: WaitKind) -> Self {
        Self { set: Cell::new(false), line: RefCell::new(WaitList::new(kind)) }
    }
}

impl Default for Inner {
    fn default() -> Self {
        Self::new(WaitKind::Event)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiters", &self.inner.line.borrow().len())
            .finish()
    }
}

/// The future of [`Event::wait`]. It panics when it is polled after it has returned.
#[must_use = "futures do nothing unless awaited"]
pub struct EventWait<'a> {
    inner: &'a Inner,
    place: Place,
}

impl Future for EventWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inner = self.inner;
        match self.place {
            Place::New if !inner.set.get() => {
                // The clone may be foreign code: nothing is borrowed, and it may set the event.
                let waker = cx.waker().clone();
                if !inner.set.get() {
                    self.place = Place::Waiting(inner.line.borrow_mut().join(waker));
                    return Poll::Pending;
                }
            }
            Place::New => {}
            Place::Waiting(key) => {
                // Who was woken returns, even if the flag was cleared before its turn (L16).
                let standing = renew(&inner.line, |line| line, key, cx.waker());
                if standing == Standing::Waiting {
                    return Poll::Pending;
                }
            }
            Place::Done => panic!("an event's wait was polled after it had returned"),
        }
        self.place = Place::Done;
        Poll::Ready(())
    }
}

impl Drop for EventWait<'_> {
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            // The waker is dropped at the end of the block, after the borrow.
            let _left = self.inner.line.borrow_mut().leave(key);
        }
    }
}

impl fmt::Debug for EventWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWait").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
