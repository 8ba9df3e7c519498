//! A line in which everybody waits for the same news, and looks for itself what it is.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::wait_list::{Place, Standing, WaitList, renew, wake_all};
use crate::util::wait_kind::WaitKind;

#[derive(Debug)]
pub(super) struct Signal {
    line: RefCell<WaitList>,
}

impl Signal {
    pub(super) const fn new(kind: WaitKind) -> Self {
        Self { line: RefCell::new(WaitList::new(kind)) }
    }

    pub(super) fn wake_all(&self) {
        wake_all(&self.line, |line| line);
    }

    pub(super) fn waiters(&self) -> usize {
        self.line.borrow().len()
    }

    /// Waits until `look` finds something, which it is asked now and after each
    /// [`wake_all`](Self::wake_all).
    pub(super) fn until<R, F: FnMut() -> Option<R>>(&self, look: F) -> Until<'_, F> {
        Until { signal: self, place: Place::New, look }
    }

    /// One poll of such a wait, for a future that keeps its own place.
    pub(super) fn poll_until<R>(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        if let Place::Waiting(key) = *place {
            if renew(&self.line, |line| line, key, cx.waker()) == Standing::Waiting {
                return Poll::Pending;
            }
            *place = Place::New;
        }
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        // The clone may be foreign code: nothing is borrowed, and it may bring the news.
        let waker = cx.waker().clone();
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        *place = Place::Waiting(self.line.borrow_mut().join(waker));
        Poll::Pending
    }

    /// Gives a place up. All who wait are woken together, so there is nothing to pass on.
    pub(super) fn leave(&self, place: Place) {
        if let Place::Waiting(key) = place {
            // The waker is dropped at the end of the block, after the borrow.
            let _left = self.line.borrow_mut().leave(key);
        }
    }
}

/// The future of [`Signal::until`].
pub(super) struct Until<'a, F> {
    signal: &'a Signal,
    place: Place,
    look: F,
}

// Nothing in it is ever pinned.
impl<F> Unpin for Until<'_, F> {}

impl<R, F: FnMut() -> Option<R>> Future for Until<'_, F> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        this.signal.poll_until(&mut this.place, cx, &mut this.look)
    }
}

impl<F> Drop for Until<'_, F> {
    fn drop(&mut self) {
        self.signal.leave(self.place);
    }
}
