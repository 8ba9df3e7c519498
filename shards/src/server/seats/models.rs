//! Loom models: the acceptor that finds no room never misses that there is some again.

use std::sync::Arc;

use ::loom::thread;

use super::*;

#[test]
fn loom_room_that_is_made_while_the_acceptor_stops_is_seen_or_rung_for() {
    ::loom::model(|| {
        let seats = Arc::new(Seats::new(1));
        let id = ShardId::at(0);
        assert!(!seats.set_limit(id, 1));
        assert_eq!(seats.choose(Accept::LeastLoaded, 0), Some(id));
        let theirs = Arc::clone(&seats);
        let ending = thread::spawn(move || theirs.ended(id));
        let stops = seats.is_full();
        let rung = ending.join().unwrap();
        assert!(!stops || rung, "it would stop for ever");
        // Nobody rings for nothing the next time.
        assert!(!seats.is_full());
    });
}

#[test]
fn loom_of_two_that_make_room_one_rings() {
    ::loom::model(|| {
        let seats = Arc::new(Seats::new(2));
        for index in 0..2 {
            assert!(!seats.set_limit(ShardId::at(index), 1));
            assert!(seats.choose(Accept::InTurn, index + 1).is_some());
        }
        let ending = [0, 1].map(|index| {
            let theirs = Arc::clone(&seats);
            thread::spawn(move || theirs.ended(ShardId::at(index)))
        });
        let stops = seats.is_full();
        let rings = ending.map(|ending| ending.join().unwrap());
        assert!(!stops || rings.contains(&true), "it would stop for ever");
        assert_ne!(rings, [true, true], "one ring is enough");
    });
}
