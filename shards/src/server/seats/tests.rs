use super::*;

/// Seats with these limits, and so many connections on each.
fn seats(limits: &[usize], open: &[usize]) -> Seats {
    let seats = Seats::new(limits.len());
    for (index, (&limit, &count)) in limits.iter().zip(open).enumerate() {
        assert!(!seats.set_limit(ShardId::at(index), limit));
        (0..count).for_each(|_| _ = seats.opened(ShardId::at(index)));
    }
    seats
}

/// Whom the next connections go to.
fn dealt(seats: &Seats, accept: Accept, count: usize) -> Vec<usize> {
    let mut last = seats.seats.len() - 1;
    let mut next = || {
        last = seats.choose(accept, last).expect("somebody serves").index();
        last
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn in_turn_is_in_turn_whatever_each_has() {
    assert_eq!(dealt(&seats(&[9, 9, 9], &[5, 0, 0]), Accept::InTurn, 5), [0, 1, 2, 0, 1]);
}

#[test]
fn in_turn_passes_over_who_is_full_or_does_not_serve() {
    assert_eq!(dealt(&seats(&[9, 0, 1], &[0, 0, 1]), Accept::InTurn, 3), [0, 0, 0]);
}

#[test]
fn the_least_loaded_gets_the_next_and_equals_take_turns() {
    assert_eq!(dealt(&seats(&[9, 9, 9], &[2, 0, 1]), Accept::LeastLoaded, 6), [1, 2, 1, 2, 0, 1]);
}

#[test]
fn the_least_loaded_is_sought_among_those_with_room() {
    assert_eq!(dealt(&seats(&[1, 9], &[1, 5]), Accept::LeastLoaded, 2), [1, 1]);
}

#[test]
fn when_all_are_full_the_one_with_the_fewest_gets_what_has_come_already() {
    assert_eq!(dealt(&seats(&[2, 1, 0], &[2, 1, 0]), Accept::InTurn, 1), [1]);
    assert_eq!(seats(&[0, 0], &[0, 0]).choose(Accept::InTurn, 0), None);
}

#[test]
fn whoever_makes_room_rings_once_and_only_if_the_acceptor_has_stopped() {
    let seats = seats(&[1, 1], &[1, 1]);
    assert!(!seats.ended(ShardId::at(0)), "nobody waits");
    assert!(!seats.is_full());
    seats.opened(ShardId::at(0));
    assert!(seats.is_full());
    assert!(seats.ended(ShardId::at(1)));
    assert!(!seats.ended(ShardId::at(0)), "it has been rung");
}

#[test]
fn a_shard_that_begins_to_serve_makes_room() {
    let seats = seats(&[1, 0], &[1, 0]);
    assert!(seats.is_full());
    assert!(seats.set_limit(ShardId::at(1), 1));
    assert!(!seats.is_full());
}

#[test]
fn the_balance_is_that_of_the_shards_that_serve() {
    let seats = seats(&[9, 0, 9], &[3, 0, 1]);
    assert_eq!(seats.balance().shares(), [3.0, 1.0]);
    assert_eq!(seats.accepted_elsewhere(ShardId::at(0)), 1);
}
