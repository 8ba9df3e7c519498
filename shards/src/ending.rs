//! How a run ended, as a value.

use std::fmt;

use corelane::lowlevel::Holder;
use corelane::{CancelledError, Error, Result, TaskInfo};

use crate::id::ShardId;
use crate::overdue;
use crate::shutdown::Stage;

/// How a run of shards ended, from [`Builder::run_to_end`](crate::Builder::run_to_end) or
/// [`Running::join_to_end`](crate::Running::join_to_end).
///
/// ```
/// use std::time::Duration;
/// use corelane::{catch_cancel_plain, task};
/// use corelane_shards::{Phase, Placement, Shards};
///
/// let shards = Shards::builder().placement(Placement::Unpinned(1)).drain(Duration::ZERO);
/// let ending = shards.run_to_end(async |shard| {
///     let stays = catch_cancel_plain(std::future::pending::<()>());
///     task().name("stays").spawn(async { _ = stays.await });
///     shard.shutdown().request();
///     shard.shutdown().requested().await;
///     std::future::pending::<corelane::Result<()>>().await
/// })?;
/// assert_eq!(ending.late[0].phase, Phase::Drain);
/// assert!(ending.late[0].tasks.iter().any(|task| task.name == "stays"));
/// assert!(ending.into_result().unwrap_err().is_cancelled());
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending<T> {
    /// What each main returned or failed with, in the order of the shards; cancelled, if it had to be; Runtime, if
    /// its thread was left behind.
    pub mains: Vec<Result<T>>,
    /// Why the run ended before its time, or not as it should: the error of the first main that failed, the panic
    /// that the policy was about, or the names of the threads that were left behind.
    pub failure: Option<Error>,
    /// Which shards did not end in time, and what held them up: by phase and shard, in the order in which
    /// they were found late. The drain of a run is late first.
    pub late: Vec<LateShard>,
    /// The shards that a panic has shut while the others went on ([`PanicPolicy::ShutShard`]), and the panic.
    ///
    /// [`PanicPolicy::ShutShard`]: crate::PanicPolicy::ShutShard
    pub lost: Vec<(ShardId, Error)>,
}

/// A part of the end of a run that has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Mains and connections end by themselves.
    Drain,
    /// What was cancelled cleans up.
    CleanUp,
    /// What is left is dropped and the threads end.
    End,
}

/// A shard that did not come to the end of a phase in time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LateShard {
    /// The phase that it was late with.
    pub phase: Phase,
    /// The shard.
    pub id: ShardId,
    /// Its tasks that had not ended. Empty if its thread was held by one of them for all the time, and could not tell.
    pub tasks: Vec<TaskInfo>,
    /// Its connections that were open, also those whose handler has returned and left a writer to somebody.
    pub connection_count: usize,
    /// What the thread of the shard was in the middle of when the time was over, if it was.
    pub holder: Option<Holder>,
}

impl<T> Ending<T> {
    /// What [`Builder::run`](crate::Builder::run) gives: what the mains returned.
    ///
    /// # Errors
    /// The failure of the run, or the error of the first main that has one. One that was cancelled because it did
    /// not end within the time to drain says that, and of which shard it is.
    pub fn into_result(self) -> Result<Vec<T>> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let late = self.late;
        let mains = self.mains.into_iter().enumerate();
        mains.map(|(index, main)| main.map_err(|error| with_place(error, index, &late))).collect()
    }
}

/// What a main was cancelled for, where it was because it took too long.
fn with_place(error: Error, index: usize, late: &[LateShard]) -> Error {
    let id = ShardId::at(index);
    let is_late = late.iter().any(|late| (late.phase, late.id) == (Phase::Drain, id));
    let is_bare =
        error.downcast_ref().is_some_and(|error: &CancelledError| error.message().is_none());
    if !is_late || !is_bare {
        return error;
    }
    let text = format!("shard {id}: its main did not end within the time to drain");
    CancelledError::with_message(&text).into()
}

impl Phase {
    /// The phase that has just been left, or is going on.
    pub(crate) fn of(stage: Stage) -> Option<Self> {
        match stage {
            Stage::Running => None,
            Stage::Draining => Some(Self::Drain),
            Stage::Cancelling => Some(Self::CleanUp),
            Stage::Aborting | Stage::Ended => Some(Self::End),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "draining",
            Self::CleanUp => "cleaning up",
            Self::End => "ending",
        })
    }
}

impl LateShard {
    /// Adds what somebody else has found of the same shard in the same phase.
    fn merge(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.connection_count = self.connection_count.max(other.connection_count);
        self.holder = self.holder.take().or(other.holder);
    }

    /// Writes it down with those that are known.
    pub(crate) fn note(self, known: &mut Vec<Self>) {
        let same = |late: &&mut Self| (late.phase, late.id) == (self.phase, self.id);
        match known.iter_mut().find(same) {
            Some(late) => late.merge(self),
            None => known.push(self),
        }
    }
}

impl fmt::Display for LateShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} is late {}", self.id, self.phase)?;
        if let Some(holder) = &self.holder {
            write!(f, ": held by {holder}")?;
        }
        match self.connection_count {
            0 => {}
            1 => f.write_str(": 1 connection is open")?,
            count => write!(f, ": {count} connections are open")?,
        }
        match overdue::names(&self.tasks) {
            Some(names) => write!(f, ": {names}"),
            None => Ok(()),
        }
    }
}
