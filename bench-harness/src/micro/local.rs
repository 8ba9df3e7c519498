//! Tasks and queues of one loop, ours. `twin` has the same on tokio.

use std::io;

use corelane::sync::Queue;
use corelane::{spawn, yield_now};

use super::twin::{RING_TASKS, ring_hops, ring_member};
use super::{Sample, each_cpu_ns};
use crate::clock::thread_cpu_ns;

/// Tasks in flight at once in `spawn_join`.
pub(super) const BATCH: u64 = 1_000;
/// Batches of a sample.
pub(super) const BATCHES: u64 = 1_000;
/// Switches of a sample.
pub(super) const SWITCHES: u64 = 4_000_000;
/// Round trips of a sample.
pub(super) const ROUND_TRIPS: u64 = 1_000_000;

fn on_loop(body: impl AsyncFnOnce() -> corelane::Result<f64> + 'static) -> Sample {
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn spawn_join() -> Sample {
    on_loop(async || {
        let mut tasks = Vec::with_capacity(BATCH as usize);
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|number| spawn(async move { number })));
            for task in tasks.drain(..) {
                std::hint::black_box(task.await?);
            }
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn spawn_join_one() -> Sample {
    on_loop(async || {
        let begin_ns = thread_cpu_ns();
        for number in 0..BATCH * BATCHES {
            std::hint::black_box(spawn(async move { number }).await?);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn gather() -> Sample {
    on_loop(async || {
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            let children = (0..BATCH).map(async |number| Ok(number));
            std::hint::black_box(corelane::gather(children).await?);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn yield_switch() -> Sample {
    on_loop(async || {
        let begin_ns = thread_cpu_ns();
        let tasks = [(); 2].map(|()| {
            spawn(async {
                for _ in 0..SWITCHES / 2 {
                    yield_now().await;
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
    on_loop(async || {
        let begin_ns = thread_cpu_ns();
        let tasks: Vec<_> = (0..RING_TASKS).map(|place| spawn(ring_member(place))).collect();
        for task in tasks {
            task.await?;
        }
        Ok(each_cpu_ns(begin_ns, ring_hops()))
    })
}

pub(super) fn pingpong() -> Sample {
    on_loop(async || {
        let (there, back) = (Queue::new(16), Queue::new(16));
        let begin_ns = thread_cpu_ns();
        let peer = {
            let (there, back) = (there.clone(), back.clone());
            corelane::create_task(async move {
                for _ in 0..ROUND_TRIPS {
                    let number: u64 = there.get().await?;
                    back.put(number + 1).await?;
                }
                Ok(())
            })
        };
        for number in 0..ROUND_TRIPS {
            there.put(number).await?;
            std::hint::black_box(back.get().await?);
        }
        peer.await?;
        Ok(each_cpu_ns(begin_ns, ROUND_TRIPS))
    })
}
