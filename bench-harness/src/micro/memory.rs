//! What a task that only waits keeps resident. The process is fresh, so that nothing that was freed
//! before is used again.

use std::future::pending;
use std::io;

use super::{Sample, twin};
use crate::procfs::resident_bytes;

/// So many tasks that pages, of which memory is counted, do not matter.
pub(super) const TASKS: u64 = 300_000;

pub(super) fn resident() -> io::Result<u64> {
    resident_bytes(std::process::id()).ok_or_else(|| io::Error::other("no memory is counted here"))
}

pub(super) fn each(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64 / TASKS as f64
}

pub(super) fn corelane() -> Sample {
    let body = async || {
        let before = resident()?;
        for _ in 0..TASKS {
            drop(corelane::spawn(pending::<()>()));
        }
        // Every task has been polled once by then.
        corelane::yield_now().await;
        corelane::yield_now().await;
        Ok(each(before, resident()?))
    };
    corelane::run(body).map_err(io::Error::from)
}

pub(super) fn tokio() -> Sample {
    twin::runtime()?.block_on(async {
        let before = resident()?;
        for _ in 0..TASKS {
            drop(tokio::spawn(pending::<()>()));
        }
        // tokio runs 61 tasks before it looks at the main future again.
        for _ in 0..TASKS / 61 + 2 {
            tokio::task::yield_now().await;
        }
        Ok(each(before, resident()?))
    })
}
