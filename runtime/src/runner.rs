//! The front door: `run` for a program, [`Runner`] for several calls on one loop.

use std::panic::resume_unwind;
use std::time::Duration;

use self::interrupt::InterruptWatch;
use crate::blocking;
use crate::driver::DriverKind;
use crate::error::{Error, Result};
use crate::executor::{self, EventLoop, Idle, LoopConfig, RemoteLoop};
use crate::task::{KeptLocals, Task};

mod interrupt;

/// Runs `main` as a task of a new loop on this thread and returns what it returns (rule T1).
///
/// When `main` has ended, every task still alive is cancelled once, and `run` waits until all have ended
/// (rule T3). A panic in `main` goes on here after that (rule T8). The loop owns `main`, so `main` borrows
/// nothing from outside.
///
/// Connections end with the loop. What was written and not sent by then is lost, also after
/// [`StreamWriter::close`](crate::StreamWriter::close), and a warning says so; `writer.wait_closed().await` waits
/// until it has left.
///
/// # SIGINT
/// On the process's main thread, while SIGINT has its default disposition, the first SIGINT cancels `main`
/// (rules T15, T16). If `main` then ends cancelled, `run` gives [`is_interrupted`](Error::is_interrupted); if
/// it ends with a value or an error of its own, that is the outcome. At a second SIGINT `run` makes no further
/// step of any task, cancels what is left as always, and gives the same error (rule T19); a third one ends the
/// process. When no `run` is active, SIGINT ends the process as ever. That much is done by a handler that
/// stays: a program that answers SIGINT itself installs its own handler before its first `run`.
///
/// SIGTERM, which service managers send, is not handled and ends the process at once, as it does in asyncio. Who wants
/// an orderly end waits for it by [`signal`](crate::signal()) beside the work:
///
/// ```no_run
/// use std::pin::pin;
///
/// use futures_util::future::select;
///
/// # async fn work() -> corelane::Result<()> { Ok(()) }
/// corelane::run(async || {
///     let mut terminate = corelane::signal(libc::SIGTERM)?;
///     let mut working = corelane::create_task(work());
///     select(&mut working, pin!(terminate.recv())).await;
///     // Does nothing if the work has ended. Otherwise it cleans up, and is waited for.
///     working.cancel();
///     working.await
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// ```
/// use std::time::Duration;
///
/// let answer = corelane::run(async || {
///     let slow = corelane::create_task(async {
///         corelane::sleep(Duration::from_millis(2)).await;
///         Ok(40)
///     });
///     Ok(slow.await? + 2)
/// })?;
/// assert_eq!(answer, 42);
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// What `main` returns; [`is_cancelled`](Error::is_cancelled) if it ended cancelled (rule T7);
/// [`is_interrupted`](Error::is_interrupted) after a SIGINT; Runtime, without running `main`, if a loop is
/// running on this thread already (rule T2); an I/O error if the loop cannot be made.
#[track_caller]
pub fn run<T: 'static>(main: impl Main<T> + 'static) -> Result<T> {
    Runner::new().run_once(main)
}

/// What [`run`] takes: an `async || …` or an `async fn` that gives a [`Result`].
///
/// Every `AsyncFnOnce() -> Result<T>` is one, and nothing else. It has a name so that the compiler can say what to do
/// with a future: it is made on the loop, by a closure.
///
/// ```compile_fail,E0277
/// async fn main_task() -> corelane::Result<()> {
///     Ok(())
/// }
///
/// corelane::run(main_task()); // it is `run(main_task)`
/// ```
#[diagnostic::on_unimplemented(
    message = "a loop runs an async closure or function, and this is `{Self}`",
    label = "not an `async || …` that gives a `corelane::Result`",
    note = "the future of an `async fn` is made on the loop: `run(main)` and not `run(main())`, or `run(async || …)`"
)]
pub trait Main<T>: AsyncFnOnce() -> Result<T> {}

#[diagnostic::do_not_recommend]
impl<T, F: AsyncFnOnce() -> Result<T>> Main<T> for F {}

/// One loop for several calls (rules T10 to T14): what one call leaves behind goes on during the next.
///
/// Dropping a runner closes it.
///
/// ```
/// let mut runner = corelane::Runner::new();
/// runner.run(async || {
///     drop(corelane::spawn(async { /* goes on during the next call */ }));
///     Ok(())
/// })?;
/// assert_eq!(runner.run(async || Ok(7))?, 7);
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Debug)]
pub struct Runner {
    config: LoopConfig,
    state: State,
    /// What all calls have set in their task-local context (rule T11).
    locals: KeptLocals,
}

#[derive(Debug)]
enum State {
    /// No call yet: the loop is made by the first one.
    New,
    Open(EventLoop),
    Closed,
}

/// Settings of a [`Runner`].
#[derive(Debug, Clone, Default)]
pub struct Builder {
    config: LoopConfig,
}

impl Runner {
    /// A runner on the system's clock and sockets.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Settings for a runner.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs `main` until it has ended and returns what it returns. An error leaves the runner usable
    /// (rule T13).
    ///
    /// # Errors
    /// As [`run`], and Runtime after [`close`](Self::close).
    ///
    /// # Panics
    /// If `main` panics.
    #[track_caller]
    pub fn run<T: 'static>(&mut self, main: impl Main<T> + 'static) -> Result<T> {
        let outcome = self.run_task(main);
        if let Some(payload) = outcome.as_ref().err().and_then(Error::take_panic) {
            resume_unwind(payload);
        }
        outcome
    }

    #[track_caller]
    fn run_once<T: 'static>(mut self, main: impl Main<T> + 'static) -> Result<T> {
        let outcome = self.run_task(main);
        let closed = self.close();
        if let Some(payload) = outcome.as_ref().err().and_then(Error::take_panic) {
            resume_unwind(payload);
        }
        let value = outcome?;
        closed?;
        Ok(value)
    }

    #[track_caller]
    fn run_task<T: 'static>(&mut self, main: impl Main<T> + 'static) -> Result<T> {
        if executor::is_inside() {
            return Err(Error::runtime("run was called inside a running loop"));
        }
        let locals = self.locals.clone();
        let event_loop = self.event_loop()?;
        let watch = InterruptWatch::begin(|| event_loop.remote().uncounted())?;
        let task = event_loop.create_task(async move {
            let _kept = locals.enter();
            main().await
        })?;
        match watch {
            None => {
                event_loop.turn_until(|| task.done())?;
                outcome_of(task)
            }
            Some(watch) => turn_under_watch(event_loop, task, watch),
        }
    }

    /// A handle that other threads send closures to.
    ///
    /// # Errors
    /// Runtime after [`close`](Self::close); an I/O error if the loop cannot be made.
    pub fn remote(&mut self) -> Result<RemoteLoop> {
        Ok(self.event_loop()?.remote())
    }

    /// Cancels what is left, waits for it and ends the loop (rules T3 to T6, T12). Does nothing the second
    /// time.
    ///
    /// # Errors
    /// An I/O error if waiting fails; Runtime inside a running loop. The loop is closed all the same.
    pub fn close(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::New | State::Closed => Ok(()),
            State::Open(mut event_loop) => {
                let cancelled = event_loop.cancel_all();
                let ended = blocking::shut_down(&mut event_loop, blocking::SHUTDOWN_LIMIT);
                event_loop.close();
                cancelled.and(ended)
            }
        }
    }

    fn event_loop(&mut self) -> Result<&mut EventLoop> {
        if let State::New = self.state {
            self.state = State::Open(EventLoop::new(&self.config)?);
            self.locals.begin();
        }
        match &mut self.state {
            State::Open(event_loop) => Ok(event_loop),
            State::New | State::Closed => Err(Error::runtime("the runner has been closed")),
        }
    }
}

/// Turns until `main` has ended, or SIGINT has come twice (rules T16 to T19).
fn turn_under_watch<T: 'static>(
    event_loop: &mut EventLoop,
    main: Task<T>,
    watch: InterruptWatch,
) -> Result<T> {
    let mut is_cancelled = false;
    event_loop.heed_halt(true);
    let turned = event_loop.turn_until(|| {
        let count = watch.count();
        if main.done() || count > 1 {
            return true;
        }
        if count == 1 && !is_cancelled {
            is_cancelled = true;
            main.cancel();
        }
        false
    });
    event_loop.heed_halt(false);
    let count = watch.end();
    turned?;
    // The second one, or the first one after main had ended (rule T19). What there was of main's outcome is
    // nobody's any more; a main that has not ended is the loop's, for `close` to cancel.
    if count > usize::from(is_cancelled) {
        return Err(Error::interrupted());
    }
    // Rule T18: cancelled by the interrupt, and by nothing else.
    if is_cancelled && main.cancelled() && main.uncancel() == 0 {
        return Err(Error::interrupted());
    }
    outcome_of(main)
}

/// What a task that is done ended with.
fn outcome_of<T: 'static>(mut task: Task<T>) -> Result<T> {
    task.take_output().expect("a task that is done gives its output")
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            __report!(ERROR, "closing a runner: {error}");
        }
    }
}

impl Builder {
    /// A clock that jumps to the next timer when nothing else is ready: a test of an hour takes
    /// microseconds. There are no sockets on such a loop.
    ///
    /// Where nothing can happen any more, because every task waits for another or for something of this crate that
    /// only a task can bring about, and no timer is set, `run` fails with the tree of the tasks. It waits if
    /// something may come from elsewhere: from [`to_thread`](crate::to_thread), from whoever has a
    /// [`RemoteLoop`], or for a future that is none of this crate's. So a thread that wakes a task by a channel of its
    /// own, while that task waits for something of this crate in the same step, keeps a [`Runner::remote`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let hour = Duration::from_secs(3_600);
    /// let waited = corelane::Runner::builder().virtual_clock().build().run(async move || {
    ///     let start = corelane::now();
    ///     corelane::sleep(hour).await;
    ///     Ok(corelane::now() - start)
    /// })?;
    /// assert_eq!(waited, hour);
    /// # Ok::<(), corelane::Error>(())
    /// ```
    #[must_use]
    pub fn virtual_clock(mut self) -> Self {
        self.config.driver = DriverKind::VirtualClock;
        self
    }

    /// What the loop does when it has nothing to do; [`Idle::Park`] unless told otherwise.
    #[must_use]
    pub fn idle(mut self, idle: Idle) -> Self {
        self.config.idle = idle;
        self
    }

    /// By how much a timer may be late so that a loop that sleeps wakes once for several: 100 µs unless told
    /// otherwise. A wake costs some ten times what a timer does.
    ///
    /// The loop wakes with the last deadline that is no later than the first one plus the slack. So a timer
    /// without neighbours is not made late, none ever fires early, and all fire in the order of their deadlines.
    /// A loop that is awake fires a timer when it comes due, and so does one with zero slack, as far as the
    /// system lets it. On a virtual clock there is no slack.
    ///
    /// ```
    /// use std::time::Duration;
    /// let slack = Duration::from_millis(1);
    /// let mut runner = corelane::Runner::builder().timer_slack(slack).build();
    /// runner.run(async move || Ok(corelane::sleep(2 * slack).await))?;
    /// # Ok::<(), corelane::Error>(())
    /// ```
    #[must_use]
    pub fn timer_slack(mut self, slack: Duration) -> Self {
        self.config.timer_slack = slack;
        self
    }

    /// How long a task may go on in one turn before [`yield_if_needed`](crate::yield_if_needed) yields; 500 µs
    /// unless told otherwise. With zero it yields at every second call.
    #[must_use]
    pub fn step_budget(mut self, budget: Duration) -> Self {
        self.config.step_budget = budget;
        self
    }

    /// How many functions of [`to_thread`](crate::to_thread) may run at a time (rule T166). Unless told
    /// otherwise, four more than the process has CPUs, and 32 at most. With 0 the loop cannot be made.
    #[must_use]
    pub fn blocking_threads(mut self, limit: usize) -> Self {
        self.config.pool.thread_limit = Some(limit);
        self
    }

    /// How long a thread of [`to_thread`](crate::to_thread) stays when it has nothing to do; ten seconds
    /// unless told otherwise.
    #[must_use]
    pub fn blocking_idle(mut self, timeout: Duration) -> Self {
        self.config.pool.idle_timeout = timeout;
        self
    }

    /// For [`Idle::Adaptive`] in one word.
    #[must_use]
    pub fn spin(self, duration: Duration) -> Self {
        self.idle(Idle::Adaptive(duration))
    }

    /// The runner. Its loop is made when it is first used.
    #[must_use]
    pub fn build(self) -> Runner {
        Runner { config: self.config, state: State::New, locals: KeptLocals::default() }
    }
}
