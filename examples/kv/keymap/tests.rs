use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A small generator of numbers: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Every entry is in the chain of its hash, once, and no chain holds anything else.
fn check(map: &KeyMap) {
    let mut seen = BTreeSet::new();
    for bucket in 0..map.heads.len() {
        let mut place = *map.heads.at(bucket);
        while place != NIL {
            let entry = map.entry(Place(place));
            assert_eq!(bucket_of(entry.hash, map.heads.len()), bucket);
            assert!(seen.insert(place), "an entry is in two chains");
            place = entry.next;
        }
    }
    assert_eq!(seen.len(), map.len());
}

fn scan_all(map: &KeyMap) -> Vec<Vec<u8>> {
    let (mut keys, mut cursor) = (Vec::new(), Some(0));
    while let Some(from) = cursor {
        cursor = map.scan(from, |entry| keys.push(entry.key().to_vec()));
    }
    keys
}

#[test]
fn it_holds_what_a_plain_map_holds() {
    for seed in 1..=5 {
        let (mut dice, mut map, mut model) = (Dice(seed), KeyMap::new(seed), BTreeMap::new());
        for step in 0..20_000 {
            // The first half grows, the second shrinks.
            let removes = if step < 10_000 { 3 } else { 7 };
            let key = key(dice.below(4000));
            match map.find(&key) {
                Some(place) if dice.below(10) < removes => {
                    let removed = map.remove(place);
                    assert_eq!(Some(removed.entry.value), model.remove(&key));
                }
                Some(place) => assert_eq!(Some(&map.entry(place).value), model.get(&key)),
                None => {
                    assert!(!model.contains_key(&key));
                    let value = step.to_string().into_bytes();
                    map.insert(&key, value.clone(), Entry::NEVER);
                    model.insert(key, value);
                }
            }
            if step % 1000 == 0 {
                check(&map);
            }
        }
        let held: BTreeMap<_, _> =
            map.iter().map(|entry| (entry.key().to_vec(), entry.value.clone())).collect();
        assert_eq!(held, model, "seed {seed}");
        check(&map);
    }
}

#[test]
fn a_scan_visits_each_key_once() {
    for count in [0, 1, 15, 16, 17, 31, 33, 1000, 5000] {
        let mut map = KeyMap::new(3);
        for number in 0..count {
            map.insert(&key(number), Vec::new(), Entry::NEVER);
        }
        let keys = scan_all(&map);
        assert_eq!(keys.len() as u64, count);
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>().len() as u64, count);
    }
}

#[test]
fn who_stays_through_a_scan_is_visited_once_while_the_map_grows_and_shrinks() {
    for seed in 1..=20 {
        let (mut dice, mut map) = (Dice(seed), KeyMap::new(seed));
        for number in 0..600 {
            map.insert(&key(number), Vec::new(), Entry::NEVER);
        }
        // Keys below 100 stay; the others come and go in long waves while the scan goes on.
        let (mut seen, mut cursor) = (Vec::new(), Some(0));
        let grows = seed % 2 == 0;
        while let Some(from) = cursor {
            cursor = map.scan(from, |entry| seen.push(entry.key().to_vec()));
            for _ in 0..dice.below(40) {
                let key = key(100 + dice.below(3000));
                match map.find(&key) {
                    Some(place) if !grows => drop(map.remove(place)),
                    None if grows => drop(map.insert(&key, Vec::new(), Entry::NEVER)),
                    _ => {}
                }
            }
        }
        let total = seen.len();
        let seen: BTreeSet<_> = seen.into_iter().collect();
        assert_eq!(seen.len(), total, "nobody is visited twice, seed {seed}");
        assert!((0..100).all(|number| seen.contains(&key(number))), "seed {seed}");
    }
}

#[test]
fn memory_of_removed_keys_comes_back() {
    let mut map = KeyMap::new(1);
    for number in 0..100_000 {
        map.insert(&key(number), Vec::new(), Entry::NEVER);
    }
    assert!(map.heads.len() >= 90_000);
    for number in 0..100_000 {
        let place = map.find(&key(number)).unwrap();
        map.remove(place);
    }
    assert_eq!(map.len(), 0);
    assert_eq!(map.heads.len(), FEWEST_BUCKETS);
    assert!(map.entries.segments.len() <= 2);
    assert!(map.heads.segments.len() <= 2);
}

#[test]
fn another_seed_gives_another_order() {
    let order = |seed| {
        let mut map = KeyMap::new(seed);
        for number in 0..100 {
            map.insert(&key(number), Vec::new(), Entry::NEVER);
        }
        scan_all(&map)
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
}
