//! A service that is being stopped.
//!
//! A task sees to it. It may be cancelled, as all tasks are at the end of a run, and then whoever ends the shard
//! goes on with it: half of a stop is worse than none.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use corelane::{Result, Task, task};

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
}

impl Stopping {
    /// Begins to stop `value`, which is dropped after it.
    pub(super) fn new(Stop { name, begin }: Stop, value: Rc<dyn Any>) -> Self {
        let body = async move {
            let outcome = begin().await;
            drop(value);
            outcome
        };
        Self { name: name.into(), body: Rc::new(RefCell::new(Some(Box::pin(body)))) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.body.borrow().is_none()
    }

    /// A task that goes on with it.
    ///
    /// # Errors
    /// Runtime, on a loop that is closing.
    pub(super) fn go_on(&self) -> Result<Task<()>> {
        let own = self.clone();
        task().name(&*self.name).try_create(poll_fn(move |context| own.poll(context)))
    }

    /// Ready also if it has ended before. One that panics has.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let taken = self.body.borrow_mut().take();
        let Some(mut body) = taken else { return Poll::Ready(Ok(())) };
        let polled = body.as_mut().poll(context);
        if polled.is_pending() {
            self.body.replace(Some(body));
        }
        polled
    }
}
