use super::*;
use crate::cores::AllowedCores;

/// Two nodes of two cores with two threads each, first threads first.
fn machine() -> AllowedCores {
    AllowedCores::seated(&[
        (0, 0, 0),
        (1, 1, 0),
        (2, 2, 1),
        (3, 3, 1),
        (4, 0, 0),
        (5, 1, 0),
        (6, 2, 1),
        (7, 3, 1),
    ])
}

fn expected(listeners: &[(u32, u32)]) -> CpuSteering {
    let new = CpuSteering::new();
    listeners.iter().fold(new, |steering, &(cpu, listener)| steering.cpu(cpu, listener))
}

#[test]
fn a_cpu_with_a_shard_has_that_shard_and_its_sibling_the_same() {
    let steering = nearest(machine().topology(), &[Some(3), Some(1), Some(0), Some(2)]);
    let cpus = [(0, 2), (1, 1), (2, 3), (3, 0), (4, 2), (5, 1), (6, 3), (7, 0)];
    assert_eq!(steering, expected(&cpus));
}

#[test]
fn cpus_without_a_shard_share_those_of_their_node_and_far_ones_are_left_to_the_system() {
    let steering = nearest(machine().topology(), &[Some(0), Some(4)]);
    assert_eq!(steering, expected(&[(0, 0), (1, 0), (4, 1), (5, 1)]));
}

#[test]
fn shards_that_are_not_pinned_take_turns() {
    let steering = nearest(machine().topology(), &[None, None]);
    let cpus = [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0), (5, 1), (6, 0), (7, 1)];
    assert_eq!(steering, expected(&cpus));
}
