//! `Queue` and its variants.

use std::time::Duration;

use corelane::sync::{AnyQueue, Discipline, LifoQueue, PriorityQueue, Queue};
use corelane::{Result, Task, create_task, wait_for};

use crate::support::{attempt, check_run, outcome, settle};

fn get<T: 'static, D: Discipline<T> + 'static>(queue: &AnyQueue<T, D>) -> Task<T> {
    let queue = queue.clone();
    create_task(async move { Ok(queue.get().await?) })
}

fn put<T: 'static, D: Discipline<T> + 'static>(queue: &AnyQueue<T, D>, item: T) -> Task<()> {
    let queue = queue.clone();
    create_task(async move { queue.put(item).await.map_err(|error| error.without_item().into()) })
}

fn join<T: 'static>(queue: &Queue<T>) -> Task<()> {
    let queue = queue.clone();
    create_task(async move {
        queue.join().await;
        Ok(())
    })
}

fn put_all<T, D: Discipline<T>>(queue: &AnyQueue<T, D>, items: impl IntoIterator<Item = T>) {
    items.into_iter().for_each(|item| assert!(queue.put_nowait(item).is_ok()));
}

fn done<T>(tasks: &[Task<T>]) -> Vec<bool> {
    tasks.iter().map(Task::done).collect()
}

/// Puts, and says so.
fn says_stored(queue: &Queue<&'static str>, item: &'static str) -> Task<()> {
    let queue = queue.clone();
    create_task(async move {
        queue.put(item).await?;
        ev!("stored", item);
        Ok(())
    })
}

#[test]
fn queue_barging() {
    check_run("queue_barging", async || {
        let q = Queue::new(0);
        let getter = |name: &'static str| {
            let q = q.clone();
            create_task(async move {
                ev!(name, "got", q.get().await?);
                Ok(())
            })
        };
        let tasks = ["g1", "g2"].map(getter);
        settle().await;
        q.put_nowait("taken")?;
        ev!("main takes", q.get_nowait()?);
        settle().await;
        ev!("nobody served", done(&tasks));
        q.put_nowait("first")?;
        settle().await;
        q.put_nowait("second")?;
        settle().await;

        let q = Queue::new(1);
        q.put_nowait("full")?;
        let tasks = ["p1", "p2"].map(|item| says_stored(&q, item));
        settle().await;
        ev!("main takes", q.get_nowait()?);
        q.put_nowait("main barges")?;
        settle().await;
        ev!("nobody stored", done(&tasks));
        for _ in 0..3 {
            ev!("main takes", q.get().await?);
            settle().await;
        }
        Ok(())
    });
}

#[test]
fn queue_basics() {
    check_run("queue_basics", async || {
        let q = Queue::<&str>::new(0);
        ev!(maxsize = q.maxsize(), qsize = q.qsize(), empty = q.empty(), full = q.full());
        let q = Queue::new(2);
        q.put("a").await?;
        q.put_nowait("b")?;
        ev!(qsize = q.qsize(), empty = q.empty(), full = q.full());
        ev!(q.put_nowait("c").unwrap_err(), qsize = q.qsize());
        let puts = ["c", "d", "e"].map(|item| says_stored(&q, item));
        settle().await;
        for _ in 0..5 {
            ev!("got", q.get().await?);
            settle().await;
        }
        ev!(q.get_nowait().unwrap_err());

        let q = Queue::new(0);
        let getter = |i: i32| {
            let q = q.clone();
            create_task(async move {
                ev!("getter", i, "got", q.get().await?);
                Ok(())
            })
        };
        let gets = [0, 1, 2].map(getter);
        settle().await;
        put_all(&q, ["x", "y", "z"]);
        settle().await;
        ev!([done(&puts), done(&gets)].concat());
        Ok(())
    });
}

#[test]
fn queue_get_cancel() {
    check_run("queue_get_cancel", async || {
        let q = Queue::new(0);
        let [g1, g2] = [(); 2].map(|()| get(&q));
        settle().await;
        q.put_nowait("item")?;
        g1.cancel();
        settle().await;
        ev!("woken then cancelled", outcome(&g1), outcome(&g2));

        let [g3, g4] = [(); 2].map(|()| get(&q));
        settle().await;
        g3.cancel();
        q.put_nowait("item 2")?;
        settle().await;
        ev!("cancelled then put", outcome(&g3), outcome(&g4));

        let g5 = get(&q);
        settle().await;
        q.put_nowait("kept")?;
        g5.cancel();
        settle().await;
        ev!("no other getter", outcome(&g5), qsize = q.qsize(), item = q.get_nowait()?);

        for _ in 0..3 {
            let timed_out = wait_for(q.get(), Duration::from_millis(1)).await;
            assert!(timed_out.is_err_and(|error| error.is_timeout()));
        }
        q.put_nowait("not swallowed")?;
        ev!("after timeouts", q.qsize(), q.get().await?);
        Ok(())
    });
}

#[test]
fn queue_join() {
    check_run("queue_join", async || {
        let q = Queue::new(0);
        q.join().await;
        ev!("join of unused queue");
        put_all(&q, ["0", "1"]);
        let joiner = || {
            let q = q.clone();
            create_task(async move {
                q.join().await;
                ev!("joined");
                Ok(())
            })
        };
        let j = joiner();
        settle().await;
        ev!("got", q.get_nowait()?, q.get_nowait()?, empty = q.empty());
        settle().await;
        ev!("join done", j.done());
        q.task_done()?;
        settle().await;
        ev!("join done", j.done());
        q.task_done()?;
        settle().await;
        ev!("once too often", q.task_done().unwrap_err());
        q.put_nowait("more")?;
        let j = joiner();
        settle().await;
        ev!("join done", j.done());
        q.task_done()?;
        settle().await;
        ev!("task_done without get", q.qsize());
        Ok(())
    });
}

#[test]
fn queue_put_cancel() {
    check_run("queue_put_cancel", async || {
        let q = Queue::new(1);
        q.put_nowait(0)?;
        let [p1, p2] = [1, 2].map(|item| put(&q, item));
        settle().await;
        p1.cancel();
        settle().await;
        ev!("got", q.get_nowait()?);
        settle().await;
        ev!(outcome(&p1), outcome(&p2), qsize = q.qsize());

        let [p3, p4] = [3, 4].map(|item| put(&q, item));
        settle().await;
        ev!("got", q.get_nowait()?);
        p3.cancel();
        settle().await;
        ev!(outcome(&p3), outcome(&p4));
        ev!("got", q.get_nowait()?, "left", q.qsize());
        Ok(())
    });
}

#[test]
fn queue_shutdown() {
    check_run("queue_shutdown", async || {
        let q = Queue::new(1);
        q.put_nowait("left")?;
        let (p, j) = (put(&q, "blocked"), join(&q));
        settle().await;
        q.shutdown(false);
        q.shutdown(false);
        settle().await;
        ev!("blocked put", outcome(&p), "join", outcome(&j));
        ev!("raised", q.put_nowait("x").unwrap_err());
        ev!("gave", q.get_nowait()?);
        ev!("raised", q.get_nowait().unwrap_err());
        attempt("put", put(&q, "x")).await;
        attempt("get", get(&q)).await;
        q.task_done()?;
        settle().await;
        ev!("join", outcome(&j));

        let q = Queue::<&str>::new(0);
        let gets = [(); 2].map(|()| get(&q));
        settle().await;
        q.shutdown(false);
        settle().await;
        ev!("blocked gets", gets.each_ref().map(outcome));
        Ok(())
    });
}

#[test]
fn queue_shutdown_immediate() {
    check_run("queue_shutdown_immediate", async || {
        let q = Queue::new(0);
        put_all(&q, 0..3);
        ev!("got", q.get().await?);
        let j = join(&q);
        settle().await;
        q.shutdown(true);
        settle().await;
        ev!(qsize = q.qsize(), join = outcome(&j));
        attempt("get", get(&q)).await;
        q.task_done()?;
        settle().await;
        ev!("join", outcome(&j));
        ev!("once too often", q.task_done().unwrap_err());

        let q = Queue::new(0);
        q.put_nowait("x")?;
        q.shutdown(false);
        ev!("plain keeps", q.qsize());
        q.shutdown(true);
        ev!("immediate discards", q.qsize());
        q.join().await;
        ev!("joined");
        Ok(())
    });
}

#[test]
fn queue_variants() {
    check_run("queue_variants", async || {
        let q = PriorityQueue::new(0);
        put_all(&q, [5, 1, 4, 1, 3]);
        let mut got = [0; 5];
        got.fill_with(|| q.get_nowait().unwrap());
        ev!("priority", got);
        let q = LifoQueue::new(0);
        put_all(&q, [1, 2, 3]);
        let mut got = [0; 3];
        got.fill_with(|| q.get_nowait().unwrap());
        ev!("lifo", got);
        serves_in_waiting_order([PriorityQueue::new(0), PriorityQueue::new(2)]).await?;
        serves_in_waiting_order([LifoQueue::new(0), LifoQueue::new(2)]).await
    });
}

/// With an empty queue without limit, and one for two items.
async fn serves_in_waiting_order<D>([unbounded, bounded]: [AnyQueue<i32, D>; 2]) -> Result<()>
where
    D: Discipline<i32> + 'static,
{
    for i in 0..3 {
        let queue = unbounded.clone();
        drop(create_task(async move {
            ev!("getter", i, "got", queue.get().await?);
            Ok(())
        }));
    }
    settle().await;
    put_all(&unbounded, [2, 3, 1]);
    settle().await;
    put_all(&bounded, [7, 8]);
    let _putters = [9, 6].map(|item| put(&bounded, item));
    settle().await;
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(bounded.get_nowait()?);
        settle().await;
    }
    ev!("with blocked putters", got);
    Ok(())
}
