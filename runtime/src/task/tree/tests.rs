use super::*;

#[test]
fn ages_grow_coarse_with_distance_and_take_no_room() {
    let mut births = Births::default();
    for id in 0..1_000_000_u64 {
        births.note(id, Instant::from_nanos(id * 1_000));
    }
    assert!(births.0.len() <= BIRTHS_KEPT);
    for id in (1..1_000_000_u64).step_by(997) {
        let (said, created) = (births.before(TaskId(id)), Instant::from_nanos((id - 1) * 1_000));
        assert!(said <= created, "an age is never too small");
        let age_nanos = 1_000_000_000 - created.as_nanos();
        let off_nanos = created.as_nanos() - said.as_nanos();
        assert!(off_nanos <= age_nanos / 10 + 1_000, "task {id}: {off_nanos} of {age_nanos}");
    }
}
