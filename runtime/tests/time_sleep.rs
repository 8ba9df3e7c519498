//! Sleeping: rules T50 to T52, and who is the current task (T45).
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use corelane::{
    Runner, call_soon, current_task, now, sleep, sleep_secs, sleep_until, sleep_with, spawn,
    yield_now,
};
use task_support::virtual_run;

#[test]
fn t50_sleep_waits_at_least_so_long_and_gives_the_value_back() {
    virtual_run(async || {
        let start = now();
        assert_eq!(sleep_with(Duration::from_secs(3), "value").await, "value");
        sleep_secs(0.5)?.await;
        assert_eq!(now() - start, Duration::from_millis(3_500));
        Ok(())
    });
}

#[test]
fn t51_no_time_and_less_take_exactly_one_hop() {
    virtual_run(async || {
        for seconds in [0.0, -5.0, f64::NEG_INFINITY] {
            let passes = Rc::new(Cell::new(0));
            let count = Rc::clone(&passes);
            let ruler = spawn(async move {
                for _ in 0..3 {
                    count.set(count.get() + 1);
                    yield_now().await;
                }
            });
            sleep_secs(seconds)?.await;
            assert_eq!(passes.get(), 1);
            ruler.await?;
        }
        Ok(())
    });
}

#[test]
fn t52_what_is_not_a_number_is_refused_and_for_ever_is_not() {
    virtual_run(async || {
        assert!(sleep_secs(f64::NAN).unwrap_err().is_value());
        let for_ever = spawn(sleep_secs(f64::INFINITY)?);
        sleep(Duration::from_secs(1_000_000_000)).await;
        assert!(!for_ever.done());
        for_ever.cancel();
        Ok(())
    });
}

#[test]
fn t45_the_current_task_is_the_one_being_stepped_and_none_in_a_callback() {
    assert!(current_task().unwrap_err().is_runtime(), "there is no loop");
    virtual_run(async || {
        let outer = current_task()?.unwrap().id();
        let inner = spawn(async { current_task().unwrap().unwrap().id() }).await?;
        assert_ne!(inner, outer);
        assert_eq!(current_task()?.unwrap().id(), outer);
        let seen = Rc::new(Cell::new(None));
        let told = Rc::clone(&seen);
        call_soon(move || told.set(Some(current_task().unwrap().is_none())));
        yield_now().await;
        assert_eq!(seen.get(), Some(true));
        Ok(())
    });
}

#[test]
fn g7_timers_within_the_slack_fire_in_one_turn_in_the_order_of_their_deadlines_and_never_early() {
    let slack = Duration::from_secs(60);
    let fired = Runner::builder().timer_slack(slack).build().run(async || {
        let start = now() + Duration::from_millis(20);
        let fired = Rc::new(RefCell::new(Vec::new()));
        let sleepers: Vec<_> = [30, 0, 20, 10]
            .map(|millis| {
                let (deadline, fired) = (start + Duration::from_millis(millis), Rc::clone(&fired));
                spawn(async move {
                    sleep_until(deadline).await;
                    fired.borrow_mut().push((millis, now() - start));
                })
            })
            .into();
        for sleeper in sleepers {
            sleeper.await?;
        }
        Ok(fired.take())
    });
    let fired = fired.unwrap();
    assert_eq!(fired.iter().map(|(millis, _)| *millis).collect::<Vec<_>>(), [0, 10, 20, 30]);
    // The first one waited for the last.
    assert!(fired.iter().all(|(_, woken)| *woken >= Duration::from_millis(30)), "{fired:?}");
}
