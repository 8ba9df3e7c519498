//! Channels between shards, and between shards and other threads.
//!
//! | to | there is |
//! |---|---|
//! | hand on items, with back-pressure | [`channel`] |
//! | hand on one value | [`oneshot`] |
//! | see the latest value | [`watch`] |
//!
//! Their ends are `Send` and stay usable wherever they are brought: on a shard, on a plain thread, in
//! another runtime. Nobody needs to be told where the other end is, which is what they have over
//! [`invoke`](crate::Shard::invoke) and [`post`](crate::Shard::post); those are cheaper, as they go in
//! packets by the lanes. Waiting is asynchronous and never blocks a shard; the blocking forms are for
//! threads of no loop, and refuse to stop one. Between tasks of one shard, `corelane::sync` has
//! cheaper ones.
//!
//! ```
//! use corelane_shards::{Placement, ShardId, Shards, sync::channel};
//!
//! Shards::builder().placement(Placement::Unpinned(2)).run(async |shard| {
//!     if shard.id() == ShardId::new(0) {
//!         let (sender, mut receiver) = channel::bounded(4);
//!         let sending = shard.call(ShardId::new(1), move || async move {
//!             for number in 0..10 {
//!                 // Waits while four are unread.
//!                 sender.send(number).await?;
//!             }
//!             Ok(())
//!         });
//!         let mut sum = 0;
//!         while let Some(number) = receiver.recv().await {
//!             sum += number;
//!         }
//!         sending.await?;
//!         assert_eq!(sum, 45);
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), corelane::Error>(())
//! ```

mod block;
pub mod channel;
#[cfg(test)]
#[cfg(loom)]
mod models;
pub mod oneshot;
pub mod watch;
