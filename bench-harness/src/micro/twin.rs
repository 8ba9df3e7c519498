//! The benchmarks of `local` on tokio's current-thread runtime, and the futures that both use.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::local::{BATCH, BATCHES, ROUND_TRIPS, SWITCHES};
use super::{Sample, each_cpu_ns};
use crate::clock::thread_cpu_ns;

/// Tasks of the ring.
pub(super) const RING_TASKS: usize = 100;
/// How often the token goes round.
const RING_ROUNDS: u64 = 40_000;

/// Hops of the token in a sample.
pub(super) fn ring_hops() -> u64 {
    RING_TASKS as u64 * RING_ROUNDS
}

thread_local! {
    /// Who has the token, and who waits for it. The ring lives on one thread; kept here, its
    /// futures hold only a number and may be spawned on either runtime without a lock.
    static TOKEN: Cell<usize> = const { Cell::new(0) };
    static WAITING: RefCell<Vec<Option<Waker>>> = const { RefCell::new(Vec::new()) };
}

/// Waits for the token at `place` and hands it on, until it has gone round often enough.
pub(super) async fn ring_member(place: usize) {
    for _ in 0..RING_ROUNDS {
        poll_fn(|context| {
            if TOKEN.get() == place {
                return Poll::Ready(());
            }
            WAITING.with_borrow_mut(|waiting| {
                waiting.resize_with(RING_TASKS, || None);
                match &mut waiting[place] {
                    Some(waker) => waker.clone_from(context.waker()),
                    empty => *empty = Some(context.waker().clone()),
                }
            });
            Poll::Pending
        })
        .await;
        let next = (place + 1) % RING_TASKS;
        TOKEN.set(next);
        let waker = WAITING.with_borrow_mut(|waiting| waiting.get_mut(next)?.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A current-thread runtime with everything switched on.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

pub(super) fn spawn_join() -> Sample {
    runtime()?.block_on(async {
        let mut tasks = Vec::with_capacity(BATCH as usize);
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|number| tokio::spawn(async move { number })));
            for task in tasks.drain(..) {
                std::hint::black_box(task.await?);
            }
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn spawn_join_one() -> Sample {
    runtime()?.block_on(async {
        let begin_ns = thread_cpu_ns();
        for number in 0..BATCH * BATCHES {
            std::hint::black_box(tokio::spawn(async move { number }).await?);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn gather() -> Sample {
    runtime()?.block_on(async {
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            let children: JoinSet<u64> = (0..BATCH).map(async |number| number).collect();
            std::hint::black_box(children.join_all().await);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn yield_switch() -> Sample {
    runtime()?.block_on(async {
        let begin_ns = thread_cpu_ns();
        let tasks = [(); 2].map(|()| {
            tokio::spawn(async {
                for _ in 0..SWITCHES / 2 {
                    tokio::task::yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await?;
        }
        Ok(each_cpu_ns(begin_ns, SWITCHES))
    })
}

pub(super) fn token_ring() -> Sample {
    runtime()?.block_on(async {
        let begin_ns = thread_cpu_ns();
        let tasks: Vec<_> = (0..RING_TASKS).map(|place| tokio::spawn(ring_member(place))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(each_cpu_ns(begin_ns, ring_hops()))
    })
}

pub(super) fn pingpong() -> Sample {
    let ended = || io::Error::other("the queue was closed");
    runtime()?.block_on(async {
        let (there, mut there_end) = mpsc::channel(16);
        let (back, mut back_end) = mpsc::channel(16);
        let begin_ns = thread_cpu_ns();
        let peer = tokio::spawn(async move {
            while let Some(number) = there_end.recv().await {
                let number: u64 = number;
                if back.send(number + 1).await.is_err() {
                    return;
                }
            }
        });
        for number in 0..ROUND_TRIPS {
            there.send(number).await.map_err(|_| ended())?;
            std::hint::black_box(back_end.recv().await.ok_or_else(ended)?);
        }
        let each = each_cpu_ns(begin_ns, ROUND_TRIPS);
        drop(there);
        peer.await?;
        Ok(each)
    })
}
