//! What the machine is to the shards, and what about it is wrong.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::{fmt, fs, io};

use corelane::lowlevel::DriverKind;
use rustix::process::{Resource, getrlimit};

use crate::cores::AllowedCores;
use crate::report::StartReport;

/// Clock sources that are read without a system call.
const FAST_CLOCKS: [&str; 3] = ["tsc", "arch_sys_counter", "kvm-clock"];

/// With fewer open files a server has room for few connections.
const ENOUGH_FILES: u64 = 4096;

/// The machine as a process, or a run of shards, finds it: what they may use, what they took, and what stands in
/// their way. With the feature `serde` it can be serialized, to be kept beside a measurement or shown to a monitor.
///
/// # Examples
/// ```
/// use corelane_shards::{Placement, Shards};
///
/// Shards::builder().placement(Placement::Unpinned(1)).run(async |shard| {
///     let host = shard.report().host();
///     for problem in &host.problems {
///         println!("{problem}");
///     }
///     assert_eq!(host.shard_count, 1);
///     Ok(())
/// })?;
/// # Ok::<(), corelane::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HostReport {
    /// CPUs that the process may use, by its affinity mask and its cpuset; ascending.
    pub cpus_allowed: Vec<usize>,
    /// CPUs that shards are pinned to; ascending.
    pub cpus_taken: Vec<usize>,
    /// How many shards there are, pinned or not; 0 if none was asked for.
    pub shard_count: usize,
    /// How many CPUs' worth of time the control group grants; `None` without a limit.
    pub cpu_quota: Option<f64>,
    /// Whether two of the allowed CPUs are hyperthreads of one core.
    pub smt: bool,
    /// On how many NUMA nodes the allowed CPUs are.
    pub numa_node_count: usize,
    /// How many files the process may have open; `None` without a limit.
    pub open_file_limit: Option<u64>,
    /// How much memory it may lock, in bytes; `None` without a limit. Nothing here needs any.
    pub locked_memory_limit_bytes: Option<u64>,
    /// What the kernel reads the time from.
    pub clock_source: Option<String>,
    /// What decides the frequency of the first CPU that is taken, or else allowed; `None` where that is nobody's
    /// choice, as on many virtual machines.
    pub frequency_governor: Option<String>,
    /// By what the loops wait for sockets, or would where there are none yet: "epoll" on a real machine.
    pub driver: &'static str,
    /// What is wrong, the worst first.
    pub problems: Vec<Problem>,
}

/// Something about a machine that costs the shards on it. As text it is both sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Problem {
    /// What it is, and what it costs.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl HostReport {
    /// Looks at what this process finds before it starts any shard: limits, clock and frequency as they are at this
    /// moment, CPUs as the first look at them has found them. It reads some small files.
    ///
    /// # Errors
    /// As [`AllowedCores::of_process`].
    pub fn of_process() -> io::Result<Self> {
        Ok(Self::of_no_shards(Path::new("/"), AllowedCores::of_process()?))
    }

    fn of_no_shards(root: &Path, allowed: &AllowedCores) -> Self {
        let cpu_count = allowed.cores().len();
        let quota = short_quota(allowed, &format!("{cpu_count} CPUs may be used, and"), cpu_count);
        let problems = quota.into_iter().chain(odd_facts(allowed)).collect();
        Self::read(root, allowed, Vec::new(), problems)
    }

    /// What is to be found below `root` for shards on `cpus_taken`, if there are any, with the `problems` that are
    /// known.
    fn read(
        root: &Path,
        allowed: &AllowedCores,
        cpus_taken: Vec<usize>,
        problems: Vec<Problem>,
    ) -> Self {
        let first = cpus_taken.first().or(allowed.cores().first()).copied().unwrap_or(0);
        let system = root.join("sys/devices/system");
        let governor = format!("cpu/cpu{first}/cpufreq/scaling_governor");
        let mut host = Self {
            cpus_allowed: allowed.cores().to_vec(),
            cpus_taken,
            shard_count: 0,
            cpu_quota: allowed.cpu_quota(),
            smt: allowed.physical_cores().len() < allowed.cores().len(),
            numa_node_count: allowed.numa_nodes().len(),
            open_file_limit: getrlimit(Resource::Nofile).current,
            locked_memory_limit_bytes: getrlimit(Resource::Memlock).current,
            clock_source: line_of(&system.join("clocksource/clocksource0/current_clocksource")),
            frequency_governor: line_of(&system.join(governor)),
            driver: DriverKind::default().name(),
            problems,
        };
        host.judge();
        host
    }

    fn judge(&mut self) {
        let clock = self.clock_source.as_deref();
        let governor = self.frequency_governor.as_deref();
        let found = [
            self.open_file_limit.filter(|&limit| limit < ENOUGH_FILES).map(few_files),
            clock.filter(|clock| !FAST_CLOCKS.contains(clock)).map(slow_clock),
            governor.filter(|&governor| governor != "performance").map(slow_governor),
            Some(self.numa_node_count).filter(|&count| count > 1).map(many_nodes),
        ];
        self.problems.extend(found.into_iter().flatten());
    }
}

impl StartReport {
    /// Looks at the machine that the shards run on: limits, clock and frequency as they are at this moment, the rest
    /// as it was when they started. It reads some small files.
    #[must_use]
    pub fn host(&self) -> HostReport {
        self.host_under(Path::new("/"))
    }

    fn host_under(&self, root: &Path) -> HostReport {
        let taken = self.pinned_cores();
        let is_pinned = !taken.is_empty();
        let shared = self.allowed().physical_cores();
        let shared = shared.iter().filter(|threads| taken_of(threads, &taken) > 1).count();
        let mut host = HostReport::read(root, self.allowed(), taken, self.problems());
        host.shard_count = self.shards().len();
        host.driver = self.driver.name();
        if !is_pinned {
            host.problems.push(Problem::new(
                "the shards are not pinned: the system moves them, and their caches stay behind",
                "take a placement that pins, on CPUs that nobody else uses",
            ));
        }
        if shared > 0 {
            host.problems.push(Problem::new(
                format!(
                    "{shared} physical cores have two shards or more, which hold each other up"
                ),
                "take Placement::PerPhysicalCore where latency matters more than throughput",
            ));
        }
        host
    }

    /// What was wrong at the start.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let shard_count = self.shards().len();
        let refused = self.shards().iter().filter(|shard| !shard.is_placed);
        let refused = refused.filter_map(|shard| {
            let what = format!("shard {} could not be pinned to core {}", shard.id, shard.core?);
            Some(Problem::new(what, "allow the process that CPU, or leave it out of the placement"))
        });
        let quota = short_quota(self.allowed(), &format!("{shard_count} shards"), shard_count);
        let is_unknown = self.placement().needs_topology() && !self.allowed().topology().is_known;
        let unknown = is_unknown.then(|| {
            Problem::new(
                "the system does not tell which CPUs share a core: each counts as one",
                "mount /sys, or name the CPUs in the placement",
            )
        });
        refused.chain(quota).chain(odd_facts(self.allowed())).chain(unknown).collect()
    }
}

impl Problem {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// A quota that is too small for `count` threads; `who` they are.
fn short_quota(allowed: &AllowedCores, who: &str, count: usize) -> Option<Problem> {
    let quota = allowed.cpu_quota().filter(|&quota| quota < count as f64)?;
    Some(Problem::new(
        format!(
            "{who} share a quota of {quota:.2} CPUs and will be stopped together when it is used up"
        ),
        "take the quota away (cpu.max, CPUQuota=), or allow fewer CPUs",
    ))
}

fn odd_facts(allowed: &AllowedCores) -> impl Iterator<Item = Problem> {
    let remedy = "look at the affinity mask and the control group of the process";
    allowed.notes().iter().map(move |note| Problem::new(note, remedy))
}

fn few_files(limit: u64) -> Problem {
    Problem::new(
        format!("{limit} files may be open, and each connection is one"),
        "raise `ulimit -n`, or LimitNOFILE= of the unit",
    )
}

fn slow_clock(name: &str) -> Problem {
    Problem::new(
        format!("the clock source {name} takes a system call for each look at the time"),
        "write a faster one of available_clocksource to \
         /sys/devices/system/clocksource/clocksource0/current_clocksource",
    )
}

fn slow_governor(name: &str) -> Problem {
    Problem::new(
        format!("the frequency governor {name} lets idle CPUs become slow"),
        "choose the governor performance",
    )
}

fn many_nodes(count: usize) -> Problem {
    Problem::new(
        format!("the CPUs are on {count} NUMA nodes, each far from the others' memory"),
        "run a process on each node, or take Placement::Spread or Placement::Pack",
    )
}

/// How many of the hyperthreads of a core are taken.
fn taken_of(threads: &[usize], taken: &[usize]) -> usize {
    threads.iter().filter(|thread| taken.contains(thread)).count()
}

/// A file of one line without its end; `None` if it is missing or empty.
fn line_of(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|line| !line.is_empty())
}
