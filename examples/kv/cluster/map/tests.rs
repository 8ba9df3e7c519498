use super::*;

fn node(host: &str, port: u16, shard: Option<usize>) -> Node {
    Node { id: node_id(host, usize::from(port)), host: host.into(), port, shard }
}

/// A map with two shards of this process and one of another.
fn map(version: u64, slots: [&[RangeInclusive<usize>]; 3]) -> Result<ClusterMap, String> {
    let nodes = [node("a", 1, Some(0)), node("a", 2, Some(1)), node("b", 1, None)];
    let slots = slots.map(<[_]>::to_vec);
    ClusterMap::new(version, nodes.into_iter().zip(slots).collect())
}

#[test]
fn each_slot_has_one_owner_or_the_map_is_refused() {
    let map = |slots| map(1, slots).map(|_| ()).unwrap_err();
    assert_eq!(map([&[0..=9], &[9..=99], &[100..=16_383]]), "slot 9 is given to a:1 and to a:2");
    assert_eq!(map([&[0..=9, 5..=5], &[], &[]]), "slot 5 is given to a:1 and to a:1");
    assert_eq!(map([&[0..=9], &[], &[11..=16_383]]), "nobody has 10");
    assert_eq!(map([&[0..=9], &[20..=20], &[30..=16_383]]), "nobody has 10-19");
    assert_eq!(map([&[0..=9], &[], &[10..=16_382]]), "nobody has 16383");
    assert_eq!(
        map([&[0..=9], &[], &[10..=16_384]]),
        "there is no slot 16384: they go from 0 to 16383"
    );
}

#[test]
fn an_address_and_an_id_belong_to_one_node() {
    let twice = |other: Node| {
        let nodes = vec![(node("a", 1, Some(0)), vec![0..=16_383]), (other, vec![])];
        ClusterMap::new(1, nodes).unwrap_err()
    };
    assert_eq!(twice(Node { id: "x".into(), ..node("a", 1, None) }), "a:1 occurs twice");
    let same_id = Node { id: node("a", 1, None).id, ..node("b", 1, None) };
    assert!(twice(same_id).starts_with("b:1 has the id of another shard: "));
}

#[test]
fn runs_are_as_long_as_they_can_be() {
    let map = map(1, [&[5..=9, 0..=4], &[20..=16_383], &[10..=10, 11..=19]]).unwrap();
    let runs: Vec<_> =
        map.runs().map(|run| format!("{} {}", Slotted(&run.slots), run.node)).collect();
    assert_eq!(runs, ["0-9 a:1", "10-19 b:1", "20-16383 a:2"]);
}

#[test]
fn shards_alone_have_the_slots_that_they_have_without_a_cluster() {
    for shard_count in [1, 2, 3, 7] {
        let ports: Vec<u16> = (1..=shard_count as u16).collect();
        let map = ClusterMap::even("127.0.0.1", &ports);
        assert!(map.is_whole);
        for slot in 0..SLOT_COUNT {
            assert_eq!(map.shard_of(slot), Some(even_shard(slot, shard_count)));
        }
    }
}

#[test]
fn ids_are_forty_digits_and_the_same_whenever_they_are_asked_for() {
    assert_eq!(node_id("a", 0), "b5ff9c978e3c64bf6f1015d470ee09c1c5f69c85");
    let ids: BTreeSet<String> = (0..1000).map(|shard| node_id("a", shard)).collect();
    assert_eq!(ids.len(), 1000);
    let starts: BTreeSet<&str> = ids.iter().map(|id| &id[..8]).collect();
    assert!(starts.len() > 990, "people tell nodes apart by the first digits");
    assert!(ids.iter().all(|id| id.len() == 40));
}

/// Small steps of a fixed sequence: xorshift.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// Slots in runs, each given to one of three nodes by chance.
    fn map(&mut self, version: u64) -> ClusterMap {
        let mut slots: [Vec<RangeInclusive<usize>>; 3] = Default::default();
        let mut start = 0;
        while start < SLOT_COUNT {
            let end = (start + self.below(2000)).min(SLOT_COUNT - 1);
            slots[self.below(3)].push(start..=end);
            start = end + 1;
        }
        map(version, slots.each_ref().map(Vec::as_slice)).unwrap()
    }
}

#[test]
fn while_a_map_changes_no_slot_is_served_by_two_shards() {
    let mut numbers = Numbers(41);
    for _ in 0..50 {
        let (old, new) = (numbers.map(1), numbers.map(3));
        let between = old.between(&new).unwrap();
        assert_eq!(between.version(), 2);
        // Each shard has the old map or the one between, and later the one between or the new one.
        for pair in [[&old, &between], [&between, &new]] {
            for slot in 0..SLOT_COUNT {
                for [first, second] in [[pair[0], pair[1]], [pair[1], pair[0]]] {
                    let servers =
                        [first.shard_of(slot) == Some(0), second.shard_of(slot) == Some(1)];
                    assert_ne!(servers, [true, true], "slot {slot}");
                }
            }
        }
        for slot in 0..SLOT_COUNT {
            // Who keeps a slot serves it all the time.
            if old.shard_of(slot) == new.shard_of(slot) {
                assert_eq!(between.owner(slot), new.owner(slot));
            }
        }
    }
}

#[test]
fn the_shards_of_a_process_stay_what_they_are() {
    let old = ClusterMap::even("a", &[1, 2]);
    let error = old.between(&ClusterMap::even("a", &[1, 3])).unwrap_err();
    assert!(error.contains("cannot change while it runs: they are a:1"), "{error}");
    assert!(error.contains("not a:1") && error.contains("a:3"), "{error}");
    assert!(old.between(&ClusterMap::even("a", &[1])).is_err());
}
