//! What every port of a trace needs: the words of `golden/tracelib.py`, and the comparison with the golden
//! file.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corelane::sim::Simulation;
use corelane::{Error, Result, Runner, Task, TaskRef, catch_cancel, current_task, yield_now};

mod diff;
mod show;

pub(crate) use show::Show;

/// Where the lines of one scenario go. Shared, because some scenarios speak from several threads.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<String>>>);

thread_local! {
    static SINK: RefCell<Option<Sink>> = const { RefCell::new(None) };
}

impl Sink {
    /// The sink of the scenario that this thread plays.
    pub(crate) fn current() -> Self {
        SINK.with_borrow(Clone::clone).expect("lines are written inside a scenario")
    }

    /// Lets this thread speak in the scenario of another one.
    pub(crate) fn adopt(self) {
        SINK.set(Some(self));
    }

    pub(crate) fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }
}

/// Prints what was said before a scenario panicked.
impl Drop for Playing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprint!("{} said, before it panicked:\n{}", self.name, self.sink.text());
        }
    }
}

struct Playing {
    name: &'static str,
    sink: Sink,
}

/// Plays a scenario and compares its lines with `golden/NAME.trace`.
#[track_caller]
pub(crate) fn check(name: &'static str, scenario: impl FnOnce()) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/golden");
    let golden = fs::read_to_string(file.join(name).with_extension("trace")).unwrap();
    let playing = Playing { name, sink: Sink::default() };
    playing.sink.clone().adopt();
    scenario();
    let seen = playing.sink.text();
    drop(playing);
    assert!(seen == golden, "{name} differs (- golden, + here):\n{}", diff::lines(&golden, &seen));
}

/// Plays a scenario whose program is one `asyncio.run(main())`, on the virtual clock.
#[track_caller]
pub(crate) fn check_run(name: &'static str, main: impl AsyncFnOnce() -> Result<()> + 'static) {
    check(name, || run(main).unwrap());
}

/// The same on the system's clock and sockets.
#[track_caller]
pub(crate) fn check_real(name: &'static str, main: impl AsyncFnOnce() -> Result<()> + 'static) {
    check(name, || corelane::run(main).unwrap());
}

/// The same there, and on simulated sockets as well.
#[track_caller]
pub(crate) fn check_everywhere(
    name: &'static str,
    main: impl AsyncFnOnce() -> Result<()> + Clone + 'static,
) {
    check_real(name, main.clone());
    check(name, || {
        let mut sim = Simulation::builder(1).calm().build();
        let host = sim.host("only").unwrap();
        sim.run(host, main).unwrap();
    });
}

/// `asyncio.run` on the virtual clock.
pub(crate) fn run<T: 'static>(main: impl AsyncFnOnce() -> Result<T> + 'static) -> Result<T> {
    let mut runner = Runner::builder().virtual_clock().build();
    let outcome = runner.run(main);
    runner.close()?;
    outcome
}

/// Writes one line: words, then `key = value` fields.
macro_rules! ev {
    (@ [$($part:expr,)+]) => {
        $crate::support::Sink::current().push([$($part),+].join(" "))
    };
    (@ [$($part:expr,)*] $key:ident = $value:expr $(, $($rest:tt)*)?) => {
        ev!(@ [
            $($part,)* format!("{}={}", stringify!($key), $crate::support::Show::show(&$value)),
        ] $($($rest)*)?)
    };
    (@ [$($part:expr,)*] $word:expr $(, $($rest:tt)*)?) => {
        ev!(@ [$($part,)* $crate::support::Show::show(&$word),] $($($rest)*)?)
    };
    ($($parts:tt)+) => {
        ev!(@ [] $($parts)+)
    };
}

/// `sleep(1000)`: for ever.
pub(crate) const FOREVER: Duration = Duration::from_secs(1000);

/// The application's own error, shown as `Err(label)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppError(pub(crate) String);

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AppError {}

/// `raise Err(label)`.
pub(crate) fn raise<T>(label: &str) -> Result<T> {
    Err(AppError(label.to_owned()).into())
}

/// A `finally` without an await: runs `f` when it is dropped.
pub(crate) fn finally(f: impl FnOnce()) -> impl Sized {
    Finally(Some(f))
}

struct Finally<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Finally<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// The state of a task: `pending`, `cancelled`, `value V` or `error E`.
pub(crate) fn outcome<T: Show + Clone + 'static>(task: &Task<T>) -> String {
    if !task.done() {
        return "pending".to_owned();
    }
    if task.cancelled() {
        return "cancelled".to_owned();
    }
    match task.result() {
        Ok(value) => format!("value {}", value.show()),
        Err(error) => format!("error {}", error.show()),
    }
}

/// The task that calls.
pub(crate) fn me() -> TaskRef {
    current_task().unwrap().unwrap()
}

/// Awaits and writes `label value V` or `label raised E`; swallows the error, a cancellation included.
pub(crate) async fn attempt<T: Show, E: Into<Error>>(
    label: impl Show,
    future: impl IntoFuture<Output = Result<T, E>>,
) {
    match catch_cancel(async { future.await.map_err(Into::into) }).await {
        Ok(Ok(value)) => ev!(label, "value", value),
        Ok(Err(error)) => ev!(label, "raised", error),
        Err(cancelled) => ev!(label, "raised", cancelled),
    }
}

/// Lets exactly `n` passes go by.
pub(crate) async fn passes(n: usize) {
    for _ in 0..n {
        yield_now().await;
    }
}

/// Lets all run that can run without I/O and timers.
pub(crate) async fn settle() {
    passes(25).await;
}

/// Writes `name:1` to `name:n`, one a pass: a ruler.
pub(crate) async fn ticker(name: &str, n: usize) -> Result<()> {
    for i in 1..=n {
        ev!(format!("{name}:{i}"));
        yield_now().await;
    }
    Ok(())
}

/// Writes the reports of the exception handler as lines.
pub(crate) fn report_to_trace() {
    corelane::set_report_handler(|report| {
        ev!("report", report.kind.to_string(), exc = report.error);
    });
}
