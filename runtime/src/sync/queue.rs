//! A queue between the tasks of one thread (rules Q1 to Q45).
//!
//! A put wakes the first waiting getter and a get the first waiting putter, one each. Nothing is
//! reserved for who is woken: at its turn it looks again, and if somebody who was running took the
//! item (or the room) first, it waits anew at the end of the line (Q6). A woken waiter that is
//! dropped before its turn wakes the next one if there still is something to have (Q20, Q21).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

use super::wait_list::{Key, Place, Standing, WaitList, give_back, wake_all};
use crate::error::ValueError;

use futures::let_go_and_wake;

mod errors;
mod futures;

pub use errors::{QueueEmpty, QueueFull, QueueShutDown, TryGetError, TryPutError};
pub use futures::{QueueGet, QueueJoin, QueuePut};

/// A first-in, first-out queue, bounded or not. A clone is the same queue.
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
pub struct Queue<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    /// 0 means unbounded.
    maxsize: usize,
    state: RefCell<State<T>>,
}

struct State<T> {
    items: VecDeque<T>,
    getters: WaitList,
    putters: WaitList,
    joiners: WaitList,
    /// Items put and not yet reported by `task_done`.
    unfinished: usize,
    shut_down: bool,
}

impl<T> Queue<T> {
    /// Makes an empty queue for at most `maxsize` items; 0 means without limit.
    #[must_use]
    pub fn new(maxsize: usize) -> Self {
        let state = State {
            items: VecDeque::new(),
            getters: WaitList::new(),
            putters: WaitList::new(),
            joiners: WaitList::new(),
            unfinished: 0,
            shut_down: false,
        };
        Self { inner: Rc::new(Inner { maxsize, state: RefCell::new(state) }) }
    }

    /// Puts an item at the end; waits while the queue is full.
    ///
    /// # Errors
    /// The item comes back if the queue is shut down, or is shut down before there was room.
    ///
    /// # Cancel safety
    /// All or nothing: a dropped put has not stored its item, and drops it. Its place in line is
    /// lost.
    pub fn put(&self, item: T) -> QueuePut<'_, T> {
        QueuePut::new(&self.inner, item)
    }

    /// Takes the item at the front; waits while the queue is empty.
    ///
    /// # Errors
    /// If the queue is empty and shut down.
    ///
    /// # Cancel safety
    /// Safe: a dropped get has taken nothing. Its place in line is lost.
    pub fn get(&self) -> QueueGet<'_, T> {
        QueueGet::new(&self.inner)
    }

    /// Waits until every item that was put has been reported by [`task_done`](Self::task_done);
    /// returns without suspending if that is so.
    ///
    /// # Cancel safety
    /// Safe: a dropped join leaves nothing behind.
    pub fn join(&self) -> QueueJoin<'_, T> {
        QueueJoin::new(&self.inner)
    }

    /// Puts an item at the end if there is room.
    ///
    /// # Errors
    /// The item comes back if the queue is full or, which is looked at first, shut down.
    pub fn put_nowait(&self, item: T) -> Result<(), TryPutError<T>> {
        self.inner.try_put(item)
    }

    /// Takes the item at the front if there is one.
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
                if immediate { std::mem::take(&mut state.items) } else { VecDeque::new() };
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

impl<T> Inner<T> {
    fn is_full(&self, state: &State<T>) -> bool {
        self.maxsize != 0 && state.items.len() >= self.maxsize
    }

    fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        let mut state = self.state.borrow_mut();
        if state.shut_down {
            return Err(QueueShutDown(item).into());
        }
        if self.is_full(&state) {
            return Err(QueueFull(item).into());
        }
        let getter = state.store(item);
        let_go_and_wake(state, getter);
        Ok(())
    }

    fn try_get(&self) -> Result<T, TryGetError> {
        let mut state = self.state.borrow_mut();
        match state.items.pop_front() {
            Some(item) => {
                let putter = state.make_room();
                let_go_and_wake(state, putter);
                Ok(item)
            }
            None if state.shut_down => Err(QueueShutDown(()).into()),
            None => Err(QueueEmpty.into()),
        }
    }
}

impl<T> State<T> {
    /// Stores an item and takes the getter that is to be woken for it.
    fn store(&mut self, item: T) -> Option<(Key, Waker)> {
        self.items.push_back(item);
        self.unfinished += 1;
        self.getters.take_first()
    }

    /// An item was removed: takes the putter that is to be woken for the room.
    fn make_room(&mut self) -> Option<(Key, Waker)> {
        give_back(&mut self.items);
        self.putters.take_first()
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.borrow();
        f.debug_struct("Queue")
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
