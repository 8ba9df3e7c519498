//! `gather`: the values of several tasks, each in its place.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::bell::Bell;
use super::items::{Met, TaskHandle};
use super::places::{Gatherable, Places};
use crate::error::{CancelledError, Error, Result};
use crate::task::{Notice, Observer, Watch};
use crate::util::cancel::{self, CancelTarget, Message};
use crate::util::wait_kind::WaitKind;

/// Waits for several tasks at once and gives their values in the order in which they were given (rules T60 to
/// T70): those of a collection as a `Vec`, those of a tuple as a tuple.
///
/// Bare futures become tasks at once, in order. The first task to fail, or to be cancelled, ends the gather
/// with its error; the others run on, and what they fail with later needs no report. With
/// [`return_exceptions`](Gather::return_exceptions) it waits for all, and gives all outcomes.
///
/// A cancel request for the task that waits goes to all tasks that have not ended (rule T65), once to each, and
/// the gather ends through them. If all have ended already it gives their values without waiting.
///
/// A reference to a task fills its place with a clone, and one task can fill several places:
///
/// ```
/// # use corelane::{create_task, gather};
/// # corelane::run(async || {
/// let name = create_task(async { Ok("corelane".to_owned()) });
/// assert_eq!(gather([&name, &name]).await?, ["corelane", "corelane"]);
/// assert_eq!(name.await?, "corelane");
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// Bare futures return a [`Result`]; a collection has futures of one type, a tuple of up to eight types:
///
/// ```
/// # use corelane::{Result, gather};
/// # corelane::run(async || {
/// async fn square(x: u32) -> Result<u32> {
///     Ok(x * x)
/// }
/// assert_eq!(gather((1..=3).map(square)).await?, [1, 4, 9]);
///
/// let (number, text) = gather((square(4), async { Ok("four") })).await?;
/// assert_eq!((number, text), (16, "four"));
/// # Ok(())
/// # })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Panics
/// Off a loop, if there are bare futures.
///
/// # Cancel safety
/// Dropping it detaches the tasks that it owns: they run on, and their outcomes are lost. Those that it has by
/// reference are left alone.
#[track_caller]
pub fn gather<Kind, G: Gatherable<Kind>>(items: G) -> Gather<G::Places> {
    Gather { all: Gathering::new(items.into_places()) }
}

/// The future of [`gather`].
#[must_use = "futures do nothing unless awaited"]
pub struct Gather<P: Places> {
    all: Gathering<P>,
}

/// The future of [`Gather::return_exceptions`].
#[must_use = "futures do nothing unless awaited"]
pub struct GatherOutcomes<P: Places> {
    all: Gathering<P>,
}

impl<P: Places> Gather<P> {
    /// Waits for all tasks whatever they end with, and gives the outcome of each in its place: a value, an error,
    /// or a cancellation (rule T64). It fails only if it was cancelled itself, with the cancellation, when all
    /// have ended (rule T66).
    ///
    /// ```
    /// # use corelane::{Error, gather};
    /// # corelane::run(async || {
    /// let outcomes = gather(["6379", "none"].map(|port| async move { Ok(port.parse::<u16>()?) }));
    /// let outcomes = outcomes.return_exceptions().await?;
    /// assert_eq!(outcomes[0].as_ref().ok(), Some(&6379));
    /// assert!(outcomes[1].is_err());
    /// # Ok(())
    /// # })?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    pub fn return_exceptions(self) -> GatherOutcomes<P> {
        self.all.state.waits_for_all.set(true);
        GatherOutcomes { all: self.all }
    }

    /// Requests the cancellation of every task that has not ended (rule T65): true if one accepted, and then
    /// the gather ends cancelled. False, and nothing happens, if the gather is complete (rule T67).
    pub fn cancel(&self) -> bool {
        self.all.state.request(&None)
    }

    /// The same with a message for the tasks, which is also that of the gather's own
    /// [`CancelledError`] (rule G28).
    pub fn cancel_with(&self, message: &str) -> bool {
        self.all.state.request(&Some(message.into()))
    }

    /// Whether it is complete: it has its values, or a task failed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.all.state.is_complete()
    }
}

impl<P: Places> GatherOutcomes<P> {
    /// As [`Gather::cancel`].
    pub fn cancel(&self) -> bool {
        self.all.state.request(&None)
    }

    /// As [`Gather::cancel_with`].
    pub fn cancel_with(&self, message: &str) -> bool {
        self.all.state.request(&Some(message.into()))
    }

    /// Whether it is complete: all tasks have ended.
    #[must_use]
    pub fn done(&self) -> bool {
        self.all.state.is_complete()
    }
}

impl<P: Places> Future for Gather<P> {
    type Output = Result<P::Values>;

    /// # Panics
    /// If it is polled after it has returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.all.poll_complete(context).map(|places| places?.into_values())
    }
}

impl<P: Places> Future for GatherOutcomes<P> {
    type Output = Result<P::Outcomes>;

    /// # Panics
    /// If it is polled after it has returned.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.all.poll_complete(context).map(|places| Ok(places?.into_outcomes()))
    }
}

/// What both forms have in common.
struct Gathering<P: Places> {
    state: Rc<State>,
    /// There until the future returns.
    places: Option<P>,
}

struct State {
    waits_for_all: Cell<bool>,
    unfinished: Cell<usize>,
    /// The first child that failed or was cancelled.
    failed: Cell<Option<usize>>,
    /// Each child once, however many places it has.
    children: RefCell<Rc<[Watch]>>,
    /// The words of the request that was passed on, if one was.
    requested: RefCell<Option<Message>>,
    /// Whether a request is being passed on right now.
    is_asking: Cell<bool>,
    /// Whether the future is gone or has returned.
    is_over: Cell<bool>,
    bell: Bell,
}

/// The children of a gather that is being made.
pub struct Children {
    state: Rc<State>,
    watches: Vec<Watch>,
    met: Met,
}

impl<P: Places> Gathering<P> {
    fn new(places: P) -> Self {
        let state = Rc::new(State {
            waits_for_all: Cell::new(false),
            unfinished: Cell::new(0),
            failed: Cell::new(None),
            children: RefCell::new(Rc::new([])),
            requested: RefCell::new(None),
            is_asking: Cell::new(false),
            is_over: Cell::new(false),
            bell: Bell::default(),
        });
        let mut children =
            Children { state: Rc::clone(&state), watches: Vec::new(), met: Met::default() };
        places.observe(&mut children);
        state.children.replace(children.watches.into());
        Self { state, places: Some(places) }
    }

    /// The places, when all have ended, or the error that the gather ends with.
    fn poll_complete(&mut self, context: &mut Context<'_>) -> Poll<Result<P>> {
        let state = &self.state;
        if !state.is_complete() {
            state.bell.listen(context.waker());
            let target: Rc<dyn CancelTarget> = Rc::clone(state) as _;
            cancel::note_forwarding(WaitKind::Gather, &target);
            return Poll::Pending;
        }
        let places = self.places.take().expect("a gather was polled after it had returned");
        let children = state.end();
        Poll::Ready(match state.failure(&children) {
            None => Ok(places),
            Some(error) => {
                // Rule T63: what the others fail with is nobody's business any more.
                children.iter().for_each(Watch::mark_retrieved);
                Err(error)
            }
        })
    }
}

impl Children {
    pub(super) fn observe<H: TaskHandle>(&mut self, handle: &H) {
        if !self.met.is_new(handle) {
            return;
        }
        let child = self.watches.len();
        if !handle.task().done() {
            self.state.unfinished.set(self.state.unfinished.get() + 1);
            let notice = Notice::new(Rc::clone(&self.state) as _, child);
            self.watches.push(handle.task().watch_end(notice));
            return;
        }
        // One that has ended counts at once, so that a gather of those that have does not wait (rule G4).
        let watch = handle.task().watch();
        self.state.look(child, watch.error());
        self.watches.push(watch);
    }
}

impl State {
    fn is_complete(&self) -> bool {
        self.unfinished.get() == 0 || self.deciding().is_some()
    }

    /// The child that ends the gather before all have ended.
    fn deciding(&self) -> Option<usize> {
        self.failed.get().filter(|_| !self.waits_for_all.get())
    }

    /// What the gather ends with, if not with what is in its places.
    fn failure(&self, children: &[Watch]) -> Option<Error> {
        if let Some(child) = self.deciding() {
            return children[child].error();
        }
        // Rule T66: it was cancelled, even if every child has swallowed that.
        self.requested.take().map(|words| CancelledError::with_words(words).into())
    }

    /// Is deaf and dumb from now on.
    fn end(&self) -> Rc<[Watch]> {
        self.is_over.set(true);
        self.children.replace(Rc::new([]))
    }

    /// Remembers the first child that did not end with a value.
    fn look(&self, child: usize, error: Option<Error>) {
        if self.failed.get().is_none() && error.is_some() {
            self.failed.set(Some(child));
        }
    }
}

impl Observer for State {
    fn ended(&self, child: usize, error: Option<Error>) {
        if self.is_over.get() {
            return;
        }
        self.unfinished.set(self.unfinished.get() - 1);
        self.look(child, error);
        if self.is_complete() {
            self.bell.ring();
        }
    }
}

impl CancelTarget for State {
    fn request(&self, message: &Message) -> bool {
        // A child may wait for this gather, which would ask it again.
        if self.is_over.get() || self.is_complete() || self.is_asking.replace(true) {
            return false;
        }
        let mut accepted = false;
        // Asking may run anything, so nothing is borrowed.
        let children = self.children.borrow().clone();
        for child in children.iter() {
            accepted |= child.cancel(message);
        }
        self.is_asking.set(false);
        if accepted {
            self.requested.replace(Some(message.clone()));
        }
        accepted
    }
}

impl<P: Places> Drop for Gathering<P> {
    fn drop(&mut self) {
        let decided = self.state.deciding();
        let children = self.state.end();
        // The error of the child that decided was given to nobody, so it is reported as never retrieved; what
        // the others fail with is not (rule T63).
        if let Some(decided) = decided {
            let others = children.iter().enumerate().filter(|(child, _)| *child != decided);
            others.for_each(|(_, child)| child.mark_retrieved());
        }
    }
}

impl<P: Places> fmt::Debug for Gather<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.state.debug(f, "Gather")
    }
}

impl<P: Places> fmt::Debug for GatherOutcomes<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.state.debug(f, "GatherOutcomes")
    }
}

impl State {
    fn debug(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        f.debug_struct(name)
            .field("unfinished", &self.unfinished.get())
            .field("failed", &self.failed.get().is_some())
            .finish_non_exhaustive()
    }
}
