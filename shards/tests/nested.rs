//! What travels with a call: its deadline, its priority and its path.

mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use corelane::{Result, create_task, gather, now, sleep, spawn, yield_now};
use corelane_shards::{CallError, Priority, Shard, ShardId};
use support::{FAR, call_error, everywhere, on_first, shards};

const NEAR: ShardId = ShardId::new(0);
const HOUR: Duration = Duration::from_secs(3_600);

fn here() -> Shard {
    Shard::current().expect("it runs on a shard")
}

/// Keeps shard 1 from everything until what is returned is dropped.
fn stop_far(shard: &Shard) -> mpsc::Sender<()> {
    let (open, gate) = mpsc::channel::<()>();
    drop(spawn(shard.invoke(FAR, move || _ = gate.recv())));
    open
}

/// How long the deadline of this task is away.
fn left() -> Option<Duration> {
    Shard::deadline().map(|deadline| deadline.saturating_duration_since(now()))
}

#[test]
fn a_call_whose_deadline_is_over_when_it_arrives_is_not_run() {
    static RAN: AtomicUsize = AtomicUsize::new(0);
    on_first(shards(2), async |shard| {
        let open = stop_far(&shard);
        let ran = || RAN.fetch_add(1, Ordering::SeqCst);
        let made = shard.within(Duration::from_millis(50), async {
            // In tasks that nobody gives up, so that the calls are not withdrawn.
            let plain = create_task(shard.invoke(FAR, ran));
            let task = create_task(shard.call(FAR, move || async move { Ok(ran()) }));
            shard.post(FAR, move || _ = ran()).await?;
            let late = shard.clone();
            let late = create_task(async move {
                sleep(Duration::from_millis(60)).await;
                late.invoke(FAR, ran).await
            });
            Ok([plain, task, late])
        });
        let made = made.await?;
        sleep(Duration::from_millis(70)).await;
        drop(open);
        for call in made {
            assert_eq!(call_error(&call.await.unwrap_err()), &CallError::DeadlinePassed);
        }
        assert_eq!(shard.invoke(FAR, ran).await?, 0, "none of them ran");
        Ok(())
    });
}

#[test]
fn a_deadline_is_seen_over_there_and_by_what_is_called_from_there() {
    everywhere(shards(2), async |shard| {
        assert_eq!(Shard::deadline(), None);
        let seen = shard.within(HOUR, async {
            let plain = shard.invoke(FAR, left).await?;
            let task = shard.call(FAR, || async {
                let own = left();
                let child = spawn(async { left() }).await?;
                let nested = here().invoke(NEAR, left).await?;
                let back = here().call(NEAR, || async { Ok(left()) }).await?;
                Ok([own, child, nested, back])
            });
            let [own, child, nested, back] = task.await?;
            Ok([plain, left(), own, child, nested, back])
        });
        for left in seen.await? {
            let left = left.expect("the deadline has come along");
            assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
        }
        assert_eq!(shard.invoke(FAR, left).await?, None, "nothing is left of it");
        // The nearer one holds.
        let nearer =
            shard.within(HOUR / 4, async { shard.within(HOUR, async { Ok(left()) }).await });
        assert!(nearer.await? <= Some(HOUR / 4));
        Ok(())
    });
}

#[test]
fn when_the_time_is_over_the_call_is_cancelled_over_there() {
    everywhere(shards(2), async |shard| {
        let (tell, told) = mpsc::channel::<()>();
        let call = shard.within(Duration::from_millis(20), async {
            let call = shard.call(FAR, move || async move {
                let _held = tell;
                std::future::pending::<Result<()>>().await
            });
            call.await
        });
        assert!(call.await.unwrap_err().is_timeout());
        while told.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            yield_now().await;
        }
        Ok(())
    });
}

#[test]
fn calls_that_wait_for_a_permit_leave_by_priority_and_the_priority_travels() {
    thread_local!(static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) });
    on_first(shards(2).permits(1), async |shard| {
        let open = stop_far(&shard);
        yield_now().await;
        let note = |number| move || SEEN.with_borrow_mut(|seen| seen.push(number));
        let low = shard.at_priority(Priority::Low, async { [shard.invoke(FAR, note(4))] }).await;
        let usual = shard.invoke(FAR, note(2));
        let posted = shard.post(FAR, note(3));
        let high = shard.at_priority(Priority::High, async { [shard.invoke(FAR, note(1))] }).await;
        drop(open);
        posted.await?;
        for call in low.into_iter().chain([usual]).chain(high) {
            call.await?;
        }
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [1, 2, 3, 4]);
        let nested = shard.at_priority(Priority::High, async {
            let call = shard.call(FAR, || async {
                let back = here().invoke(NEAR, Shard::priority).await?;
                Ok((Shard::priority(), back))
            });
            call.await
        });
        assert_eq!(nested.await?, (Priority::High, Priority::High));
        assert_eq!(shard.invoke(FAR, Shard::priority).await?, Priority::Normal);
        Ok(())
    });
}

#[test]
fn the_path_of_a_call_is_known_to_its_task_and_to_the_tasks_that_it_makes() {
    everywhere(shards(3), async |shard| {
        let last = ShardId::new(2);
        let path = shard.call(FAR, move || async move {
            let child = spawn(async { Shard::call_path() }).await?;
            assert_eq!(child, [NEAR, FAR]);
            let plain = here().invoke(last, Shard::call_path).await?;
            assert_eq!(plain, [], "nobody waits inside of a closure");
            here().call(last, || async { Ok(Shard::call_path()) }).await
        });
        assert_eq!(path.await?, [NEAR, FAR, last]);
        assert_eq!(Shard::call_path(), []);
        Ok(())
    });
}

/// A future whose type does not name itself.
type Boxed<T> = Pin<Box<dyn Future<Output = Result<T>>>>;

/// Calls the next shard of all, which does the same.
fn call_on_and_on() -> Boxed<()> {
    Box::pin(async {
        let shard = here();
        let next = ShardId::new((shard.id().index() as u16 + 1) % shard.count() as u16);
        shard.call(next, call_on_and_on).await
    })
}

#[test]
fn a_circle_of_calls_without_an_end_is_reported_with_its_shards() {
    everywhere(shards(2).call_depth(5), async |shard| {
        for _ in 0..2 {
            let error = shard.call(FAR, call_on_and_on).await.unwrap_err();
            let path: Vec<_> = [0, 1, 0, 1, 0, 1].map(ShardId::new).to_vec();
            assert_eq!(call_error(&error), &CallError::TooDeep(path));
            let text = "calls inside of calls went too deep, by way of shards 0, 1, 0, 1, 0, 1";
            assert_eq!(error.to_string(), text);
        }
        // A closure or a task that is no part of the chain may call on.
        assert_eq!(shard.call(FAR, || async { Ok(5) }).await?, 5);
        Ok(())
    });
}

/// Calls through the next shard `rest` times, in tasks of its own.
fn call_through(rest: usize) -> Boxed<usize> {
    Box::pin(async move {
        if rest == 0 {
            return Ok(1);
        }
        let shard = here();
        let next = ShardId::new((shard.id().index() as u16 + 1) % shard.count() as u16);
        let calls = (0..2).map(|_| {
            let shard = shard.clone();
            create_task(async move { shard.call(next, move || call_through(rest - 1)).await })
        });
        Ok(gather(calls.collect::<Vec<_>>()).await?.into_iter().sum())
    })
}

#[test]
fn calls_in_circles_through_one_permit_and_one_slot_end() {
    for count in [2, 3, 16] {
        let run = shards(count).permits(1).lane_capacity(1).run(async |shard: Shard| {
            let calls = (0..4).map(|_| {
                let shard = shard.clone();
                create_task(async move {
                    let next = (shard.id().index() as u16 + 1) % shard.count() as u16;
                    shard.call(ShardId::new(next), || call_through(4)).await
                })
            });
            Ok(gather(calls.collect::<Vec<_>>()).await?.into_iter().sum::<usize>())
        });
        assert_eq!(run.unwrap(), vec![64; count], "{count} shards");
    }
}

#[test]
fn a_storm_of_calls_that_are_given_up_leaves_every_permit_free() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Counted {
        fn new() -> Self {
            RUNNING.fetch_add(1, Ordering::SeqCst);
            Self
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        }
    }
    for count in [2, 16] {
        let run = shards(count).permits(2).lane_capacity(1).run(async |shard: Shard| {
            for round in 0..30 {
                let calls: Vec<_> = shard
                    .all()
                    .flat_map(|to| [to; 3])
                    .map(|to| {
                        let shard = shard.clone();
                        create_task(async move {
                            let call = shard.call(to, || async {
                                let _counted = Counted::new();
                                std::future::pending::<Result<()>>().await
                            });
                            call.await
                        })
                    })
                    .collect();
                for _ in 0..round % 5 {
                    yield_now().await;
                }
                calls.iter().for_each(|call| _ = call.cancel());
                for call in calls {
                    assert!(call.await.unwrap_err().is_cancelled());
                }
                // Every permit has come back, or this would wait for ever.
                shard.call_all(|| async { Ok(()) }).await?;
            }
            Ok(())
        });
        run.unwrap();
        assert_eq!(RUNNING.load(Ordering::SeqCst), 0, "{count} shards");
    }
}
