//! From one core to another.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;

use corelane::{Idle, spawn, yield_now};
use corelane_shards::{LaneStats, Placement, Shard, ShardId, Shards};
use tokio::sync::{mpsc, oneshot};

use super::{Laps, Reading, Sample, Timed, each_ns, twin};
use crate::clock::now_ns;
use crate::layout::Layout;
use crate::threads;

pub(super) const ROUND_TRIPS: u64 = 5_000;
pub(super) const CALLS: u64 = 4_000_000;
pub(super) const IN_FLIGHT: usize = 256;

/// A CPU for each of two shards; two on one CPU where there is no other.
pub(super) fn cpus(layout: &Layout) -> [usize; 2] {
    let first = layout.load_cpus.first().copied().unwrap_or(0);
    let others = layout.server_cpus.iter().chain(&layout.load_cpus);
    [first, others.copied().find(|cpu| *cpu != first).unwrap_or(first)]
}

thread_local! {
    /// What the messages to a shard have added up to.
    static SUM: Cell<u64> = const { Cell::new(0) };
}

/// Runs `body` on the first of two shards while the second answers.
fn on_two_shards<R: Clone + Send + 'static>(
    layout: &Layout,
    body: impl AsyncFnOnce(Shard) -> corelane::Result<R> + Clone + Send + 'static,
) -> io::Result<R> {
    on_two_idle(layout, Idle::Park, body)
}

/// The same on shards that are idle in some way.
fn on_two_idle<R: Clone + Send + 'static>(
    layout: &Layout,
    idle: Idle,
    body: impl AsyncFnOnce(Shard) -> corelane::Result<R> + Clone + Send + 'static,
) -> io::Result<R> {
    let results = Shards::builder()
        .idle(idle)
        .placement(Placement::Cores(cpus(layout).to_vec()))
        .allow_oversubscription(true)
        .handle_signals(false)
        .permits(IN_FLIGHT as u32)
        .run(async move |shard: Shard| match shard.id().index() {
            0 => body(shard).await.map(Some),
            _ => Ok(None),
        })
        .map_err(io::Error::from)?;
    results.into_iter().next().flatten().ok_or_else(|| io::Error::other("no shard has run"))
}

pub(super) fn corelane_rtt(layout: &Layout) -> Timed {
    on_two_shards(layout, round_trips)
}

pub(super) fn corelane_rtt_spin(layout: &Layout) -> Timed {
    on_two_idle(layout, Idle::Spin, round_trips)
}

/// A task that is always ready keeps the first shard awake.
pub(super) fn corelane_rtt_half(layout: &Layout) -> Timed {
    on_two_shards(layout, async |shard: Shard| {
        let restless = spawn(async {
            loop {
                yield_now().await;
            }
        });
        let each = round_trips(shard).await;
        restless.cancel();
        each
    })
}

/// Microseconds for a call and its answer, one after the other.
async fn round_trips(shard: Shard) -> corelane::Result<Reading> {
    let peer = ShardId::new(1);
    let mut laps = Laps::begin(ROUND_TRIPS);
    for number in 0..ROUND_TRIPS {
        std::hint::black_box(shard.invoke(peer, move || number + 1).await?);
        laps.lap();
    }
    Ok(laps.end())
}

pub(super) fn corelane_rate(layout: &Layout, in_flight: usize) -> Sample {
    on_two_shards(layout, async move |shard: Shard| {
        let begin_ns = now_ns();
        call_in_flight(&shard, in_flight).await?;
        Ok(each_ns(begin_ns, CALLS))
    })
}

/// Makes all calls, so many at a time.
async fn call_in_flight(shard: &Shard, in_flight: usize) -> corelane::Result<()> {
    let peer = ShardId::new(1);
    let mut calls = VecDeque::with_capacity(in_flight);
    for number in 0..CALLS {
        // The window slides: while the oldest answer is waited for, the others are on their way.
        if calls.len() == in_flight
            && let Some(oldest) = calls.pop_front()
        {
            std::hint::black_box(oldest.await?);
        }
        calls.push_back(shard.invoke(peer, move || number + 1));
    }
    for call in calls {
        call.await?;
    }
    Ok(())
}

/// Wakes by both shards for a thousand messages.
pub(super) fn corelane_wakes(layout: &Layout) -> Sample {
    on_two_shards(layout, async |shard: Shard| {
        let (here, peer) = (shard.id(), ShardId::new(1));
        call_in_flight(&shard, IN_FLIGHT).await?;
        let theirs = move || Shard::current().map(|shard| shard.lane_stats(here));
        let ours = shard.lane_stats(peer);
        let both = [Some(ours), shard.invoke(peer, theirs).await?];
        let sum = |count: fn(&LaneStats) -> u64| both.iter().flatten().map(count).sum::<u64>();
        Ok(sum(|lane| lane.wake_count) as f64 * 1e3 / sum(|lane| lane.message_count) as f64)
    })
}

pub(super) fn corelane_oneway(layout: &Layout) -> Sample {
    on_two_shards(layout, async |shard: Shard| {
        let peer = ShardId::new(1);
        let begin_ns = now_ns();
        for number in 0..CALLS {
            shard.post(peer, move || SUM.set(SUM.get() + number)).await?;
        }
        // Runs behind the last of them.
        std::hint::black_box(shard.invoke(peer, || SUM.take()).await?);
        Ok(each_ns(begin_ns, CALLS))
    })
}

pub(super) fn ended() -> io::Error {
    io::Error::other("the other thread ended")
}

pub(super) fn tokio_rtt(layout: &Layout) -> Timed {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let (call, mut calls) = mpsc::channel::<u64>(16);
    let (answer, mut answers) = mpsc::channel(16);
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<()> {
        twin::runtime()?.block_on(async {
            while let Some(number) = calls.recv().await {
                answer.send(number + 1).await.map_err(|_| ended())?;
            }
            Ok(())
        })
    })?;
    let each = twin::runtime()?.block_on(async {
        let mut laps = Laps::begin(ROUND_TRIPS);
        for number in 0..ROUND_TRIPS {
            call.send(number).await.map_err(|_| ended())?;
            std::hint::black_box(answers.recv().await.ok_or_else(ended)?);
            laps.lap();
        }
        drop(call);
        io::Result::Ok(laps.end())
    })?;
    peer.join().map_err(|_| ended())??;
    Ok(each)
}

/// A call and its answer, which comes through a channel of its own; the same sliding window.
pub(super) fn tokio_rate(layout: &Layout, in_flight: usize) -> Sample {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let (call, mut calls) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(in_flight);
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<()> {
        twin::runtime()?.block_on(async {
            let mut batch = Vec::with_capacity(in_flight);
            while calls.recv_many(&mut batch, in_flight).await > 0 {
                for (number, answer) in batch.drain(..) {
                    answer.send(number + 1).map_err(|_| ended())?;
                }
            }
            Ok(())
        })
    })?;
    let each = twin::runtime()?.block_on(async {
        let mut answers = VecDeque::<oneshot::Receiver<u64>>::with_capacity(in_flight);
        let begin_ns = now_ns();
        for number in 0..CALLS {
            if answers.len() == in_flight
                && let Some(oldest) = answers.pop_front()
            {
                std::hint::black_box(oldest.await.map_err(|_| ended())?);
            }
            let (answer, answered) = oneshot::channel();
            call.send((number, answer)).await.map_err(|_| ended())?;
            answers.push_back(answered);
        }
        for answer in answers {
            answer.await.map_err(|_| ended())?;
        }
        drop(call);
        io::Result::Ok(each_ns(begin_ns, CALLS))
    })?;
    peer.join().map_err(|_| ended())??;
    Ok(each)
}

pub(super) fn tokio_oneway(layout: &Layout) -> Sample {
    let [here, there] = cpus(layout);
    threads::pin(here);
    let (message, mut messages) = mpsc::channel::<u64>(IN_FLIGHT);
    let begin_ns = now_ns();
    let peer = threads::spawn("peer", Some(there), move || -> io::Result<u64> {
        twin::runtime()?.block_on(async {
            let mut batch = Vec::with_capacity(IN_FLIGHT);
            let mut sum = 0;
            while messages.recv_many(&mut batch, IN_FLIGHT).await > 0 {
                sum += batch.drain(..).sum::<u64>();
            }
            Ok(sum)
        })
    })?;
    twin::runtime()?.block_on(async {
        for number in 0..CALLS {
            message.send(number).await.map_err(|_| ended())?;
        }
        drop(message);
        io::Result::Ok(())
    })?;
    std::hint::black_box(peer.join().map_err(|_| ended())??);
    Ok(each_ns(begin_ns, CALLS))
}
