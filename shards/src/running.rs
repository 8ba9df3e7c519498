//! A run of shards that somebody else watches over.

use std::fmt;
use std::thread::JoinHandle;

use corelane::Result;

use crate::call::{ShardsHandle, refuse_to_block};
use crate::ending::Ending;
use crate::shards::join;

/// A run of shards that [`Builder::start`](crate::Builder::start) has started.
///
/// Dropped, it lets the run go on, which then ends as any other: by a signal, by
/// [`request_shutdown`](ShardsHandle::request_shutdown), or when all mains have returned.
#[must_use = "a run that nobody joins tells nobody what its mains returned"]
pub struct Running<T> {
    handle: ShardsHandle,
    supervisor: JoinHandle<Result<Ending<T>>>,
}

impl<T> Running<T> {
    pub(crate) fn new(handle: ShardsHandle, supervisor: JoinHandle<Result<Ending<T>>>) -> Self {
        Self { handle, supervisor }
    }

    /// The way to the shards.
    #[must_use]
    pub fn handle(&self) -> ShardsHandle {
        self.handle.clone()
    }

    /// Whether every shard has ended, so that [`join`](Self::join) will not block.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.supervisor.is_finished()
    }

    /// Blocks until every shard has ended, and gives what the mains returned in the order of the
    /// shards. It does not ask for the end.
    ///
    /// # Errors
    /// As [`Builder::run`](crate::Builder::run); Runtime on the thread of a shard or a loop, which this
    /// would stop, and then the run goes on without anybody to join it.
    pub fn join(self) -> Result<Vec<T>> {
        self.join_to_end()?.into_result()
    }

    /// The same, with all that there is to say about the end: what each main returned, and what did not end in
    /// time.
    ///
    /// # Errors
    /// Runtime on the thread of a shard or a loop, as for [`join`](Self::join).
    pub fn join_to_end(self) -> Result<Ending<T>> {
        refuse_to_block()?;
        join(vec![Some(self.supervisor)]).remove(0)
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("handle", &self.handle).finish_non_exhaustive()
    }
}
