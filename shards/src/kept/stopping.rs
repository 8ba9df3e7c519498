//! A service that is being stopped.
//!
//! A task sees to it. When all tasks are cancelled at the end of a run this one is spared, with those that it
//! has created, here and by calls on other shards, because half of a stop is worse than none: whoever ends the
//! shard waits for it.

use std::any::{Any, type_name};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use corelane::sync::Event;
use corelane::{LocalContext, LocalKey, Result, Task, task};

type Body = Pin<Box<dyn Future<Output = Result<()>>>>;

/// The stop that a task is part of: it counts as long as that is under way.
static PART_OF: LocalKey<Weak<()>> = LocalKey::sendable();

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

/// A stop that has begun.
pub(crate) struct Stopping {
    ended: Event,
}

/// Goes with the task of a stop, in whichever way.
struct UnderWay {
    ended: Event,
    _counts: Arc<()>,
}

impl Stopping {
    /// A task that stops `value` and then drops it, and what tells that it has ended.
    ///
    /// # Errors
    /// Runtime, on a loop that is closing.
    pub(super) fn begin(
        Stop { name, begin }: Stop,
        value: Rc<dyn Any>,
    ) -> Result<(Self, Task<()>)> {
        let (ended, counts) = (Event::new(), Arc::new(()));
        let part_of = Arc::downgrade(&counts);
        let under_way = UnderWay { ended: ended.clone(), _counts: counts };
        let body = async move {
            let _under_way = under_way;
            let outcome = begin().await;
            drop(value);
            outcome
        };
        let task = PART_OF.sync_scope(part_of, || task().name(name).try_create(body))?;
        Ok((Self { ended }, task))
    }

    /// Whether a task with this context is to be left alone because it is part of a stop.
    pub(crate) fn is_part_of(context: &LocalContext) -> bool {
        let counts = |stop: Option<&Weak<()>>| stop.is_some_and(|stop| stop.strong_count() > 0);
        context.enter(|| PART_OF.with(counts))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_set()
    }

    /// Ready also if it has ended before.
    pub(super) async fn wait(self) {
        self.ended.wait().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ended.set();
    }
}
