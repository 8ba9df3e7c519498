use proptest::prelude::*;

use super::*;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn waker() -> Waker {
    Waker::noop().clone()
}

#[test]
fn g7_equal_deadlines_come_in_the_order_of_creation() {
    let mut timers = Timers::default();
    let keys: Vec<_> = (0..100).map(|index| timers.insert(at(index % 3), waker())).collect();
    let mut fired = Vec::new();
    while let Some(slot) = timers.pop_due(at(10)) {
        fired.push(slot);
    }
    let mut expected: Vec<_> = (0..100_u32).collect();
    expected.sort_by_key(|index| (index % 3, *index));
    assert_eq!(fired, expected);
    assert!(keys.iter().all(|key| timers.look(*key, Waker::noop()) != Look::Fired));
}

#[test]
fn a_timer_cancelled_between_due_and_its_turn_wakes_nobody_and_keeps_its_slot_until_then() {
    let mut timers = Timers::default();
    let key = timers.insert(at(1), waker());
    let slot = timers.pop_due(at(1)).unwrap();
    assert!(timers.cancel(key).is_some());
    let next = timers.insert(at(5), waker());
    assert_ne!(next.slot, slot, "its entry is still queued");
    assert!(timers.fire(slot).is_none());
    assert_eq!(timers.insert(at(6), waker()).slot, slot);
    assert!(timers.cancel(key).is_none(), "a stale key finds nothing");
}

#[test]
fn time_outs_that_never_fire_leave_no_more_than_the_borne_and_as_many_as_there_are_timers() {
    let mut timers = Timers::default();
    let kept: Vec<_> = (0..100).map(|index| timers.insert(at(1_000 + index), waker())).collect();
    for round in 0..10_000 {
        let key = timers.insert(at(2_000 + round), waker());
        assert!(timers.cancel(key).is_some());
        assert!(timers.heap.len() <= 2 * kept.len() + STALE_BORNE, "{}", timers.heap.len());
        assert!(timers.slots.len() <= kept.len() + 1);
    }
    kept.into_iter().for_each(|key| drop(timers.cancel(key)));
    assert!(timers.heap.len() <= STALE_BORNE);
    assert_eq!(timers.next(), None);
}

#[test]
fn a_time_out_after_the_other_costs_one_node_and_is_on_time() {
    let mut timers = Timers::default();
    let other = timers.insert(at(5_500), waker());
    let mut last = timers.insert(at(1_000), waker());
    for round in 1..=9 {
        assert!(timers.cancel(last).is_some());
        last = timers.insert(at(1_000 + 500 * round), waker());
        assert_eq!((timers.heap.len(), timers.stale), (2, 0));
    }
    // Its node is where the first one was due, and nothing fires there. Who sleeps does not have it moved.
    assert_eq!(timers.next_look(), Some(at(1_000)));
    assert_eq!(timers.next_look(), Some(at(1_000)));
    assert_eq!(timers.pop_due(at(5_499)), None);
    assert_eq!(timers.next(), Some(at(5_500)));
    // Created later, it fires later.
    let fired = [timers.pop_due(at(5_500)).unwrap(), timers.pop_due(at(5_500)).unwrap()];
    assert_eq!(fired, [other.slot, last.slot]);
    assert_eq!(timers.pop_due(at(9_999)), None);
}

#[test]
fn one_that_is_due_earlier_takes_no_node_over() {
    let mut timers = Timers::default();
    let late = timers.insert(at(1_000), waker());
    assert!(timers.cancel(late).is_some());
    let soon = timers.insert(at(10), waker());
    assert_eq!(timers.next(), Some(at(10)));
    assert_eq!(timers.pop_due(at(10)), Some(soon.slot));
    assert!(timers.fire(soon.slot).is_some());
    assert_eq!(timers.next(), None);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u64),
    Cancel(usize),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..50_u64).prop_map(Step::Insert),
        3 => (0..5_000_u64).prop_map(Step::Insert),
        5 => any::<usize>().prop_map(Step::Cancel),
        1 => (0..20_u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..600)
}

proptest! {
    #[test]
    fn timers_agree_with_a_sorted_list(steps in steps()) {
        let mut timers = Timers::default();
        let mut model: Vec<(u64, u64, TimerKey)> = Vec::new();
        let (mut now, mut number) = (0, 0);
        for step in steps {
            match step {
                Step::Insert(after) => {
                    number += 1;
                    let key = timers.insert(at(now + after), waker());
                    model.push((now + after, number, key));
                }
                Step::Cancel(index) if !model.is_empty() => {
                    let (_, _, key) = model.remove(index % model.len());
                    prop_assert!(timers.cancel(key).is_some());
                }
                Step::Cancel(_) => {}
                Step::Advance(by) => {
                    now += by;
                    model.sort_unstable_by_key(|(deadline, number, _)| (*deadline, *number));
                    while let Some(slot) = timers.pop_due(at(now)) {
                        let (deadline, _, key) = model.remove(0);
                        prop_assert_eq!(key.slot, slot);
                        prop_assert!(deadline <= now);
                        prop_assert!(timers.fire(slot).is_some());
                    }
                }
            }
            prop_assert_eq!(timers.len(), model.len());
            let first = model.iter().map(|(at, ..)| *at).min();
            prop_assert_eq!(timers.next(), first.map(at));
            if let Some(first) = first {
                let near = model.iter().map(|(at, ..)| *at).filter(|at| *at <= first + 20);
                // All that are near lie in the levels that are searched, if they are no more than those, and
                // those above them that were cancelled or are due later.
                let late = timers.heap.iter().filter(|node| !timers.is_exact(node)).count();
                if near.clone().count() + late <= LEVELS_SEARCHED as usize + 1 {
                    prop_assert_eq!(timers.last_until(at(first + 20)), at(near.max().unwrap()));
                } else {
                    let found = timers.last_until(at(first + 20));
                    prop_assert!(near.map(at).any(|deadline| deadline == found));
                }
            }
        }
    }
}
