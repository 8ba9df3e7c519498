use corelane::lowlevel::{DriverKind, EventLoop, LoopConfig};
use crossbeam_channel::unbounded;

use super::*;
use crate::cores::AllowedCores;
use crate::placement::Placement;
use crate::report::StartReport;

const SHARD_COUNT: usize = 4;

/// The loops of so many shards, and the way to them.
fn loops() -> (Vec<EventLoop>, ShardsHandle) {
    let event_loop = |_| EventLoop::new(&LoopConfig::default()).expect("there are descriptors");
    let loops: Vec<_> = (0..SHARD_COUNT).map(event_loop).collect();
    let doors: Vec<_> = loops.iter().map(|made| (made.remote(), made.pulse())).collect();
    let report = StartReport {
        placement: Placement::Unpinned(SHARD_COUNT),
        allowed: AllowedCores::fixed(&[0]),
        shards: Vec::new(),
        driver: DriverKind::default(),
    };
    (loops, ShardsHandle::new(&doors, 1, Arc::new(report), unbounded().0))
}

#[test]
fn a_door_that_comes_to_a_shard_too_late_goes_on_to_the_next() {
    let (mut loops, shards) = loops();
    let [first, second, third, last] = [0, 1, 2, 3].map(ShardId::at);
    let addr = "127.0.0.1:0".parse().expect("it is an address");
    let group = Arc::new(Group::new(&[addr], SHARD_COUNT).expect("there is a port"));
    for id in [first, second, third, last] {
        group.join_dealt(Accept::InTurn, id, |_| Ok(())).expect("all serve in one way");
    }
    let spare = Spare { limits: Server::builder(), accept: Accept::InTurn, listeners: Vec::new() };
    // The second one ends in the moment in which it is chosen, and refuses.
    loops[1].close();
    let passed = Arc::clone(&group);
    Passed { group: passed, spare: Some(spare), lost: vec![first], shards }.send();
    assert_eq!(group.acceptor(), Some(third));
    assert!(loops[2].has_work() && !loops[3].has_work());
    // The third one ends before it has looked.
    loops[2].close();
    assert_eq!(group.acceptor(), Some(last));
    assert!(loops[3].has_work());
    // And that was the last.
    loops[3].close();
    assert_eq!(group.acceptor(), None);
}
