//! Waiting for something, and for the end of the run beside it.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod support;

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::rc::Rc;
use std::task::Poll;

use corelane::{spawn, yield_now};
use support::{run_everywhere, shards};

/// Says when it is dropped.
struct Told(Rc<Cell<bool>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn what_is_ready_before_the_end_is_asked_for_is_given() {
    let run = run_everywhere(shards(1), async |shard| {
        let shutdown = shard.shutdown();
        assert_eq!(shutdown.unless_requested(ready(7)).await, Some(7));
        let later = async {
            yield_now().await;
            8
        };
        assert_eq!(shutdown.unless_requested(later).await, Some(8));
        Ok(())
    });
    run.unwrap();
}

#[test]
fn what_waits_is_given_up_when_the_end_is_asked_for() {
    let run = run_everywhere(shards(1), async |shard| {
        let shutdown = shard.shutdown();
        let is_dropped = Rc::new(Cell::new(false));
        let told = Told(Rc::clone(&is_dropped));
        let waiting = spawn({
            let shutdown = shutdown.clone();
            async move {
                let wait = async move {
                    let _told = told;
                    pending::<()>().await;
                };
                shutdown.unless_requested(wait).await
            }
        });
        yield_now().await;
        assert!(!is_dropped.get());
        shutdown.request();
        assert_eq!(waiting.await?, None);
        assert!(is_dropped.get());
        Ok(())
    });
    run.unwrap();
}

#[test]
fn nothing_is_begun_once_the_end_was_asked_for() {
    let run = run_everywhere(shards(1), async |shard| {
        let shutdown = shard.shutdown();
        shutdown.request();
        shutdown.requested().await;
        let polled = poll_fn(|_| -> Poll<()> { panic!("polled after the end was asked for") });
        assert_eq!(shutdown.unless_requested(polled).await, None);
        Ok(())
    });
    run.unwrap();
}
