//! Settings of a task that is about to be created.

use std::future::Future;
use std::panic::Location;

use tracing::Span;

use super::handle::{Plain, task_at};
use super::scheduling::SchedulingGroup;
use super::span::Spanned;
use crate::error::Result;
use crate::task::{LocalContext, Task};

/// Settings of one task: [`task`] begins them, [`create`](Self::create) or [`spawn`](Self::spawn) uses them.
#[derive(Debug, Clone, Default)]
#[must_use = "settings make no task"]
pub struct TaskBuilder {
    name: Option<String>,
    context: Option<LocalContext>,
    span: Option<Span>,
    group: Option<SchedulingGroup>,
}

/// Begins the settings of a task (rule T40).
///
/// ```
/// use corelane::{LocalContext, LocalKey};
///
/// static USER: LocalKey<&str> = LocalKey::new();
///
/// corelane::run(async || {
///     let before = LocalContext::current();
///     USER.set("ada");
///     let task = corelane::task().name("greeter").context(before).spawn(async { USER.get() });
///     assert_eq!(task.name(), "greeter");
///     assert_eq!(task.await?, None);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
pub fn task() -> TaskBuilder {
    TaskBuilder::default()
}

impl TaskBuilder {
    /// Names the task (rule T33).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has the task begin with this context instead of a copy of its creator's. What it sets stays its own
    /// (rule T42).
    pub fn context(mut self, context: LocalContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Has the task polled, cancelled and dropped inside of `span`, so that it is around what the task logs, and
    /// around nothing else. A span that the task enters itself and holds across an `await` is the task's too:
    /// it is exited when the task is suspended and entered again when it goes on. (In a task without a span of its
    /// own such a one stays entered on the thread, around whatever runs next.)
    ///
    /// ```
    /// corelane::run(async || {
    ///     let session = corelane::task().span(tracing::info_span!("session", user = "ada"));
    ///     session.spawn(async { tracing::info!("inside of the span") }).await
    /// })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub fn span(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Has the task belong to `group` instead of its creator's.
    pub fn group(mut self, group: &SchedulingGroup) -> Self {
        self.group = Some(group.clone());
        self
    }

    /// Runs a fallible future as a task; see [`create_task`](crate::create_task).
    ///
    /// # Panics
    /// Off a loop, or on one that is closing.
    #[track_caller]
    pub fn create<T: 'static>(self, future: impl Future<Output = Result<T>> + 'static) -> Task<T> {
        match self.create_at(future, Location::caller()) {
            Ok(task) => task,
            Err(error) => panic!("create: {error}"),
        }
    }

    /// Runs a future that cannot fail as a task; see [`spawn`](crate::spawn).
    ///
    /// # Panics
    /// As [`create`](Self::create).
    #[track_caller]
    pub fn spawn<T: 'static>(self, future: impl Future<Output = T> + 'static) -> Task<T> {
        match self.create_at(Plain::new(future), Location::caller()) {
            Ok(task) => task,
            Err(error) => panic!("spawn: {error}"),
        }
    }

    /// The same as [`create`](Self::create), with an error where that panics.
    ///
    /// # Errors
    /// Runtime, off a loop or on one that is closing; Value, if the loop has as many scheduling groups as it may.
    /// The future is dropped.
    #[track_caller]
    pub fn try_create<T: 'static>(
        self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<Task<T>> {
        self.create_at(future, Location::caller())
    }

    fn create_at<T: 'static>(
        self,
        future: impl Future<Output = Result<T>> + 'static,
        location: &'static Location<'static>,
    ) -> Result<Task<T>> {
        let task = match (self.span, &self.group) {
            (Some(span), None) => task_at(Spanned::new(span, future), location)?,
            (Some(span), Some(group)) => group.task_at(Spanned::new(span, future), location)?,
            (None, None) => task_at(future, location)?,
            (None, Some(group)) => group.task_at(future, location)?,
        };
        if let Some(name) = &self.name {
            task.set_name(name);
        }
        if let Some(context) = self.context {
            task.begin_with(context);
        }
        Ok(task)
    }
}
