//! `wait`: which of these tasks are done?

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::bell::Bell;
use super::items::{Met, TaskHandle};
use crate::error::{Error, Result};
use crate::executor;
use crate::task::{Notice, Observer, Watch};
use crate::time::{Sleep, sleep_until};
use crate::util::cancel;
use crate::util::wait_kind::WaitKind;

/// When [`wait`] returns, if its timeout does not come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// When all tasks are done.
    #[default]
    AllCompleted,
    /// When one of them is.
    FirstCompleted,
    /// When one has failed, or all are done. A cancelled task has not failed.
    FirstException,
}

/// Waits for tasks without asking for their outcome (rules T85 to T93), and returns those that are done and
/// those that are not, each in the order in which they were given. It never fails with a task's error, never
/// cancels a task, and does not treat a timeout as an error: it then returns what is done.
///
/// The tasks are given as `&[Task<T>]`, and come back as references, or as a `Vec<Task<T>>`, and come back
/// themselves. One that is given twice counts once.
///
/// ```
/// # use corelane::{ReturnWhen, create_task, sleep, wait};
/// # use std::time::Duration;
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let tasks: Vec<_> = [3, 1, 2]
///     .map(|seconds| {
///         create_task(async move {
///             sleep(Duration::from_secs(seconds)).await;
///             Ok(seconds)
///         })
///     })
///     .into();
/// let (mut done, pending) = wait(tasks, ReturnWhen::FirstCompleted, None).await?;
/// assert_eq!((done.len(), pending.len()), (1, 2));
/// assert_eq!(done.remove(0).await?, 1);
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// Value, if there are no tasks (rule T90).
///
/// # Panics
/// Off a loop, if there is a timeout.
///
/// # Cancel safety
/// Safe with references: the tasks are left alone. Tasks that were given away are dropped, which detaches
/// them: they run on.
pub async fn wait<H: TaskHandle>(
    tasks: impl IntoIterator<Item = H>,
    return_when: ReturnWhen,
    timeout: impl Into<Option<Duration>>,
) -> Result<(Vec<H>, Vec<H>)> {
    let mut met = Met::default();
    let tasks: Vec<H> = tasks.into_iter().filter(|task| met.is_new(task)).collect();
    if tasks.is_empty() {
        return Err(Error::value("wait() was given no tasks"));
    }
    let mut timer = timeout.into().map(|timeout| sleep_until(executor::now() + timeout));
    let watcher = Watcher::new(&tasks, return_when);
    poll_fn(|context| {
        let expired = |timer: &mut Sleep| Pin::new(timer).poll(context).is_ready();
        if watcher.progress.is_over.get() || timer.as_mut().is_some_and(expired) {
            return Poll::Ready(());
        }
        watcher.progress.bell.listen(context.waker());
        cancel::note_wait(WaitKind::Wait);
        Poll::Pending
    })
    .await;
    drop(watcher);
    // Also those that ended after the one that ended the wait (rule T87).
    Ok(tasks.into_iter().partition(|task| task.task().done()))
}

/// The callbacks of one wait, taken back when it is dropped (rule T91).
struct Watcher {
    progress: Rc<Progress>,
    /// Dropped after `progress` was told to be deaf.
    _watches: Vec<Watch>,
}

struct Progress {
    return_when: ReturnWhen,
    unfinished: Cell<usize>,
    is_over: Cell<bool>,
    bell: Bell,
}

impl Watcher {
    fn new<H: TaskHandle>(tasks: &[H], return_when: ReturnWhen) -> Self {
        let progress = Rc::new(Progress {
            return_when,
            unfinished: Cell::new(tasks.len()),
            is_over: Cell::new(false),
            bell: Bell::default(),
        });
        let notice = |child| Notice::new(Rc::clone(&progress) as _, child);
        let numbered = tasks.iter().enumerate();
        let watches = numbered.map(|(child, task)| task.task().watch_end(notice(child))).collect();
        Self { progress, _watches: watches }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.progress.is_over.set(true);
    }
}

impl Observer for Progress {
    fn ended(&self, _child: usize, error: Option<Error>) {
        if self.is_over.get() {
            return;
        }
        self.unfinished.set(self.unfinished.get() - 1);
        let is_over = match self.return_when {
            ReturnWhen::AllCompleted => false,
            ReturnWhen::FirstCompleted => true,
            ReturnWhen::FirstException => error.is_some_and(|error| !error.is_cancelled()),
        };
        if is_over || self.unfinished.get() == 0 {
            self.is_over.set(true);
            self.bell.ring();
        }
    }
}
