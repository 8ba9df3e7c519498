//! Waiting on a thread that has no loop to go on with.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use corelane::Result;

use crate::call::refuse_to_block;

/// Unparks its thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread until it is ready, and sleeps in between.
///
/// # Errors
/// Runtime, on the thread of a shard or of another loop, unless the future is ready at once.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Ok(value);
        }
        refuse_to_block()?;
        thread::park();
    }
}
