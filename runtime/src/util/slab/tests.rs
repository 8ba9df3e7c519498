use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn a_value_is_found_by_its_key_until_it_is_removed() {
    let mut slab = Slab::new();
    let a = slab.insert("a");
    let b = slab.insert("b");
    assert_eq!((slab.get(a), slab.get(b), slab.len()), (Some(&"a"), Some(&"b"), 2));
    *slab.get_mut(b).expect("b is there") = "B";
    assert_eq!(slab.remove(b), Some("B"));
    assert_eq!(slab.remove(b), None);
    assert_eq!((slab.get(b), slab.len()), (None, 1));
}

#[test]
fn a_stale_key_never_finds_the_next_tenant_of_its_slot() {
    let mut slab = Slab::new();
    let first = slab.insert(1);
    slab.remove(first);
    let second = slab.insert(2);
    assert_eq!(first.index(), second.index());
    assert_eq!(slab.get(first), None);
    assert_eq!(slab.get_mut(first), None);
    assert_eq!(slab.remove(first), None);
    assert_eq!(slab.get(second), Some(&2));
}

#[test]
fn slots_are_reused_last_freed_first() {
    let mut slab = Slab::new();
    let keys: Vec<_> = (0..4).map(|n| slab.insert(n)).collect();
    slab.remove(keys[1]);
    slab.remove(keys[3]);
    assert_eq!([slab.insert(10), slab.insert(11), slab.insert(12)].map(Key::index), [3, 1, 4]);
}

#[test]
fn a_slot_without_generations_left_is_retired() {
    let mut slab = Slab::new();
    let key = slab.insert('x');
    slab.remove(key);
    slab.slots[0].generation = u32::MAX;
    let last = slab.insert('y');
    assert_eq!((last.index(), slab.remove(last)), (0, Some('y')));
    assert_eq!(slab.insert('z').index(), 1);
    assert_eq!(slab.remove(last), None);
    assert_eq!(slab.get(last), None);
}

#[test]
fn a_value_may_know_its_own_key() {
    let mut slab = Slab::new();
    let gone = slab.insert(Key::from_bits(0));
    slab.remove(gone);
    let key = slab.insert_with(|key| key);
    assert_eq!(slab.get(key), Some(&key));
}

#[test]
fn a_panic_while_making_a_value_leaves_the_slab_as_it_was() {
    let mut slab = Slab::new();
    for _ in 0..2 {
        let before = slab.len();
        let make = || slab.insert_with(|_| panic!("planted"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).is_err());
        assert_eq!(slab.len(), before);
        // The second round meets a slot on the free list.
        let key = slab.insert(0);
        slab.remove(key);
    }
    assert_eq!(slab.insert(5).index(), 0);
}

proptest! {
    #[test]
    fn a_slab_behaves_as_a_map(
        ops in proptest::collection::vec((any::<bool>(), 0..64_usize), 1..400),
    ) {
        let mut slab = Slab::new();
        let mut model = BTreeMap::new();
        let mut all = Vec::new();
        for (number, (insert, pick)) in ops.into_iter().enumerate() {
            if insert || all.is_empty() {
                let key = slab.insert(number);
                prop_assert_eq!(Key::from_bits(key.to_bits()), key);
                prop_assert!(model.insert(key, number).is_none(), "a key is never given twice");
                all.push(key);
            } else {
                let key = all[pick % all.len()];
                prop_assert_eq!(slab.remove(key), model.remove(&key));
            }
            prop_assert_eq!((slab.len(), slab.is_empty()), (model.len(), model.is_empty()));
            // Generations order after slots, so the map iterates in slot order as well.
            prop_assert!(slab.iter().eq(model.iter().map(|(key, value)| (*key, value))));
            for key in &all {
                prop_assert_eq!(slab.get(*key), model.get(key));
            }
        }
    }
}
