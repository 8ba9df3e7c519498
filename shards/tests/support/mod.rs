//! What tests of shards share: small runs without pins and signals, and one shard that calls the others.
#![allow(dead_code, reason = "each test file uses some of it")]

use corelane::{Error, Result};
use corelane_shards::{Builder, CallError, Placement, Shard, ShardId, Shards};

/// The shard next to the first.
pub(crate) const FAR: ShardId = ShardId::new(1);

pub(crate) fn shards(count: usize) -> Builder {
    Shards::builder().placement(Placement::Unpinned(count)).handle_signals(false)
}

/// Runs `main` on shard 0; the others only answer.
pub(crate) fn on_first<T: Send + Default + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> T {
    let run = builder.run(async move |shard: Shard| match shard.id().index() {
        0 => main(shard).await,
        _ => Ok(T::default()),
    });
    run.expect("no main fails").swap_remove(0)
}

pub(crate) fn call_error(error: &Error) -> &CallError {
    error.downcast_ref().unwrap_or_else(|| panic!("not a call error: {error:?}"))
}
