//! Tasks, timers and the memory of both, on any rival.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint::black_box;
use std::io;
use std::task::Poll;

use futures_util::future::join_all;

use super::runtimes::Rival;
use crate::clock::{process_cpu_ns, thread_cpu_ns};
use crate::micro::local::{BATCH, BATCHES, SWITCHES};
use crate::micro::memory;
use crate::micro::timers::{
    self, Firing, Price, lateness, lengths, mean_cancel, mean_insert, price,
};
use crate::micro::twin::{RING_TASKS, ring_hops, ring_member};
use crate::micro::{Sample, Timed, each_cpu_ns};

pub(super) fn spawn_join<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let mut tasks = Vec::with_capacity(BATCH as usize);
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            tasks.extend((0..BATCH).map(|number| rival.spawn(async move { number })));
            for task in tasks.drain(..) {
                black_box(task.await);
            }
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn spawn_join_one<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let begin_ns = thread_cpu_ns();
        for number in 0..BATCH * BATCHES {
            black_box(rival.spawn(async move { number }).await);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn gather<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let begin_ns = thread_cpu_ns();
        for _ in 0..BATCHES {
            let children = (0..BATCH).map(|number| rival.spawn(async move { number }));
            black_box(join_all(children).await);
        }
        Ok(each_cpu_ns(begin_ns, BATCH * BATCHES))
    })
}

pub(super) fn yield_switch<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let begin_ns = thread_cpu_ns();
        let tasks = [(); 2].map(|()| {
            rival.spawn(async {
                for _ in 0..SWITCHES / 2 {
                    smol::future::yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await;
        }
        Ok(each_cpu_ns(begin_ns, SWITCHES))
    })
}

pub(super) fn token_ring<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let begin_ns = thread_cpu_ns();
        let tasks: Vec<_> = (0..RING_TASKS).map(|place| rival.spawn(ring_member(place))).collect();
        for task in tasks {
            task.await;
        }
        Ok(each_cpu_ns(begin_ns, ring_hops()))
    })
}

fn prices<R: Rival>() -> io::Result<Vec<Price>> {
    R::run(async |rival: R| {
        let mut prices = Vec::new();
        for seed in 0..timers::TASKS {
            prices.push(rival.spawn(price(seed, R::sleep)).await);
        }
        Ok(prices)
    })
}

pub(super) fn timer_insert<R: Rival>() -> Sample {
    Ok(mean_insert(&prices::<R>()?))
}

pub(super) fn timer_cancel<R: Rival>() -> Sample {
    Ok(mean_cancel(&prices::<R>()?))
}

fn firing<R: Rival>() -> io::Result<Firing> {
    R::run(async |rival: R| {
        let begin_ns = process_cpu_ns();
        let tasks: Vec<_> =
            lengths().map(|length| rival.spawn(lateness(length, R::sleep))).collect();
        let mut late_ns = Vec::new();
        for task in tasks {
            late_ns.push(task.await);
        }
        Ok(Firing::since(begin_ns, late_ns))
    })
}

pub(super) fn timer_fire<R: Rival>() -> Sample {
    Ok(firing::<R>()?.cpu_ns_each())
}

pub(super) fn timer_late_p50<R: Rival>() -> Timed {
    Ok(firing::<R>()?.lateness(0.5))
}

pub(super) fn timer_late_p99<R: Rival>() -> Timed {
    Ok(firing::<R>()?.lateness(0.99))
}

thread_local! {
    /// Idle tasks that have been polled.
    static POLLED: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn idle_task<R: Rival>() -> Sample {
    R::run(async |rival: R| {
        let before = memory::resident()?;
        for _ in 0..memory::TASKS {
            rival.detach(poll_fn(|_| {
                POLLED.set(POLLED.get() + 1);
                Poll::Pending
            }));
        }
        while POLLED.get() < memory::TASKS {
            rival.yield_now().await;
        }
        Ok(memory::each(before, memory::resident()?))
    })
}
