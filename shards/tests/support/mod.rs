//! What tests of shards share: small runs without pins and signals, and one shard that calls the others.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::thread;
use std::time::Duration;

use corelane::{Error, Result};
use corelane_shards::{Builder, CallError, Ending, Placement, Shard, ShardId, Shards};

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

/// Waits until it is so; fails after a minute, so that what hangs is a failure with a name.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "it is no shard's thread")]
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not in a minute: {what}");
}

/// Runs shards that might hang.
pub(crate) fn run_to_end<T: Send + 'static>(
    builder: Builder,
    main: impl AsyncFnOnce(Shard) -> Result<T> + Clone + Send + 'static,
) -> Ending<T> {
    let running = builder.start(main).expect("the shards start");
    wait_until("the run ends", || running.is_over());
    running.join_to_end().expect("this is no shard's thread")
}

pub(crate) fn call_error(error: &Error) -> &CallError {
    error.downcast_ref().unwrap_or_else(|| panic!("not a call error: {error:?}"))
}
