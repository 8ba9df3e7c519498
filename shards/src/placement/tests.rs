use super::*;

fn plan(placement: Placement) -> Result<Vec<Option<usize>>, PlacementError> {
    placement.plan(&AllowedCores::fixed(&[0, 2, 3]), false)
}

#[test]
fn the_default_is_one_shard_on_each_allowed_core() {
    assert_eq!(plan(Placement::default()), Ok(vec![Some(0), Some(2), Some(3)]));
}

#[test]
fn a_number_takes_the_first_allowed_cores() {
    assert_eq!(plan(Placement::Count(2)), Ok(vec![Some(0), Some(2)]));
}

#[test]
fn a_list_is_taken_in_its_order() {
    assert_eq!(plan(Placement::Cores(vec![3, 0])), Ok(vec![Some(3), Some(0)]));
}

#[test]
fn unpinned_shards_are_not_held_against_the_number_of_cores() {
    assert_eq!(plan(Placement::Unpinned(5)), Ok(vec![None; 5]));
}

#[test]
fn zero_shards_is_an_error_in_every_form() {
    for placement in [Placement::Count(0), Placement::Cores(vec![]), Placement::Unpinned(0)] {
        assert_eq!(plan(placement), Err(PlacementError::NoShards));
    }
}

#[test]
fn a_forbidden_core_is_named_with_the_allowed_ones() {
    let error = plan(Placement::Cores(vec![0, 1])).unwrap_err();
    assert_eq!(error.to_string(), "this process may not use core 1; it may use 0,2-3");
}

#[test]
fn more_shards_than_cores_is_an_error_that_names_both() {
    let error = plan(Placement::Count(4)).unwrap_err();
    let text = "4 shards are more than the 3 cores that this process may use (0,2-3); \
                ask for fewer, or allow oversubscription";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_core_listed_twice_is_an_error() {
    let error = plan(Placement::Cores(vec![2, 0, 2])).unwrap_err();
    assert_eq!(error, PlacementError::Twice { core: 2 });
}

#[test]
fn allowed_oversubscription_shares_cores_in_turn() {
    let allowed = AllowedCores::fixed(&[4, 6]);
    let three = Placement::Count(3).plan(&allowed, true);
    assert_eq!(three, Ok(vec![Some(4), Some(6), Some(4)]));
    let twice = Placement::Cores(vec![6, 6]).plan(&allowed, true);
    assert_eq!(twice, Ok(vec![Some(6), Some(6)]));
    let forbidden = Placement::Cores(vec![5]).plan(&allowed, true);
    assert!(matches!(forbidden, Err(PlacementError::NotAllowed { core: 5, .. })));
}

#[test]
fn a_mesh_has_an_upper_limit() {
    let error = plan(Placement::Unpinned(MAX_SHARD_COUNT + 1)).unwrap_err();
    assert_eq!(error.to_string(), "1025 shards are more than the limit of 1024");
}
