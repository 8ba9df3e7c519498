//! The strict order class: waits of the primitives.

use std::future::Future;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use corelane::sync::{Barrier, Condition, Event, Lock, LockGuard, Queue, Semaphore};
use corelane::{
    Result, StreamReader, StreamWriter, Task, create_task, gather, open_connection, shield,
    task_group, timeout, wait_for, yield_now,
};

use crate::support::{check, check_run, passes, ticker};

/// Starts a waiter, lets it block, then triggers and counts passes.
async fn measure(
    name: &'static str,
    wait: impl Future<Output = Result<()>> + 'static,
    trigger: impl FnOnce(),
) -> Result<()> {
    let t = create_task(async move {
        wait.await?;
        ev!(name, "resumed");
        Ok(())
    });
    passes(3).await;
    let ruler = create_task(ticker(name, 3));
    ev!(name, "trigger");
    trigger();
    ev!(name, "triggered");
    ruler.await?;
    t.await
}

/// A connection, and its other end.
async fn connection() -> Result<(StreamReader, StreamWriter, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (reader, writer) = open_connection(listener.local_addr()?).await?;
    Ok((reader, writer, listener.accept()?.0))
}

#[test]
fn order_direct_hops() {
    // On the system's clock, for the sake of the stream; no timer is involved.
    check("order_direct_hops", || {
        corelane::run(async || {
            primitives().await?;
            let (mut reader, writer, _peer) = connection().await?;
            // Nothing feeds a reader from inside the loop but its own writer, when it is closed (rule S78).
            let read = async move {
                reader.read(100).await?;
                Ok(())
            };
            measure("stream", read, || writer.close()).await?;

            let e = Event::new();
            let opened = e.clone();
            let inner = create_task(async move {
                opened.wait().await;
                Ok(())
            });
            let through = async move {
                inner.await?;
                ev!("through task", "resumed");
                Ok(())
            };
            measure("task", through, || e.set()).await
        })
        .unwrap();
    });
}

async fn primitives() -> Result<()> {
    let e = Event::new();
    let wait = e.clone();
    let wait = async move {
        wait.wait().await;
        Ok(())
    };
    measure("event", wait, || e.set()).await?;

    let lock = Lock::new(());
    let held = lock.acquire().await;
    let wait = lock.clone();
    let wait = async move {
        LockGuard::forget(wait.acquire().await);
        Ok(())
    };
    measure("lock", wait, || drop(held)).await?;

    let sem = Semaphore::new(0);
    let wait = sem.clone();
    let wait = async move {
        wait.acquire().await?.forget();
        Ok(())
    };
    measure("semaphore", wait, || sem.release()).await?;
    queue_waits().await
}

async fn queue_waits() -> Result<()> {
    let q = Queue::new(1);
    let wait = q.clone();
    let wait = async move {
        wait.get().await?;
        Ok(())
    };
    measure("getter", wait, || q.put_nowait(1).unwrap()).await?;

    q.put_nowait(2)?;
    let wait = q.clone();
    let wait = async move {
        wait.put(3).await?;
        Ok(())
    };
    measure("putter", wait, || assert_eq!(q.get_nowait().unwrap(), 2)).await?;

    let q = Queue::new(0);
    q.put_nowait(1)?;
    let wait = q.clone();
    let wait = async move {
        wait.join().await;
        Ok(())
    };
    measure("join", wait, || q.task_done().unwrap()).await
}

#[test]
fn order_no_suspension() {
    // On the system's clock, for the sake of the stream; no timer fires.
    check("order_no_suspension", || {
        corelane::run(async || {
            let (mut reader, _writer, mut peer) = connection().await?;
            peer.write_all(b"x\n")?;
            reader.fill_buf().await?;
            let done = Rc::new(create_task(async { Ok(()) }));
            yield_now().await;
            let t = create_task(never_suspends(done, reader));
            gather((t, ticker("tick", 3))).await?;
            Ok(())
        })
        .unwrap();
    });
}

async fn never_suspends(done: Rc<Task<()>>, mut reader: StreamReader) -> Result<()> {
    let lock = Lock::new(());
    {
        let _held = lock.acquire().await;
        ev!("lock");
    }
    let e = Event::new();
    e.set();
    e.wait().await;
    ev!("event");
    let sem = Semaphore::new(1);
    sem.acquire().await?.forget();
    ev!("semaphore");
    let q = Queue::new(0);
    q.put(1).await?;
    q.get().await?;
    q.task_done()?;
    q.join().await;
    ev!("queue");
    (&*done).await?;
    shield(&*done).await?;
    ev!("finished task");
    task_group(async |_| Ok(())).await?;
    ev!("empty group");
    timeout(Duration::from_secs(100), async |_| Ok(())).await?;
    ev!("timeout scope");
    reader.read_line().await?;
    ev!("stream");
    gather(Vec::<Task<()>>::new()).await?;
    ev!("empty gather");
    let cond = Condition::new(());
    let held = cond.lock().await;
    drop(cond.wait_for(held, |()| true).await);
    ev!("condition");
    Barrier::new(1)?.wait().await?;
    ev!("barrier of one");
    let lock = Lock::new(());
    let acquire = async { Ok::<_, corelane::Error>(lock.acquire().await) };
    drop(wait_for(acquire, Duration::from_secs(10)).await?);
    ev!("wait_for");
    Ok(())
}

#[test]
fn order_sync_chains() {
    check_run("order_sync_chains", async || {
        lock_chain().await?;
        condition_chain().await?;
        semaphore_chain().await?;
        let bar = Barrier::new(3)?;
        let party = |i: usize| {
            let bar = bar.clone();
            create_task(async move {
                ev!("barrier", i, "index", bar.wait().await?);
                Ok(())
            })
        };
        joined([0, 1, 2].map(party), create_task(ticker("barrier", 6))).await
    });
}

/// `gather(*ts, ruler)`.
async fn joined(ts: [Task<()>; 3], ruler: Task<()>) -> Result<()> {
    gather(ts.into_iter().chain([ruler])).await?;
    Ok(())
}

async fn lock_chain() -> Result<()> {
    let lock = Lock::new(());
    let locker = |i: usize| {
        let lock = lock.clone();
        create_task(async move {
            let _held = lock.acquire().await;
            ev!("lock", i);
            Ok(())
        })
    };
    let held = lock.acquire().await;
    let ts = [0, 1, 2].map(locker);
    passes(2).await;
    drop(held);
    joined(ts, create_task(ticker("lock", 5))).await
}

async fn condition_chain() -> Result<()> {
    let cond = Condition::new(());
    let waiter = |i: usize| {
        let cond = cond.clone();
        create_task(async move {
            let held = cond.lock().await;
            let _held = cond.wait(held).await;
            ev!("cond", i);
            Ok(())
        })
    };
    let ts = [0, 1, 2].map(waiter);
    passes(2).await;
    let held = cond.lock().await;
    cond.notify_all(&held);
    drop(held);
    joined(ts, create_task(ticker("cond", 7))).await
}

async fn semaphore_chain() -> Result<()> {
    let sem = Semaphore::new(0);
    let taker = |i: usize| {
        let sem = sem.clone();
        create_task(async move {
            sem.acquire().await?.forget();
            ev!("sem", i);
            Ok(())
        })
    };
    let ts = [0, 1, 2].map(taker);
    passes(2).await;
    sem.release();
    sem.release();
    let ruler = create_task(ticker("sem", 4));
    passes(2).await;
    sem.release();
    joined(ts, ruler).await
}
