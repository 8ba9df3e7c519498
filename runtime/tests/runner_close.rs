//! How a run ends, and what becomes of a runner: rules T3 to T6, T9, T10, T13 and T14.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use corelane::{
    Error, Result, Runner, catch_cancel, create_task, now, set_report_handler, sleep, spawn,
    to_thread, yield_now,
};

const HOUR: Duration = Duration::from_secs(3_600);

fn virtual_runner() -> Runner {
    Runner::builder().virtual_clock().build()
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn note_reports(&self) {
        let log = self.clone();
        set_report_handler(move |report| {
            let error = report.error.as_ref().map_or_else(|| "none".into(), ToString::to_string);
            log.note(format!("{}: {error}", report.kind));
        });
    }

    fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// A leftover that answers its cancellation with a clean-up of this length and then ends as it is told.
fn cleans_up(log: &Log, name: &'static str, duration: Duration, end: Result<()>) {
    let log = log.clone();
    drop(create_task(async move {
        let caught = catch_cancel(pending::<Result<()>>()).await;
        assert!(caught.is_err(), "nothing else ends it");
        sleep(duration).await;
        log.note(format!("{name} ended"));
        end
    }));
}

#[test]
fn t3_run_waits_for_clean_up_however_long_it_takes() {
    let log = Log::default();
    let ours = log.clone();
    let mut runner = virtual_runner();
    runner
        .run(async move || {
            cleans_up(&ours, "slow", HOUR, Ok(()));
            yield_now().await;
            Ok(())
        })
        .unwrap();
    assert!(log.lines().is_empty(), "it goes on with the runner");
    runner.close().unwrap();
    assert_eq!(log.lines(), ["slow ended"]);
}

#[test]
fn t3_a_leftover_that_swallows_the_request_and_carries_on_is_asked_once() {
    let requests = Rc::new(Cell::new(0));
    let count = Rc::clone(&requests);
    let mut runner = virtual_runner();
    runner
        .run(async move || {
            drop(create_task(async move {
                for _ in 0..3 {
                    let waited = async {
                        sleep(HOUR).await;
                        Ok(())
                    };
                    if catch_cancel(waited).await.is_err() {
                        count.set(count.get() + 1);
                    }
                }
                Ok(())
            }));
            yield_now().await;
            Ok(())
        })
        .unwrap();
    runner.close().unwrap();
    assert_eq!(requests.get(), 1);
}

#[test]
fn t4_t9_errors_are_reported_when_all_have_ended_and_no_other_ends_are() {
    let log = Log::default();
    let ours = log.clone();
    let mut runner = virtual_runner();
    runner
        .run(async move || {
            ours.note_reports();
            let seconds = Duration::from_secs;
            cleans_up(&ours, "fails", seconds(1), Err(Error::msg("in clean-up")));
            cleans_up(&ours, "succeeds", seconds(2), Ok(()));
            cleans_up(&ours, "is cancelled", seconds(3), Err(Error::cancelled()));
            cleans_up(&ours, "fails too", seconds(4), Err(Error::msg("as well")));
            yield_now().await;
            Ok(())
        })
        .unwrap();
    runner.close().unwrap();
    let expected = [
        "fails ended",
        "succeeds ended",
        "is cancelled ended",
        "fails too ended",
        "shutdown: in clean-up",
        "shutdown: as well",
    ];
    assert_eq!(log.lines(), expected);
}

#[test]
fn t5_what_clean_up_spawns_is_not_waited_for_and_is_reported() {
    let log = Log::default();
    let ours = log.clone();
    let mut runner = virtual_runner();
    runner
        .run(async move || {
            ours.note_reports();
            let log = ours.clone();
            drop(create_task(async move {
                let _ = catch_cancel(pending::<Result<()>>()).await;
                drop(spawn(async move {
                    sleep(Duration::from_secs(1)).await;
                    log.note("a step while others clean up");
                    sleep(HOUR).await;
                    log.note("too late");
                }));
                Ok(())
            }));
            cleans_up(&ours, "slow", Duration::from_secs(2), Ok(()));
            yield_now().await;
            Ok(())
        })
        .unwrap();
    runner.close().unwrap();
    let expected = ["a step while others clean up", "slow ended", "destroyed-pending: none"];
    assert_eq!(log.lines(), expected);
}

#[test]
fn t6_t9_functions_on_threads_are_waited_for_after_the_reports() {
    let log = Log::default();
    let ours = log.clone();
    let (release, released) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    let mut runner = Runner::new();
    runner
        .run(async move || {
            set_report_handler(move |_| release.send(()).unwrap());
            let (begun, has_begun) = mpsc::channel();
            drop(create_task(to_thread(move || {
                begun.send(())?;
                // Released by a report: waiting for this function before would take for ever.
                released.recv()?;
                ended.send(())?;
                Ok(())
            })));
            cleans_up(&ours, "fails", Duration::ZERO, Err(Error::msg("in clean-up")));
            yield_now().await;
            has_begun.recv()?;
            Ok(())
        })
        .unwrap();
    runner.close().unwrap();
    assert_eq!(log.lines(), ["fails ended"]);
    assert_eq!(has_ended.try_recv(), Ok(()));
}

#[test]
fn t10_a_runner_makes_its_loop_when_it_is_first_used() {
    let is_new = |runner: &Runner| format!("{runner:?}").contains("state: New");
    let mut runner = virtual_runner();
    assert!(is_new(&runner));
    runner.run(async || Ok(())).unwrap();
    assert!(!is_new(&runner));
    let mut asked = virtual_runner();
    asked.remote().unwrap();
    assert!(!is_new(&asked));
    // Rule T12: one that was never used closes without making a loop, even one that could not be made.
    let mut impossible = Runner::builder().blocking_threads(0).build();
    impossible.close().unwrap();
    assert!(impossible.run(async || Ok(())).unwrap_err().is_runtime());
}

#[test]
fn t11_one_loop_and_one_clock_serve_all_calls() {
    let mut runner = virtual_runner();
    let first = runner.run(async || {
        sleep(HOUR).await;
        Ok(now())
    });
    assert_eq!(runner.run(async || Ok(now())).unwrap(), first.unwrap());
}

#[test]
fn t13_an_error_or_a_cancelled_main_leaves_the_runner_usable() {
    let mut runner = virtual_runner();
    assert!(runner.run(async || -> Result<()> { Err(Error::cancelled()) }).is_err());
    assert!(runner.run(async || -> Result<()> { Err(Error::msg("no")) }).is_err());
    assert_eq!(runner.run(async || Ok(7)).unwrap(), 7);
}

#[test]
fn t14_a_runner_that_is_dropped_closes_also_on_the_way_of_an_error() {
    fn fails(log: &Log) -> Result<()> {
        let mut runner = virtual_runner();
        let log = log.clone();
        runner.run(async move || {
            cleans_up(&log, "slow", HOUR, Ok(()));
            yield_now().await;
            Err(Error::msg("main failed"))
        })?;
        unreachable!("main has failed");
    }
    let log = Log::default();
    assert_eq!(fails(&log).unwrap_err().to_string(), "main failed");
    assert_eq!(log.lines(), ["slow ended"]);
}
