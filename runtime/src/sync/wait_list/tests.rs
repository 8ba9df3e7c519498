use std::sync::Arc;
use std::task::Wake;

use proptest::prelude::*;

use super::*;

struct Noop;

impl Wake for Noop {
    fn wake(self: Arc<Self>) {}
}

/// A waker that is unlike any other.
fn waker() -> Waker {
    Waker::from(Arc::new(Noop))
}

/// The same, and what its copies share.
fn counted_waker() -> (Waker, Arc<Noop>) {
    let shared = Arc::new(Noop);
    (Waker::from(Arc::clone(&shared)), shared)
}

/// One who waits is polled again.
fn again(list: &mut WaitList, key: Key, waker: &Waker) -> Standing {
    let cell = RefCell::new(std::mem::replace(list, WaitList::new(WaitKind::Lock)));
    let standing = renew(&cell, |list| list, key, waker);
    *list = cell.into_inner();
    standing
}

fn first(list: &mut WaitList) -> Option<Key> {
    list.take_first().map(|(key, _)| key)
}

/// Scopes from 100 on are dead in these tests.
fn join_dead(list: &mut WaitList) -> Key {
    cancel::install_judge(Some(|scope| scope.number() >= 100));
    let before = cancel::enter(Scope::new(100));
    let key = list.join(waker());
    cancel::enter(before);
    key
}

#[test]
fn g6_waiters_are_taken_in_the_order_of_joining() {
    let mut list = WaitList::new(WaitKind::Lock);
    let keys = [(); 3].map(|()| list.join(waker()));
    assert_eq!(list.len(), 3);
    assert_eq!(
        [(); 4].map(|()| first(&mut list)),
        [Some(keys[0]), Some(keys[1]), Some(keys[2]), None]
    );
    assert_eq!(list.len(), 0);
}

#[test]
fn who_left_is_not_taken_and_who_was_taken_cannot_leave() {
    let mut list = WaitList::new(WaitKind::Lock);
    let [a, b, c] = [(); 3].map(|()| list.join(waker()));
    assert!(list.leave(b).is_some());
    assert_eq!(first(&mut list), Some(a));
    assert!(list.leave(a).is_none(), "a was woken");
    assert_eq!(first(&mut list), Some(c));
    assert!(list.leave(c).is_none(), "c was woken");
}

#[test]
fn a_poll_with_another_waker_replaces_the_old_one_and_drops_it() {
    let mut list = WaitList::new(WaitKind::Lock);
    let (old, copies) = counted_waker();
    let new = waker();
    let key = list.join(old.clone());
    assert_eq!(again(&mut list, key, &old), Standing::Waiting);
    assert_eq!(Arc::strong_count(&copies), 3, "ours, the test's and the list's");
    assert_eq!(again(&mut list, key, &new), Standing::Waiting);
    assert_eq!(Arc::strong_count(&copies), 2);
    let (_, taken) = list.take_first().expect("it is in line");
    assert!(taken.will_wake(&new));
    assert_eq!(again(&mut list, key, &new), Standing::Woken);
}

#[test]
fn g21_a_poll_in_another_scope_counts_from_then_on() {
    let mut list = WaitList::new(WaitKind::Lock);
    let key = join_dead(&mut list);
    again(&mut list, key, &waker());
    assert_eq!(first(&mut list), Some(key), "the scope of the last poll is alive");
}

#[test]
fn g21_the_dead_are_passed_over_and_their_leaving_is_not_that_of_the_woken() {
    let mut list = WaitList::new(WaitKind::Lock);
    let dead = join_dead(&mut list);
    let live = list.join(waker());
    assert_eq!(first(&mut list), Some(live));
    assert_eq!(first(&mut list), None);
    assert_eq!(list.len(), 1);
    assert!(list.leave(dead).is_some(), "it was never woken");
    assert!(list.leave(live).is_none(), "it was");
    assert!(list.first.is_none() && list.rest.is_empty());
}

#[test]
fn g21_the_dead_are_looked_at_once() {
    let mut list = WaitList::new(WaitKind::Lock);
    let dead = [(); 5].map(|()| join_dead(&mut list));
    assert_eq!(first(&mut list), None);
    assert_eq!(list.passed, list.next_key);
    let live = list.join(waker());
    assert_eq!(first(&mut list), Some(live));
    for key in dead {
        assert!(list.leave(key).is_some());
    }
}

#[test]
fn who_was_passed_over_and_is_polled_again_begins_anew() {
    let mut list = WaitList::new(WaitKind::Lock);
    let key = join_dead(&mut list);
    assert_eq!(first(&mut list), None);
    assert_eq!(again(&mut list, key, &waker()), Standing::PassedOver);
    assert!(list.len() == 0 && list.first.is_none() && list.rest.is_empty());
}

#[test]
fn waking_all_wakes_those_who_were_there_and_nobody_who_joins_meanwhile() {
    let cell = RefCell::new(WaitList::new(WaitKind::Lock));
    let before = [(); 3].map(|()| cell.borrow_mut().join(waker()));
    // The line is asked for once more per waiter: each time somebody joins.
    wake_all(&cell, |list| {
        list.join(waker());
        list
    });
    let mut list = cell.into_inner();
    assert!(before.iter().all(|key| list.leave(*key).is_none()));
    assert_eq!(
        list.len(),
        5,
        "who joined as the end was being noted is woken, the five after are not"
    );
}

#[test]
fn q22_a_million_waits_that_are_given_up_leave_no_memory_behind() {
    // With somebody who waits for ever in front, at the end, on both sides or on none.
    for (front, back, count) in [
        (true, true, 1_000_000),
        (true, false, 30_000),
        (false, true, 30_000),
        (false, false, 30_000),
    ] {
        let mut list = WaitList::new(WaitKind::Lock);
        // Two, because the first one of all has a place of its own.
        let lasting = if front { 2 } else { 0 };
        for _ in 0..lasting {
            list.join(waker());
        }
        let waker = waker();
        let keys: Vec<_> = (0..count).map(|_| list.join(waker.clone())).collect();
        if back {
            list.join(waker.clone());
        }
        for key in keys {
            assert!(list.leave(key).is_some());
        }
        assert_eq!(list.len(), lasting + usize::from(back));
        assert!(list.rest.capacity() <= 2 * KEPT, "{} kept", list.rest.capacity());
    }
}

#[test]
fn q22_waits_given_up_one_by_one_behind_a_lasting_one_do_not_pile_up() {
    let mut list = WaitList::new(WaitKind::Lock);
    list.join(waker());
    list.join(waker());
    let mut last = list.join(waker());
    let waker = waker();
    for _ in 0..100_000 {
        let next = list.join(waker.clone());
        assert!(list.leave(last).is_some());
        last = next;
        assert!(list.rest.len() <= KEPT + 1);
    }
    assert_eq!(list.len(), 3);
    assert!(list.rest.capacity() <= 2 * KEPT);
}

#[test]
fn a_lone_waiter_costs_no_allocation() {
    let mut list = WaitList::new(WaitKind::Lock);
    for _ in 0..3 {
        let key = list.join(waker());
        assert_eq!(first(&mut list), Some(key));
        let key = list.join(waker());
        assert!(list.leave(key).is_some());
    }
    assert_eq!(list.rest.capacity(), 0);
}

#[test]
fn waiting_costs_no_allocation_once_warm() {
    let mut list = WaitList::new(WaitKind::Lock);
    let waker = waker();
    let mut capacity = 0;
    for round in 0..1_000 {
        for _ in 0..KEPT {
            list.join(waker.clone());
        }
        while list.take_first().is_some() {}
        if round > 0 {
            assert_eq!(list.rest.capacity(), capacity);
        }
        capacity = list.rest.capacity();
    }
}

#[derive(Clone, Debug)]
enum Op {
    Join,
    JoinDead,
    Take,
    Leave(usize),
    Renew(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Join),
        1 => Just(Op::JoinDead),
        2 => Just(Op::Take),
        3 => any::<usize>().prop_map(Op::Leave),
        1 => any::<usize>().prop_map(Op::Renew),
    ]
}

/// Somebody who once joined; what the list must know about them.
struct Someone {
    key: Key,
    dead: bool,
    in_line: bool,
    passed: bool,
}

proptest! {
    #[test]
    fn a_wait_list_behaves_as_a_plain_line(ops in proptest::collection::vec(op(), 1..300)) {
        let mut list = WaitList::new(WaitKind::Lock);
        let mut all: Vec<Someone> = Vec::new();
        for op in ops {
            match op {
                Op::Join | Op::JoinDead => {
                    let dead = matches!(op, Op::JoinDead);
                    let key = if dead { join_dead(&mut list) } else { list.join(waker()) };
                    prop_assert!(all.last().is_none_or(|last| last.key < key));
                    all.push(Someone { key, dead, in_line: true, passed: false });
                }
                Op::Take => {
                    let live = |one: &Someone| one.in_line && !one.passed && !one.dead;
                    let expected = all.iter().position(live);
                    let end = expected.unwrap_or(all.len());
                    all[..end].iter_mut().for_each(|one| one.passed = true);
                    if let Some(index) = expected {
                        all[index].in_line = false;
                    }
                    prop_assert_eq!(first(&mut list), expected.map(|index| all[index].key));
                }
                Op::Leave(pick) if !all.is_empty() => {
                    let pick = pick % all.len();
                    let one = &mut all[pick];
                    prop_assert_eq!(list.leave(one.key).is_some(), one.in_line);
                    one.in_line = false;
                }
                Op::Renew(pick) if !all.is_empty() => {
                    let pick = pick % all.len();
                    let one = &mut all[pick];
                    let waits = one.in_line && !one.passed;
                    let standing = again(&mut list, one.key, &waker());
                    prop_assert_eq!(standing == Standing::Waiting, waits);
                    one.in_line = waits;
                    one.dead = false;
                }
                Op::Leave(_) | Op::Renew(_) => {}
            }
            let in_line = all.iter().filter(|one| one.in_line).count();
            prop_assert_eq!(list.len(), in_line);
            prop_assert!(list.rest.len() <= KEPT + 2 * in_line);
        }
    }
}
