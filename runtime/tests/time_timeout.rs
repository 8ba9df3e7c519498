//! Timeouts that wait for the clean-up they cause: rules T95 to T122.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corelane::lowlevel::{EventLoop, LoopConfig};
use corelane::{
    DriverKind, Error, TimeoutError, catch_cancel, catch_cancel_plain, create_task, sleep, timeout,
    timeout_at, wait_for, yield_now,
};
use task_support::{settle, virtual_run};

const FOREVER: Duration = Duration::from_secs(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn push(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

#[test]
fn t96_on_expiry_the_clean_up_is_waited_for() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let limited = wait_for(
            async move {
                let caught = catch_cancel_plain(sleep(FOREVER)).await;
                sleep(Duration::from_secs(3)).await;
                inner.push("cleaned up");
                if let Err(cancelled) = caught {
                    cancelled.resume().await;
                }
                Ok::<(), Error>(())
            },
            Duration::from_secs(1),
        );
        assert!(limited.await.unwrap_err().is_timeout());
        assert_eq!(log.take(), ["cleaned up"]);
        assert_eq!(corelane::now(), corelane::Instant::ZERO + Duration::from_secs(4));
        Ok(())
    });
}

#[test]
fn e2_the_text_of_a_timeout_has_the_time_that_there_was() {
    virtual_run(async || {
        let half = SECOND / 2;
        let never = async || {
            sleep(FOREVER).await;
            Ok::<_, Error>(())
        };
        let error = wait_for(never(), half).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out after 500ms");
        let told = error.downcast_ref::<TimeoutError>().and_then(TimeoutError::duration);
        assert_eq!(told, Some(half));
        let later = timeout(SECOND, async |scope| {
            sleep(half).await;
            scope.reschedule(corelane::now() + SECOND)?;
            never().await
        });
        assert_eq!(later.await.unwrap_err().to_string(), "timed out after 1.5s");
        let absolute = timeout_at(corelane::now() + half, async |_| never().await).await;
        assert_eq!(absolute.unwrap_err().to_string(), "timed out after 500ms");
        assert_eq!(Error::timed_out().to_string(), "timed out");
        Ok(())
    });
}

#[test]
fn t102_a_request_from_outside_wins_over_a_timeout_in_the_same_pass() {
    virtual_run(async || {
        let task = create_task(async {
            timeout(Duration::from_secs(1), async |_| {
                sleep(FOREVER).await;
                Ok(())
            })
            .await
        });
        settle().await;
        corelane::advance(Duration::from_secs(2));
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t119_with_two_expired_scopes_the_outer_edge_converts() {
    virtual_run(async || {
        let log = Log::default();
        let inner = log.clone();
        let outer = timeout(Duration::from_secs(1), async |_| {
            let nested = timeout(Duration::from_secs(2), async |_| {
                sleep(FOREVER).await;
                Ok(())
            });
            let seen = catch_cancel(nested).await;
            inner.push(format!("inner cancelled: {}", seen.is_err()));
            match seen {
                Err(cancelled) => cancelled.resume().await,
                Ok(outcome) => outcome,
            }
        });
        let mut outer = pin!(outer);
        futures_util::poll!(outer.as_mut()).is_pending().then_some(()).unwrap();
        corelane::advance(Duration::from_secs(3));
        assert!(outer.await.unwrap_err().is_timeout());
        assert_eq!(log.take(), ["inner cancelled: true"]);
        Ok(())
    });
}

#[test]
fn t120_a_timeout_in_a_handler_works_while_a_request_is_outstanding() {
    virtual_run(async || {
        let task = create_task(async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            let limited = timeout(Duration::from_secs(1), async |_| {
                sleep(FOREVER).await;
                Ok(())
            });
            Ok(limited.await.unwrap_err().is_timeout())
        });
        settle().await;
        task.cancel();
        assert!(task.await?);
        Ok(())
    });
}

#[test]
fn t95_in_time_the_outcome_is_that_of_the_inner_and_t98_none_is_no_limit() {
    virtual_run(async || {
        let quick = async { Ok::<_, Error>(1) };
        assert_eq!(wait_for(quick, SECOND).await?, 1);
        let failing = async { Err::<(), _>(Error::msg("mine")) };
        assert_eq!(wait_for(failing, SECOND).await.unwrap_err().to_string(), "mine");
        let slow = async {
            sleep(FOREVER).await;
            Ok::<_, Error>(2)
        };
        assert_eq!(wait_for(slow, None).await?, 2);
        Ok(())
    });
}

#[test]
fn t97_an_inner_that_swallows_the_request_supplies_the_value_and_one_that_fails_the_error() {
    virtual_run(async || {
        let swallows = async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            Ok::<_, Error>("value")
        };
        assert_eq!(wait_for(swallows, SECOND).await?, "value");
        let fails = async {
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            Err::<(), _>(Error::msg("clean-up failed"))
        };
        let error = wait_for(fails, SECOND).await.unwrap_err();
        assert_eq!(error.to_string(), "clean-up failed");
        Ok(())
    });
}

#[test]
fn t100_cancelling_the_caller_cancels_the_inner_and_waits_for_it() {
    virtual_run(async || {
        let inner = Rc::new(create_task(async {
            let caught = catch_cancel_plain(sleep(FOREVER)).await;
            sleep(SECOND).await;
            match caught {
                Err(cancelled) => cancelled.resume().await,
                Ok(()) => Ok(()),
            }
        }));
        let awaited = Rc::clone(&inner);
        let caller =
            create_task(async move { wait_for(async { (&*awaited).await }, FOREVER).await });
        settle().await;
        caller.cancel();
        settle().await;
        assert!(!caller.done() && !inner.done());
        assert!(caller.await.unwrap_err().is_cancelled());
        assert!(inner.cancelled());
        assert_eq!(corelane::now(), corelane::Instant::ZERO + SECOND);
        Ok(())
    });
}

#[test]
fn t101_a_bare_future_runs_inside_the_calling_task() {
    virtual_run(async || {
        let own = corelane::current_task()?.unwrap().id();
        let inside =
            wait_for(async { Ok::<_, Error>(corelane::current_task()?.unwrap().id()) }, SECOND);
        assert_eq!(inside.await?, own);
        Ok(())
    });
}

#[test]
fn t103_nothing_fires_after_the_return() {
    virtual_run(async || {
        let quick = async {
            yield_now().await;
            Ok::<_, Error>(())
        };
        wait_for(quick, SECOND).await?;
        sleep(2 * SECOND).await;
        assert_eq!(corelane::current_task()?.unwrap().cancelling(), 0);
        Ok(())
    });
}

#[test]
fn t110_a_deadline_is_relative_absolute_or_none() {
    virtual_run(async || {
        let start = corelane::now();
        let when = async |scope: &corelane::Timeout| Ok(scope.when());
        assert_eq!(timeout(SECOND, when).await?, Some(start + SECOND));
        assert_eq!(timeout_at(start + 2 * SECOND, when).await?, Some(start + 2 * SECOND));
        assert_eq!(timeout(None, when).await?, None);
        Ok(())
    });
}

#[test]
fn t112_without_expiry_the_scope_is_transparent() {
    virtual_run(async || {
        assert_eq!(timeout(SECOND, async |_| Ok(1)).await?, 1);
        let failed = timeout(SECOND, async |_| Err::<(), _>(Error::msg("mine"))).await;
        assert_eq!(failed.unwrap_err().to_string(), "mine");
        let cancelled = timeout(SECOND, async |_| Err::<(), _>(Error::cancelled())).await;
        assert!(cancelled.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn t115_expired_is_true_from_the_request_and_t114_forbids_to_reschedule_then() {
    virtual_run(async || {
        let outcome = timeout(SECOND, async |scope| {
            assert!(!scope.expired());
            let _ = catch_cancel_plain(sleep(FOREVER)).await;
            assert!(scope.expired());
            assert!(scope.reschedule(None).unwrap_err().is_runtime());
            Ok("swallowed")
        });
        assert_eq!(outcome.await?, "swallowed");
        Ok(())
    });
}

#[test]
fn t117_and_t118_the_scope_takes_its_own_request_back() {
    virtual_run(async || {
        for swallow in [true, false] {
            let outcome = timeout(SECOND, async |_| {
                let caught = catch_cancel_plain(sleep(FOREVER)).await;
                assert_eq!(corelane::current_task()?.unwrap().cancelling(), 1);
                match caught {
                    Err(cancelled) if !swallow => cancelled.resume().await,
                    _ => Ok(()),
                }
            });
            assert_eq!(outcome.await.is_ok(), swallow);
            assert_eq!(corelane::current_task()?.unwrap().cancelling(), 0);
            // And nothing comes later.
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn t114_a_deadline_that_is_replaced_strikes_at_the_new_time_and_not_at_the_old_one() {
    virtual_run(async || {
        let start = corelane::now();
        for (first, second) in [(SECOND, 5 * SECOND), (5 * SECOND, SECOND)] {
            let entered = corelane::now();
            let moved = timeout(first, async |scope| {
                yield_now().await;
                scope.reschedule(entered + second)?;
                assert_eq!(scope.when(), Some(entered + second));
                sleep(FOREVER).await;
                Ok(())
            });
            assert!(moved.await.unwrap_err().is_timeout());
            assert_eq!(corelane::now() - entered, second);
        }
        let taken_away = timeout(SECOND, async |scope| {
            yield_now().await;
            scope.reschedule(None)?;
            sleep(10 * SECOND).await;
            Ok("in time")
        });
        assert_eq!(taken_away.await?, "in time");
        let set_late = timeout(None, async |scope| {
            yield_now().await;
            scope.reschedule(corelane::now() + SECOND)?;
            sleep(FOREVER).await;
            Ok(())
        });
        assert!(set_late.await.unwrap_err().is_timeout());
        assert_eq!(corelane::now() - start, 17 * SECOND);
        Ok(())
    });
}

#[test]
fn t103_a_timeout_that_was_not_needed_leaves_no_timer() {
    let config = LoopConfig { driver: DriverKind::VirtualClock, ..LoopConfig::default() };
    let mut event_loop = EventLoop::new(&config).unwrap();
    let task = event_loop.create_task(async {
        timeout(FOREVER, async |_| {
            yield_now().await;
            Ok(())
        })
        .await?;
        let dropped = timeout(FOREVER, async |_| {
            sleep(FOREVER).await;
            Ok(())
        });
        assert!(futures_util::poll!(Box::pin(dropped)).is_pending());
        Ok(())
    });
    let task = task.unwrap();
    while !task.done() {
        event_loop.turn(false).unwrap();
    }
    let later = event_loop.create_task(async {
        sleep(2 * FOREVER).await;
        Ok(())
    });
    // Its first step, the turn in which the clock goes to the one timer that there is, its last step.
    for _ in 0..3 {
        event_loop.turn(true).unwrap();
    }
    assert!(later.unwrap().done());
}
