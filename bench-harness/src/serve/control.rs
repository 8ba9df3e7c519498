//! The child's side of the control pipe.

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{Counters, Gap, Gaps, Ready};

/// Counts of one shard. Only the shard writes, so that a load and a store are enough; the control
/// thread reads. Each lies on its own cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    requests: AtomicU64,
    busy_ns: AtomicU64,
    /// Written only when the shard has just lost far more time than the lock takes.
    gaps: Mutex<Vec<Gap>>,
}

/// More gaps than this are not told apart any more.
const GAPS_KEPT: usize = 100_000;

impl Tally {
    /// Counts requests; only the shard that owns this tally may call it.
    #[inline]
    pub(super) fn add(&self, requests: u64, busy_ns: u64) {
        // Relaxed: a single writer, and a reader that needs no order between the two numbers.
        let add = |cell: &AtomicU64, more| {
            cell.store(cell.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        };
        add(&self.requests, requests);
        add(&self.busy_ns, busy_ns);
    }
}

impl Tally {
    /// Counts requests where several threads of a shard do; none of them may call [`add`](Self::add).
    #[inline]
    pub(super) fn add_shared(&self, requests: u64) {
        // Relaxed: the sum is all that is read.
        self.requests.fetch_add(requests, Ordering::Relaxed);
    }

    /// Notes that the shard had no CPU. Past the limit the last gap grows, so that what is not told
    /// apart counts as disturbed.
    pub(super) fn note_gap(&self, gap: Gap) {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        if gaps.len() < GAPS_KEPT {
            gaps.push(gap);
        } else if let Some(last) = gaps.last_mut() {
            last.end_ns = gap.end_ns;
        }
    }

    fn gaps(&self) -> Vec<Gap> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn sum(tallies: &[Arc<Tally>]) -> Counters {
    let total = |cell: fn(&Tally) -> &AtomicU64| {
        tallies.iter().map(|tally| cell(tally).load(Ordering::Relaxed)).sum()
    };
    Counters { requests: total(|tally| &tally.requests), busy_ns: total(|tally| &tally.busy_ns) }
}

/// Announces the server and serves its parent until that closes the pipe.
///
/// # Errors
/// If the parent is gone.
pub(super) fn attend(ready: &Ready, tallies: &[Arc<Tally>]) -> io::Result<()> {
    // A parent that is killed cannot close anything in order; the kernel ends this process then.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().is_none_or(|parent| parent.is_init()) {
        return Err(io::Error::other("the parent ended before the server was ready"));
    }
    announce(ready)?;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            "count" => print(&sum(tallies))?,
            "gaps" => {
                print(&Gaps { gaps: tallies.iter().flat_map(|tally| tally.gaps()).collect() })?;
            }
            other => eprintln!("warning: unknown word on the control pipe: {other:?}"),
        }
    }
    Ok(())
}

/// Prints the ready line.
///
/// # Errors
/// If the standard output is closed.
fn announce(ready: &Ready) -> io::Result<()> {
    print(ready)
}

fn print(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Announces the server and serves until SIGINT or SIGTERM.
///
/// # Errors
/// If the signals cannot be caught or the standard output is closed.
pub(super) fn wait_for_signal(ready: &Ready) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    announce(ready)?;
    signals.forever().next();
    Ok(())
}
