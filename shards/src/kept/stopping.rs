//! A service that is being stopped.
//!
//! A task sees to it. It may be cancelled, as all tasks are at the end of a run, and then whoever ends the shard
//! goes on with it: half of a stop is worse than none. For a while there may be two tasks, as one that was created
//! when all had been cancelled is not: whichever was woken goes on, and both hear of the end.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use corelane::{Result, Task, task};

use crate::foreign::drop_quietly;

type Body = Pin<Box<dyn Future<Output = Result<()>>>>;

/// What is to be done before a value may be dropped.
pub(crate) struct Stop {
    /// What its task is called, so that reports say who does not end.
    name: String,
    begin: Box<dyn FnOnce() -> Body>,
}

impl Stop {
    /// `stop` for a service that is an `S`.
    pub(crate) fn new<S, F>(stop: impl FnOnce() -> F + 'static) -> Self
    where
        F: Future<Output = Result<()>> + 'static,
    {
        let name = format!("stop of {}", type_name::<S>());
        Self { name, begin: Box::new(move || Box::pin(stop())) }
    }
}

/// A stop that has begun; a clone is the same.
#[derive(Clone)]
pub(super) struct Stopping {
    name: Rc<str>,
    /// Nothing while it is polled, and when it has ended.
    body: Rc<RefCell<Option<Body>>>,
    /// The tasks that see to it. The body wakes the one that has polled it last.
    tasks: Rc<RefCell<Vec<Waker>>>,
}

/// One task's part in it.
struct Share(Stopping);

impl Stopping {
    /// Begins to stop `value`, which is dropped after it.
    pub(super) fn new(Stop { name, begin }: Stop, value: Rc<dyn Any>) -> Self {
        let body = async move {
            let outcome = begin().await;
            drop(value);
            outcome
        };
        let body = Rc::new(RefCell::new(Some(Box::pin(body) as Body)));
        Self { name: name.into(), body, tasks: Rc::default() }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.body.borrow().is_none()
    }

    /// A task that goes on with it.
    ///
    /// # Errors
    /// Runtime, on a loop that is closing.
    pub(super) fn go_on(&self) -> Result<Task<()>> {
        task().name(&*self.name).try_create(Share(self.clone()))
    }

    /// Drops what has not ended of it, and the value with that.
    pub(super) fn give_up(&self) {
        drop_quietly(self.body.take());
    }

    /// Ready also if it has ended before. One that panics has.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let taken = self.body.borrow_mut().take();
        let Some(mut body) = taken else { return Poll::Ready(Ok(())) };
        let polled = body.as_mut().poll(context);
        if polled.is_pending() {
            self.body.replace(Some(body));
            let waker = context.waker();
            let mut tasks = self.tasks.borrow_mut();
            if !tasks.iter().any(|task| task.will_wake(waker)) {
                tasks.push(waker.clone());
            }
        }
        polled
    }
}

impl Future for Share {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll(context)
    }
}

impl Drop for Share {
    /// It has ended, or this task was cancelled: another one, if there is one, looks and goes on.
    fn drop(&mut self) {
        self.0.tasks.take().into_iter().for_each(Waker::wake);
    }
}
