//! `task_group`: a scope that ends after all its tasks have.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::{CancelledError, Error, ExceptionGroup, Result};
use crate::executor::{self, LoopCore, Plain};
use crate::task::{Notice, Observer, Task, TaskId};
use crate::util::cancel::{self, Frame, Request};
use crate::util::wait_kind::WaitKind;

/// Runs `body` as a scope whose tasks end before it does (rules T130 to T148). The scope waits for every
/// member, also for those that members add meanwhile.
///
/// - A member that fails, or a body that fails, cancels the other members and the body. The scope waits for
///   their clean-up and fails with an [`ExceptionGroup`]: the errors of members in the order in which they
///   ended, that of the body last. A member that ends cancelled does not fail the group.
/// - When the task of the scope is cancelled, so are the members, and cancellation leaves the scope when all
///   have ended. Members that fail then make it the group's error, and the request is delivered once more at
///   the next suspension.
///
/// ```
/// # corelane::Runner::builder().virtual_clock().build().run(async || {
/// let sum = corelane::task_group(async |group| {
///     let one = group.create_task(async { Ok(1) })?;
///     let two = group.create_task(async { Ok(2) })?;
///     Ok(one.await? + two.await?)
/// });
/// assert_eq!(sum.await?, 3);
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// Members own what they use: a future that borrowed from the body would be unsound if the scope's future
/// were leaked.
///
/// # Errors
/// An [`ExceptionGroup`] of all errors; [`is_cancelled`](Error::is_cancelled) if the body returned that.
/// Runtime, outside a task of a loop (rule T132).
///
/// # Cancel safety
/// A cancel request is what it is made for. Dropping it (a select that it lost) cancels the members at once
/// and cannot wait for their clean-up.
pub async fn task_group<T>(body: impl AsyncFnOnce(&TaskGroup) -> Result<T>) -> Result<T> {
    let core = executor::current()?;
    let Some(task) = core.home().running() else {
        return Err(Error::runtime("a task group is entered inside a task"));
    };
    let cancelling_before = core.home().cancelling(task.slot);
    let group = TaskGroup { inner: Rc::new(Inner::new(core, task.id, cancelling_before)) };
    let leaving = Leaving(&group.inner);
    let mut body = pin!(Some(body(&group)));
    let mut ended = None;
    let outcome = poll_fn(|context| group.inner.poll(body.as_mut(), &mut ended, context)).await;
    drop(leaving);
    outcome
}

/// A group of tasks; see [`task_group`]. A clone is the same group, so that members can add members.
#[derive(Clone)]
pub struct TaskGroup {
    inner: Rc<Inner>,
}

struct Inner {
    core: Rc<LoopCore>,
    /// The task that has entered the scope.
    entered_by: TaskId,
    frame: Frame,
    stage: Cell<Stage>,
    aborting: Cell<bool>,
    /// Requests of the task that were outstanding when the scope was entered.
    cancelling_before: usize,
    members: RefCell<BTreeMap<TaskId, u32>>,
    errors: RefCell<Vec<Error>>,
    waker: Cell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Body,
    Waiting,
    Left,
}

/// How the body ended.
enum Ended<T> {
    Value(T),
    Failed(Error),
    /// It returned the carrier of cancellation.
    Returned(Error),
    /// It was unwound.
    Unwound(Request),
}

impl TaskGroup {
    /// Creates a member (rule T130). It is scheduled like any task; its errors are the group's. Dropping the handle
    /// changes nothing about that: the group waits for it all the same.
    ///
    /// # Errors
    /// Runtime, without running the future, once the scope has ended or while it shuts down after a failure or
    /// a cancellation (rule T131).
    #[track_caller]
    pub fn create_task<T: 'static>(
        &self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<Task<T>> {
        Inner::create(&self.inner, future, Location::caller())
    }

    /// The same for a future that cannot fail.
    ///
    /// **A `Result` that the future returns is a value here**: an `Err` neither fails the group nor cancels anybody. A
    /// member that can fail goes through [`create_task`](Self::create_task), or [`add`](Self::add) if nobody needs its
    /// output.
    ///
    /// # Errors
    /// As [`create_task`](Self::create_task).
    #[track_caller]
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Result<Task<T>> {
        Inner::create(&self.inner, Plain::new(future), Location::caller())
    }

    /// Creates a member whose output nobody needs.
    ///
    /// # Errors
    /// As [`create_task`](Self::create_task).
    #[track_caller]
    pub fn add<T: 'static>(&self, future: impl Future<Output = Result<T>> + 'static) -> Result<()> {
        Inner::create(&self.inner, future, Location::caller()).map(drop)
    }

    /// Members that have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.members.borrow().len()
    }

    /// Whether all members have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn new(core: Rc<LoopCore>, entered_by: TaskId, cancelling_before: usize) -> Self {
        Self {
            core,
            entered_by,
            frame: Frame::new(),
            stage: Cell::new(Stage::Body),
            aborting: Cell::new(false),
            cancelling_before,
            members: RefCell::default(),
            errors: RefCell::default(),
            waker: Cell::new(None),
        }
    }

    fn create<T: 'static>(
        group: &Rc<Self>,
        future: impl Future<Output = Result<T>> + 'static,
        location: &'static Location<'static>,
    ) -> Result<Task<T>> {
        match group.stage.get() {
            Stage::Left => return Err(Error::runtime("the task group has ended")),
            _ if group.aborting.get() => {
                return Err(Error::runtime("the task group is shutting down"));
            }
            Stage::Body | Stage::Waiting => {}
        }
        let home = group.core.home();
        let task = Task::spawn(home, future, location)
            .ok_or_else(|| Error::runtime("the loop is closing"))?;
        // The group asks for its errors, whatever becomes of the handle.
        task.mark_retrieved();
        let id = task.id();
        let slot = task.slot().expect("a task that was just made");
        group.members.borrow_mut().insert(id, slot);
        let notice = Notice::new(Rc::clone(group) as _, id.get() as usize);
        home.observe(slot, notice.on_behalf_of(group.entered_by));
        Ok(task)
    }

    /// Asks every member to end, in the order of creation, once.
    fn abort(&self) {
        self.aborting.set(true);
        let members: Vec<_> = self.members.borrow().iter().map(|(id, slot)| (*id, *slot)).collect();
        for (id, slot) in members {
            self.core.home().cancel_this(slot, id);
        }
    }

    fn poll<T>(
        &self,
        mut body: Pin<&mut Option<impl Future<Output = Result<T>>>>,
        ended: &mut Option<Ended<T>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<T>> {
        if self.stage.get() == Stage::Body {
            let Poll::Ready(end) = self.poll_body(body.as_mut(), context) else {
                return Poll::Pending;
            };
            // Its locals are gone before the members are waited for.
            body.set(None);
            self.stage.set(Stage::Waiting);
            if !matches!(end, Ended::Value(_)) && !self.aborting.get() {
                self.abort();
            }
            *ended = Some(end);
        }
        if !self.members.borrow().is_empty() {
            if let Some(request) = self.frame.take_request()
                && !self.aborting.get()
            {
                self.abort();
                *ended = Some(Ended::Unwound(request));
            }
            let replaced = self.waker.replace(Some(context.waker().clone()));
            drop(replaced);
            return self.frame.enter(context, |_| {
                cancel::note_wait(WaitKind::TaskGroup);
                Poll::Pending
            });
        }
        match ended.take() {
            Some(ended) => self.leave(ended),
            None => Poll::Pending,
        }
    }

    fn poll_body<T>(
        &self,
        mut body: Pin<&mut Option<impl Future<Output = Result<T>>>>,
        context: &mut Context<'_>,
    ) -> Poll<Ended<T>> {
        if let Some(request) = self.frame.take_request() {
            return Poll::Ready(Ended::Unwound(request));
        }
        let Some(future) = body.as_mut().as_pin_mut() else { return Poll::Pending };
        match self.frame.enter(context, |context| future.poll(context)) {
            Poll::Ready(Ok(value)) => Poll::Ready(Ended::Value(value)),
            Poll::Ready(Err(error)) if error.is_cancelled() => Poll::Ready(Ended::Returned(error)),
            Poll::Ready(Err(error)) => Poll::Ready(Ended::Failed(error)),
            Poll::Pending => match self.frame.take_request() {
                Some(request) => Poll::Ready(Ended::Unwound(request)),
                None => Poll::Pending,
            },
        }
    }

    /// The body and all members have ended.
    fn leave<T>(&self, ended: Ended<T>) -> Poll<Result<T>> {
        self.stage.set(Stage::Left);
        // A request that came with the end of the last member, and that nobody can be asked for any more.
        let late = self.frame.take_request();
        let home = self.core.home();
        let parent = home.running().map(|task| task.slot);
        let is_ours_alone = home.take_back(self.frame.number()) == Some(0);
        self.frame.leave();
        let mut errors = self.errors.take();
        let ended = match (ended, late) {
            (Ended::Value(_), Some(request)) if errors.is_empty() && !is_ours_alone => {
                Ended::Unwound(request)
            }
            (ended, _) => ended,
        };
        match ended {
            Ended::Unwound(request) if errors.is_empty() => {
                if !is_ours_alone {
                    cancel::unwind(request);
                    return Poll::Pending;
                }
                return Poll::Ready(Err(CancelledError::with_words(request.message).into()));
            }
            Ended::Returned(error) if errors.is_empty() => return Poll::Ready(Err(error)),
            Ended::Value(value) if errors.is_empty() => return Poll::Ready(Ok(value)),
            Ended::Failed(error) => errors.push(error),
            Ended::Value(_) | Ended::Unwound(_) | Ended::Returned(_) => {}
        }
        // A request from outside stays outstanding and is delivered once more (rules T141, T145).
        if let Some(parent) = parent
            && home.cancelling(parent) > 0
        {
            home.deliver_again(parent);
        }
        let group = ExceptionGroup::new("unhandled errors in a task group", errors);
        Poll::Ready(Err(group.into()))
    }
}

impl Observer for Inner {
    /// A member has ended: the last one ends the wait, a failed one aborts the group (rule T133).
    fn ended(&self, child: usize, error: Option<Error>) {
        let is_last = {
            let mut members = self.members.borrow_mut();
            members.remove(&TaskId(child as u64));
            members.is_empty()
        };
        if is_last
            && self.stage.get() == Stage::Waiting
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
        let Some(error) = error.filter(|error| !error.is_cancelled()) else { return };
        if self.stage.get() == Stage::Left {
            return;
        }
        self.errors.borrow_mut().push(error);
        if !self.aborting.get() {
            self.abort();
            if self.stage.get() == Stage::Body {
                self.core.home().request_below(self.frame.number());
            }
        }
    }
}

/// Cancels the members of a group whose scope is dropped before it has ended.
struct Leaving<'a>(&'a Inner);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.stage.replace(Stage::Left) != Stage::Left {
            self.0.core.home().withdraw(&self.0.frame, self.0.cancelling_before);
            self.0.abort();
        }
    }
}

impl fmt::Debug for TaskGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("members", &self.len())
            .field("aborting", &self.inner.aborting.get())
            .field("left", &(self.inner.stage.get() == Stage::Left))
            .finish()
    }
}
