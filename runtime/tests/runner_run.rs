//! `run`, `Runner`, and what becomes of tasks: rules T1 to T14 and T25 to T46.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Error, Result, Runner, create_task, current_task, now, run, sleep, spawn, yield_now,
};

#[derive(Debug, PartialEq)]
struct Mine(u32);

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mine {}", self.0)
    }
}

impl std::error::Error for Mine {}

fn virtual_runner() -> Runner {
    Runner::builder().virtual_clock().build()
}

/// Collects what is reported, as `kind error`.
fn collect_reports() -> Rc<RefCell<Vec<String>>> {
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let seen = Rc::clone(&reports);
    corelane::set_report_handler(move |report| {
        let error = report.error.as_ref().map_or_else(|| "none".into(), ToString::to_string);
        reports.borrow_mut().push(format!("{} {error}", report.kind));
    });
    seen
}

#[test]
fn t1_run_returns_what_main_returns() {
    assert_eq!(run(async || Ok(7)).unwrap(), 7);
    let error = run(async || -> Result<()> { Err(Mine(1))? }).unwrap_err();
    assert_eq!(error.downcast_ref::<Mine>(), Some(&Mine(1)));
}

#[test]
fn t2_run_inside_a_running_loop_is_refused_and_its_body_never_runs() {
    run(async || {
        let ran = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ran);
        let error = run(async move || {
            flag.set(true);
            Ok(())
        })
        .unwrap_err();
        assert!(error.is_runtime() && !ran.get());
        yield_now().await;
        Ok(())
    })
    .unwrap();
}

#[test]
fn t3_what_is_left_when_main_ends_is_cancelled_and_waited_for() {
    let dropped = Rc::new(Cell::new(0));
    let count = Rc::clone(&dropped);
    run(async move || {
        for _ in 0..3 {
            let count = Rc::clone(&count);
            drop(spawn(async move {
                let _guard = Guard(count);
                pending::<()>().await;
            }));
        }
        yield_now().await;
        Ok(())
    })
    .unwrap();
    assert_eq!(dropped.get(), 3);
}

struct Guard(Rc<Cell<u32>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn t4_t9_a_leftover_that_fails_is_reported_once_all_have_ended() {
    struct FailsInGuard;
    impl Drop for FailsInGuard {
        fn drop(&mut self) {
            panic!("in a guard");
        }
    }
    let seen: Rc<RefCell<Rc<RefCell<Vec<String>>>>> = Rc::default();
    let slot = Rc::clone(&seen);
    run(async move || {
        *slot.borrow_mut() = collect_reports();
        drop(spawn(async {
            let _guard = FailsInGuard;
            pending::<()>().await;
        }));
        yield_now().await;
        Ok(())
    })
    .unwrap();
    assert_eq!(*seen.borrow().borrow(), ["shutdown panicked: in a guard"]);
}

#[test]
fn t7_run_reports_a_main_that_ended_cancelled() {
    let error = run(async || -> Result<()> { Err(Error::cancelled()) }).unwrap_err();
    assert!(error.is_cancelled());
}

#[test]
fn t8_a_panic_in_main_goes_on_after_the_others_were_cancelled() {
    let dropped = Rc::new(Cell::new(0));
    let count = Rc::clone(&dropped);
    let payload = catch_unwind(AssertUnwindSafe(|| {
        run(async move || -> Result<()> {
            drop(spawn(async move {
                let _guard = Guard(count);
                pending::<()>().await;
            }));
            yield_now().await;
            panic!("in main")
        })
    }))
    .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"in main"));
    assert_eq!(dropped.get(), 1);
}

#[test]
fn t11_t13_a_runner_serves_many_calls_and_leftovers_go_on() {
    let mut runner = virtual_runner();
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    let refused = runner.run(async move || -> Result<()> {
        drop(spawn(async move {
            sleep(Duration::from_secs(1)).await;
            flag.set(true);
        }));
        Err(Mine(2))?
    });
    assert!(refused.is_err() && !done.get());
    runner
        .run(async || {
            sleep(Duration::from_secs(2)).await;
            Ok(())
        })
        .unwrap();
    assert!(done.get());
}

#[test]
fn t12_close_is_idempotent_and_what_comes_after_is_refused() {
    let mut runner = virtual_runner();
    runner.run(async || Ok(())).unwrap();
    runner.close().unwrap();
    runner.close().unwrap();
    assert!(runner.run(async || Ok(())).unwrap_err().is_runtime());
    assert!(runner.remote().unwrap_err().is_runtime());
    virtual_runner().close().unwrap();
}

#[test]
fn t25_done_and_cancelled_tell_how_a_task_ended() {
    virtual_runner()
        .run(async || {
            let mut value = spawn(async { 1 });
            let failed = create_task(async { Err::<(), _>(Mine(3).into()) });
            let cancelled = spawn(pending::<()>());
            assert!(!value.done() && !value.cancelled());
            cancelled.cancel();
            yield_now().await;
            assert!(value.done() && failed.done() && cancelled.done());
            assert!(!value.cancelled() && !failed.cancelled() && cancelled.cancelled());
            assert_eq!((&mut value).await?, 1);
            assert!(value.done() && !value.cancelled(), "a spent handle still knows");
            assert_eq!(failed.await.unwrap_err().downcast_ref(), Some(&Mine(3)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn t29_a_task_that_awaits_itself_gets_an_error() {
    virtual_runner()
        .run(async || {
            let own: Rc<RefCell<Option<corelane::Task<()>>>> = Rc::default();
            let handle = Rc::clone(&own);
            let task = create_task(async move {
                let mut task = handle.take().unwrap();
                let error = (&mut task).await.unwrap_err();
                assert!(error.is_runtime());
                Err(Mine(4).into())
            });
            *own.borrow_mut() = Some(task);
            let reports = collect_reports();
            yield_now().await;
            yield_now().await;
            assert_eq!(*reports.borrow(), ["never-retrieved mine 4"]);
            Ok(())
        })
        .unwrap();
}

#[test]
fn t33_names_are_given_or_counted() {
    virtual_runner()
        .run(async || {
            assert_eq!(current_task()?.unwrap().name(), "Task-1");
            let second = spawn(async { current_task().unwrap().unwrap().name() });
            let third = spawn(async { current_task().unwrap().unwrap().name() });
            let third = third.named("reader");
            assert_eq!(second.name(), "Task-2");
            assert_eq!((second.await?, third.await?), ("Task-2".into(), "reader".into()));
            Ok(())
        })
        .unwrap();
}

#[test]
fn t34_an_error_nobody_asked_for_is_reported_once_when_the_last_handle_goes() {
    virtual_runner()
        .run(async || {
            let reports = collect_reports();
            let detached = create_task(async { Err::<(), _>(Mine(5).into()) });
            drop(detached);
            let kept = create_task(async { Err::<(), _>(Mine(6).into()) });
            let asked = create_task(async { Err::<(), _>(Mine(7).into()) });
            let cancelled = spawn(pending::<()>());
            cancelled.cancel();
            drop(cancelled);
            yield_now().await;
            assert_eq!(*reports.borrow(), ["never-retrieved mine 5"]);
            drop(kept);
            asked.await.unwrap_err();
            assert_eq!(*reports.borrow(), ["never-retrieved mine 5", "never-retrieved mine 6"]);
            Ok(())
        })
        .unwrap();
}

#[test]
fn t35_a_panic_in_a_task_is_its_error_and_the_loop_lives_on() {
    virtual_runner()
        .run(async || {
            let task = spawn(async { panic!("number {}", 7) });
            let error = task.await.unwrap_err();
            assert!(error.is_panic());
            assert_eq!(error.panic_message(), Some("number 7"));
            Ok(())
        })
        .unwrap();
}

#[test]
fn t36_a_task_whose_handle_was_dropped_runs_on() {
    virtual_runner()
        .run(async || {
            let done = Rc::new(Cell::new(false));
            let flag = Rc::clone(&done);
            drop(spawn(async move {
                sleep(Duration::from_secs(1)).await;
                flag.set(true);
            }));
            sleep(Duration::from_secs(2)).await;
            assert!(done.get());
            Ok(())
        })
        .unwrap();
}

#[test]
fn t37_cancel_of_a_failed_task_is_refused_and_counts_as_having_asked() {
    virtual_runner()
        .run(async || {
            let reports = collect_reports();
            let failed = create_task(async { Err::<(), _>(Mine(8).into()) });
            yield_now().await;
            assert!(!failed.cancel());
            drop(failed);
            assert!(reports.borrow().is_empty());
            Ok(())
        })
        .unwrap();
}

#[test]
fn t38_a_task_that_shutting_down_did_not_wait_for_is_destroyed_and_reported() {
    struct SpawnsInGuard(Rc<Cell<u32>>);
    impl Drop for SpawnsInGuard {
        fn drop(&mut self) {
            let guard = Guard(Rc::clone(&self.0));
            drop(spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            }));
        }
    }
    let seen: Rc<RefCell<Rc<RefCell<Vec<String>>>>> = Rc::default();
    let slot = Rc::clone(&seen);
    let dropped = Rc::new(Cell::new(0));
    let count = Rc::clone(&dropped);
    run(async move || {
        *slot.borrow_mut() = collect_reports();
        drop(spawn(async move {
            let _guard = SpawnsInGuard(count);
            pending::<()>().await;
        }));
        yield_now().await;
        Ok(())
    })
    .unwrap();
    assert_eq!(dropped.get(), 1);
    assert_eq!(*seen.borrow().borrow(), ["destroyed-pending none"]);
}

#[test]
fn t40_creating_a_task_off_a_loop_is_an_error() {
    let refused = corelane::try_create_task(async { Ok(()) });
    assert!(refused.unwrap_err().is_runtime());
    assert!(current_task().unwrap_err().is_runtime());
    assert!(catch_unwind(|| drop(spawn(async {}))).is_err());
}

#[test]
fn t41_tasks_start_in_the_order_in_which_they_were_created() {
    virtual_runner()
        .run(async || {
            let order: Rc<RefCell<Vec<u32>>> = Rc::default();
            for index in 0..5 {
                let order = Rc::clone(&order);
                drop(spawn(async move { order.borrow_mut().push(index) }));
            }
            yield_now().await;
            assert_eq!(*order.borrow(), [0, 1, 2, 3, 4]);
            Ok(())
        })
        .unwrap();
}

#[test]
fn t51_a_sleep_of_nothing_is_one_hop_whatever_the_clock_does() {
    virtual_runner()
        .run(async || {
            let turns = Rc::new(Cell::new(0));
            let count = Rc::clone(&turns);
            drop(spawn(async move {
                loop {
                    count.set(count.get() + 1);
                    yield_now().await;
                }
            }));
            yield_now().await;
            let before = turns.get();
            sleep(Duration::ZERO).await;
            assert_eq!(turns.get() - before, 1);
            Ok(())
        })
        .unwrap();
}

#[test]
fn t53_a_sleeper_that_is_cancelled_leaves_no_timer_behind() {
    let mut runner = virtual_runner();
    runner
        .run(async || {
            let start = corelane::now();
            let sleeper = spawn(sleep(Duration::from_secs(3_600)));
            yield_now().await;
            sleeper.cancel();
            yield_now().await;
            sleep(Duration::from_secs(1)).await;
            assert_eq!(corelane::now() - start, Duration::from_secs(1));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_handle_outlives_its_loop() {
    let kept: Rc<RefCell<Option<corelane::Task<()>>>> = Rc::default();
    let slot = Rc::clone(&kept);
    run(async move || {
        *slot.borrow_mut() = Some(spawn(pending::<()>()));
        Ok(())
    })
    .unwrap();
    let task = kept.take().unwrap();
    assert!(task.done() && task.cancelled());
    assert!(!task.cancel());
}

#[test]
fn a_loop_of_a_thousand_lives_adopts_old_mailboxes() {
    for _ in 0..1_000 {
        let ran = virtual_runner().run(async || {
            yield_now().await;
            Ok(())
        });
        ran.unwrap();
    }
}

#[test]
fn instants_of_two_loops_on_the_systems_clock_can_be_compared() {
    let first = run(async || {
        sleep(Duration::from_millis(5)).await;
        Ok(now())
    });
    let (first, begun) = (first.unwrap(), run(async || Ok(now())).unwrap());
    assert!(begun >= first, "{begun} is after {first}");
    #[expect(clippy::disallowed_methods, reason = "a loop of another thread is the subject")]
    let elsewhere = std::thread::spawn(|| run(async || Ok(now())).unwrap());
    assert!(elsewhere.join().unwrap() >= begun);
}
