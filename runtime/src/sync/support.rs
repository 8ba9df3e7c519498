//! For the tests of this room: futures polled by hand, and a loop of thirty lines. Neither is the
//! runtime's, which shows that the primitives work in any executor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::util::cancel::{self, Links, Mark, Scope, tree};

thread_local! {
    static DEAD: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
    static LAST_SCOPE: Cell<u64> = const { Cell::new(0) };
}

/// A scope of this thread that nobody has.
fn new_scope() -> Scope {
    cancel::install_judge(Some(|scope| DEAD.with_borrow(|dead| dead.contains(&scope.number()))));
    LAST_SCOPE.set(LAST_SCOPE.get() + 1);
    Scope::new(LAST_SCOPE.get())
}

fn kill(scope: Scope) {
    DEAD.with_borrow_mut(|dead| dead.insert(scope.number()));
}

/// Polls as a loop does: in a scope, with the node that its frames hang on.
fn poll_in<F: Future + ?Sized>(
    scope: Scope,
    links: &Cell<Links>,
    future: Pin<&mut F>,
    waker: &Waker,
) -> Poll<F::Output> {
    let before = cancel::current();
    cancel::begin_step(scope, links.get());
    let polled = future.poll(&mut Context::from_waker(waker));
    links.set(cancel::end_step().links(links.get()));
    cancel::enter(before);
    polled
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A future with a scope and a waker of its own, polled by hand. Dropping it drops the future.
pub(super) struct Waiting<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    scope: Scope,
    links: Cell<Links>,
}

impl<F: Future> Waiting<F> {
    /// Polls the future once; it must not be ready.
    #[track_caller]
    pub(super) fn new(future: F) -> Self {
        let mut waiting = Self::unpolled(future);
        assert!(waiting.poll().is_pending(), "it was expected to wait");
        waiting
    }

    pub(super) fn unpolled(future: F) -> Self {
        let future = Box::pin(future);
        Self { future, wakes: Arc::default(), scope: new_scope(), links: Cell::default() }
    }

    /// As if a loop of ours did not exist: no scope.
    pub(super) fn foreign(future: F) -> Self {
        let mut waiting = Self::unpolled(future);
        waiting.scope = Scope::NONE;
        assert!(waiting.poll().is_pending(), "it was expected to wait");
        waiting
    }

    pub(super) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        poll_in(self.scope, &self.links, self.future.as_mut(), &waker)
    }

    /// Polls with another waker from now on; the old one must not be woken any more.
    pub(super) fn poll_with_another_waker(&mut self) -> Poll<F::Output> {
        self.wakes = Arc::default();
        self.poll()
    }

    /// Polls once more; it must be ready.
    #[track_caller]
    pub(super) fn ready(mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it was expected to be ready"),
        }
    }

    /// How often it was woken.
    pub(super) fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }

    pub(super) fn woken(&self) -> bool {
        self.wakes() > 0
    }

    /// Marks the scope, and the frames in it, as cancelled. The future is dropped, or polled, when
    /// the test says so.
    pub(super) fn cancel(&self) {
        kill(self.scope);
        for leaf in tree::leaves_of(self.links.get().root()) {
            drop(tree::mark(leaf, Mark::Recorded, &None));
        }
    }

    /// Takes a cancel back, as `uncancel` does before the task's turn.
    pub(super) fn uncancel(&self) {
        DEAD.with_borrow_mut(|dead| dead.remove(&self.scope.number()));
        tree::clear_recorded(self.links.get().root());
    }
}

/// Polls a future that must not need to wait.
#[track_caller]
pub(super) fn at_once<F: Future>(future: F) -> F::Output {
    Waiting::unpolled(future).ready()
}

/// Makes wakers that run a hook when they are woken and when they are dropped, as wakers of other
/// people may. Whoever calls them with something borrowed is found out.
pub(super) struct Hooked;

struct HookedWaker;

type Hook = Rc<dyn Fn()>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

impl Hooked {
    /// Replaces the thread's hook.
    pub(super) fn new(hook: impl Fn() + 'static) -> Self {
        HOOK.set(Some(Rc::new(hook)));
        CALLS.set(0);
        Self
    }

    /// Polls with a new waker.
    pub(super) fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        let waker = Waker::from(Arc::new(HookedWaker));
        let polled = future.poll(&mut Context::from_waker(&waker));
        // Our own copy does not count.
        let hook = HOOK.take();
        drop(waker);
        HOOK.set(hook);
        polled
    }

    pub(super) fn calls(&self) -> usize {
        CALLS.get()
    }
}

impl HookedWaker {
    fn call(&self) {
        let hook = HOOK.with_borrow(Clone::clone);
        if let Some(hook) = hook {
            CALLS.set(CALLS.get() + 1);
            hook();
        }
    }
}

impl Wake for HookedWaker {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}

impl Drop for HookedWaker {
    fn drop(&mut self) {
        self.call();
    }
}

/// A loop with a first in, first out ready queue and asyncio's way of cancelling.
pub(super) struct Yard {
    tasks: Vec<Option<Task>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    scope: Scope,
    links: Cell<Links>,
}

struct Enqueue(usize, Arc<Mutex<VecDeque<usize>>>);

impl Wake for Enqueue {
    fn wake(self: Arc<Self>) {
        let mut ready = self.1.lock().unwrap();
        if !ready.contains(&self.0) {
            ready.push_back(self.0);
        }
    }
}

impl Yard {
    pub(super) fn new() -> Self {
        Self { tasks: Vec::new(), ready: Arc::default() }
    }

    pub(super) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let (future, scope) = (Box::pin(future), new_scope());
        self.tasks.push(Some(Task { future, scope, links: Cell::default() }));
        self.waker(self.tasks.len() - 1).wake();
        self.tasks.len() - 1
    }

    pub(super) fn cancel(&mut self, id: usize) {
        if let Some(task) = &self.tasks[id] {
            kill(task.scope);
            self.waker(id).wake();
        }
    }

    /// Runs until nobody is ready.
    pub(super) fn settle(&mut self) {
        while let Some(id) = self.next_ready() {
            let Some(mut task) = self.tasks[id].take() else { continue };
            if cancel::is_dead(task.scope) {
                drop(task);
                continue;
            }
            if poll_in(task.scope, &task.links, task.future.as_mut(), &self.waker(id)).is_pending()
            {
                self.tasks[id] = Some(task);
            }
        }
    }

    pub(super) fn done(&self, id: usize) -> bool {
        self.tasks[id].is_none()
    }

    fn next_ready(&self) -> Option<usize> {
        self.ready.lock().unwrap().pop_front()
    }

    fn waker(&self, id: usize) -> Waker {
        Waker::from(Arc::new(Enqueue(id, Arc::clone(&self.ready))))
    }
}

/// How many programs a model tries: `CORELANE_CASES` for a long run, else as given.
pub(super) fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("CORELANE_CASES").ok();
    let cases = asked.map_or(usual, |text| text.parse().expect("CORELANE_CASES is a number"));
    // A failing program is printed in full; this crate keeps no files of seeds.
    proptest::test_runner::Config { cases, failure_persistence: None, ..Default::default() }
}

/// What the tasks of a test said, in order.
#[derive(Clone, Default)]
pub(super) struct Said(Rc<RefCell<Vec<String>>>);

impl Said {
    pub(super) fn say(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    /// Everything said since the last call.
    pub(super) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}
