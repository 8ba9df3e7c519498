//! Timers: their price, and how late they are.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{Reading, Sample, each_cpu_ns, twin};
use crate::clock::{now_ns, process_cpu_ns, thread_cpu_ns};
use crate::rng::Rng;

/// Timers of one task; a runtime may have a limit on how often a task is referred to.
const PER_TASK: u64 = 10_000;
/// Tasks with so many timers, one after the other.
pub(super) const TASKS: u64 = 20;
/// Timers that fire while their lateness is taken, and the span over which they are spread.
const FIRING: u64 = 10_000;
const SPREAD: Duration = Duration::from_millis(1_000);

/// A deadline that no benchmark reaches.
fn far(rng: &mut Rng) -> Duration {
    Duration::from_secs(60) + Duration::from_micros(rng.below(60_000_000))
}

/// Nanoseconds to start a timer and to drop it again.
pub(super) struct Price {
    insert: f64,
    cancel: f64,
}

/// Starts and drops the timers of one task. `sleep` makes one that is started by its first poll.
pub(super) async fn price<S: Future>(seed: u64, sleep: impl Fn(Duration) -> S) -> Price {
    let mut rng = Rng::new(seed);
    let begin_ns = thread_cpu_ns();
    let mut timers: Vec<Pin<Box<S>>> =
        (0..PER_TASK).map(|_| Box::pin(sleep(far(&mut rng)))).collect();
    poll_fn(|context| {
        for timer in &mut timers {
            let _ = timer.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
    let insert = each_cpu_ns(begin_ns, PER_TASK);
    let begin_ns = thread_cpu_ns();
    drop(timers);
    Price { insert, cancel: each_cpu_ns(begin_ns, PER_TASK) }
}

/// The mean price of a start.
pub(super) fn mean_insert(prices: &[Price]) -> f64 {
    prices.iter().map(|price| price.insert).sum::<f64>() / prices.len().max(1) as f64
}

/// The mean price of a drop.
pub(super) fn mean_cancel(prices: &[Price]) -> f64 {
    prices.iter().map(|price| price.cancel).sum::<f64>() / prices.len().max(1) as f64
}

fn corelane_prices() -> io::Result<Vec<Price>> {
    let body = async || {
        let mut prices = Vec::new();
        for seed in 0..TASKS {
            prices.push(corelane::spawn(price(seed, corelane::sleep)).await?);
        }
        Ok(prices)
    };
    corelane::run(body).map_err(io::Error::from)
}

fn tokio_prices() -> io::Result<Vec<Price>> {
    twin::runtime()?.block_on(async {
        let mut prices = Vec::new();
        for seed in 0..TASKS {
            prices.push(tokio::spawn(price(seed, tokio::time::sleep)).await?);
        }
        Ok(prices)
    })
}

pub(super) fn corelane_insert() -> Sample {
    Ok(mean_insert(&corelane_prices()?))
}

pub(super) fn corelane_cancel() -> Sample {
    Ok(mean_cancel(&corelane_prices()?))
}

pub(super) fn tokio_insert() -> Sample {
    Ok(mean_insert(&tokio_prices()?))
}

pub(super) fn tokio_cancel() -> Sample {
    Ok(mean_cancel(&tokio_prices()?))
}

/// Sleeps and returns by how much it was too long.
pub(super) async fn lateness<S: Future>(length: Duration, sleep: impl Fn(Duration) -> S) -> u64 {
    let deadline_ns = now_ns() + crate::clock::ns(length);
    sleep(length).await;
    now_ns().saturating_sub(deadline_ns)
}

/// How long each of the timers that fire runs.
pub(super) fn lengths() -> impl Iterator<Item = Duration> {
    let mut rng = Rng::new(11);
    let spread_ns = crate::clock::ns(SPREAD);
    (0..FIRING).map(move |_| Duration::from_nanos(1_000_000 + rng.below(spread_ns)))
}

/// What timers that fired have cost, and how late they were.
pub(super) struct Firing {
    cpu_ns: u64,
    late_ns: Vec<u64>,
}

impl Firing {
    /// These timers, on whom the process has spent its CPU time since it had used `begin_ns`.
    pub(super) fn since(begin_ns: u64, late_ns: Vec<u64>) -> Self {
        Firing { cpu_ns: process_cpu_ns().saturating_sub(begin_ns), late_ns }
    }

    /// Nanoseconds of CPU for each.
    pub(super) fn cpu_ns_each(&self) -> f64 {
        self.cpu_ns as f64 / self.late_ns.len().max(1) as f64
    }

    /// A quantile of the lateness in microseconds, and how late each was.
    pub(super) fn lateness(mut self, quantile: f64) -> Reading {
        let late_us = crate::selftest::quantile(&mut self.late_ns, quantile) / 1e3;
        Reading::with(late_us, self.late_ns)
    }
}

pub(super) fn corelane_firing() -> io::Result<Firing> {
    let body = async || {
        let begin_ns = process_cpu_ns();
        let tasks: Vec<_> =
            lengths().map(|length| corelane::spawn(lateness(length, corelane::sleep))).collect();
        let mut late_ns = Vec::new();
        for task in tasks {
            late_ns.push(task.await?);
        }
        Ok(Firing::since(begin_ns, late_ns))
    };
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn tokio_firing() -> io::Result<Firing> {
    twin::runtime()?.block_on(async {
        let begin_ns = process_cpu_ns();
        let tasks: Vec<_> =
            lengths().map(|length| tokio::spawn(lateness(length, tokio::time::sleep))).collect();
        let mut late_ns = Vec::new();
        for task in tasks {
            late_ns.push(task.await?);
        }
        Ok(Firing::since(begin_ns, late_ns))
    })
}
