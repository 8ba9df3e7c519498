//! The waiting ends of a queue.

use std::cell::RefMut;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{
    Discipline, Fifo, Inner, Items, Key, Place, QueueShutDown, Standing, State, renew, store,
};

/// The future of [`Queue::put`](super::AnyQueue::put). It panics when it is polled after it has
/// returned.
#[must_use = "futures do nothing unless awaited"]
pub struct QueuePut<'a, T, D: Discipline<T> = Fifo> {
    queue: &'a Inner<T, D>,
    /// There until the future returns.
    item: Option<T>,
    place: Place,
}

/// The future of [`Queue::get`](super::AnyQueue::get). It panics when it is polled after it has
/// returned.
#[must_use = "futures do nothing unless awaited"]
pub struct QueueGet<'a, T, D: Discipline<T> = Fifo> {
    queue: &'a Inner<T, D>,
    place: Place,
}

/// The future of [`Queue::join`](super::AnyQueue::join). It panics when it is polled after it has
/// returned.
#[must_use = "futures do nothing unless awaited"]
pub struct QueueJoin<'a, T, D: Discipline<T> = Fifo> {
    queue: &'a Inner<T, D>,
    place: Place,
}

// Nothing in it is ever pinned: the item is moved in and out.
impl<T, D: Discipline<T>> Unpin for QueuePut<'_, T, D> {}

impl<'a, T, D: Discipline<T>> QueuePut<'a, T, D> {
    pub(super) fn new(queue: &'a Inner<T, D>, item: T) -> Self {
        Self { queue, item: Some(item), place: Place::New }
    }
}

impl<'a, T, D: Discipline<T>> QueueGet<'a, T, D> {
    pub(super) fn new(queue: &'a Inner<T, D>) -> Self {
        Self { queue, place: Place::New }
    }
}

impl<'a, T, D: Discipline<T>> QueueJoin<'a, T, D> {
    pub(super) fn new(queue: &'a Inner<T, D>) -> Self {
        Self { queue, place: Place::New }
    }
}

impl<T, D: Discipline<T>> Future for QueuePut<'_, T, D> {
    type Output = Result<(), QueueShutDown<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let state = this.queue.state.borrow_mut();
        if this.place != Place::New || state.shut_down || this.queue.is_full(&state) {
            drop(state);
            return this.poll_in_line(cx);
        }
        if let Some(item) = this.item.take() {
            store(state, item);
        }
        this.place = Place::Done;
        Poll::Ready(Ok(()))
    }
}

impl<T, D: Discipline<T>> QueuePut<'_, T, D> {
    /// The poll of a put that cannot be done at once, or that waited.
    #[inline(never)]
    fn poll_in_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueShutDown<T>>> {
        let queue = self.queue;
        if let Place::Waiting(key) = self.place
            && renew(&queue.state, |state| &mut state.putters, key, cx.waker()) == Standing::Waiting
        {
            return Poll::Pending;
        }
        let must_wait = |state: &State<T, D>| !state.shut_down && queue.is_full(state);
        // Declared before the borrow, so that it is dropped after it.
        let waker;
        let mut state = queue.state.borrow_mut();
        if must_wait(&state) && self.item.is_some() {
            drop(state);
            // The clone may be foreign code: nothing is borrowed, and it may make room.
            waker = cx.waker().clone();
            state = queue.state.borrow_mut();
            if must_wait(&state) {
                self.place = Place::Waiting(state.putters.join(waker));
                return Poll::Pending;
            }
        }
        self.place = Place::Done;
        let Some(item) = self.item.take() else {
            panic!("a queue's put was polled after it had returned");
        };
        if state.shut_down {
            return Poll::Ready(Err(QueueShutDown(item)));
        }
        store(state, item);
        Poll::Ready(Ok(()))
    }
}

impl<T, D: Discipline<T>> Future for QueueGet<'_, T, D> {
    type Output = Result<T, QueueShutDown>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.queue.poll_get(&mut self.place, cx)
    }
}

impl<T, D: Discipline<T>> Inner<T, D> {
    #[inline]
    pub(super) fn poll_get(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, QueueShutDown>> {
        let mut state = self.state.borrow_mut();
        let may_take = match *place {
            Place::New => true,
            Place::Waiting(key) => state.getters.is_past(key),
            Place::Done => false,
        };
        if !may_take {
            drop(state);
            return self.poll_get_in_line(place, cx);
        }
        let Some(item) = state.items.pop() else {
            drop(state);
            return self.join_line(place, cx);
        };
        *place = Place::Done;
        if let Some(putter) = state.putters.take_first() {
            let_go_and_wake(state, Some(putter));
        }
        Poll::Ready(Ok(item))
    }

    /// There was no item.
    #[inline(never)]
    fn join_line(&self, place: &mut Place, cx: &mut Context<'_>) -> Poll<Result<T, QueueShutDown>> {
        // The clone may be foreign code: nothing is borrowed, and it may put something.
        let waker = cx.waker().clone();
        let mut state = self.state.borrow_mut();
        if let Some(item) = state.items.pop() {
            *place = Place::Done;
            let putter = state.putters.take_first();
            let_go_and_wake(state, putter);
            return Poll::Ready(Ok(item));
        }
        if state.shut_down {
            *place = Place::Done;
            return Poll::Ready(Err(QueueShutDown(())));
        }
        *place = Place::Waiting(state.getters.join(waker));
        Poll::Pending
    }

    /// The poll of a get that is still in line, unless it was passed over.
    #[cold]
    fn poll_get_in_line(
        &self,
        place: &mut Place,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, QueueShutDown>> {
        let Place::Waiting(key) = *place else {
            panic!("a queue's get was polled after it had returned");
        };
        if renew(&self.state, |state| &mut state.getters, key, cx.waker()) == Standing::Waiting {
            return Poll::Pending;
        }
        self.join_line(place, cx)
    }

    /// Who waits for an item is dropped. If it was woken and there is one, the next is woken for it.
    #[inline]
    pub(super) fn abandon_get(&self, place: Place) {
        if let Place::Waiting(key) = place {
            self.abandon_get_in_line(key);
        }
    }

    #[inline(never)]
    fn abandon_get_in_line(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let left = state.getters.leave(key);
        let pass_on = left.is_none() && state.items.len() > 0;
        let next = if pass_on { state.getters.take_first() } else { None };
        let_go_and_wake(state, next);
        drop(left);
    }
}

impl<T, D: Discipline<T>> Inner<T, D> {
    /// Who waits for room is dropped. If it was woken and there is some, the next is woken for it.
    #[inline(never)]
    fn abandon_put(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let left = state.putters.leave(key);
        let pass_on = left.is_none() && !self.is_full(&state);
        let next = if pass_on { state.putters.take_first() } else { None };
        let_go_and_wake(state, next);
        drop(left);
    }
}

impl<T, D: Discipline<T>> Future for QueueJoin<'_, T, D> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let queue = &self.queue.state;
        match self.place {
            Place::New if queue.borrow().unfinished > 0 => {
                // The clone may be foreign code: nothing is borrowed, and it may finish the rest.
                let waker = cx.waker().clone();
                let mut state = queue.borrow_mut();
                if state.unfinished > 0 {
                    self.place = Place::Waiting(state.joiners.join(waker));
                    return Poll::Pending;
                }
            }
            Place::New => {}
            Place::Waiting(key) => {
                // Who was woken returns, even if something was put before its turn.
                let standing = renew(queue, |state| &mut state.joiners, key, cx.waker());
                if standing == Standing::Waiting {
                    return Poll::Pending;
                }
            }
            Place::Done => panic!("a queue's join was polled after it had returned"),
        }
        self.place = Place::Done;
        Poll::Ready(())
    }
}

impl<T, D: Discipline<T>> Drop for QueuePut<'_, T, D> {
    #[inline]
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            self.queue.abandon_put(key);
        }
    }
}

impl<T, D: Discipline<T>> Drop for QueueGet<'_, T, D> {
    #[inline]
    fn drop(&mut self) {
        self.queue.abandon_get(self.place);
    }
}

impl<T, D: Discipline<T>> Drop for QueueJoin<'_, T, D> {
    fn drop(&mut self) {
        if let Place::Waiting(key) = self.place {
            // The waker is dropped at the end of the block, after the borrow.
            let _left = self.queue.state.borrow_mut().joiners.leave(key);
        }
    }
}

/// Wakes who was taken out of a line, after the queue is let go of: a wake may run anything.
#[inline]
pub(super) fn let_go_and_wake<S>(state: RefMut<'_, S>, taken: Option<(Key, Waker)>) {
    drop(state);
    if let Some((_, waker)) = taken {
        waker.wake();
    }
}

impl<T, D: Discipline<T>> fmt::Debug for QueuePut<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuePut").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<T, D: Discipline<T>> fmt::Debug for QueueGet<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueGet").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<T, D: Discipline<T>> fmt::Debug for QueueJoin<'_, T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueJoin").field("place", &self.place).finish_non_exhaustive()
    }
}
