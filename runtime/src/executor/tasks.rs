//! A look at the tasks of a loop.

use super::context;
use crate::error::Result;
use crate::task::{TaskInfo, draw};

/// What the unfinished tasks of the current loop are doing, oldest first: those of
/// [`all_tasks`](crate::all_tasks), as a plain record each.
///
/// # Errors
/// Runtime, off a loop.
pub fn describe_tasks() -> Result<Vec<TaskInfo>> {
    context::with(|core| core.home().describe(core.now(), core.timers.borrow().waiting()))
}

/// The unfinished tasks of the current loop as a text: a line for each, and below it, indented, those that it
/// awaits, by their handles or through a group, a gather or what else waits for several.
///
/// ```
/// corelane::run(async || {
///     let work = corelane::task().name("work").spawn(corelane::yield_now());
///     let boss = corelane::task().name("boss").create(work);
///     corelane::yield_now().await;
///     print!("{}", corelane::format_tasks()?);
///     boss.await
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// # Errors
/// Runtime, off a loop.
pub fn format_tasks() -> Result<String> {
    Ok(draw(&describe_tasks()?))
}

/// Writes [`format_tasks`] to the standard error output.
///
/// # Errors
/// Runtime, off a loop.
pub fn print_tasks() -> Result<()> {
    eprint!("{}", format_tasks()?);
    Ok(())
}
