//! What the aggregates are given: tasks, references to tasks, and futures that become tasks.

use std::any::Any;
use std::collections::HashSet;
use std::future::Future;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::executor;
use crate::task::{Task, TaskId};

/// A task that an aggregate holds: a [`Task`], or a `&Task` of a task that others hold too.
pub trait TaskHandle: Unpin + sealed::Sealed {
    /// What the task gives.
    type Output: 'static;

    /// Whether others may hold the task too.
    #[doc(hidden)]
    const IS_SHARED: bool;

    /// The task itself.
    fn task(&self) -> &Task<Self::Output>;
}

/// A [`TaskHandle`] that gives its task's outcome: a [`Task`] gives it away, a `&Task` gives a clone.
pub trait Joinable: TaskHandle {
    #[doc(hidden)]
    fn join_done(self) -> Result<Self::Output>;
}

/// What becomes a task: a future that returns a [`Result`] is started, a [`Task`] or a `&Task` is used as it
/// is (rule T61).
///
/// A future that cannot fail goes through [`spawn`](crate::spawn) first.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a task nor a future that could become one",
    note = "a future has to be `'static` and return `corelane::Result`; `corelane::spawn` makes a task of one \
            that cannot fail"
)]
pub trait IntoTask {
    /// What the task gives.
    type Output: 'static;
    /// How the task is held.
    type Handle: TaskHandle<Output = Self::Output>;

    /// The task; a bare future is started.
    ///
    /// # Panics
    /// Off a loop, if it is a bare future.
    #[track_caller]
    fn into_task(self) -> Self::Handle;
}

mod sealed {
    pub trait Sealed {}

    impl<T> Sealed for crate::task::Task<T> {}
    impl<T> Sealed for &crate::task::Task<T> {}
}

impl<T: 'static> TaskHandle for Task<T> {
    type Output = T;

    const IS_SHARED: bool = false;

    fn task(&self) -> &Task<T> {
        self
    }
}

impl<T: 'static> TaskHandle for &Task<T> {
    type Output = T;

    const IS_SHARED: bool = true;

    fn task(&self) -> &Task<T> {
        self
    }
}

const TAKEN: &str = "the output of this task was taken already";

impl<T: 'static> Joinable for Task<T> {
    fn join_done(mut self) -> Result<T> {
        self.take_output().unwrap_or_else(|| Err(Error::runtime(TAKEN)))
    }
}

impl<T: Clone + 'static> Joinable for &Task<T> {
    fn join_done(self) -> Result<T> {
        self.result()
    }
}

impl<F, T> IntoTask for F
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    type Output = T;
    type Handle = Task<T>;

    #[track_caller]
    fn into_task(self) -> Task<T> {
        // A task is a future too, but is not to be wrapped in another one. What type `F` is is known when
        // this is compiled, so nothing is asked at run time.
        let mut future = Some(self);
        let any: &mut dyn Any = &mut future;
        if let Some(task) = any.downcast_mut::<Option<Task<T>>>().and_then(Option::take) {
            return task;
        }
        executor::create_task(future.expect("it is no task, so it was not taken"))
    }
}

impl<'a, T: 'static> IntoTask for &'a Task<T> {
    type Output = T;
    type Handle = &'a Task<T>;

    fn into_task(self) -> &'a Task<T> {
        self
    }
}

/// Tells tasks that were met from others.
#[derive(Default)]
pub(super) struct Met {
    /// Loops, by where they are, and their tasks. Ids are counted, so no stranger chooses them.
    shared: HashSet<(usize, TaskId), BuildHasherDefault<DefaultHasher>>,
}

impl Met {
    /// True if this task was not met before. Only references can name one twice.
    pub(super) fn is_new<H: TaskHandle>(&mut self, handle: &H) -> bool {
        let task = handle.task();
        !H::IS_SHARED || self.shared.insert((Rc::as_ptr(task.home()).addr(), task.id()))
    }
}
