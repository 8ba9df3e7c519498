use super::*;

fn report(placement: Placement, allowed: AllowedCores) -> StartReport {
    let cores = placement.plan(&allowed, false).unwrap();
    let start = |(index, core)| ShardStart { id: ShardId::at(index), core, is_placed: true };
    let shards = cores.into_iter().enumerate().map(start).collect();
    StartReport { placement, allowed, shards, driver: DriverKind::default() }
}

#[test]
fn the_line_says_what_was_taken_and_why() {
    let threads = [(0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 0)];
    let report = report(Placement::PerPhysicalCore, AllowedCores::seated(&threads));
    let line = "2 shards on cores 0-1, one per physical core (may use 0-3, 2 physical)";
    assert_eq!(report.to_string(), line);
    assert!(report.warnings().is_empty());
}

#[test]
fn shards_that_are_not_pinned_have_no_cores() {
    let report = report(Placement::Unpinned(1), AllowedCores::fixed(&[0, 2]));
    assert_eq!(report.to_string(), "1 shard, not pinned (may use 0,2)");
}

#[test]
fn a_placement_by_physical_cores_that_are_not_known_is_a_warning() {
    let report = report(Placement::PerPhysicalCore, AllowedCores::fixed(&[0, 1]));
    assert!(report.warnings()[0].contains("which CPUs share a core"), "{:?}", report.warnings());
}

#[test]
fn a_pin_that_was_refused_is_a_warning_and_not_in_the_line() {
    let mut report = report(Placement::PerCore, AllowedCores::fixed(&[0, 1]));
    report.shards[1].is_placed = false;
    assert_eq!(report.warnings(), ["shard 1 could not be pinned to core 1"]);
    assert!(report.to_string().contains("on cores 0,"), "{report}");
}
