//! A limit for one future.

use std::any::type_name;
use std::future::{Future, IntoFuture};
use std::time::Duration;

use super::timeout::{core_of_task, timeout};
use crate::error::{Error, Result, TimeoutError};
use crate::executor::yield_now;

#[cfg(test)]
mod tests;

/// Waits for `future`, but no longer than `duration` (rules T95 to T103); `None` is no limit. On expiry the
/// future is cancelled and waited for, as in [`timeout`]: a task that is awaited here is asked to end, and has
/// ended when the error is seen.
///
/// With a duration of zero a task, or an aggregate such as [`gather`](crate::gather), that has ended gives its
/// outcome, and one that has not is asked to end. A bare future is not begun at all (rule T99).
///
/// # Errors
/// What the future fails with, or the timeout. Runtime, outside a task of a loop.
///
/// # Cancel safety
/// As safe as the future: it is dropped with the wait.
pub async fn wait_for<T, E, F>(future: F, duration: impl Into<Option<Duration>>) -> Result<T>
where
    E: Into<Error>,
    F: IntoFuture<Output = Result<T, E>>,
{
    let duration = duration.into();
    if duration.is_some_and(|duration| duration.is_zero()) && !runs_by_itself::<F::IntoFuture>() {
        drop(future);
        core_of_task()?;
        yield_now().await;
        return Err(TimeoutError::after(Duration::ZERO).into());
    }
    timeout(duration, async move |_| future.await.map_err(Into::into)).await
}

/// What runs whether or not it is polled: tasks, and what waits for tasks.
const HANDLES: &[&str] =
    &["Task", "Join", "Gather", "GatherOutcomes", "Shield", "RemoteTask", "NextCompleted"];

/// Whether an `F` is a handle on what runs by itself, and not code that its first poll would begin.
///
/// Nothing better can tell them apart without polling, which would begin a bare future. A trait cannot: a task is
/// a future too, and two impls for futures would overlap. `Any` cannot: a `&task` borrows, and what stands between
/// the angle brackets of a gather is not known here. So it is the name, of types of this crate alone. Should the
/// compiler write names otherwise one day, a test of this list says so.
fn runs_by_itself<F: Future>() -> bool {
    let name = type_name::<F>().trim_start_matches("&mut ");
    let path = name.split('<').next().unwrap_or(name);
    let ours = path.strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::"));
    ours.and_then(|path| path.rsplit("::").next()).is_some_and(|last| HANDLES.contains(&last))
}
