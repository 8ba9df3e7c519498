//! What the tests of tasks, scopes and aggregates share: a virtual clock, a log of events, jobs that wait for a
//! gate.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use corelane::sync::Event;
use corelane::{Error, Result, Runner, Task, create_task, yield_now};

pub(crate) fn virtual_run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> T {
    Runner::builder().virtual_clock().build().run(main).unwrap()
}

/// Lets all that can run without a timer run.
pub(crate) async fn settle() {
    passes(25).await;
}

pub(crate) async fn passes(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// The one error of these tests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bad(pub(crate) &'static str);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad {}", self.0)
    }
}

impl std::error::Error for Bad {}

pub(crate) fn fails<T>(name: &'static str) -> Result<T> {
    Err(Bad(name).into())
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn say(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Writes what is reported, as `kind error`.
    pub(crate) fn reports() -> Self {
        let log = Self::default();
        let told = log.clone();
        corelane::set_report_handler(move |report| {
            let error = report.error.as_ref().map_or_else(|| "none".into(), ToString::to_string);
            told.say(format!("{} {error}", report.kind));
        });
        log
    }
}

/// Says so when it is dropped.
pub(crate) struct Guard(pub(crate) Log, pub(crate) &'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.say(format!("{} dropped", self.1));
    }
}

/// A task that fails in its first step.
pub(crate) fn failing() -> Task<u32> {
    create_task(async { Err(Error::msg("mine")) })
}

/// A task that waits for its gate and then gives its name, or fails with it.
pub(crate) struct Job {
    pub(crate) gate: Event,
    pub(crate) task: Task<&'static str>,
}

pub(crate) fn job(name: &'static str) -> Job {
    let gate = Event::new();
    let opened = gate.clone();
    let task = create_task(async move {
        opened.wait().await;
        if name.starts_with("bad") { fails(name) } else { Ok(name) }
    });
    Job { gate, task }
}

/// The name that a failed job was given.
pub(crate) fn badness<T>(outcome: Result<T>) -> &'static str {
    match outcome {
        Ok(_) => panic!("it was expected to fail"),
        Err(error) => error.downcast_ref::<Bad>().expect("it fails with its name").0,
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls `future` once, which must wait, drops it, and counts how often its waker was woken then.
pub(crate) async fn wakes_when_dropped(future: impl Future) -> usize {
    let wakes = Arc::new(Wakes::default());
    {
        let waker = Waker::from(Arc::clone(&wakes));
        let mut future = pin!(future);
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    settle().await;
    wakes.0.load(Ordering::Relaxed)
}
