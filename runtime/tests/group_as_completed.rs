//! `as_completed`: rules T155 to T160.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod task_support;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use corelane::{
    Result, Task, advance, as_completed, create_task, now, sleep, spawn, timeout, yield_now,
};
use futures_util::stream::{Stream, StreamExt};
use task_support::{Log, badness, job, passes, settle, virtual_run, wakes_when_dropped};

const SECOND: Duration = Duration::from_secs(1);

async fn nap(seconds: u32) -> Result<u32> {
    sleep(SECOND * seconds).await;
    Ok(seconds)
}

#[test]
fn t155_items_come_in_the_order_of_completion() {
    virtual_run(async || {
        let mut order = Vec::new();
        for outcome in as_completed([3, 1, 2].map(nap), None) {
            order.push(outcome.await?);
        }
        assert_eq!(order, [1, 2, 3]);

        let jobs = ["a", "b", "c"].map(job);
        settle().await;
        for index in [1, 2, 0] {
            jobs[index].gate.set();
        }
        // All end in the same turn.
        let mut order = Vec::new();
        for outcome in as_completed(jobs.map(|job| job.task), None) {
            order.push(outcome.await?);
        }
        assert_eq!(order, ["b", "c", "a"]);
        Ok(())
    });
}

#[test]
fn t156_a_plain_item_gives_the_next_completion_whichever_is_awaited_first() {
    virtual_run(async || {
        let mut items: Vec<_> = as_completed([2, 1].map(nap), None).into_iter().collect();
        assert_eq!(items.pop().unwrap().await?, 1);
        assert_eq!(items.pop().unwrap().await?, 2);
        Ok(())
    });
}

#[test]
fn t156_items_may_be_awaited_in_several_tasks_and_are_served_in_line() {
    virtual_run(async || {
        let log = Log::default();
        let items: Vec<_> = as_completed([2, 1, 3].map(nap), None).into_iter().collect();
        let waiters: Vec<_> = items
            .into_iter()
            .zip(["first", "second", "third"])
            .map(|(item, name)| {
                let log = log.clone();
                create_task(async move {
                    log.say(format!("{name} {}", item.await?));
                    Ok(())
                })
            })
            .collect();
        corelane::gather(waiters).await?;
        assert_eq!(log.take(), ["first 1", "second 2", "third 3"]);
        Ok(())
    });
}

#[test]
fn t156_the_stream_form_gives_the_task_itself() {
    virtual_run(async || {
        let tasks = [2, 1].map(|seconds| create_task(nap(seconds)));
        let ids = tasks.each_ref().map(Task::id);
        let mut all = as_completed(tasks, None);
        assert_eq!(all.remaining(), 2);
        let first = all.next().await?.unwrap();
        assert!(first.done() && first.id() == ids[1]);
        assert_eq!(first.await?, 1);
        let second = all.next().await?.unwrap();
        assert_eq!((second.id(), second.await?), (ids[0], 2));
        assert!(all.next().await?.is_none() && all.next().await?.is_none());
        Ok(())
    });
}

#[test]
fn t156_it_is_a_stream_too() {
    virtual_run(async || {
        let tasks = as_completed([3, 1, 2].map(nap), SECOND * 2 + SECOND / 2);
        assert_eq!(tasks.size_hint(), (3, Some(3)));
        let outcomes: Vec<_> = tasks.then(async |task| task?.await).collect().await;
        assert_eq!(outcomes[..2].iter().flatten().collect::<Vec<_>>(), [&1, &2]);
        assert!(outcomes[2].as_ref().unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn t156_the_place_of_a_next_that_was_dropped_is_no_obstacle_to_items() {
    virtual_run(async || {
        let a = job("a");
        let mut all = as_completed([&a.task], None);
        assert_eq!(wakes_when_dropped(all.next()).await, 0);
        a.gate.set();
        settle().await;
        assert_eq!(all.into_iter().next().unwrap().await?, "a");

        let (a, b) = (job("a"), job("b"));
        let mut all = as_completed([&a.task, &b.task], None);
        assert_eq!(wakes_when_dropped(all.next()).await, 0);
        let mut items = all.into_iter();
        let item = items.next().unwrap();
        b.gate.set();
        assert_eq!(item.await?, "b");
        Ok(())
    });
}

#[test]
fn t157_an_error_is_raised_at_its_item_and_does_not_end_the_iteration() {
    virtual_run(async || {
        let jobs = ["bad", "c"].map(job);
        jobs.iter().for_each(|job| job.gate.set());
        let mut items = as_completed(jobs.each_ref().map(|job| &job.task), None).into_iter();
        assert_eq!(items.len(), 2);
        assert_eq!(badness(items.next().unwrap().await), "bad");
        assert_eq!(items.next().unwrap().await?, "c");
        assert!(items.next().is_none());
        Ok(())
    });
}

#[test]
fn t158_what_is_left_at_the_timeout_fails_and_nobody_is_cancelled() {
    virtual_run(async || {
        let tasks = [1, 5, 6].map(|seconds| create_task(nap(seconds)));
        let start = now();
        let items = as_completed(&tasks, SECOND * 2);
        let mut outcomes = Vec::new();
        for item in items {
            outcomes.push(item.await);
        }
        assert_eq!(now() - start, SECOND * 2);
        assert_eq!(outcomes.remove(0)?, 1);
        assert!(outcomes.iter().all(|o| o.as_ref().unwrap_err().is_timeout()));
        let [_, five, six] = tasks;
        assert_eq!((five.await?, six.await?), (5, 6));
        Ok(())
    });
}

#[test]
fn t158_what_had_ended_before_the_timeout_is_given_first_and_what_ends_later_is_not() {
    virtual_run(async || {
        let tasks = [1, 3].map(|seconds| create_task(nap(seconds)));
        let mut all = as_completed(&tasks, SECOND * 2);
        sleep(SECOND * 4).await;
        assert!(tasks.iter().all(Task::done));
        assert_eq!(all.next().await?.unwrap().id(), tasks[0].id());
        assert!(all.next().await.unwrap_err().is_timeout());
        assert!(all.next().await?.is_none());
        Ok(())
    });
}

#[test]
fn t158_all_who_wait_at_the_timeout_are_told() {
    virtual_run(async || {
        let log = Log::default();
        let items = as_completed([5, 6, 7].map(nap), SECOND);
        let waiters: Vec<_> = items
            .into_iter()
            .map(|item| {
                let log = log.clone();
                spawn(async move { log.say(item.await.unwrap_err().to_string()) })
            })
            .collect();
        sleep(SECOND + Duration::from_nanos(1)).await;
        assert_eq!(log.take(), ["timed out after 1s"; 3]);
        drop(waiters);
        Ok(())
    });
}

#[test]
fn t158_a_timeout_of_zero_still_gives_what_is_done() {
    virtual_run(async || {
        let jobs = ["a", "b"].map(job);
        jobs[0].gate.set();
        settle().await;
        let mut all = as_completed(jobs.each_ref().map(|job| &job.task), Duration::ZERO);
        assert_eq!(all.next().await?.unwrap().id(), jobs[0].task.id());
        assert!(all.next().await.unwrap_err().is_timeout());
        Ok(())
    });
}

#[test]
fn t158_a_timeout_that_was_not_needed_leaves_no_timer() {
    virtual_run(async || {
        let start = now();
        let mut all = as_completed([nap(0)], SECOND * 9);
        assert_eq!(all.next().await?.unwrap().await?, 0);
        drop(as_completed([job("a").task], SECOND * 9));
        // Nothing else is ready or due, so a timer that was left would move the clock.
        spawn(async { settle().await }).await?;
        assert_eq!(now(), start);
        Ok(())
    });
}

#[test]
fn t159_dropping_the_iterator_leaves_the_children_running() {
    virtual_run(async || {
        let log = Log::default();
        let told = log.clone();
        let slow = async move {
            sleep(SECOND).await;
            told.say("ended");
            Ok(1)
        };
        let mut items = as_completed([create_task(slow), create_task(nap(5))], None).into_iter();
        let item = items.next();
        drop(items);
        assert_eq!(item.unwrap().await?, 1, "an item that was taken before is still good");
        assert_eq!(log.take(), ["ended"]);

        let a = job("a");
        let (gate, told) = (a.gate, log.clone());
        let spy = create_task(async move {
            told.say(a.task.await?);
            Ok(())
        });
        drop(as_completed([spy], None));
        gate.set();
        settle().await;
        assert_eq!(log.take(), ["a"]);
        Ok(())
    });
}

#[test]
fn t159_a_dropped_item_wakes_nobody() {
    virtual_run(async || {
        let a = job("a");
        let item = as_completed([&a.task], SECOND).into_iter().next().unwrap();
        assert_eq!(wakes_when_dropped(item).await, 0);
        Ok(())
    });
}

#[test]
fn t159_empty_input_ends_at_once() {
    virtual_run(async || {
        assert_eq!(as_completed(Vec::<Task<u8>>::new(), SECOND).into_iter().count(), 0);
        assert!(as_completed([] as [&Task<u8>; 0], None).next().await?.is_none());
        Ok(())
    });
}

#[test]
fn t160_duplicates_count_once() {
    virtual_run(async || {
        let (a, b) = (create_task(nap(1)), create_task(nap(2)));
        let mut order = Vec::new();
        for item in as_completed([&a, &b, &a], None) {
            order.push(item.await?);
        }
        assert_eq!(order, [1, 2]);
        Ok(())
    });
}

#[test]
fn g5_two_hops_lie_between_a_child_and_the_waiting_task() {
    virtual_run(async || {
        let (a, log) = (job("a"), Log::default());
        let told = log.clone();
        let waiter = create_task(async move {
            as_completed([a.task], None).next().await?;
            told.say("resumed");
            Ok(())
        });
        passes(3).await;
        a.gate.set();
        for turn in ["1", "2", "3", "4"] {
            log.say(turn);
            passes(1).await;
        }
        assert_eq!(log.take(), ["1", "2", "3", "resumed", "4"]);
        waiter.await
    });
}

#[test]
fn g30_an_item_that_is_dropped_after_it_was_woken_passes_on_what_it_was_woken_for() {
    virtual_run(async || {
        let a = job("a");
        let b = job("b");
        let mut items = as_completed([a.task, b.task], None).into_iter();
        let (first, second) = (items.next().unwrap(), items.next().unwrap());
        let first = Rc::new(RefCell::new(Some(Box::pin(first))));
        let held = Rc::clone(&first);
        let loser = spawn(poll_fn(move |context| {
            let mut item = held.borrow_mut();
            let Some(item) = item.as_mut() else { return Poll::Ready(()) };
            item.as_mut().poll(context).map(drop)
        }));
        let winner = create_task(second);
        settle().await;
        a.gate.set();
        passes(2).await;
        // It was woken in this turn, and is gone before its own.
        assert!(!loser.done());
        drop(first.take());
        assert_eq!(winner.await?, "a");
        Ok(())
    });
}

#[test]
fn g21_what_a_cancelled_waiter_was_woken_for_goes_to_the_next() {
    virtual_run(async || {
        let (a, b) = (job("a"), job("b"));
        let mut items = as_completed([a.task, b.task], None).into_iter();
        let first = create_task(items.next().unwrap());
        let second = create_task(items.next().unwrap());
        settle().await;
        a.gate.set();
        passes(2).await;
        assert!(first.cancel(), "it was woken in this turn, and has not run");
        assert_eq!(second.await?, "a");
        assert!(first.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn a_next_that_is_dropped_has_taken_nothing() {
    virtual_run(async || {
        let mut all = as_completed([2, 4].map(nap), None);
        {
            let mut next = pin!(all.next());
            poll_fn(|context| {
                assert!(next.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        let error = timeout(SECOND, async |_| all.next().await).await.unwrap_err();
        assert!(error.is_timeout());
        assert_eq!(all.remaining(), 2);
        assert_eq!(all.next().await?.unwrap().await?, 2);
        assert_eq!(all.next().await?.unwrap().await?, 4);
        yield_now().await;
        advance(SECOND);
        assert!(all.next().await?.is_none());
        Ok(())
    });
}
