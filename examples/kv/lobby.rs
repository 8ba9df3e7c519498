//! What the shards of a server do together, each waiting for all others.

use std::cell::Cell;

use corelane::Result;
use corelane::sync::Event;
use corelane_shards::{Shard, Sharded};

use super::local::Local;

/// A point that every shard comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// Every shard listens.
    Listening,
    /// No shard has a connection any more.
    Drained,
}

/// Where shards wait for each other: for each stage, how many have come, and the bell for when all
/// have.
#[derive(Debug, Default)]
pub(crate) struct Lobby {
    stages: [(Cell<usize>, Event); 2],
}

impl Lobby {
    /// Waits until so many shards have come to `stage`, one more with each call.
    async fn arrive(&self, stage: Stage, shard_count: usize) {
        let (arrived, all_are_here) = &self.stages[stage as usize];
        arrived.set(arrived.get() + 1);
        if arrived.get() == shard_count {
            all_are_here.set();
        }
        all_are_here.wait().await;
    }
}

/// Waits until every shard has come to `stage`.
pub(crate) async fn meet(shard: &Shard, all: &Sharded<Local>, stage: Stage) -> Result<()> {
    let shard_count = shard.count();
    let first = shard.all().next().expect("there is this shard at least");
    let arrive = async move |local: std::rc::Rc<Local>| {
        local.lobby().arrive(stage, shard_count).await;
        Ok(())
    };
    all.call_on(first, arrive).await
}
