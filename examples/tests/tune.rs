//! The tuning scripts, on file trees that look like machines, and where it is possible on this one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "other processes are the subject: their time is the system's"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::netns::Namespace;
use support::{Server, is_here};
use tempfile::TempDir;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/tune/");
/// What cpuplan says of each machine below, in each format.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cpuplan.golden");

/// A file tree as a machine shows it.
struct Machine {
    root: TempDir,
}

impl Machine {
    /// One with CPUs, each a physical core and a node.
    fn new(cpus: &[(usize, usize)], online: &str) -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap() };
        let system = "sys/devices/system";
        machine.file(&format!("{system}/cpu/online"), online);
        let among = |wanted: &dyn Fn(&(usize, usize)) -> bool| {
            let cpus = cpus.iter().enumerate().filter(|(_, seat)| wanted(seat));
            cpus.map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(",")
        };
        for (number, &(core, node)) in cpus.iter().enumerate() {
            let siblings = among(&|seat| seat.0 == core);
            let topology = format!("{system}/cpu/cpu{number}/topology/core_cpus_list");
            machine.file(&topology, &siblings);
            let list = format!("{system}/node/node{node}/cpulist");
            machine.file(&list, &among(&|seat| seat.1 == node));
        }
        let last_node = cpus.iter().map(|&(_, node)| node).max().unwrap_or(0);
        machine.file(&format!("{system}/node/online"), &format!("0-{last_node}"));
        machine.file("proc/self/status", &format!("Name:\tsh\nCpus_allowed_list:\t{online}"));
        machine
    }

    /// One with `count` CPUs and nothing special.
    fn plain(count: usize) -> Self {
        let cpus: Vec<_> = (0..count).map(|number| (number, 0)).collect();
        Self::new(&cpus, &format!("0-{}", count - 1))
    }

    /// Eight cores, sixteen threads: CPU 8 is the second thread of core 0.
    fn hyperthreads() -> Self {
        let cpus: Vec<_> = (0..16).map(|number| (number % 8, 0)).collect();
        Self::new(&cpus, "0-15")
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let file = self.root.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, format!("{text}\n")).unwrap();
        self
    }

    fn version_2(&self) -> &Self {
        let mount = "30 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        self.file("proc/self/mountinfo", mount).file("proc/self/cgroup", "0::/kv.slice/kv")
    }

    fn version_1(&self) -> &Self {
        let mounts = "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      32 24 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset";
        self.file("proc/self/mountinfo", mounts)
            .file("proc/self/cgroup", "2:cpu,cpuacct:/kv\n1:cpuset:/kv\n0::/")
    }

    /// All that the tuning scripts may write to.
    fn tunable() -> Self {
        let machine = Self::hyperthreads();
        for cpu in 0..16 {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            machine.file(&format!("{folder}/cpufreq/scaling_governor"), "powersave");
            let preference = format!("{folder}/cpufreq/energy_performance_preference");
            machine.file(&preference, "balance_performance");
            for (state, latency) in [(0, "1"), (1, "200")] {
                machine.file(&format!("{folder}/cpuidle/state{state}/latency"), latency);
                machine.file(&format!("{folder}/cpuidle/state{state}/disable"), "0");
            }
        }
        for (path, text) in [
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
            ("sys/kernel/mm/transparent_hugepage/defrag", "always defer [madvise] never"),
            ("proc/sys/kernel/timer_migration", "1"),
            ("proc/sys/kernel/nmi_watchdog", "1"),
            ("proc/sys/net/core/somaxconn", "128"),
            ("proc/sys/net/core/rps_sock_flow_entries", "0"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192"),
            ("proc/sys/net/ipv4/tcp_migrate_req", "0"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999"),
            ("proc/irq/default_smp_affinity", "ffff"),
            ("proc/irq/9/smp_affinity_list", "0-15"),
            ("proc/irq/24/smp_affinity_list", "3"),
            ("proc/irq/25/smp_affinity_list", "0-15"),
            ("sys/class/net/eth0/device/msi_irqs/24", "msix"),
            ("sys/class/net/eth0/device/msi_irqs/25", "msix"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0000"),
            ("sys/class/net/eth0/queues/rx-0/rps_flow_cnt", "0"),
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0000"),
            ("sys/class/net/eth0/queues/rx-1/rps_flow_cnt", "0"),
            ("sys/class/net/eth0/queues/tx-0/xps_cpus", "0000"),
            ("sys/class/net/eth0/queues/tx-1/xps_cpus", "0000"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu cpuset"),
            ("sys/fs/cgroup/cgroup.subtree_control", "cpu"),
            ("sys/fs/cgroup/corelane/cpuset.cpus", ""),
            ("sys/fs/cgroup/corelane/cpuset.mems", ""),
            ("sys/fs/cgroup/corelane/cpuset.cpus.exclusive", ""),
            ("sys/fs/cgroup/corelane/cpuset.cpus.partition", "member"),
        ] {
            machine.file(path, text);
        }
        machine
    }

    fn run(&self, script: &str, options: &[&str]) -> Output {
        let mut command = Command::new(format!("{SCRIPTS}{script}"));
        command.args(options).env("SYSROOT", self.root.path()).output().unwrap()
    }

    /// What a script says, which must be well with it.
    fn text(&self, script: &str, options: &[&str]) -> String {
        let output = self.run(script, options);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{script} {options:?}: {errors}");
        assert_eq!(errors, "", "{script} {options:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file with its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        collect(self.root.path(), &mut files);
        files
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.path().join(path)).unwrap().trim_end().to_owned()
    }
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
}

/// Machines with names, and what cpuplan is asked of them.
fn machines() -> Vec<(&'static str, Machine, &'static [&'static str])> {
    let quota = Machine::plain(8);
    quota.version_2().file("sys/fs/cgroup/kv.slice/cpu.max", "350000 100000");
    quota.file("sys/fs/cgroup/kv.slice/kv/cpu.max", "max 100000");
    let cpuset_2 = Machine::plain(16);
    cpuset_2.version_2().file("sys/fs/cgroup/kv.slice/kv/cpuset.cpus.effective", "4-9");
    cpuset_2.file("sys/fs/cgroup/cpuset.cpus.effective", "0-15");
    let cpuset_1 = Machine::plain(16);
    cpuset_1.version_1().file("sys/fs/cgroup/cpuset/kv/cpuset.effective_cpus", "8-15");
    cpuset_1.file("sys/fs/cgroup/cpu,cpuacct/kv/cpu.cfs_quota_us", "50000");
    cpuset_1.file("sys/fs/cgroup/cpu,cpuacct/kv/cpu.cfs_period_us", "100000");
    let two_nodes: Vec<_> = (0..64).map(|number| (number, number / 32)).collect();
    let mask = Machine::plain(8);
    mask.file("proc/self/status", "Cpus_allowed_list:\t1");
    vec![
        ("one CPU", Machine::plain(1), &[]),
        ("two CPUs", Machine::plain(2), &[]),
        ("eight cores with hyperthreads", Machine::hyperthreads(), &[]),
        ("the same, a shard for each core", Machine::hyperthreads(), &["--one-per-core"]),
        ("two nodes of 32 cores", Machine::new(&two_nodes, "0-63"), &[]),
        ("eight CPUs of which 3 is off", Machine::new(&[(0, 0); 0], "0-2,4-7"), &[]),
        ("a quota of 3.5 of eight CPUs", quota, &[]),
        ("a cpuset of version 2", cpuset_2, &[]),
        ("a cpuset and a quota of version 1", cpuset_1, &[]),
        ("an affinity mask of one CPU", mask, &[]),
        (
            "CPUs that somebody chose",
            Machine::hyperthreads(),
            &["--housekeeping", "0,8", "--irq", "1,9"],
        ),
    ]
}

#[test]
fn the_plan_of_each_machine_is_the_one_that_was_written_down() {
    let mut text = String::new();
    for (name, machine, options) in machines() {
        for format in ["json", "shell", "systemd", "kubernetes"] {
            let said = machine.text("cpuplan", &[&["--format", format], options].concat());
            text.push_str(&format!("== {name}: {format}\n{said}"));
        }
    }
    if std::env::var_os("CORELANE_BLESS").is_some() {
        fs::write(GOLDEN, &text).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap();
    for (line, (said, written)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(
            said,
            written,
            "line {} of cpuplan.golden (CORELANE_BLESS=1 writes it)",
            line + 1
        );
    }
    assert_eq!(text.len(), golden.len());
}

#[test]
fn a_plan_that_cannot_be_is_refused_with_its_reason() {
    let machine = Machine::plain(8);
    for (options, reason) in [
        (&["--irq", "banana"][..], "not a list of CPUs"),
        (&["--irq", "9"], "none of the CPUs that were given may be used"),
        (&["--format", "xml"], "unknown format xml"),
        (&["--format"], "--format needs a value"),
        (&["--what", "0"], "unknown option --what"),
    ] {
        let output = machine.run("cpuplan", options);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {errors}");
        assert!(errors.contains(reason), "{options:?}: {errors}");
    }
}

/// The scripts that write, with options that give each something to do.
const WRITERS: [(&str, &[&str]); 5] = [
    ("tune-irq.sh", &["--device", "eth0"]),
    ("tune-irq.sh", &[]),
    ("tune-net.sh", &["--device", "eth0"]),
    ("tune-cpu.sh", &[]),
    ("isolate-cgroup.sh", &[]),
];

#[test]
fn without_apply_nothing_is_written_and_restore_brings_back_what_apply_changed() {
    for (script, options) in WRITERS {
        let machine = Machine::tunable();
        let with = |mode: &[&str]| machine.text(script, &[mode, options].concat());
        let before = machine.files();
        let said = with(&[]);
        assert!(said.contains("would write"), "{script}: {said}");
        assert_eq!(machine.files(), before, "{script} without --apply");
        with(&["--apply"]);
        assert_ne!(machine.files(), before, "{script} --apply");
        // A second time finds the new values, and forgets the first ones no more.
        with(&["--apply"]);
        let said = with(&["--restore"]);
        assert!(said.contains("restored"), "{script}: {said}");
        let mut after = machine.files();
        if script == "isolate-cgroup.sh" {
            // The kernel takes the word for what it is, and a file keeps it.
            let control = machine.root.path().join("sys/fs/cgroup/cgroup.subtree_control");
            assert_eq!(after[&control], "-cpuset\n");
            after.insert(control.clone(), before[&control].clone());
        }
        // Of a choice only the chosen word is written.
        let choice = machine.root.path().join("sys/kernel/mm/transparent_hugepage/enabled");
        assert!(["always\n", "[always] madvise never\n"].contains(&after[&choice].as_str()));
        after.insert(choice.clone(), before[&choice].clone());
        assert_eq!(after, before, "{script} --restore");
        let again = machine.run(script, &["--restore"]);
        assert_eq!(again.status.code(), Some(2), "there is nothing left to be restored");
    }
}

#[test]
fn what_is_applied_is_the_plan() {
    let machine = Machine::tunable();
    let queue = "sys/class/net/eth0/queues";
    machine.text("tune-irq.sh", &["--apply", "--device", "eth0"]);
    assert_eq!(machine.read("proc/irq/24/smp_affinity_list"), "0");
    assert_eq!(machine.read("proc/irq/25/smp_affinity_list"), "8");
    assert_eq!(machine.read("proc/irq/9/smp_affinity_list"), "0-15", "another device's");
    machine.text("tune-net.sh", &["--apply", "--device", "eth0"]);
    // Two queues for fourteen CPUs: the kernel has to spread.
    assert_eq!(machine.read(&format!("{queue}/rx-1/rps_cpus")), "fefe");
    assert_eq!(machine.read(&format!("{queue}/rx-1/rps_flow_cnt")), "16384");
    assert_eq!(machine.read("proc/sys/net/core/somaxconn"), "4096");
    assert_eq!(machine.read("proc/sys/net/ipv4/tcp_max_syn_backlog"), "8192", "is larger");
    machine.text("tune-cpu.sh", &["--apply"]);
    let cpu = |number: usize, file: &str| {
        machine.read(&format!("sys/devices/system/cpu/cpu{number}/{file}"))
    };
    assert_eq!(cpu(1, "cpufreq/scaling_governor"), "performance");
    assert_eq!(cpu(0, "cpufreq/scaling_governor"), "powersave", "keeps house");
    assert_eq!(
        (cpu(1, "cpuidle/state0/disable"), cpu(1, "cpuidle/state1/disable")),
        ("0".into(), "1".into())
    );
    machine.text("isolate-cgroup.sh", &["--apply"]);
    assert_eq!(machine.read("sys/fs/cgroup/corelane/cpuset.cpus"), "1-7,9-15");
    assert_eq!(machine.read("sys/fs/cgroup/corelane/cpuset.cpus.partition"), "isolated");
    // A queue for each shard needs no spreading, and has its own CPU to send from.
    let own = Machine::tunable();
    own.text("tune-net.sh", &["--apply", "--device", "eth0", "--cpus", "4,33"]);
    assert_eq!(own.read(&format!("{queue}/tx-0/xps_cpus")), "10");
    assert_eq!(own.read(&format!("{queue}/tx-1/xps_cpus")), "2,00000000");
    assert_eq!(own.read(&format!("{queue}/rx-0/rps_cpus")), "0");
}

#[test]
fn what_a_machine_does_not_have_is_not_supported_and_no_failure() {
    for (script, options) in WRITERS {
        let machine = Machine::plain(8);
        machine.file("sys/class/net/eth0/mtu", "1500");
        let said = machine.text(script, &[&["--apply"], options].concat());
        assert!(said.contains("not supported"), "{script}: {said}");
    }
}

#[test]
fn the_kernels_command_line_is_printed() {
    let machine = Machine::hyperthreads();
    let before = machine.files();
    let said = machine.text("kernel-cmdline.sh", &["--tickless"]);
    let line = "isolcpus=managed_irq,domain,1-7,9-15 irqaffinity=0,8 nohz_full=1-7,9-15 rcu_nocbs=1-7,9-15";
    assert!(said.lines().any(|said| said == line), "{said}");
    assert_eq!(machine.files(), before);
}

#[test]
fn the_scripts_are_clean_under_shellcheck() {
    if !is_here("shellcheck", &["--version"]) {
        return;
    }
    let mut command = Command::new("shellcheck");
    command.current_dir(SCRIPTS).arg("-x").arg("cpuplan");
    for entry in fs::read_dir(SCRIPTS).unwrap() {
        let name = entry.unwrap().file_name();
        if name.to_string_lossy().ends_with(".sh") {
            command.arg(name);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn packets_are_spread_on_a_real_device_and_no_more() {
    let host = match Namespace::new("rps") {
        Ok(host) => host,
        Err(reason) => return println!("packets on a real device skipped: {reason}"),
    };
    let cable = ["link", "add", "corelane0", "type", "veth", "peer", "name", "corelane1"];
    if let Err(reason) = host.ip(&cable) {
        return println!("packets on a real device skipped: {reason}");
    }
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let tune = |mode: &str| {
        let mut command = Command::new(format!("{SCRIPTS}tune-net.sh"));
        command.args([mode, "--device", "corelane0", "--cpus", "0", "--record"]).arg(&record);
        support::output_of(&mut host.command(&command))
    };
    let mask = || {
        let mut read = Command::new("cat");
        read.arg("/sys/class/net/corelane0/queues/tx-0/xps_cpus");
        support::output_of(&mut host.command(&read)).trim().replace(['0', ','], "")
    };
    let before = mask();
    let said = tune("--apply");
    if said.contains("refuses") {
        return println!("packets on a real device skipped: {said}");
    }
    assert_eq!(mask(), "1", "{said}");
    tune("--restore");
    assert_eq!(mask(), before);
}

#[test]
fn a_server_is_seen_to_be_pinned_or_not() {
    let check = |server: &Server| {
        let mut command = Command::new(format!("{SCRIPTS}check-pinning.sh"));
        command.args(["--seconds", "1", &server.id().to_string()]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let mut pinned = Command::new(env!("CARGO_BIN_EXE_kv"));
    pinned.args(["--port", "0", "--shards", "1"]);
    let (code, said) = check(&Server::start(pinned));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("shard-0: thread ") && said.contains(": ok\n"), "{said}");
    if std::thread::available_parallelism().unwrap().get() > 1 {
        let (code, said) = check(&Server::kv(1, &[]));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("not pinned"), "{said}");
    }
}
