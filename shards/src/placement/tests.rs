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
                ask for fewer, do not pin them, or allow oversubscription";
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

/// Two nodes of two cores with two threads each, numbered as most machines do: first threads first.
fn two_nodes() -> AllowedCores {
    let seats =
        [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1), (4, 0, 0), (5, 1, 0), (6, 2, 1), (7, 3, 1)];
    AllowedCores::seated(&seats)
}

fn taken(placement: Placement, allowed: &AllowedCores) -> Vec<usize> {
    placement.plan(allowed, false).unwrap().into_iter().flatten().collect()
}

#[test]
fn one_on_each_physical_core_takes_the_first_thread_that_may_be_used() {
    assert_eq!(taken(Placement::PerPhysicalCore, &two_nodes()), [0, 1, 2, 3]);
    let second_threads = AllowedCores::seated(&[(1, 1, 0), (4, 0, 0), (5, 1, 0)]);
    assert_eq!(taken(Placement::PerPhysicalCore, &second_threads), [1, 4]);
}

#[test]
fn spread_deals_to_the_nodes_in_turn_and_takes_physical_cores_first() {
    assert_eq!(taken(Placement::Spread(3), &two_nodes()), [0, 2, 1]);
    assert_eq!(taken(Placement::Spread(8), &two_nodes()), [0, 2, 1, 3, 4, 6, 5, 7]);
}

#[test]
fn spread_goes_on_where_there_is_room_when_a_node_is_full() {
    let uneven = AllowedCores::seated(&[(0, 0, 0), (1, 1, 1), (2, 2, 1), (3, 3, 1)]);
    assert_eq!(taken(Placement::Spread(4), &uneven), [0, 1, 2, 3]);
}

#[test]
fn pack_fills_the_node_with_the_most_cores_first() {
    assert_eq!(taken(Placement::Pack(3), &two_nodes()), [0, 1, 4]);
    assert_eq!(taken(Placement::Pack(5), &two_nodes()), [0, 1, 4, 5, 2]);
    let uneven = AllowedCores::seated(&[(0, 0, 0), (1, 1, 1), (2, 2, 1)]);
    assert_eq!(taken(Placement::Pack(2), &uneven), [1, 2]);
}

#[test]
fn more_than_all_nodes_have_is_an_error_unless_they_may_be_shared() {
    for placement in [Placement::Spread(9), Placement::Pack(9)] {
        let error = placement.plan(&two_nodes(), false).unwrap_err();
        assert!(matches!(error, PlacementError::MoreThanCores { asked: 9, .. }), "{error}");
        assert_eq!(placement.plan(&two_nodes(), true).unwrap()[8], Some(0));
    }
}

#[test]
fn the_reason_names_what_was_gone_by() {
    let reason = |placement: Placement| {
        let allowed = two_nodes();
        placement.reason(&allowed, &taken(placement.clone(), &allowed))
    };
    assert_eq!(reason(Placement::PerCore), "one per core");
    assert_eq!(reason(Placement::PerPhysicalCore), "one per physical core");
    assert_eq!(reason(Placement::Count(2)), "the first ones");
    assert_eq!(reason(Placement::Spread(2)), "spread over 2 NUMA nodes");
    assert_eq!(reason(Placement::Pack(4)), "packed on 1 NUMA node");
    assert_eq!(reason(Placement::Cores(vec![5])), "as listed");
}
