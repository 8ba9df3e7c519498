//! `as_completed`: tasks in the order in which they end.
//!
//! ```text
//!  callback ──▶ ended: [child, child, …] ──▶ the next in line: an item, or `next`
//! ```
//!
//! The line of those who wait is fair, and what one of them was woken for goes to the next if it is dropped
//! before its turn, as in a queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};

use super::items::{IntoTask, Joinable, Met, TaskHandle};
use crate::error::{Error, Result, TimeoutError};
use crate::executor::{self, LoopCore, TimerKey};
use crate::sync::wait_list::{Key, Place, Standing, WaitList, renew};
use crate::task::{Notice, Observer, Watch};
use crate::time::{Sleep, sleep_until};
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

/// Gives tasks, or their outcomes, in the order in which they end (rules T155 to T160). Bare futures become
/// tasks at once; a task that is given twice counts once.
///
/// There are two forms. Iteration gives one future for each task at once; each gives the *next* outcome,
/// whichever future that is. [`next`](AsCompleted::next) waits for the next task and gives the task itself, so
/// that one can see which it is.
///
/// ```
/// # use corelane::{Result, as_completed, create_task, sleep};
/// # use std::time::Duration;
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// async fn nap(seconds: u64) -> Result<u64> {
///     sleep(Duration::from_secs(seconds)).await;
///     Ok(seconds)
/// }
///
/// let mut order = Vec::new();
/// for outcome in as_completed([3, 1, 2].map(nap), None) {
///     order.push(outcome.await?);
/// }
/// assert_eq!(order, [1, 2, 3]);
///
/// let mut tasks = as_completed([2, 1].map(|s| create_task(nap(s))), None);
/// while let Some(task) = tasks.next().await? {
///     println!("{} slept {} s", task.name(), task.await?);
/// }
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// With a `timeout`, counted from this call, every item that is left when it has passed fails with an error that
/// [`is_timeout`](Error::is_timeout); what had ended before is given first. No task is cancelled.
///
/// # Panics
/// Off a loop, if there are bare futures or a timeout.
///
/// # Cancel safety
/// Dropping it and its items detaches the tasks that it owns and leaves those alone that it has by reference.
#[track_caller]
pub fn as_completed<I>(
    items: I,
    timeout: impl Into<Option<Duration>>,
) -> AsCompleted<<I::Item as IntoTask>::Handle>
where
    I: IntoIterator<Item: IntoTask>,
{
    let mut met = Met::default();
    let mut handles = Vec::new();
    // Not an adapter's closure, which would be the place that created the tasks.
    for item in items {
        let handle = item.into_task();
        if met.is_new(&handle) {
            handles.push(handle);
        }
    }
    let timeout = timeout.into().filter(|_| !handles.is_empty());
    let arrivals = Rc::new(Arrivals {
        state: RefCell::new(State {
            ended: VecDeque::new(),
            line: WaitList::new(WaitKind::AsCompleted),
        }),
        unfinished: Cell::new(handles.len()),
        deadline: RefCell::new(timeout.map(Deadline::new)),
        is_over: Cell::new(false),
    });
    let numbered = handles.iter().enumerate();
    let notice = |child| Notice::new(Rc::clone(&arrivals) as _, child);
    let watches = numbered.map(|(child, task)| task.task().watch_end(notice(child))).collect();
    let left = handles.len();
    let handles = RefCell::new(handles.into_iter().map(Some).collect());
    let all = Rc::new(All { arrivals, _watches: watches, handles });
    AsCompleted { all, left, next: None }
}

/// The tasks of [`as_completed`]; iterate over it, or ask it for the [`next`](Self::next) one. It is also a
/// [`Stream`] of what `next` gives.
#[must_use = "without waiting for them, the tasks are only detached"]
pub struct AsCompleted<H: TaskHandle> {
    all: Rc<All<H>>,
    left: usize,
    /// The place in line of who asks for the next one, kept when he stops asking.
    next: Option<Next<H>>,
}

/// The iterator over an [`AsCompleted`]: one future for each task.
pub struct Completions<H: TaskHandle> {
    all: Rc<All<H>>,
    left: usize,
}

/// The outcome of the next task to end.
///
/// # Cancel safety
/// Safe: one that is dropped has taken nothing; what it would have given goes to the next that waits.
#[must_use = "futures do nothing unless awaited"]
pub struct NextCompleted<H: TaskHandle> {
    next: Next<H>,
}

impl<H: TaskHandle> AsCompleted<H> {
    /// Waits for the next task to end and gives it: awaiting it then does not wait. `None` when all were given.
    ///
    /// # Errors
    /// The timeout, once for each task that is left when it has passed. A task's own failure is the task's.
    ///
    /// # Cancel safety
    /// Safe: one that is dropped has taken nothing.
    pub async fn next(&mut self) -> Result<Option<H>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await.transpose()
    }

    /// How many tasks were not given yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.left
    }
}

impl<H: TaskHandle> Stream for AsCompleted<H> {
    type Item = Result<H>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<H>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let next = this.next.get_or_insert_with(|| Next::new(&this.all));
        let polled = Pin::new(next).poll(context);
        if polled.is_ready() {
            this.next = None;
            this.left -= 1;
        }
        polled.map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<H: TaskHandle> FusedStream for AsCompleted<H> {
    fn is_terminated(&self) -> bool {
        self.left == 0
    }
}

impl<H: Joinable> IntoIterator for AsCompleted<H> {
    type Item = NextCompleted<H>;
    type IntoIter = Completions<H>;

    fn into_iter(self) -> Completions<H> {
        Completions { all: self.all, left: self.left }
    }
}

impl<H: Joinable> Iterator for Completions<H> {
    type Item = NextCompleted<H>;

    fn next(&mut self) -> Option<NextCompleted<H>> {
        self.left = self.left.checked_sub(1)?;
        Some(NextCompleted { next: Next::new(&self.all) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<H: Joinable> ExactSizeIterator for Completions<H> {}

impl<H: Joinable> Future for NextCompleted<H> {
    type Output = Result<H::Output>;

    /// # Panics
    /// If it is polled after it has returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.next).poll(context).map(|handle| handle?.join_done())
    }
}

/// What the items have in common.
struct All<H: TaskHandle> {
    arrivals: Rc<Arrivals>,
    /// Dropped after `arrivals` was told to be deaf.
    _watches: Vec<Watch>,
    /// Each until it is given out.
    handles: RefCell<Vec<Option<H>>>,
}

struct Arrivals {
    state: RefCell<State>,
    unfinished: Cell<usize>,
    deadline: RefCell<Option<Deadline>>,
    is_over: Cell<bool>,
}

struct State {
    /// Children that have ended and were not given out.
    ended: VecDeque<usize>,
    line: WaitList,
}

/// A timer that wakes nobody: it is asked whether it has fired.
struct Deadline {
    core: Rc<LoopCore>,
    timeout: Duration,
    at: Instant,
    timer: TimerKey,
}

impl Deadline {
    fn new(timeout: Duration) -> Self {
        let core = executor::current().expect("a timeout needs a running corelane loop");
        let at = core.now() + timeout;
        Self { timer: core.insert_timer(at, Waker::noop().clone()), timeout, at, core }
    }

    fn has_passed(&self) -> bool {
        !self.core.renew_timer(self.timer, Waker::noop())
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.core.cancel_timer(self.timer);
    }
}

impl Arrivals {
    /// Whether the timeout has passed before all had ended.
    fn is_expired(&self) -> bool {
        self.deadline.borrow().as_ref().is_some_and(Deadline::has_passed)
    }

    fn timed_out(&self) -> Error {
        let timeout = self.deadline.borrow().as_ref().map(|deadline| deadline.timeout);
        timeout.map(TimeoutError::after).unwrap_or_default().into()
    }
}

impl Observer for Arrivals {
    fn ended(&self, child: usize, _error: Option<Error>) {
        // Rule T158: what ends after the timeout is not given.
        if self.is_over.get() || self.is_expired() {
            return;
        }
        self.unfinished.set(self.unfinished.get() - 1);
        if self.unfinished.get() == 0 {
            // Its timer goes with it, so that nothing fires later.
            self.deadline.take();
        }
        let mut state = self.state.borrow_mut();
        state.ended.push_back(child);
        let waiter = state.line.take_first();
        drop(state);
        wake(waiter);
    }
}

impl<H: TaskHandle> Drop for All<H> {
    fn drop(&mut self) {
        self.arrivals.is_over.set(true);
    }
}

/// Waits for the next task to end.
struct Next<H: TaskHandle> {
    all: Rc<All<H>>,
    place: Place,
    /// Wakes this one at the deadline.
    timer: Option<Sleep>,
}

impl<H: TaskHandle> Next<H> {
    fn new(all: &Rc<All<H>>) -> Self {
        Self { all: Rc::clone(all), place: Place::New, timer: None }
    }

    /// The child that is given out now; `None` if this one has to wait for one.
    fn take_child(&mut self, waker: &Waker) -> Option<usize> {
        let state = &self.all.arrivals.state;
        match self.place {
            Place::New => {}
            Place::Waiting(key) => {
                if renew(state, |state| &mut state.line, key, waker) == Standing::Waiting {
                    return None;
                }
                self.place = Place::New;
            }
            Place::Done => panic!("an item of as_completed was polled after it had returned"),
        }
        state.borrow_mut().ended.pop_front()
    }

    /// Whether the deadline has passed; if it comes later it wakes this one.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> bool {
        let arrivals = &self.all.arrivals;
        if arrivals.is_expired() {
            return true;
        }
        let deadline = arrivals.deadline.borrow().as_ref().map(|deadline| deadline.at);
        let Some(deadline) = deadline else { return false };
        let timer = self.timer.get_or_insert_with(|| sleep_until(deadline));
        Pin::new(timer).poll(context).is_ready()
    }

    /// Leaves the line. What this one was woken for goes to the next.
    fn leave(&mut self) {
        let Place::Waiting(key) = std::mem::replace(&mut self.place, Place::Done) else { return };
        let mut state = self.all.arrivals.state.borrow_mut();
        let left = state.line.leave(key);
        let pass_on = left.is_none() && !state.ended.is_empty();
        let next = if pass_on { state.line.take_first() } else { None };
        drop(state);
        drop(left);
        wake(next);
    }
}

impl<H: TaskHandle> Future for Next<H> {
    type Output = Result<H>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<H>> {
        if let Some(child) = self.take_child(context.waker()) {
            self.place = Place::Done;
            let handle = self.all.handles.borrow_mut()[child].take();
            return Poll::Ready(Ok(handle.expect("a task ends once")));
        }
        if self.poll_deadline(context) {
            self.leave();
            self.place = Place::Done;
            return Poll::Ready(Err(self.all.arrivals.timed_out()));
        }
        if self.place == Place::New {
            // The clone may be foreign code: nothing is borrowed. A task ends only in a turn of the loop.
            let waker = context.waker().clone();
            let key = self.all.arrivals.state.borrow_mut().line.join(waker);
            self.place = Place::Waiting(key);
        }
        Poll::Pending
    }
}

impl<H: TaskHandle> Drop for Next<H> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Wakes who was taken out of the line. A wake may run anything: nothing may be borrowed.
fn wake(waiter: Option<(Key, Waker)>) {
    if let Some((_, waker)) = waiter {
        waker.wake();
    }
}

impl<H: TaskHandle> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("remaining", &self.left).finish_non_exhaustive()
    }
}

impl<H: TaskHandle> fmt::Debug for Completions<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completions").field("remaining", &self.left).finish_non_exhaustive()
    }
}

impl<H: TaskHandle> fmt::Debug for NextCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextCompleted").field("place", &self.next.place).finish_non_exhaustive()
    }
}
