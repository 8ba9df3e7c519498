//! Work that blocks, on the threads of a pool: `to_thread` (rules T165 to T169, T6).
//!
//! ```text
//!  task                          pool                        a thread of it
//!  to_thread(f).await ── f ────▶ queue, first in, first out ──▶ f runs
//!        ▲ dropped: withdrawn, if f was not begun               │
//!        └───────────────── wake ◀──── the outcome ◀────────────┘
//! ```
//!
//! Each loop has its own pool, made by its first call. A thread is started when a function finds no idle one
//! and the limit allows it, and ends when it was idle for long enough. A function that runs cannot be stopped,
//! so closing a loop waits for those that were begun.
//!
//! This is one of the two places where threads are started.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use self::call::{Call, Waiting};
use self::pool::Pool;
use crate::error::{Error, Result};
use crate::executor::{self, EventLoop, LoopCore};
use crate::task::Travelling;
use crate::time::sleep;
use crate::util::chance::Chance;

mod call;
mod pool;
#[cfg(test)]
mod tests;

/// How long closing a loop waits for functions that were begun (rule T6).
pub(crate) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(300);

/// In a simulation: the longest time until a function is begun.
const INLINE_LIMIT_NANOS: u64 = 1_000_000;

/// Runs `f` on a thread of the loop's pool and gives what it returns (rules T165, T166): for what blocks or
/// computes for long. The loop goes on with its other tasks meanwhile.
///
/// At most [`Builder::blocking_threads`](crate::Builder::blocking_threads) functions run at a time; what comes
/// on top waits its turn, first in, first out. On a [virtual clock](crate::Builder::virtual_clock) time stands
/// still while a task waits for such a function. In a simulation (feature `sim`) `f` runs on the loop's thread,
/// after a drawn time.
///
/// ```
/// corelane::run(async || {
///     let sum = corelane::to_thread(|| Ok((1..=100).sum::<u32>())).await?;
///     assert_eq!(sum, 5_050);
///     let missing = corelane::to_thread(|| Ok(std::fs::read("/no/such/file")?)).await;
///     assert_eq!(missing.unwrap_err().io_kind(), Some(std::io::ErrorKind::NotFound));
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
///
/// `f` sees the values of [`sendable`](crate::LocalKey::sendable) local keys, as clones (rule T168).
///
/// # Errors
/// What `f` returns; the error of a panic, if `f` panics; Runtime off a loop, or once the loop is closing
/// (rule T169); an I/O error if the first thread cannot be started.
///
/// # Cancel safety
/// If the await is dropped or cancelled, `f` never runs if it was not begun. One that was begun goes on: its
/// result is thrown away (rule T167).
pub async fn to_thread<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let core = executor::current()?;
    let locals = Travelling::capture();
    if let Some(chance) = core.chance() {
        return inline(&core, chance, move || locals.enter(f)).await;
    }
    let call = Arc::new(Call::new(move || locals.enter(f)));
    let _outside = WaitsOutside::new(&core);
    Waiting::begin(pool_of(&core)?, call)?.await
}

/// The same in a simulation: `f` runs here, after the time that a thread might have taken to begin it.
async fn inline<T>(
    core: &LoopCore,
    chance: &dyn Chance,
    f: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let pool = pool_of(core)?;
    let nanos = chance.below("thread", INLINE_LIMIT_NANOS);
    sleep(Duration::from_nanos(nanos)).await;
    if pool.refuses() {
        return Err(pool::refusal());
    }
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| Err(Error::panicked(payload)))
}

fn pool_of(core: &LoopCore) -> Result<Rc<Pool>> {
    core.companion(|| Pool::new(core.pool_config()))
        .ok_or_else(|| Error::runtime("the loop has been closed"))
}

/// Ends the pool of `event_loop`, if it has one: refuses new functions, and those that no thread has begun, and
/// turns the loop until those that were begun have ended (rules T6, T169). After `limit` it says so in the log
/// and leaves them behind.
///
/// # Errors
/// As [`EventLoop::turn`].
pub(crate) fn shut_down(event_loop: &mut EventLoop, limit: Duration) -> Result<()> {
    let pool = event_loop.core().existing_companion::<Pool>();
    let Some(pool) = pool else { return Ok(()) };
    pool.refuse();
    if pool.thread_count() == 0 {
        return Ok(());
    }
    let ended = event_loop.create_task(async move {
        let core = executor::current()?;
        let _outside = WaitsOutside::new(&core);
        let mut limit = pin!(sleep(limit));
        let all_ended = poll_fn(|context| match pool.poll_ended(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => limit.as_mut().poll(context).map(|()| false),
        });
        if all_ended.await {
            pool.join();
        } else {
            let left = pool.thread_count();
            __report!(WARN, left, "functions of to_thread have not ended in time: left behind");
        }
        Ok(())
    })?;
    event_loop.turn_until(|| ended.done())
}

/// While it lives, something outside of the loop's time is waited for: a virtual clock stands still.
struct WaitsOutside(Rc<LoopCore>);

impl WaitsOutside {
    fn new(core: &Rc<LoopCore>) -> Self {
        core.count_outside_wait(1);
        Self(Rc::clone(core))
    }
}

impl Drop for WaitsOutside {
    fn drop(&mut self) {
        self.0.count_outside_wait(-1);
    }
}
