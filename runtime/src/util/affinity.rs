//! On which CPUs a thread runs. New threads and processes inherit that of the thread that makes them, and a
//! shard's thread is bound to one CPU: what it starts for work of another kind has to be sent elsewhere.

use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};

/// The set of these CPUs. What is beyond the system's limit of 1,024 is left out.
pub(crate) fn set_of(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cpus.iter().filter(|&&cpu| cpu < CpuSet::MAX_CPU).for_each(|&cpu| set.set(cpu));
    set
}

/// Has the calling thread run on these CPUs, and on no other.
///
/// # Errors
/// What the system says, for instance that none of them may be used.
pub(crate) fn run_on(cpus: &CpuSet) -> io::Result<()> {
    Ok(sched_setaffinity(None, cpus)?)
}
