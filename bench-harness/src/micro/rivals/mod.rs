//! The benchmarks on other runtimes and with other queues, where they have the operation.
//!
//! `Rival` is a runtime of one thread, `Channel`, `Permits` and `Link` are what is built on one; the
//! bodies are written once, over these, and are what `local`, `sync`, `timers` and `shards` do.
//! Queues that belong to no runtime run on monoio's loop, among these the fastest from task to task.

mod primitives;
mod runtimes;
mod tasks;
mod threads;

use std::io;

use super::benches::{Body, body};
use super::{Reading, Sample, Side};
use crate::serve::Target;
use primitives::{AsyncChannel, LocalChannel, LocalSync};
use runtimes::{Glommio, Monoio, MonoioUring, Smol};

/// The echo servers.
pub(super) const TCP: [(Side, Target); 3] = [
    (Side::Monoio, Target::MonoioEcho),
    (Side::Smol, Target::SmolEcho),
    (Side::Compio, Target::CompioEcho),
];

/// A benchmark body, on each runtime.
macro_rules! everywhere {
    ($body:path) => {{
        use $body as take;
        vec![
            side(Side::Glommio, take::<Glommio>),
            side(Side::Monoio, take::<Monoio>),
            side(Side::MonoioUring, take::<MonoioUring>),
            side(Side::Smol, take::<Smol>),
        ]
    }};
}

/// Who else takes part in a benchmark.
pub(super) fn sides(bench: &str) -> Vec<(Side, Body)> {
    match bench {
        "spawn_join" => everywhere!(tasks::spawn_join),
        "spawn_join_one" => everywhere!(tasks::spawn_join_one),
        "yield_switch" => vec![
            side(Side::Glommio, tasks::yield_switch::<Glommio>),
            side(Side::Monoio, no_fair_yield),
            side(Side::MonoioUring, no_fair_yield),
            side(Side::Smol, tasks::yield_switch::<Smol>),
        ],
        "token_ring" => everywhere!(tasks::token_ring),
        "gather" => everywhere!(tasks::gather),
        "pingpong_local" => vec![
            side(Side::Glommio, primitives::pingpong::<Glommio, primitives::Glommio>),
            side(Side::Smol, primitives::pingpong::<Smol, AsyncChannel>),
            side(Side::AsyncChannel, primitives::pingpong::<Monoio, AsyncChannel>),
            side(Side::LocalChannel, primitives::pingpong::<Monoio, LocalChannel>),
            side(Side::LocalSync, primitives::pingpong::<Monoio, LocalSync>),
        ],
        "lock_free" => vec![
            side(Side::Glommio, primitives::glommio_lock),
            side(Side::Smol, primitives::smol_lock),
        ],
        "semaphore_free" => vec![
            side(Side::Glommio, primitives::semaphore::<Glommio, primitives::Glommio>),
            side(Side::Smol, primitives::semaphore::<Smol, primitives::Smol>),
            side(Side::LocalSync, primitives::semaphore::<Monoio, LocalSync>),
        ],
        "queue_put_get" => vec![
            side(Side::Glommio, primitives::put_get::<Glommio, primitives::Glommio>),
            side(Side::AsyncChannel, primitives::put_get::<Monoio, AsyncChannel>),
            side(Side::LocalChannel, primitives::put_get::<Monoio, LocalChannel>),
            side(Side::LocalSync, primitives::put_get::<Monoio, LocalSync>),
        ],
        "crowd_wake" => vec![
            side(Side::Glommio, no_fair_permits),
            side(Side::Smol, no_fair_permits),
            side(Side::LocalSync, primitives::crowd::<Monoio>),
        ],
        "timer_insert" => everywhere!(tasks::timer_insert),
        "timer_cancel" => everywhere!(tasks::timer_cancel),
        "timer_fire" => everywhere!(tasks::timer_fire),
        "timer_late_p50" => everywhere!(tasks::timer_late_p50),
        "timer_lateness" => everywhere!(tasks::timer_late_p99),
        "idle_task" => everywhere!(tasks::idle_task),
        "xshard_rtt" => vec![
            beside(Side::Glommio, threads::rtt::<Glommio, threads::Shared>),
            beside(Side::Monoio, threads::rtt::<Monoio, threads::Flume>),
            beside(Side::Smol, threads::rtt::<Smol, threads::AsyncChannel>),
        ],
        "xshard_oneway" => vec![
            beside(Side::Glommio, threads::oneway::<Glommio, threads::Shared>),
            beside(Side::Monoio, threads::oneway::<Monoio, threads::Flume>),
            beside(Side::Smol, threads::oneway::<Smol, threads::AsyncChannel>),
        ],
        _ => Vec::new(),
    }
}

fn side<R: Into<Reading> + 'static>(side: Side, take: fn() -> io::Result<R>) -> (Side, Body) {
    (side, body(move |_| take()))
}

fn beside(side: Side, take: fn(&crate::layout::Layout) -> Sample) -> (Side, Body) {
    (side, body(take))
}

fn no_fair_yield() -> Sample {
    Err(io::Error::other("a task that wakes itself runs again before all others"))
}

fn no_fair_permits() -> Sample {
    Err(io::Error::other("the first that it wakes takes the permits of all who wait"))
}
