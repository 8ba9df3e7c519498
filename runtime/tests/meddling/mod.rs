//! Wakers that run code when they are cloned, woken and dropped, as those of another executor may.
//!
//! A waker made of an `Arc` has no say in its clones, so these are made by hand: the only unsafe code of the tests.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

/// What was done with a waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Clone,
    Wake,
    Drop,
}

type Hook = Rc<dyn Fn(Call)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Polls with wakers each of which is unlike those before, and counts their wakes.
#[derive(Default)]
pub(crate) struct Meddler {
    wakes: Arc<AtomicUsize>,
}

/// What a waker points to.
struct Shared(Arc<AtomicUsize>);

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_copy);

impl Meddler {
    /// Has `hook` run at each of these calls, on this thread. What it does with wakers does not call it again.
    pub(crate) fn hook(&self, hook: impl Fn(Call) + 'static) {
        HOOK.set(Some(Rc::new(hook)));
    }

    /// The same, once.
    pub(crate) fn hook_once(&self, on: Call, hook: impl Fn() + 'static) {
        let is_done = Cell::new(false);
        self.hook(move |call| {
            if call == on && !is_done.replace(true) {
                hook();
            }
        });
    }

    /// No code runs any more.
    pub(crate) fn unhook(&self) {
        HOOK.set(None);
    }

    /// Polls with a new waker.
    pub(crate) fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        self.poll_with(|context| future.poll(context))
    }

    /// The same for what is no future.
    pub(crate) fn poll_with<R>(&self, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let waker = self.waker();
        let polled = poll(&mut Context::from_waker(&waker));
        // Our own copy does not count.
        let hook = HOOK.take();
        drop(waker);
        HOOK.set(hook);
        polled
    }

    /// How often any of its wakers was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    fn waker(&self) -> Waker {
        let shared = Arc::new(Shared(Arc::clone(&self.wakes)));
        // SAFETY: the pointer is that of an `Arc` whose count this waker takes over; the table's functions treat it as
        // such, and what it points to may be used by any thread.
        unsafe { Waker::new(Arc::into_raw(shared).cast(), &VTABLE) }
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.unhook();
    }
}

/// What is polled.
pub(crate) type Wait = Pin<Box<dyn Future<Output = ()>>>;

/// One wait, and what foreign code may do meanwhile.
pub(crate) struct Case {
    pub(crate) wait: Wait,
    /// Uses what is waited for without ending the wait.
    pub(crate) touch: Rc<dyn Fn()>,
    /// Ends the wait; false if it cannot be done now.
    pub(crate) bring: Rc<dyn Fn() -> bool>,
}

impl Case {
    pub(crate) fn new(
        wait: impl Future<Output = ()> + 'static,
        touch: impl Fn() + 'static,
        bring: impl Fn() + 'static,
    ) -> Self {
        Self::if_possible(wait, touch, move || {
            bring();
            true
        })
    }

    pub(crate) fn if_possible(
        wait: impl Future<Output = ()> + 'static,
        touch: impl Fn() + 'static,
        bring: impl Fn() -> bool + 'static,
    ) -> Self {
        Self { wait: Box::pin(wait), touch: Rc::new(touch), bring: Rc::new(bring) }
    }

    pub(crate) fn poll(&mut self, meddler: &Meddler) -> Poll<()> {
        meddler.poll(self.wait.as_mut())
    }

    pub(crate) fn poll_pending(&mut self, what: &str, meddler: &Meddler) {
        assert!(self.poll(meddler).is_pending(), "{what}: it was expected to wait");
    }

    /// Polls on as an executor does: again only if it was woken.
    pub(crate) fn finish(mut self, what: &str, meddler: &Meddler) {
        loop {
            let wakes = meddler.wakes();
            if self.poll(meddler).is_ready() {
                return;
            }
            assert!(meddler.wakes() > wakes, "{what}: it is there, and nobody was woken for it");
        }
    }
}

fn call(call: Call) {
    // At the end of a thread there is none any more.
    let Ok(Some(hook)) = HOOK.try_with(RefCell::take) else { return };
    hook(call);
    HOOK.with_borrow_mut(|place| place.get_or_insert(hook).clone());
}

/// # Safety
/// As all functions of the table: `data` is that of a waker of ours.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: it is the pointer of an `Arc`, of which the waker that is cloned has a count.
    unsafe { Arc::increment_strong_count(data.cast::<Shared>()) };
    call(Call::Clone);
    RawWaker::new(data, &VTABLE)
}

/// # Safety
/// As [`clone`].
unsafe fn wake(data: *const ()) {
    // SAFETY: it is the pointer of an `Arc`, and the waker gives its count away.
    let shared = unsafe { Arc::from_raw(data.cast::<Shared>()) };
    shared.0.fetch_add(1, Ordering::Relaxed);
    call(Call::Wake);
}

/// # Safety
/// As [`clone`].
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: it is the pointer of an `Arc`, and the waker keeps its count, which is not given back here.
    let shared = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<Shared>()) });
    shared.0.fetch_add(1, Ordering::Relaxed);
    call(Call::Wake);
}

/// # Safety
/// As [`clone`].
unsafe fn drop_copy(data: *const ()) {
    // SAFETY: it is the pointer of an `Arc`, and the waker gives its count away.
    drop(unsafe { Arc::from_raw(data.cast::<Shared>()) });
    call(Call::Drop);
}
