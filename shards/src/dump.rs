//! What the tasks of all shards are doing.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use corelane::{Result, TaskInfo, describe_tasks, format_tasks};

use crate::call::ShardsHandle;
use crate::shard::Shard;
use crate::survey::{FromShard, ask_all, ask_all_blocking};

/// How long a shard has to answer when the dump was asked for by a signal.
pub(crate) const SIGNAL_LIMIT: Duration = Duration::from_secs(1);

/// The unfinished tasks of one shard.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardTasks {
    /// Each task, oldest first.
    pub tasks: Vec<TaskInfo>,
    /// The same as a text, each task below the one that awaits it: see [`format_tasks`].
    pub text: String,
}

/// The unfinished tasks of all shards, from [`Shard::dump_tasks`] or [`ShardsHandle::dump_tasks`]. It prints
/// as a text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskDump {
    /// The shards in their order, also those that did not answer.
    pub shards: Vec<FromShard<ShardTasks>>,
}

impl Shard {
    /// What the tasks of all shards are doing, this one included. A shard that does not answer within `limit`
    /// is told of, with the task that holds it.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn dump_tasks(&self, limit: Duration) -> TaskDump {
        ask(&self.handle(), limit).await
    }
}

impl ShardsHandle {
    /// What the tasks of all shards are doing, for a thread that is none of them. It blocks for `limit` at most,
    /// also if a shard is stalled, which is told of, with the task that holds it.
    ///
    /// SIGUSR1 prints the same to the standard error output, if the run handles signals.
    ///
    /// # Errors
    /// Runtime on the thread of a shard or of another loop; there is [`Shard::dump_tasks`].
    pub fn dump_tasks(&self, limit: Duration) -> Result<TaskDump> {
        Ok(TaskDump { shards: ask_all_blocking(self, limit, own)? })
    }
}

/// What the tasks of all shards are doing, for a task on any loop.
pub(crate) async fn ask(shards: &ShardsHandle, limit: Duration) -> TaskDump {
    TaskDump { shards: ask_all(shards, limit, own).await }
}

fn own() -> Result<ShardTasks> {
    Ok(ShardTasks { tasks: describe_tasks()?, text: format_tasks()? })
}

/// Writes the tasks to the standard error output: whoever sends a signal has no handle, and perhaps no log.
pub(crate) fn print(shards: &ShardsHandle) {
    match shards.dump_tasks(SIGNAL_LIMIT) {
        Ok(dump) => write(&dump),
        Err(error) => corelane::__report!(WARN, "the tasks cannot be printed: {error}"),
    }
}

/// Writes a dump to the standard error output: in one write, as others may write there too. Whoever has closed it
/// does not want to know.
pub(crate) fn write(dump: &TaskDump) {
    let _ = io::stderr().write_all(dump.to_string().as_bytes());
}

impl fmt::Display for TaskDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for FromShard { id, answer, .. } in &self.shards {
            match answer {
                Err(silence) => writeln!(f, "shard {id} {silence}")?,
                Ok(ShardTasks { tasks, text }) => {
                    let plural = if tasks.len() == 1 { "" } else { "s" };
                    writeln!(f, "shard {id}: {} task{plural}", tasks.len())?;
                    text.lines().try_for_each(|line| writeln!(f, "    {line}"))?;
                }
            }
        }
        Ok(())
    }
}
