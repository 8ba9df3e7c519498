//! Machines as they show themselves in files: what is read from them, and where shards go on them.

use crate::cores::AllowedCores;
use crate::cores::tests::{V2_MOUNT, tree};
use crate::placement::Placement;

type File = (String, String);

fn file(path: &str, text: &str) -> File {
    (path.to_owned(), text.to_owned())
}

/// The files of a machine whose CPUs are each a number, the list of threads of its core, and a node.
fn machine(online: &str, cpus: &[(usize, &str)], nodes: &[&str]) -> Vec<File> {
    let system = "sys/devices/system";
    let mut files = vec![file(&format!("{system}/cpu/online"), online)];
    for (number, threads) in cpus {
        let path = format!("{system}/cpu/cpu{number}/topology/core_cpus_list");
        files.push(file(&path, threads));
    }
    if !nodes.is_empty() {
        let list = format!("0-{}", nodes.len() - 1);
        files.push(file(&format!("{system}/node/online"), &list));
    }
    for (node, cpus) in nodes.iter().enumerate() {
        files.push(file(&format!("{system}/node/node{node}/cpulist"), cpus));
    }
    files
}

fn allowed(files: &[File], mask: &[usize]) -> AllowedCores {
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    AllowedCores::read_under(tree(&files).path(), mask.to_vec())
}

fn taken(placement: Placement, allowed: &AllowedCores) -> Vec<usize> {
    placement.plan(allowed, false).unwrap().into_iter().flatten().collect()
}

/// Four cores with two threads each on two nodes, siblings side by side as on some machines.
fn two_nodes() -> Vec<File> {
    let cpus = [
        (0, "0-1"),
        (1, "0-1"),
        (2, "2-3"),
        (3, "2-3"),
        (4, "4-5"),
        (5, "4-5"),
        (6, "6-7"),
        (7, "6-7"),
    ];
    machine("0-7\n", &cpus, &["0-3\n", "4-7\n"])
}

#[test]
fn a_machine_with_one_cpu() {
    let cores = allowed(&machine("0\n", &[(0, "0\n")], &["0\n"]), &[0]);
    assert_eq!(cores.physical_cores(), [[0]]);
    assert_eq!(cores.numa_nodes(), [[0]]);
    assert_eq!(cores.to_string(), "0");
    for placement in [Placement::PerCore, Placement::PerPhysicalCore, Placement::Pack(1)] {
        assert_eq!(taken(placement, &cores), [0]);
    }
}

#[test]
fn hyperthreads_are_known_by_their_core() {
    let cpus = [(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")];
    let cores = allowed(&machine("0-3", &cpus, &["0-3"]), &[0, 1, 2, 3]);
    assert_eq!(cores.physical_cores(), [[0, 2], [1, 3]]);
    assert_eq!(cores.to_string(), "0-3, 2 physical");
    assert_eq!(taken(Placement::PerPhysicalCore, &cores), [0, 1]);
    assert!(cores.notes().is_empty(), "{:?}", cores.notes());
}

#[test]
fn an_older_system_names_the_list_of_threads_otherwise() {
    let folder = "sys/devices/system/cpu";
    let files = [
        file(&format!("{folder}/online"), "0-1"),
        file(&format!("{folder}/cpu0/topology/thread_siblings_list"), "0-1"),
        file(&format!("{folder}/cpu1/topology/thread_siblings_list"), "0-1"),
    ];
    assert_eq!(allowed(&files, &[0, 1]).physical_cores(), [[0, 1]]);
}

#[test]
fn nodes_are_spread_over_and_packed() {
    let cores = allowed(&two_nodes(), &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(cores.numa_nodes(), [[0, 1, 2, 3], [4, 5, 6, 7]]);
    assert_eq!(cores.to_string(), "0-7, 4 physical, 2 NUMA nodes");
    assert_eq!(taken(Placement::PerPhysicalCore, &cores), [0, 2, 4, 6]);
    assert_eq!(taken(Placement::Spread(4), &cores), [0, 4, 2, 6]);
    assert_eq!(taken(Placement::Pack(4), &cores), [0, 2, 1, 3]);
}

#[test]
fn a_mask_and_a_cpuset_narrow_a_machine_down() {
    let mut files = two_nodes();
    files.push(file("proc/self/cgroup", "0::/\n"));
    files.push(file(V2_MOUNT.0, V2_MOUNT.1));
    files.push(file("sys/fs/cgroup/cpuset.cpus.effective", "1-6\n"));
    files.push(file("sys/fs/cgroup/cpu.max", "250000 100000\n"));
    let cores = allowed(&files, &[0, 1, 2, 3, 4, 5]);
    let text =
        "1-5, of affinity mask 0-5, of cpuset 1-6, 3 physical, 2 NUMA nodes, quota 2.50 CPUs";
    assert_eq!(cores.to_string(), text);
    assert_eq!(taken(Placement::PerPhysicalCore, &cores), [1, 2, 4]);
    assert_eq!(taken(Placement::Spread(3), &cores), [1, 4, 2]);
    assert_eq!(taken(Placement::Pack(3), &cores), [1, 2, 3]);
}

#[test]
fn version_1_narrows_it_down_in_the_same_way() {
    let mut files = two_nodes();
    files.push(file("proc/self/cgroup", "3:cpuset:/batch\n2:cpu,cpuacct:/\n"));
    let mounts = "31 1 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  32 1 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
    files.push(file("proc/self/mountinfo", mounts));
    files.push(file("sys/fs/cgroup/cpuset/batch/cpuset.effective_cpus", "4-7\n"));
    files.push(file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"));
    files.push(file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"));
    let cores = allowed(&files, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(cores.cores(), [4, 5, 6, 7]);
    assert_eq!(cores.cpu_quota(), None);
    assert_eq!(taken(Placement::PerPhysicalCore, &cores), [4, 6]);
}

#[test]
fn a_cpu_that_is_switched_off_is_not_offered() {
    // Version 1's plain list still has it, and so may a mask that was set earlier.
    let mut files = machine("0,2-3\n", &[(0, "0"), (2, "2-3"), (3, "2-3")], &["0,2-3"]);
    files.push(file("proc/self/cgroup", "5:cpuset:/\n"));
    let mounts = "32 1 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n";
    files.push(file("proc/self/mountinfo", mounts));
    files.push(file("sys/fs/cgroup/cpuset/cpuset.cpus", "0-3\n"));
    let cores = allowed(&files, &[0, 1, 2, 3]);
    assert_eq!(cores.cores(), [0, 2, 3]);
    assert_eq!(taken(Placement::PerPhysicalCore, &cores), [0, 2]);
    assert!(Placement::Cores(vec![1]).plan(&cores, false).is_err());
}

#[test]
fn a_system_that_hides_itself_is_taken_as_flat() {
    let cores = allowed(&[], &[0, 3]);
    assert_eq!(cores.physical_cores(), [[0], [3]]);
    assert_eq!(cores.numa_nodes(), [[0, 3]]);
    assert!(!cores.topology().is_known);
}

#[test]
fn a_list_that_makes_no_sense_is_left_out_and_noted() {
    let cores = allowed(&machine("0-1", &[(0, "none"), (1, "1")], &[]), &[0, 1]);
    assert_eq!(cores.physical_cores(), [[0], [1]]);
    assert!(!cores.topology().is_known);
    assert!(cores.notes()[0].contains("cpu0/topology"), "{:?}", cores.notes());
}
