//! Where the shards of a server wait for each other before they say that it listens.

use std::cell::Cell;

use corelane::Result;
use corelane::sync::Event;
use corelane_shards::{Shard, Sharded};

use super::local::Local;

/// How many shards have come, and the bell for when all have.
#[derive(Debug, Default)]
pub(crate) struct Lobby {
    arrived: Cell<usize>,
    all_are_here: Event,
}

impl Lobby {
    /// Waits until so many shards have come, one more with each call.
    async fn arrive(&self, shard_count: usize) {
        self.arrived.set(self.arrived.get() + 1);
        if self.arrived.get() == shard_count {
            self.all_are_here.set();
        }
        self.all_are_here.wait().await;
    }
}

/// Waits until every shard has come here.
pub(crate) async fn meet(shard: &Shard, all: &Sharded<Local>) -> Result<()> {
    let shard_count = shard.count();
    let first = shard.all().next().expect("there is this shard at least");
    let arrive = async move |local: std::rc::Rc<Local>| {
        local.lobby().arrive(shard_count).await;
        Ok(())
    };
    all.call_on(first, arrive).await
}
