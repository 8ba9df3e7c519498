use super::*;
use crate::id::ShardId;
use crate::placement::Placement;
use crate::report::ShardStart;

fn report(allowed: AllowedCores, cores: &[Option<usize>]) -> StartReport {
    let start = |(index, &core)| ShardStart { id: ShardId::at(index), core, is_placed: true };
    let shards = cores.iter().enumerate().map(start).collect();
    StartReport { placement: Placement::PerCore, allowed, shards, driver: DriverKind::default() }
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let file = root.path().join("sys/devices/system").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    root
}

const CLOCK: &str = "clocksource/clocksource0/current_clocksource";

/// All but the limit on open files, which is that of whoever runs this.
fn problems(host: &HostReport) -> Vec<String> {
    let problems = host.problems.iter().map(ToString::to_string);
    problems.filter(|problem| !problem.contains("files may be open")).collect()
}

#[test]
fn a_machine_that_is_well_has_no_problem() {
    let root = tree(&[(CLOCK, "tsc\n"), ("cpu/cpu2/cpufreq/scaling_governor", "performance\n")]);
    let host = report(AllowedCores::fixed(&[1, 2]), &[Some(2)]).host_under(root.path());
    assert_eq!((&host.cpus_allowed[..], &host.cpus_taken[..]), (&[1, 2][..], &[2][..]));
    assert_eq!((host.shard_count, host.smt, host.numa_node_count), (1, false, 1));
    assert_eq!(host.clock_source.as_deref(), Some("tsc"));
    assert_eq!(host.frequency_governor.as_deref(), Some("performance"));
    assert_eq!(problems(&host), [""; 0]);
}

#[test]
fn each_problem_is_named_with_its_remedy() {
    let root = tree(&[(CLOCK, "hpet\n"), ("cpu/cpu0/cpufreq/scaling_governor", "powersave\n")]);
    let seats = AllowedCores::seated(&[(0, 0, 0), (1, 1, 1), (2, 0, 0)]);
    let host = report(seats, &[Some(0), Some(1), Some(2)]).host_under(root.path());
    let problems = problems(&host);
    for (problem, words) in problems.iter().zip([
        ["clock source hpet", "available_clocksource"],
        ["governor powersave", "performance"],
        ["2 NUMA nodes", "Spread"],
        ["1 physical cores", "PerPhysicalCore"],
    ]) {
        assert!(words.iter().all(|word| problem.contains(word)), "{words:?}: {problem}");
    }
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert!(host.smt);
    assert!(few_files(64).to_string().starts_with("64 files may be open"));
}

#[test]
fn shards_that_are_pinned_nowhere_are_told_of_and_missing_files_are_not() {
    let root = tree(&[]);
    let host = report(AllowedCores::fixed(&[0]), &[None]).host_under(root.path());
    let problems = problems(&host);
    assert!(problems.len() == 1 && problems[0].contains("not pinned"), "{problems:?}");
    assert_eq!((host.clock_source, host.frequency_governor), (None, None));
}

#[test]
fn a_quota_is_held_against_the_shards_or_else_against_the_cpus() {
    let root = tree(&[]);
    let allowed = AllowedCores::fixed(&[0, 1]).with_quota(1.5);
    let host = report(allowed.clone(), &[Some(0)]).host_under(root.path());
    assert_eq!((host.cpu_quota, problems(&host).len()), (Some(1.5), 0));
    let host = report(allowed.clone(), &[Some(0), Some(1)]).host_under(root.path());
    assert!(problems(&host)[0].starts_with("2 shards share a quota of 1.50 CPUs"), "{host:?}");
    let host = HostReport::of_no_shards(root.path(), &allowed);
    assert!(problems(&host)[0].starts_with("2 CPUs may be used, and"), "{host:?}");
    assert_eq!((host.shard_count, host.cpus_taken), (0, vec![]));
}

#[cfg(feature = "serde")]
#[test]
fn as_json_it_has_every_field_by_its_name() {
    let host = report(AllowedCores::fixed(&[3]), &[Some(3)]).host_under(tree(&[]).path());
    let json = serde_json::to_value(&host).unwrap();
    assert_eq!(json["cpus_taken"], serde_json::json!([3]));
    assert_eq!(json["driver"], "epoll");
    let virtual_clock =
        StartReport { driver: DriverKind::VirtualClock, ..report(AllowedCores::fixed(&[3]), &[]) };
    assert_eq!(virtual_clock.host_under(tree(&[]).path()).driver, "virtual clock");
    assert_eq!(json["cpu_quota"], serde_json::Value::Null);
    assert_eq!(json["problems"].as_array().unwrap().len(), host.problems.len());
}
