//! Timers: their price, and how late they are.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{Sample, each_ns, twin};
use crate::clock::now_ns;
use crate::rng::Rng;
use crate::selftest::quantile;

/// Timers of one task; a runtime may have a limit on how often a task is referred to.
const PER_TASK: u64 = 10_000;
/// Tasks with so many timers, one after the other.
const TASKS: u64 = 20;
/// Timers that fire while their lateness is taken, and the span over which they are spread.
const FIRING: u64 = 1_000;
const SPREAD: Duration = Duration::from_millis(1_000);

/// A deadline that no benchmark reaches.
fn far(rng: &mut Rng) -> Duration {
    Duration::from_secs(60) + Duration::from_micros(rng.below(60_000_000))
}

/// Nanoseconds to start a timer and to drop it again.
struct Price {
    insert: f64,
    cancel: f64,
}

/// Starts and drops the timers of one task. `sleep` makes one that is started by its first poll.
async fn price<S: Future>(seed: u64, sleep: impl Fn(Duration) -> S) -> Price {
    let mut rng = Rng::new(seed);
    let begin_ns = now_ns();
    let mut timers: Vec<Pin<Box<S>>> =
        (0..PER_TASK).map(|_| Box::pin(sleep(far(&mut rng)))).collect();
    poll_fn(|context| {
        for timer in &mut timers {
            let _ = timer.as_mut().poll(context);
        }
        Poll::Ready(())
    })
    .await;
    let insert = each_ns(begin_ns, PER_TASK);
    let begin_ns = now_ns();
    drop(timers);
    Price { insert, cancel: each_ns(begin_ns, PER_TASK) }
}

fn mean(prices: &[Price], part: fn(&Price) -> f64) -> f64 {
    prices.iter().map(part).sum::<f64>() / prices.len().max(1) as f64
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
    Ok(mean(&corelane_prices()?, |price| price.insert))
}

pub(super) fn corelane_cancel() -> Sample {
    Ok(mean(&corelane_prices()?, |price| price.cancel))
}

pub(super) fn tokio_insert() -> Sample {
    Ok(mean(&tokio_prices()?, |price| price.insert))
}

pub(super) fn tokio_cancel() -> Sample {
    Ok(mean(&tokio_prices()?, |price| price.cancel))
}

/// Sleeps and returns by how much it was too long.
async fn lateness<S: Future>(length: Duration, sleep: impl Fn(Duration) -> S) -> u64 {
    let deadline_ns = now_ns() + crate::clock::ns(length);
    sleep(length).await;
    now_ns().saturating_sub(deadline_ns)
}

fn lengths() -> impl Iterator<Item = Duration> {
    let mut rng = Rng::new(11);
    let spread_ns = crate::clock::ns(SPREAD);
    (0..FIRING).map(move |_| Duration::from_nanos(1_000_000 + rng.below(spread_ns)))
}

pub(super) fn corelane_lateness() -> Sample {
    let body = async || {
        let tasks: Vec<_> =
            lengths().map(|length| corelane::spawn(lateness(length, corelane::sleep))).collect();
        let mut late = Vec::new();
        for task in tasks {
            late.push(task.await?);
        }
        Ok(quantile(&mut late, 0.99) / 1e3)
    };
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn tokio_lateness() -> Sample {
    twin::runtime()?.block_on(async {
        let tasks: Vec<_> =
            lengths().map(|length| tokio::spawn(lateness(length, tokio::time::sleep))).collect();
        let mut late = Vec::new();
        for task in tasks {
            late.push(task.await?);
        }
        Ok(quantile(&mut late, 0.99) / 1e3)
    })
}
