//! What did not end in time, by name.

use corelane::{TaskInfo, describe_tasks};

/// The name of the task that sees a shard through its stages.
pub(crate) const LIFE: &str = "life of the shard";
/// So many tasks are named.
const NAMED: usize = 20;

/// The tasks of the current loop that have not ended, but for the shard's own.
pub(crate) fn left() -> Vec<TaskInfo> {
    let mut tasks = describe_tasks().unwrap_or_default();
    tasks.retain(|task| task.name != LIFE);
    tasks
}

/// The names of tasks that have not ended. `None` if there are none.
pub(crate) fn names(tasks: &[TaskInfo]) -> Option<String> {
    let named = tasks.iter().take(NAMED);
    let named: Vec<String> =
        named.map(|task| format!("{} (created at {})", task.name, task.location)).collect();
    let more = match tasks.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let plural = if tasks.len() == 1 { "task has" } else { "tasks have" };
    (!tasks.is_empty())
        .then(|| format!("{} {plural} not ended: {}{more}", tasks.len(), named.join(", ")))
}
