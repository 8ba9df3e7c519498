//! One function on its way through the pool, and the wait for it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::pool::{Job, Pool, Ticket};
use crate::error::{Error, Result, drop_quietly};
use crate::util::atomic::lock;
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// What the thread and the one who waits for it share.
pub(super) struct Call<F, T>(Mutex<Stage<F, T>>);

enum Stage<F, T> {
    /// No thread has begun it.
    Queued(F, Option<Waker>),
    Running(Option<Waker>),
    Ended(Result<T>),
    /// Nobody waits any more, or what there was to say was said.
    Over,
}

impl<F, T> Call<F, T> {
    pub(super) fn new(f: F) -> Self {
        Self(Mutex::new(Stage::Queued(f, None)))
    }

    /// Goes to the next stage; gives what was there before, for the caller to drop without the lock.
    fn advance(&self, next: Stage<F, T>) -> Stage<F, T> {
        std::mem::replace(&mut *lock(&self.0), next)
    }

    /// Says how it ended, if anybody still wants to know.
    fn end(&self, outcome: Result<T>) {
        let mut stage = lock(&self.0);
        if let Stage::Over = *stage {
            drop(stage);
            // Rule T167: thrown away. Its destructor is user code, and the thread must live on.
            return drop_quietly(outcome);
        }
        let before = std::mem::replace(&mut *stage, Stage::Ended(outcome));
        drop(stage);
        let (waker, unused) = match before {
            Stage::Queued(f, waker) => (waker, Some(f)),
            Stage::Running(waker) => (waker, None),
            Stage::Ended(_) | Stage::Over => (None, None),
        };
        // A waker of another executor may be no number of ours.
        let told = catch_unwind(AssertUnwindSafe(|| waker.map(Waker::wake)));
        drop_quietly((told, unused));
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T>> {
        // Cloning a waker may be another executor's code: without the lock.
        let waker = waker.clone();
        let mut stage = lock(&self.0);
        match &mut *stage {
            Stage::Queued(_, waiting) | Stage::Running(waiting) => {
                let replaced = waiting.replace(waker);
                drop(stage);
                drop(replaced);
                cancel::note_wait(WaitKind::Thread);
                Poll::Pending
            }
            Stage::Ended(_) | Stage::Over => match std::mem::replace(&mut *stage, Stage::Over) {
                Stage::Ended(outcome) => Poll::Ready(outcome),
                _ => panic!("a finished wait for a thread was polled again"),
            },
        }
    }
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce() -> Result<T> + Send,
    T: Send,
{
    fn run(&self) {
        let mut stage = lock(&self.0);
        let (f, waker) = match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Queued(f, waker) => (f, waker),
            // Withdrawn in the moment in which the thread took it.
            before => {
                *stage = before;
                return;
            }
        };
        *stage = Stage::Running(waker);
        drop(stage);
        let outcome = catch_unwind(AssertUnwindSafe(f));
        self.end(outcome.unwrap_or_else(|payload| Err(Error::panicked(payload))));
    }

    fn refuse(&self, error: Error) {
        self.end(Err(error));
    }
}

/// The wait for a call.
pub(super) struct Waiting<F, T> {
    call: Arc<Call<F, T>>,
    pool: Rc<Pool>,
    ticket: Ticket,
}

impl<F, T> Waiting<F, T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    /// Puts `call` into the queue.
    ///
    /// # Errors
    /// As [`Pool::submit`].
    pub(super) fn begin(pool: Rc<Pool>, call: Arc<Call<F, T>>) -> Result<Self> {
        let ticket = pool.submit(Arc::clone(&call) as Arc<dyn Job>)?;
        Ok(Self { call, pool, ticket })
    }
}

impl<F, T> Future for Waiting<F, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        self.call.poll(context.waker())
    }
}

impl<F, T> Drop for Waiting<F, T> {
    /// Withdraws a function that was not begun (rule T167): it is dropped here, and never on a thread.
    fn drop(&mut self) {
        let before = self.call.advance(Stage::Over);
        if let Stage::Queued(..) = before {
            self.pool.withdraw(self.ticket);
        }
        drop(before);
    }
}
