use std::collections::BTreeMap;

use super::*;

#[test]
fn a_key_lives_to_its_deadline_and_not_longer() {
    let mut store = Store::new(1);
    store.set(b"a", b"1", Deadline::At(100));
    store.set_now(100);
    assert_eq!(store.get(b"a"), Some(&b"1"[..]));
    store.set_now(101);
    assert_eq!(store.keys().count(), 0);
    assert_eq!(store.len(), 1, "nobody looked at it yet");
    assert_eq!(store.get(b"a"), None);
    assert_eq!((store.len(), store.deadline_count(), store.expired_count()), (0, 0, 1));
}

#[test]
fn a_new_value_drops_the_deadline_unless_it_keeps_it() {
    let mut store = Store::new(1);
    store.set(b"a", b"1", Deadline::At(100));
    store.set(b"a", b"2", Deadline::Keep);
    assert_eq!(store.deadline_of(b"a"), Some(100));
    store.set(b"a", b"3", Deadline::Never);
    assert_eq!(store.deadline_of(b"a"), Some(Entry::NEVER));
    assert_eq!(store.deadline_count(), 0);
    assert!(store.expire_at(b"a", 50));
    assert!(!store.expire_at(b"b", 50));
    assert_eq!(store.deadline_count(), 1);
}

#[test]
fn a_sweep_is_bounded_and_takes_the_earliest_first() {
    let mut store = Store::new(1);
    for number in 0..1000i64 {
        store.set(format!("k{number}").as_bytes(), b"v", Deadline::At(1 + number));
    }
    store.set(b"stays", b"v", Deadline::Never);
    store.set_now(501);
    assert!(store.sweep(200));
    assert_eq!(store.len(), 801);
    assert_eq!(store.deadlines.first().map(|first| first.0), Some(201));
    assert!(store.sweep(200));
    assert!(!store.sweep(200), "the rest is not due");
    assert_eq!((store.len(), store.deadline_count(), store.expired_count()), (501, 500, 500));
}

#[test]
fn a_flushed_store_is_empty_at_once_and_its_memory_goes_in_steps() {
    let mut store = Store::new(1);
    for number in 0..1000 {
        store.set(format!("k{number}").as_bytes(), b"v", Deadline::At(10));
    }
    store.clear();
    assert_eq!((store.len(), store.deadline_count()), (0, 0));
    assert!(store.wants_sweep());
    store.set(b"k1", b"new", Deadline::Never);
    while store.sweep(100) {}
    assert!(!store.wants_sweep());
    assert_eq!(store.get(b"k1"), Some(&b"new"[..]));
}

#[test]
fn deadlines_follow_their_keys_when_others_go() {
    let mut state = 7u64;
    let mut dice = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % bound
    };
    let (mut store, mut model) = (Store::new(1), BTreeMap::<Vec<u8>, i64>::new());
    for now in 0..20_000i64 {
        store.set_now(now);
        model.retain(|_, deadline| *deadline >= now);
        let key = format!("k{}", dice(300)).into_bytes();
        match dice(6) {
            0 => assert_eq!(store.remove(&key).is_some(), model.remove(&key).is_some()),
            1 => {
                store.set(&key, b"v", Deadline::Never);
                model.insert(key, Entry::NEVER);
            }
            2 => {
                let deadline = now + dice(200) as i64;
                store.set(&key, b"v", Deadline::At(deadline));
                model.insert(key, deadline);
            }
            3 => {
                let deadline = now + dice(200) as i64;
                let held = model.get_mut(&key).map(|held| *held = deadline);
                assert_eq!(store.expire_at(&key, deadline), held.is_some());
            }
            4 => assert_eq!(store.deadline_of(&key), model.get(&key).copied()),
            _ => drop(store.sweep(3)),
        }
        assert!(store.deadline_count() <= store.len());
    }
    while store.sweep(100) {}
    assert_eq!(store.len(), model.len());
    let expiring = model.values().filter(|deadline| **deadline != Entry::NEVER).count();
    assert_eq!(store.deadline_count(), expiring);
}

#[test]
fn a_much_shorter_value_gives_the_memory_back() {
    let mut store = Store::new(1);
    store.set(b"a", &vec![b'x'; 1 << 20], Deadline::Never);
    store.set(b"a", b"x", Deadline::Never);
    assert!(store.get_mut(b"a").unwrap().capacity() < 1000);
}
