//! The sleep of hyper's timer: it is on time, it can be put off, and it finds its loop or none.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::{Executor, Timer};

use super::{HyperExecutor, HyperTimer};
use crate::{Result, Runner, now, sleep, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn on_virtual_time<T>(body: impl AsyncFnOnce() -> Result<T> + 'static) -> T
where
    T: 'static,
{
    Runner::builder().virtual_clock().build().run(body).unwrap()
}

async fn is_over(sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>) -> bool {
    poll_fn(|context| Poll::Ready(sleep.as_mut().poll(context).is_ready())).await
}

#[test]
fn a_sleep_ends_at_its_deadline_by_either_clock() {
    on_virtual_time(async || {
        sleep(SECOND).await;
        let (timer, start) = (HyperTimer::new(), now());
        timer.sleep(SECOND).await;
        assert_eq!(now() - start, SECOND);
        timer.sleep_until(timer.now() + 2 * SECOND).await;
        assert_eq!(now() - start, 3 * SECOND);
        // The past, also that from before the timer was made.
        timer.sleep_until(timer.now() - 4 * SECOND).await;
        assert_eq!(now() - start, 3 * SECOND);
        Ok(())
    });
}

#[test]
fn a_sleep_that_is_put_off_or_brought_forward_ends_at_its_new_deadline() {
    on_virtual_time(async || {
        let (timer, start) = (HyperTimer::new(), now());
        let mut later = timer.sleep(SECOND);
        assert!(!is_over(&mut later).await);
        timer.reset(&mut later, timer.now() + 5 * SECOND);
        later.as_mut().await;
        assert_eq!(now() - start, 5 * SECOND);

        let mut sooner = timer.sleep(9 * SECOND);
        assert!(!is_over(&mut sooner).await);
        timer.reset(&mut sooner, timer.now() + SECOND);
        sooner.as_mut().await;
        assert_eq!(now() - start, 6 * SECOND);
        // One that is over can be used again.
        timer.reset(&mut sooner, timer.now() + SECOND);
        sooner.await;
        assert_eq!(now() - start, 7 * SECOND);
        Ok(())
    });
}

#[test]
fn a_dropped_sleep_leaves_no_timer() {
    on_virtual_time(async || {
        let timer = HyperTimer::new();
        let mut dropped = timer.sleep(SECOND);
        assert!(!is_over(&mut dropped).await);
        drop(dropped);
        let (mut hour, mut poll_count) = (pin!(sleep(3_600 * SECOND)), 0);
        poll_fn(|context| {
            poll_count += 1;
            hour.as_mut().poll(context)
        })
        .await;
        // A timer that was left would have woken this task on the way.
        assert_eq!(poll_count, 2);
        Ok(())
    });
}

#[test]
fn a_sleep_of_an_ended_loop_begins_anew_on_the_loop_where_it_is_awaited() {
    let kept = on_virtual_time(async || {
        let mut made = HyperTimer::new().sleep(2 * SECOND);
        assert!(!is_over(&mut made).await);
        Ok(made)
    });
    on_virtual_time(async move || {
        // Its timer has the number that the other one had.
        let other = crate::spawn(sleep(SECOND));
        yield_now().await;
        kept.await;
        assert_eq!(now() - crate::Instant::ZERO, 2 * SECOND);
        other.await
    });
}

#[test]
fn a_future_of_hypers_runs_as_a_task_and_off_a_loop_is_dropped() {
    on_virtual_time(async || {
        let (sender, receiver) = crate::sync::oneshot::channel();
        HyperExecutor.execute(async move {
            yield_now().await;
            // The receiver waits.
            let _ = sender.send(7);
        });
        assert_eq!(receiver.await?, 7);
        Ok(())
    });
    HyperExecutor.execute(async { unreachable!("nobody polls it") });
}
