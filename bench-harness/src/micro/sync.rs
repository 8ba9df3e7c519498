//! Locks, permits and queues that nobody contends for, and a crowd that waits: ours, and tokio's.

use std::cell::Cell;
use std::hint::black_box;
use std::io;

use corelane::sync::{Lock, Queue, Semaphore};

use super::twin::runtime;
use super::{Sample, each_cpu_ns};
use crate::clock::thread_cpu_ns;

/// Operations of a sample, where nobody waits.
pub(super) const OPERATIONS: u64 = 10_000_000;
/// Tasks that wait at once.
pub(super) const CROWD: usize = 1_000;
/// How often all of them are woken.
pub(super) const ROUNDS: u64 = 1_000;

fn on_loop(body: impl AsyncFnOnce() -> corelane::Result<f64> + 'static) -> Sample {
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn corelane_lock() -> Sample {
    on_loop(async || {
        let lock = Lock::new(0_u64);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).acquire().await += 1;
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_lock() -> Sample {
    runtime()?.block_on(async {
        let lock = tokio::sync::Mutex::new(0_u64);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).lock().await += 1;
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn corelane_semaphore() -> Sample {
    on_loop(async || {
        let semaphore = Semaphore::new(4);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            drop(black_box(&semaphore).acquire().await?);
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_semaphore() -> Sample {
    runtime()?.block_on(async {
        let semaphore = tokio::sync::Semaphore::new(4);
        let begin_ns = thread_cpu_ns();
        for _ in 0..OPERATIONS {
            drop(black_box(&semaphore).acquire().await.map_err(io::Error::other)?);
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn corelane_queue() -> Sample {
    on_loop(async || {
        let queue = Queue::new(16);
        let begin_ns = thread_cpu_ns();
        for number in 0..OPERATIONS {
            black_box(&queue).put(number).await?;
            black_box(queue.get().await?);
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_queue() -> Sample {
    runtime()?.block_on(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        let begin_ns = thread_cpu_ns();
        for number in 0..OPERATIONS {
            black_box(&sender).send(number).await.map_err(io::Error::other)?;
            black_box(receiver.recv().await);
        }
        Ok(each_cpu_ns(begin_ns, OPERATIONS))
    })
}

thread_local! {
    /// Members of the crowd that have come to wait, and those that were woken, each time.
    static CAME: Cell<u64> = const { Cell::new(0) };
    static SERVED: Cell<u64> = const { Cell::new(0) };
}

/// A member of the crowd is about to wait for the first time.
pub(super) fn come() {
    CAME.set(CAME.get() + 1);
}

/// A member of the crowd was woken and will wait again before anybody else runs.
pub(super) fn serve() {
    SERVED.set(SERVED.get() + 1);
}

/// Whether all wait.
pub(super) fn all_came() -> bool {
    CAME.get() == CROWD as u64
}

/// Whether all have been woken in `round` and wait again. How many yields that takes is a matter of
/// the runtime: some look at the yielding task again before all others have run.
pub(super) fn all_served(round: u64) -> bool {
    SERVED.get() == (round + 1) * CROWD as u64
}

/// All wait for permits, and get one each.
pub(super) fn corelane_crowd() -> Sample {
    on_loop(async || {
        let semaphore = Semaphore::new(0);
        let tasks: Vec<_> = (0..CROWD)
            .map(|_| {
                let semaphore = semaphore.clone();
                corelane::create_task(async move {
                    come();
                    for _ in 0..ROUNDS {
                        semaphore.acquire().await?.forget();
                        serve();
                    }
                    Ok(())
                })
            })
            .collect();
        while !all_came() {
            corelane::yield_now().await;
        }
        let begin_ns = thread_cpu_ns();
        for round in 0..ROUNDS {
            for _ in 0..CROWD {
                semaphore.release();
            }
            while !all_served(round) {
                corelane::yield_now().await;
            }
        }
        let each = each_cpu_ns(begin_ns, ROUNDS * CROWD as u64);
        for task in tasks {
            task.await?;
        }
        Ok(each)
    })
}

pub(super) fn tokio_crowd() -> Sample {
    runtime()?.block_on(async {
        let semaphore = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
        let tasks: Vec<_> = (0..CROWD)
            .map(|_| {
                let semaphore = std::sync::Arc::clone(&semaphore);
                tokio::spawn(async move {
                    come();
                    for _ in 0..ROUNDS {
                        if let Ok(permit) = semaphore.acquire().await {
                            permit.forget();
                        }
                        serve();
                    }
                })
            })
            .collect();
        while !all_came() {
            tokio::task::yield_now().await;
        }
        let begin_ns = thread_cpu_ns();
        for round in 0..ROUNDS {
            for _ in 0..CROWD {
                semaphore.add_permits(1);
            }
            while !all_served(round) {
                tokio::task::yield_now().await;
            }
        }
        let each = each_cpu_ns(begin_ns, ROUNDS * CROWD as u64);
        for task in tasks {
            task.await?;
        }
        Ok(each)
    })
}
