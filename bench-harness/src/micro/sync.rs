//! Locks, permits and queues that nobody contends for, and a crowd that waits: ours, and tokio's.

use std::hint::black_box;
use std::io;

use corelane::sync::{Lock, Queue, Semaphore};

use super::twin::runtime;
use super::{Sample, each_ns};
use crate::clock::now_ns;

/// Operations of a sample, where nobody waits.
const OPERATIONS: u64 = 10_000_000;
/// Tasks that wait at once.
const CROWD: usize = 1_000;
/// How often all of them are woken.
const ROUNDS: u64 = 1_000;

fn on_loop(body: impl AsyncFnOnce() -> corelane::Result<f64> + 'static) -> Sample {
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn corelane_lock() -> Sample {
    on_loop(async || {
        let lock = Lock::new(0_u64);
        let begin_ns = now_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).acquire().await += 1;
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_lock() -> Sample {
    runtime()?.block_on(async {
        let lock = tokio::sync::Mutex::new(0_u64);
        let begin_ns = now_ns();
        for _ in 0..OPERATIONS {
            *black_box(&lock).lock().await += 1;
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn corelane_semaphore() -> Sample {
    on_loop(async || {
        let semaphore = Semaphore::new(4);
        let begin_ns = now_ns();
        for _ in 0..OPERATIONS {
            drop(black_box(&semaphore).acquire().await?);
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_semaphore() -> Sample {
    runtime()?.block_on(async {
        let semaphore = tokio::sync::Semaphore::new(4);
        let begin_ns = now_ns();
        for _ in 0..OPERATIONS {
            drop(black_box(&semaphore).acquire().await.map_err(io::Error::other)?);
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn corelane_queue() -> Sample {
    on_loop(async || {
        let queue = Queue::new(16);
        let begin_ns = now_ns();
        for number in 0..OPERATIONS {
            black_box(&queue).put(number).await?;
            black_box(queue.get().await?);
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

pub(super) fn tokio_queue() -> Sample {
    runtime()?.block_on(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        let begin_ns = now_ns();
        for number in 0..OPERATIONS {
            black_box(&sender).send(number).await.map_err(io::Error::other)?;
            black_box(receiver.recv().await);
        }
        Ok(each_ns(begin_ns, OPERATIONS))
    })
}

/// All wait for permits, and get one each.
pub(super) fn corelane_crowd() -> Sample {
    on_loop(async || {
        let semaphore = Semaphore::new(0);
        let tasks: Vec<_> = (0..CROWD)
            .map(|_| {
                let semaphore = semaphore.clone();
                corelane::create_task(async move {
                    for _ in 0..ROUNDS {
                        semaphore.acquire().await?.forget();
                    }
                    Ok(())
                })
            })
            .collect();
        corelane::yield_now().await;
        let begin_ns = now_ns();
        for _ in 0..ROUNDS {
            for _ in 0..CROWD {
                semaphore.release();
            }
            corelane::yield_now().await;
        }
        let each = each_ns(begin_ns, ROUNDS * CROWD as u64);
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
                    for _ in 0..ROUNDS {
                        if let Ok(permit) = semaphore.acquire().await {
                            permit.forget();
                        }
                    }
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let begin_ns = now_ns();
        for _ in 0..ROUNDS {
            for _ in 0..CROWD {
                semaphore.add_permits(1);
            }
            tokio::task::yield_now().await;
        }
        let each = each_ns(begin_ns, ROUNDS * CROWD as u64);
        for task in tasks {
            task.await?;
        }
        Ok(each)
    })
}
