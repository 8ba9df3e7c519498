//! What server and machine use while a load point runs.

use crate::clock;
use crate::procfs::{self, ThreadUse};
use crate::subject::Subject;

/// What the kernel has counted at one moment.
pub(crate) struct Usage {
    at_ns: u64,
    shards: Vec<Option<ThreadUse>>,
    stolen: Option<(u64, u64)>,
    throttled_us: Option<u64>,
}

impl Usage {
    /// What has been counted until now.
    pub(crate) fn take(subject: &Subject) -> Self {
        let (pid, shards) = subject.shards();
        Usage {
            at_ns: clock::now_ns(),
            shards: shards.iter().map(|shard| procfs::thread_use(pid, shard.tid)).collect(),
            stolen: procfs::stolen_ticks(),
            throttled_us: procfs::throttled_us(),
        }
    }

    /// What was used since.
    pub(crate) fn until_now(&self, subject: &Subject) -> Used {
        let after = Usage::take(subject);
        let elapsed_ns = after.at_ns.saturating_sub(self.at_ns).max(1);
        let (_, infos) = subject.shards();
        let shards = infos.iter().zip(self.shards.iter().zip(&after.shards));
        let shards = shards
            .filter_map(|(info, (before, after))| {
                Some((info.shard, info.cpu, after.as_ref()?.since(before.as_ref()?)))
            })
            .collect();
        let steal = self.stolen.zip(after.stolen).and_then(|(before, after)| {
            let all = after.1.saturating_sub(before.1);
            (all > 0).then(|| after.0.saturating_sub(before.0) as f64 / all as f64)
        });
        let throttled_us =
            self.throttled_us.zip(after.throttled_us).map(|(a, b)| b.saturating_sub(a));
        Used { elapsed_ns, shards, steal, throttled_us }
    }
}

/// What was used between two moments.
pub(crate) struct Used {
    /// Time between them.
    pub(crate) elapsed_ns: u64,
    /// Number, CPU and use of each shard of an embedded server.
    pub(crate) shards: Vec<(usize, Option<usize>, ThreadUse)>,
    /// Share of all CPU time that the hypervisor took.
    pub(crate) steal: Option<f64>,
    /// Time for which the cgroup's quota stopped this process.
    pub(crate) throttled_us: Option<u64>,
}
