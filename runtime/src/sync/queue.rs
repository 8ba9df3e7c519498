//! Queues between the tasks of one thread (rules Q1 to Q52).
//!
//! A put wakes the first waiting getter and a get the first waiting putter, one each. Nothing is
//! reserved for who is woken: at its turn it looks again, and if somebody who was running took the
//! item (or the room) first, it waits anew at the end of the line (Q6). A woken waiter that is
//! dropped before its turn wakes the next one if there still is something to have (Q20, Q21).

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::rc::Rc;

use super::wait_list::{Key, Place, Standing, WaitList, renew, wake_all};
use crate::error::ValueError;
use crate::util::wait_kind::WaitKind;

use futures::let_go_and_wake;

mod discipline;
mod errors;
mod futures;
mod stream;

use discipline::Items;

pub use discipline::{Discipline, Fifo, Lifo, Smallest};
pub use errors::{QueueEmpty, QueueFull, QueueShutDown, TryGetError, TryPutError};
pub use futures::{QueueGet, QueueJoin, QueuePut};
pub use stream::QueueStream;

/// A first-in, first-out queue, bounded or not: asyncio's `Queue`.
///
/// # Examples
/// ```
/// # fn main() -> corelane::Result<()> {
/// use corelane::sync::Queue;
///
/// corelane::run(async || {
///     let jobs = Queue::new(8);
///     let inbox = jobs.clone();
///     let worker = corelane::spawn(async move {
///         let mut sum = 0;
///         while let Ok(job) = inbox.get().await {
///             sum += job;
///         }
///         sum
///     });
///     for job in 1..=100 {
///         jobs.put(job).await?; // waits while eight are there
///     }
///     jobs.shutdown(false); // what is left is still delivered
///     assert_eq!(worker.await?, 5_050);
///     Ok(())
/// })
/// # }
/// ```
pub type Queue<T> = AnyQueue<T, Fifo>;

/// A queue whose next item is the youngest.
///
/// ```
/// # use corelane::sync::LifoQueue;
/// let plates = LifoQueue::new(0);
/// plates.put_nowait("first").expect("there is room");
/// plates.put_nowait("second").expect("there is room");
/// assert_eq!(plates.get_nowait(), Ok("second"));
/// ```
pub type LifoQueue<T> = AnyQueue<T, Lifo>;

/// A queue whose next item is the smallest, and of equal ones the oldest. For the greatest first put
/// [`Reverse`](std::cmp::Reverse) items.
///
/// ```
/// # use corelane::sync::PriorityQueue;
/// let jobs = PriorityQueue::new(0);
/// for job in [(2, "sweep"), (1, "cook"), (3, "rest")] {
///     jobs.put_nowait(job).expect("there is room");
/// }
/// assert_eq!(jobs.get_nowait(), Ok((1, "cook")));
/// ```
///
/// Items are compared while the queue is at work, so their [`Ord`] must not use this queue: it panics in there.
/// When a comparison panics, an item that was being put is in the queue all the same, at some place, and nobody
/// was woken for it; one that was being taken is dropped, and still has to be reported by
/// [`task_done`](AnyQueue::task_done).
pub type PriorityQueue<T> = AnyQueue<T, Smallest>;

/// What [`Queue`], [`LifoQueue`] and [`PriorityQueue`] are: they differ in which item is next, and
/// in nothing else (rule Q52). A clone is the same queue.
pub struct AnyQueue<T, D: Discipline<T>> {
    inner: Rc<Inner<T, D>>,
}

struct Inner<T, D: Discipline<T>> {
    /// 0 means unbounded.
    maxsize: usize,
    state: RefCell<State<T, D>>,
}

struct State<T, D: Discipline<T>> {
    items: D::Items,
    getters: WaitList,
    putters: WaitList,
    joiners: WaitList,
    /// Items put and not yet reported by `task_done`.
    unfinished: usize,
    shut_down: bool,
}

impl<T, D: Discipline<T>> AnyQueue<T, D> {
    /// Makes an empty queue for at most `maxsize` items; 0 means without limit.
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        let state = State {
            items: D::Items::default(),
            getters: WaitList::new(WaitKind::QueueGet),
            putters: WaitList::new(WaitKind::QueuePut),
            joiners: WaitList::new(WaitKind::QueueJoin),
            unfinished: 0,
            shut_down: false,
        };
        Self { inner: Rc::new(Inner { maxsize, state: RefCell::new(state) }) }
    }

    /// Puts an item; waits while the queue is full.
    ///
    /// # Errors
    /// The item comes back if the queue is shut down, or is shut down before there was room.
    ///
    /// # Cancel safety
    /// All or nothing: a dropped put has not stored its item, and drops it. Its place in line is
    /// lost.
    pub fn put(&self, item: T) -> QueuePut<'_, T, D> {
        QueuePut::new(&self.inner, item)
    }

    /// Takes the next item; waits while the queue is empty.
    ///
    /// # Errors
    /// If the queue is empty and shut down.
    ///
    /// # Cancel safety
    /// Safe: a dropped get has taken nothing. Its place in line is lost.
    pub fn get(&self) -> QueueGet<'_, T, D> {
        QueueGet::new(&self.inner)
    }

    /// Waits until every item that was put has been reported by [`task_done`](Self::task_done);
    /// returns without suspending if that is so.
    ///
    /// # Cancel safety
    /// Safe: a dropped join leaves nothing behind.
    pub fn join(&self) -> QueueJoin<'_, T, D> {
        QueueJoin::new(&self.inner)
    }

    /// The items as a stream, each taken when it is asked for: it ends when the queue is shut down
    /// and empty. Each item still has to be reported by [`task_done`](Self::task_done) if anybody
    /// waits in [`join`](Self::join).
    ///
    /// # Cancel safety
    /// Safe: a stream that is dropped, or not polled on, has taken nothing that it did not give.
    pub fn stream(&self) -> QueueStream<T, D> {
        QueueStream::new(self.clone())
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    /// The item comes back if the queue is full or, which is looked at first, shut down.
    pub fn put_nowait(&self, item: T) -> Result<(), TryPutError<T>> {
        self.inner.try_put(item)
    }

    /// Takes the next item if there is one.
    ///
    /// # Errors
    /// If the queue is empty, and whether it also was shut down.
    pub fn get_nowait(&self) -> Result<T, TryGetError> {
        self.inner.try_get()
    }

    /// Reports that an item taken from the queue has been dealt with.
    ///
    /// # Errors
    /// If this was called more often than items were put; nothing changes.
    pub fn task_done(&self) -> Result<(), ValueError> {
        let finished = {
            let mut state = self.inner.state.borrow_mut();
            let Some(rest) = state.unfinished.checked_sub(1) else {
                return Err(ValueError("task_done() was called more often than items were put"));
            };
            state.unfinished = rest;
            rest == 0
        };
        if finished {
            wake_all(&self.inner.state, |state| &mut state.joiners);
        }
        Ok(())
    }

    /// Closes the queue for puts; gets deliver what is left and then fail. All who wait to put or
    /// get wake up. With `immediate` what is left is discarded and counts as done; items that were
    /// taken before still have to be reported. Shutting down again, or immediately after all, is
    /// allowed.
    pub fn shutdown(&self, immediate: bool) {
        let (discarded, finished) = {
            let mut state = self.inner.state.borrow_mut();
            state.shut_down = true;
            let discarded =
                if immediate { std::mem::take(&mut state.items) } else { D::Items::default() };
            // An item may have been reported before anybody took it.
            state.unfinished = state.unfinished.saturating_sub(discarded.len());
            (discarded, immediate && state.unfinished == 0)
        };
        if finished {
            wake_all(&self.inner.state, |state| &mut state.joiners);
        }
        wake_all(&self.inner.state, |state| &mut state.getters);
        wake_all(&self.inner.state, |state| &mut state.putters);
        // The queue is in order and let go of: the items' drop may use it.
        drop(discarded);
    }

    /// Number of items in the queue.
    #[must_use]
    pub fn qsize(&self) -> usize {
        self.inner.state.borrow().items.len()
    }

    /// Whether there is no item in the queue.
    #[must_use]
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there is no room in the queue; never if it is unbounded.
    #[must_use]
    pub fn full(&self) -> bool {
        self.inner.is_full(&self.inner.state.borrow())
    }

    /// How many items the queue may hold; 0 means without limit.
    #[must_use]
    pub fn maxsize(&self) -> usize {
        self.inner.maxsize
    }
}

impl<T, D: Discipline<T>> Inner<T, D> {
    #[inline]
    fn is_full(&self, state: &State<T, D>) -> bool {
        self.maxsize != 0 && state.items.len() >= self.maxsize
    }

    #[inline]
    fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        let state = self.state.borrow_mut();
        if state.shut_down {
            return Err(QueueShutDown(item).into());
        }
        if self.is_full(&state) {
            return Err(QueueFull(item).into());
        }
        store(state, item);
        Ok(())
    }

    #[inline]
    fn try_get(&self) -> Result<T, TryGetError> {
        let mut state = self.state.borrow_mut();
        match state.items.pop() {
            Some(item) => {
                if let Some(putter) = state.putters.take_first() {
                    let_go_and_wake(state, Some(putter));
                }
                Ok(item)
            }
            None if state.shut_down => Err(QueueShutDown(()).into()),
            None => Err(QueueEmpty.into()),
        }
    }
}

/// Stores an item, and wakes the first getter for it.
#[inline]
fn store<T, D: Discipline<T>>(mut state: RefMut<'_, State<T, D>>, item: T) {
    // Counted before, because an order that panics leaves the item in the store.
    state.unfinished += 1;
    state.items.push(item);
    if let Some(getter) = state.getters.take_first() {
        let_go_and_wake(state, Some(getter));
    }
}

impl<T, D: Discipline<T>> Clone for AnyQueue<T, D> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T, D: Discipline<T>> fmt::Debug for AnyQueue<T, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.borrow();
        f.debug_struct(D::NAME)
            .field("maxsize", &self.inner.maxsize)
            .field("qsize", &state.items.len())
            .field("unfinished", &state.unfinished)
            .field("shut_down", &state.shut_down)
            .field("getters", &state.getters.len())
            .field("putters", &state.putters.len())
            .field("joiners", &state.joiners.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
