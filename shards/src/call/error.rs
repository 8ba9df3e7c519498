//! Why a call did not give what its closure returns.

use std::error::Error;
use std::fmt;

use crate::id::ShardId;

/// What can go wrong between shards. A call carries it inside [`corelane::Error`];
/// `error.downcast_ref::<CallError>()` gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The other shard has ended: before the call reached it, or before its answer left.
    ShardGone(ShardId),
    /// The closure, or the future that it made, panicked over there. The message of the panic.
    Panicked(String),
    /// There is no such shard.
    NoSuchShard {
        /// The shard that was called.
        asked: ShardId,
        /// How many shards there are.
        count: usize,
    },
    /// Its deadline ([`Shard::within`](crate::Shard::within)) was over before it began, so it did not.
    DeadlinePassed,
    /// It was made inside of as many calls as [`Builder::call_depth`](crate::Builder::call_depth)
    /// allows: a circle of calls without an end, by all appearance. The shards that the chain has
    /// gone through.
    TooDeep(Vec<ShardId>),
    /// The value that was to be used was dropped, or its service was stopped.
    ValueGone,
    /// The value lives on this shard, which is not the one that asked for it.
    Elsewhere(ShardId),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShardGone(id) => write!(f, "shard {id} has ended"),
            Self::Panicked(message) => write!(f, "the call panicked: {message}"),
            Self::NoSuchShard { asked, count } => {
                write!(f, "there is no shard {asked}, only 0 to {}", count - 1)
            }
            Self::DeadlinePassed => write!(f, "the deadline of the call was over before it began"),
            Self::TooDeep(path) => {
                write!(f, "calls inside of calls went too deep, by way of shards ")?;
                let steps: Vec<_> = path.iter().map(ToString::to_string).collect();
                f.write_str(&steps.join(", "))
            }
            Self::ValueGone => write!(f, "the value was dropped, or its service was stopped"),
            Self::Elsewhere(home) => {
                write!(f, "the value lives on shard {home}: reach it with `invoke` or `call`")
            }
        }
    }
}

impl Error for CallError {}
