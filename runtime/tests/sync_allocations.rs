//! What waiting costs in memory: nothing per wait once warm, and nothing that stays behind. Alone in its
//! program, because it counts what the process allocates.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod counting;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use corelane::sync::{Barrier, Condition, Event, Lock, Queue, RwLock, Semaphore};
use corelane::{Result, run, spawn, yield_now};
use counting::{allocations, live_bytes};

/// Four tasks that do `round` again and again, until it is warm; then one of them counts, while the
/// others go on.
async fn is_free_once_warm<F>(
    name: &str,
    round: impl Fn(usize) -> F + Clone + 'static,
) -> Result<()>
where
    F: Future<Output = ()> + 'static,
{
    let tasks = [0, 1, 2, 3].map(|number| {
        let round = round.clone();
        spawn(async move {
            let mut counts = [0; 3];
            for count in &mut counts {
                for _ in 0..500 {
                    round(number).await;
                }
                *count = allocations();
            }
            counts
        })
    });
    for task in tasks {
        let [warm, end, _] = task.await?;
        assert_eq!(end - warm, 0, "{name} allocates");
    }
    Ok(())
}

async fn warm_waits() -> Result<()> {
    let lock = Lock::new(());
    is_free_once_warm("a lock", move |_| {
        let lock = lock.clone();
        async move {
            let _guard = lock.acquire().await;
            yield_now().await;
        }
    })
    .await?;
    let semaphore = Semaphore::new(3);
    is_free_once_warm("a semaphore", move |number| {
        let semaphore = semaphore.clone();
        async move {
            let _permit = semaphore.acquire_many(number % 3 + 1).await.expect("nobody closes it");
            yield_now().await;
        }
    })
    .await?;
    let queue = Queue::new(1);
    is_free_once_warm("a queue", move |number| {
        let queue = queue.clone();
        async move {
            match number % 2 {
                0 => queue.put(number).await.expect("nobody shuts it down"),
                _ => drop(queue.get().await),
            }
        }
    })
    .await?;
    let lock = RwLock::new(());
    is_free_once_warm("a lock for readers and writers", move |number| {
        let lock = lock.clone();
        async move {
            if number == 0 {
                let _writer = lock.write().await;
                yield_now().await;
            } else {
                let _reader = lock.read().await;
                yield_now().await;
            }
        }
    })
    .await
}

async fn warm_meetings() -> Result<()> {
    let barrier = Barrier::new(4)?;
    is_free_once_warm("a barrier", move |_| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await.expect("nobody breaks it");
        }
    })
    .await?;
    let turn = Condition::new(0);
    is_free_once_warm("a condition", move |number| {
        let turn = turn.clone();
        async move {
            let guard = turn.lock().await;
            let mut guard = turn.wait_for(guard, |whose| *whose == number).await;
            *guard = (number + 1) % 4;
            turn.notify_all(&guard);
        }
    })
    .await?;
    let (event, barrier) = (Event::new(), Barrier::new(4)?);
    is_free_once_warm("an event", move |number| {
        let (event, barrier) = (event.clone(), barrier.clone());
        async move {
            if number == 0 {
                yield_now().await;
                event.set();
            } else {
                event.wait().await;
            }
            barrier.wait().await.expect("nobody breaks it");
            event.clear();
            barrier.wait().await.expect("nobody breaks it");
        }
    })
    .await
}

/// Begins a wait and drops it.
fn give_up(wait: impl Future) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(wait).poll(&mut context).is_pending());
}

/// Waits that are given up in every primitive, beside one that lasts.
fn give_up_all(rounds: usize) {
    let (event, lock, queue) = (Event::new(), Lock::new(()), Queue::<u8>::new(1));
    let (semaphore, barrier) = (Semaphore::new(0), Barrier::new(4).unwrap());
    let condition = Condition::new(());
    let _guard = lock.try_acquire();
    let mut lasting = pin!(async {
        let _ = futures_util::join!(event.wait(), queue.get(), semaphore.acquire(), barrier.wait());
    });
    assert!(lasting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    for _ in 0..rounds {
        give_up(event.wait());
        give_up(lock.acquire());
        give_up(queue.get());
        give_up(semaphore.acquire_many(2));
        give_up(barrier.wait());
        give_up(condition.wait(condition.try_lock().unwrap()));
    }
    let shown = format!("{event:?} {queue:?} {semaphore:?} {barrier:?} {condition:?}");
    assert_eq!(shown.matches("waiters: 1").count(), 3, "{shown}");
    assert!(shown.contains("getters: 1"));
}

/// As many by request: tasks that are cancelled while they wait for an item, a lock, a notification.
async fn cancel_all(rounds: usize) -> Result<()> {
    let (queue, lock, condition) = (Queue::<u8>::new(0), Lock::new(()), Condition::new(()));
    let held = lock.acquire().await;
    for _ in 0..rounds {
        let (items, same, news) = (queue.clone(), lock.clone(), condition.clone());
        let tasks = [
            spawn(async move {
                let _ = items.get().await;
            }),
            spawn(async move { drop(same.acquire().await) }),
            spawn(async move {
                let guard = news.lock().await;
                drop(news.wait(guard).await);
            }),
        ];
        yield_now().await;
        tasks.iter().for_each(|task| assert!(task.cancel()));
        yield_now().await;
        assert!(tasks.iter().all(corelane::Task::cancelled));
    }
    drop(held);
    queue.put_nowait(1)?;
    assert!(queue.qsize() == 1 && !lock.locked() && !condition.locked());
    Ok(())
}

/// Live bytes that `body` leaves behind.
async fn growth(body: impl AsyncFn()) -> usize {
    body().await;
    let before = live_bytes();
    body().await;
    live_bytes().saturating_sub(before)
}

#[test]
fn q22_l17_waiting_allocates_nothing_and_a_million_cancelled_waits_leave_nothing_behind() {
    run(async || {
        warm_waits().await?;
        warm_meetings().await?;
        assert_eq!(growth(async || give_up_all(150_000)).await, 0, "900,000 waits, dropped");
        let cancelled = async || cancel_all(40_000).await.expect("each ends cancelled");
        assert_eq!(growth(cancelled).await, 0, "120,000 waits, cancelled by request");
        Ok(())
    })
    .expect("the scenario does not fail");
}
