//! Asking all shards at once, without being held up by one that does not answer.

use std::fmt;
use std::time::Duration;

use corelane::lowlevel::Holder;
use corelane::{Error, Result, now, sleep_until};

use crate::call::{ShardsHandle, Submitted, refuse_to_block};
use crate::clock;
use crate::id::ShardId;
use crate::shutdown::first_of;

/// What one shard has answered when all were asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FromShard<T> {
    /// The shard.
    pub id: ShardId,
    /// Its answer, or why there is none.
    pub answer: Result<T, Silence>,
}

/// Why a shard did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Silence {
    /// It has ended.
    Ended,
    /// It is stalled: something holds its thread.
    Held(Holder),
    /// It goes on, but did not come to the question in time.
    Late,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("has ended"),
            Self::Held(holder) => write!(f, "did not answer: held by {holder}"),
            Self::Late => f.write_str("did not answer in time"),
        }
    }
}

/// Asks each shard `f` and waits for the answers until `limit` has passed; on a shard, or another loop.
pub(crate) async fn ask_all<T: Send + 'static>(
    shards: &ShardsHandle,
    limit: Duration,
    f: fn() -> Result<T>,
) -> Vec<FromShard<T>> {
    let deadline = now() + limit;
    let mut answers = Vec::with_capacity(shards.count());
    for (id, mut asked) in submit(shards, f) {
        let mut outcome = None;
        let answer = async { outcome = Some((&mut asked).await) };
        first_of(answer, sleep_until(deadline)).await;
        answers.push(sort(shards, id, outcome.unwrap_or_else(|| Err(late()))));
    }
    answers
}

/// The same for a thread without a loop, which it blocks.
///
/// # Errors
/// Runtime, on a thread with a loop.
pub(crate) fn ask_all_blocking<T: Send + 'static>(
    shards: &ShardsHandle,
    limit: Duration,
    f: fn() -> Result<T>,
) -> Result<Vec<FromShard<T>>> {
    refuse_to_block()?;
    let deadline = clock::now().after(limit);
    let wait = |(id, asked): (ShardId, Submitted<T>)| {
        let outcome = asked.wait(deadline.since(clock::now()));
        sort(shards, id, outcome)
    };
    Ok(submit(shards, f).into_iter().map(wait).collect())
}

/// All questions are on their way before the first answer is waited for.
fn submit<T: Send + 'static>(
    shards: &ShardsHandle,
    f: fn() -> Result<T>,
) -> Vec<(ShardId, Submitted<T>)> {
    shards.all().map(|id| (id, shards.look(id, f))).collect()
}

fn sort<T>(shards: &ShardsHandle, id: ShardId, outcome: Result<T>) -> FromShard<T> {
    let silence = |error: Error| match shards.holder(id) {
        _ if !error.is_timeout() => Silence::Ended,
        Some(holder) => Silence::Held(holder),
        None => Silence::Late,
    };
    FromShard { id, answer: outcome.map_err(silence) }
}

fn late() -> Error {
    Error::timed_out()
}
