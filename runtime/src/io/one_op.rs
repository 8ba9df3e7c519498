//! One op as a future, for what happens once in the life of a connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::driver::{Op, OpId, Outcome, Started};
use crate::executor::{IoHandle, OpOwner};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// Runs an op to its end; `kind` says what that is for who looks at the tasks.
///
/// # Cancel safety
/// Dropping the future cancels the op; a connection that it accepts all the same is closed.
pub(crate) async fn run_op(io: &IoHandle, op: Op, kind: WaitKind) -> Outcome {
    let waiting = Rc::new(Waiting::default());
    let id = io.register(Rc::clone(&waiting) as Rc<dyn OpOwner>, 0);
    let _registered = Registered { io, id };
    match io.start(id, op) {
        Started::Done(outcome) => outcome,
        Started::Parked => {
            poll_fn(|context| match waiting.outcome.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    waiting.waker.set(Some(context.waker().clone()));
                    cancel::note_wait(kind);
                    Poll::Pending
                }
            })
            .await
        }
    }
}

#[derive(Default)]
struct Waiting {
    outcome: Cell<Option<Outcome>>,
    waker: Cell<Option<Waker>>,
}

impl OpOwner for Waiting {
    fn complete(self: Rc<Self>, _tag: u32, outcome: Outcome) {
        self.outcome.set(Some(outcome));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn abandoned(self: Rc<Self>) {
        self.complete(0, Outcome::Cancelled(None));
    }
}

/// A number in the loop's op table, given back when the wait is over or given up.
struct Registered<'io> {
    io: &'io IoHandle,
    id: OpId,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.io.release(self.id);
    }
}
