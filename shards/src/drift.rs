//! Whether the threads of shards may still run where they were put.
//!
//! An administrator, or a container's manager, may change affinity masks and cpusets at any time, and
//! the system moves the threads. A shard goes on wherever it is; it is slower where it has to share
//! its core. So nothing is done about it, and it is said.

#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, Instant};

use rustix::thread::Pid;

use crate::cores::{CpuList, affinity_mask};
use crate::id::ShardId;

/// Looks at the masks of all shards' threads from time to time.
pub(crate) struct DriftWatch {
    period: Option<Duration>,
    next: Option<Instant>,
    threads: Vec<Watched>,
}

/// One shard's thread, and the cores that it was seen on.
struct Watched {
    id: ShardId,
    thread: Pid,
    at_start: Vec<usize>,
    last: Vec<usize>,
}

impl DriftWatch {
    /// One that looks every `period`, or never.
    pub(crate) fn new(period: Option<Duration>) -> Self {
        Self { period, next: None, threads: Vec::new() }
    }

    /// Takes a thread in, as it is now.
    pub(crate) fn add(&mut self, id: ShardId, thread: Pid) {
        // A mask that the system does not tell now it will not tell later.
        if let Ok(mask) = affinity_mask(Some(thread)) {
            self.threads.push(Watched { id, thread, at_start: mask.clone(), last: mask });
        }
    }

    /// When the next look is due. `None` if there is none.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Instant> {
        let period = self.period.filter(|_| !self.threads.is_empty())?;
        if self.next.is_none() {
            self.next = now.checked_add(period);
        }
        self.next
    }

    /// Looks, if it is time, and reports what has changed through `tracing`.
    pub(crate) fn look(&mut self, now: Instant) {
        if self.next.take_if(|next| *next <= now).is_none() {
            return;
        }
        for watched in &mut self.threads {
            match watched.compare(affinity_mask(Some(watched.thread))) {
                Some(Drift::Away(text)) => corelane::__report!(WARN, "{text}"),
                Some(Drift::Back(text)) => tracing::info!("{text}"),
                None => {}
            }
        }
    }
}

/// A change of the cores that a thread may run on.
#[derive(Debug, PartialEq, Eq)]
enum Drift {
    Away(String),
    Back(String),
}

impl Watched {
    /// What has changed since the last time.
    fn compare(&mut self, seen: io::Result<Vec<usize>>) -> Option<Drift> {
        // An error is that of a thread which has ended meanwhile.
        let now = seen.ok().filter(|now| *now != self.last)?;
        let (id, cores, before) = (self.id, CpuList(&now), CpuList(&self.at_start));
        let drift = if now == self.at_start {
            Drift::Back(format!("shard {id} may run on cores {cores} again, as at its start"))
        } else {
            Drift::Away(format!(
                "shard {id} was started on cores {before} and may now run on {cores}: \
                 somebody has changed an affinity mask or a cpuset"
            ))
        };
        self.last = now;
        Some(drift)
    }
}
