use std::fs;

use tempfile::TempDir;

use super::*;

/// A file tree as a machine or a container would show it.
pub(super) fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let file = root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    root
}

fn allowed(files: &[(&str, &str)], mask: &[usize]) -> AllowedCores {
    AllowedCores::read_under(tree(files).path(), mask.to_vec())
}

pub(super) const V2_MOUNT: (&str, &str) = (
    "proc/self/mountinfo",
    "24 1 0:22 / / rw - ext4 /dev/vda rw\n30 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
);

#[test]
fn a_cpu_list_is_read_as_the_kernel_writes_it() {
    assert_eq!(parse_cpu_list("0-3,8\n"), Ok(vec![0, 1, 2, 3, 8]));
    assert_eq!(parse_cpu_list(" 5 "), Ok(vec![5]));
    assert_eq!(parse_cpu_list("\n"), Ok(vec![]));
    assert_eq!(parse_cpu_list("2,1-2"), Ok(vec![1, 2]));
}

#[test]
fn a_malformed_cpu_list_is_named() {
    for text in ["a", "1-", "-1", "1-2-3", "99999999999999999999", "0-4000000000"] {
        let why = parse_cpu_list(text).unwrap_err();
        assert_eq!(why, format!("\"{text}\" is not a core or a range of cores"));
    }
    assert_eq!(parse_cpu_list("3-1").unwrap_err(), "the range \"3-1\" ends before it begins");
}

#[test]
fn a_cpu_list_is_written_as_the_kernel_does() {
    assert_eq!(CpuList(&[0, 1, 2, 3, 8]).to_string(), "0-3,8");
    assert_eq!(CpuList(&[7]).to_string(), "7");
    assert_eq!(CpuList(&[]).to_string(), "");
}

#[test]
fn without_control_groups_the_mask_decides() {
    assert_eq!(allowed(&[], &[1, 3]), AllowedCores::fixed(&[1, 3]));
}

#[test]
fn version_2_takes_the_nearest_cpuset_and_the_smallest_quota() {
    let cores = allowed(
        &[
            ("proc/self/cgroup", "0::/app.slice/web.service\n"),
            V2_MOUNT,
            ("sys/fs/cgroup/cpuset.cpus.effective", "0-7\n"),
            ("sys/fs/cgroup/app.slice/cpuset.cpus.effective", "2-5\n"),
            ("sys/fs/cgroup/app.slice/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/app.slice/web.service/cpu.max", "max 100000\n"),
        ],
        &[0, 1, 2, 3],
    );
    assert_eq!(cores.cores(), [2, 3]);
    assert_eq!(cores.cpu_quota(), Some(1.5));
    assert_eq!(cores.to_string(), "2-3, of affinity mask 0-3, of cpuset 2-5, quota 1.50 CPUs");
}

#[test]
fn version_1_reads_each_controller_where_it_is_mounted() {
    let cores = allowed(
        &[
            ("proc/self/cgroup", "3:cpuset:/batch\n2:cpu,cpuacct:/batch\n0::/\n"),
            (
                "proc/self/mountinfo",
                "31 1 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                 32 1 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n",
            ),
            ("sys/fs/cgroup/cpuset/batch/cpuset.effective_cpus", "1\n"),
            ("sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n"),
        ],
        &[0, 1],
    );
    assert_eq!(cores.cores(), [1]);
    assert_eq!(cores.cpu_quota(), Some(0.5));
}

#[test]
fn a_container_sees_its_group_at_the_mount_point() {
    // The mount shows only the container's own part of the hierarchy, the group's name is the
    // host's.
    let cores = allowed(
        &[
            ("proc/self/cgroup", "5:cpuset:/docker/17\n"),
            (
                "proc/self/mountinfo",
                "32 1 0:31 /docker/17 /sys/fs/cgroup/cpuset ro - cgroup cgroup rw,cpuset\n",
            ),
            ("sys/fs/cgroup/cpuset/cpuset.cpus", "4-5\n"),
        ],
        &[3, 4, 5, 6],
    );
    assert_eq!(cores.cores(), [4, 5]);
}

#[test]
fn no_limit_is_no_quota() {
    let files = [
        ("proc/self/cgroup", "4:cpu:/\n"),
        ("proc/self/mountinfo", "31 1 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
    ];
    assert_eq!(allowed(&files, &[0]), AllowedCores::fixed(&[0]));
}

#[test]
fn a_cpuset_that_cannot_be_read_is_left_out_and_noted() {
    let cores = allowed(
        &[
            ("proc/self/cgroup", "0::/\n"),
            V2_MOUNT,
            ("sys/fs/cgroup/cpuset.cpus.effective", "none\n"),
        ],
        &[0, 1],
    );
    assert_eq!(cores.cores(), [0, 1]);
    assert_eq!(cores.notes().len(), 1, "{:?}", cores.notes());
}

#[test]
fn a_cpuset_beside_the_mask_gives_way_to_it() {
    let cores = allowed(
        &[
            ("proc/self/cgroup", "0::/\n"),
            V2_MOUNT,
            ("sys/fs/cgroup/cpuset.cpus.effective", "4-5\n"),
        ],
        &[0, 1],
    );
    assert_eq!(cores.cores(), [0, 1]);
    assert!(cores.notes()[0].contains("no core in common"), "{:?}", cores.notes());
}

#[test]
fn the_process_may_use_at_least_one_core_and_sees_the_same_each_time() {
    let first = AllowedCores::of_process().unwrap();
    assert!(!first.cores().is_empty());
    assert!(std::ptr::eq(first, AllowedCores::of_process().unwrap()));
}
