//! Work that blocks, on a thread of its own. One of the two places where threads are started.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use crate::error::{Error, Result};

#[cfg(test)]
mod tests;

/// What the thread and the one who waits for it share.
struct Shared<T>(Mutex<State<T>>);

enum State<T> {
    Running(Option<Waker>),
    Done(thread::Result<T>),
    Taken,
}

/// Runs `work` on a new thread and gives its result.
///
/// # Errors
/// What the system says if no thread can be started; the error of a panic, if `work` panics.
///
/// # Cancel safety
/// `work` is not interrupted when the future is dropped: it goes on and its result is thrown away.
pub(crate) async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let shared = Arc::new(Shared(Mutex::new(State::Running(None))));
    let theirs = Arc::clone(&shared);
    #[expect(clippy::disallowed_methods, reason = "this is the room for threads that may block")]
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        theirs.finish(result);
    })?;
    let result = poll_fn(|context| shared.poll(context.waker())).await;
    result.map_err(Error::panicked)
}

impl<T> Shared<T> {
    fn finish(&self, result: thread::Result<T>) {
        let before = std::mem::replace(&mut *self.lock(), State::Done(result));
        if let State::Running(Some(waker)) = before {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<thread::Result<T>> {
        let waker = waker.clone();
        let mut state = self.lock();
        if let State::Running(waiting) = &mut *state {
            let replaced = waiting.replace(waker);
            drop(state);
            drop(replaced);
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Done(result) => Poll::Ready(result),
            _ => panic!("a finished wait for a thread was polled again"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing of others is called under the lock, so nobody panics under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
