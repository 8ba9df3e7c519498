//! A counter on each shard, and calls between them: `cargo run --example calls`.

use std::cell::Cell;

use corelane::Result;
use corelane_shards::{Builder, Shard, ShardId, Sharded, Shards};

fn main() -> Result<()> {
    println!("the numbers up to 100 make {}", sum(Shards::builder())?);
    Ok(())
}

/// Each shard adds up a part of the numbers.
pub(crate) fn sum(builder: Builder) -> Result<usize> {
    let sums = builder.run(async |shard: Shard| {
        if shard.id() != ShardId::new(0) {
            // The mains of the others end here. The shards answer until the run is over.
            return Ok(0);
        }
        // Made on each shard, and never moved: what is in it need not be `Send`.
        let counters = Sharded::start(&shard, async |_shard| Ok(Cell::new(0))).await?;
        let everyone: Vec<ShardId> = shard.all().collect();
        for number in 1..=100 {
            let owner = everyone[number % everyone.len()];
            // The closure runs on the thread of the owner, and is alone with the counter there.
            counters.invoke_on(owner, move |counter| counter.set(counter.get() + number)).await?;
        }
        counters.map_reduce(Cell::get, 0, |sum, part| sum + part).await
    })?;
    Ok(sums[0])
}
