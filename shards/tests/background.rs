//! What shards start for work of another kind keeps off their cores.

use std::fs;

use corelane::process::Stdio;
use corelane::{create_subprocess_exec, to_thread};
use corelane_shards::{AllowedCores, Placement, Shards};

/// The CPUs that a status file of `/proc` says its thread may run on.
fn cpus_in(status: &str) -> Vec<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.expect("the kernel lists them").trim().split(',');
    let cpus = ranges.flat_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |text: &str| text.parse::<usize>().expect("a number");
        number(first)..=number(last)
    });
    cpus.collect()
}

#[test]
fn threads_for_what_blocks_and_children_run_beside_the_pinned_shards() {
    let allowed = AllowedCores::of_process().expect("the kernel tells").cores().to_vec();
    let run = Shards::builder().placement(Placement::Count(1)).handle_signals(false);
    let seen = run.run(async |_| {
        let shard = fs::read_to_string("/proc/thread-self/status")?;
        let thread = to_thread(|| Ok(fs::read_to_string("/proc/thread-self/status")?)).await?;
        let mut child = create_subprocess_exec("cat", ["/proc/self/status"])
            .stdout(Stdio::Pipe)
            .spawn()
            .await?;
        let (text, _) = child.communicate(None).await?;
        let text = String::from_utf8(text.unwrap_or_default().to_vec())?;
        Ok([shard, thread, text].map(|status| cpus_in(&status)))
    });
    let [shard, thread, child] = seen.expect("no main fails").swap_remove(0);
    let beside: Vec<usize> = allowed.iter().copied().filter(|cpu| !shard.contains(cpu)).collect();
    let expected = if beside.is_empty() { allowed } else { beside };
    assert_eq!(shard.len(), 1);
    assert_eq!(thread, expected);
    assert_eq!(child, expected);
}
