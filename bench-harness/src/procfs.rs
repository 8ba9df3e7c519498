//! What the kernel counted: CPU time and switches of a thread, stolen and throttled time.

use std::fs;

/// CPU time and context switches of one thread so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ThreadUse {
    /// On a CPU, in user and kernel mode together, exact.
    pub(crate) cpu_ns: u64,
    /// User mode, in clock ticks of 10 ms.
    pub(crate) user_ticks: u64,
    /// Kernel mode, in clock ticks of 10 ms.
    pub(crate) system_ticks: u64,
    /// Times the kernel took the CPU away.
    pub(crate) involuntary_switches: u64,
}

impl ThreadUse {
    /// What was used between `before` and now.
    pub(crate) fn since(&self, before: &ThreadUse) -> ThreadUse {
        ThreadUse {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
        }
    }

    /// CPU time in user mode: the exact sum, divided as the ticks are.
    pub(crate) fn user_ns(&self) -> u64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 {
            return self.cpu_ns;
        }
        let exact = u128::from(self.cpu_ns) * u128::from(self.user_ticks) / u128::from(ticks);
        u64::try_from(exact).unwrap_or(self.cpu_ns)
    }
}

/// Reads what a thread of a process has used; `None` once it has ended.
pub(crate) fn thread_use(pid: u32, tid: u32) -> Option<ThreadUse> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{file}")).ok();
    let cpu_ns = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
    let stat = read("stat")?;
    // The name stands in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user_ticks = fields.next()?.parse().ok()?;
    let system_ticks = fields.next()?.parse().ok()?;
    let involuntary_switches = read("status")?
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?
        .trim()
        .parse()
        .ok()?;
    Some(ThreadUse { cpu_ns, user_ticks, system_ticks, involuntary_switches })
}

/// Ticks that the hypervisor took from all CPUs, and all ticks, since boot.
pub(crate) fn stolen_ticks() -> Option<(u64, u64)> {
    parse_stolen(&fs::read_to_string("/proc/stat").ok()?)
}

fn parse_stolen(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    Some((*ticks.get(7)?, ticks.iter().take(8).sum()))
}

/// Microseconds for which the cgroup's CPU quota stopped this process, since it began.
pub(crate) fn throttled_us() -> Option<u64> {
    let text = fs::read_to_string("/sys/fs/cgroup/cpu.stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("throttled_usec "))?.trim().parse().ok()
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_has_used_some_cpu() {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let before = thread_use(std::process::id(), tid).unwrap();
        let until_ns = crate::clock::now_ns() + 20_000_000;
        while crate::clock::now_ns() < until_ns {}
        let used = thread_use(std::process::id(), tid).unwrap().since(&before);
        assert!(used.cpu_ns > 0, "{used:?}");
        assert_eq!(thread_use(std::process::id(), u32::MAX), None);
    }

    #[test]
    fn stolen_time_is_the_eighth_column() {
        let stat = "cpu  10 20 30 40 50 60 70 80 5 5\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(parse_stolen(stat), Some((80, 360)));
        assert_eq!(parse_stolen("intr 1"), None);
    }

    #[test]
    fn user_time_is_the_exact_sum_divided_as_the_ticks_are() {
        let used =
            ThreadUse { cpu_ns: 1_000, user_ticks: 1, system_ticks: 3, involuntary_switches: 0 };
        assert_eq!(used.user_ns(), 250);
        assert_eq!(ThreadUse { user_ticks: 0, system_ticks: 0, ..used }.user_ns(), 1_000);
    }
}
