use super::super::support::{Hooked, Said, Waiting, Yard, at_once};
use super::*;

fn waits<T>(condition: &Condition<T>) -> Waiting<ConditionWait<'_, T>> {
    Waiting::new(condition.wait(at_once(condition.lock())))
}

fn notify<T>(condition: &Condition<T>, count: usize) {
    condition.notify(&at_once(condition.lock()), count);
}

#[test]
fn l25_a_guard_of_another_lock_is_refused() {
    let (condition, other) = (Condition::new(()), Lock::new(()));
    for call in [
        |condition: &Condition, other| condition.notify(&other, 1),
        |condition: &Condition, other| condition.notify_all(&other),
        |condition: &Condition, other| drop(condition.wait(other)),
    ] {
        let call = std::panic::AssertUnwindSafe(|| call(&condition, at_once(other.acquire())));
        assert!(std::panic::catch_unwind(call).is_err());
    }
    let own = condition.clone();
    drop(at_once(condition.lock_handle().acquire()));
    own.notify(&at_once(condition.lock()), 1);
}

#[test]
fn l26_a_wait_releases_waits_and_holds_the_lock_again() {
    let condition = Condition::new(1);
    let waiting = waits(&condition);
    assert!(!condition.locked() && !waiting.woken());
    let mut guard = at_once(condition.lock());
    *guard = 2;
    condition.notify(&guard, 1);
    drop(guard);
    assert!(waiting.woken());
    let guard = waiting.ready();
    assert!(condition.locked() && *guard == 2);
    drop(guard);
    assert!(!condition.locked());
}

#[test]
fn l26_a_notified_waiter_gets_the_lock_in_line_with_all_others() {
    let condition = Condition::new(());
    let mut notified = waits(&condition);
    let guard = at_once(condition.lock());
    condition.notify(&guard, 1);
    let other = Waiting::new(condition.lock());
    assert!(notified.poll().is_pending(), "it queues for the lock, behind the other one");
    drop(guard);
    assert_eq!((other.wakes(), notified.wakes()), (1, 1));
    drop(other.ready());
    assert_eq!(notified.wakes(), 2);
    drop(notified.ready());
}

#[test]
fn l27_a_notification_of_a_waiter_that_is_dropped_goes_to_the_next() {
    let condition = Condition::new(());
    let [a, b, c] = [(); 3].map(|()| waits(&condition));
    notify(&condition, 1);
    assert!(a.woken());
    drop(b);
    drop(a);
    assert!(c.woken(), "b was not notified and passes nothing on, a does");
    drop(c.ready());
    assert!(!condition.locked());
}

#[test]
fn l27_a_notification_is_passed_on_also_from_the_lock_s_line() {
    let condition = Condition::new(());
    let [mut a, b] = [(); 2].map(|()| waits(&condition));
    let guard = at_once(condition.lock());
    condition.notify(&guard, 1);
    assert!(a.poll().is_pending());
    a.cancel();
    drop(a);
    assert!(b.woken());
    drop(guard);
    drop(b.ready());
    assert!(!condition.locked());
}

#[test]
fn l27_a_lock_handed_to_a_notified_waiter_that_is_dropped_is_not_lost() {
    let condition = Condition::new(());
    let [mut a, b] = [(); 2].map(|()| waits(&condition));
    let guard = at_once(condition.lock());
    condition.notify(&guard, 1);
    assert!(a.poll().is_pending());
    let newcomer = Waiting::new(condition.lock());
    drop(guard);
    drop(a);
    drop(newcomer.ready());
    drop(b.ready());
    assert!(!condition.locked());
}

#[test]
fn l28_notify_wakes_the_longest_waiting_that_are_not_yet_notified() {
    let condition = Condition::new(());
    let waiting = [(); 5].map(|()| waits(&condition));
    let wakes = || waiting.each_ref().map(Waiting::wakes);
    notify(&condition, 0);
    assert_eq!(wakes(), [0, 0, 0, 0, 0]);
    notify(&condition, 1);
    assert_eq!(wakes(), [1, 0, 0, 0, 0]);
    waiting[1].cancel();
    notify(&condition, 2);
    assert_eq!(wakes(), [1, 0, 1, 1, 0], "the cancelled does not count");
    notify(&condition, 7);
    assert_eq!(wakes(), [1, 0, 1, 1, 1]);
}

#[test]
fn l28_notify_all_wakes_everybody_and_nothing_is_remembered() {
    let condition = Condition::new(());
    condition.notify_all(&at_once(condition.lock()));
    notify(&condition, 3);
    let [a, b] = [(); 2].map(|()| waits(&condition));
    assert!(!a.woken() && !b.woken());
    condition.notify_all(&at_once(condition.lock()));
    drop(a.ready());
    drop(b.ready());
    let late = waits(&condition);
    assert!(!late.woken());
}

#[test]
fn l29_wait_for_asks_with_the_lock_held_and_again_after_each_notification() {
    let condition = Condition::new(0);
    let asked = condition.clone();
    let mut guard = at_once(condition.wait_for(at_once(condition.lock()), |count| {
        assert!(asked.locked());
        *count == 0
    }));
    *guard = 1;
    let find = |count: &mut i32| (*count == 3).then_some("three");
    let mut waiting = Waiting::new(condition.wait_for_some(guard, find));
    for count in [2, 3] {
        assert!(waiting.poll().is_pending());
        *at_once(condition.lock()) = count;
        notify(&condition, 1);
    }
    let (guard, found) = waiting.ready();
    assert_eq!((*guard, found), (3, "three"));
}

#[test]
fn l30_conditions_that_share_a_lock_have_their_own_waiters() {
    let lock = Lock::new(());
    let [first, second] = [(); 2].map(|()| Condition::with_lock(lock.clone()));
    let [one, two] = [&first, &second].map(waits);
    second.notify_all(&at_once(lock.acquire()));
    assert!(!one.woken() && two.woken());
    drop(two.ready());
    first.notify_all(&at_once(second.lock()));
    drop(one.ready());
}

#[test]
fn l31_a_notified_waiter_goes_on_only_after_the_notifier_has_released() {
    let condition = Condition::new(());
    let said = Said::default();
    let mut yard = Yard::new();
    for name in ["a", "b"] {
        let (condition, said) = (condition.clone(), said.clone());
        yard.spawn(async move {
            let guard = condition.lock().await;
            let _guard = condition.wait(guard).await;
            said.say(name);
        });
    }
    yard.settle();
    let guard = at_once(condition.lock());
    condition.notify_all(&guard);
    yard.settle();
    assert!(said.take().is_empty());
    drop(guard);
    yard.settle();
    assert_eq!(said.take(), ["a", "b"]);
}

#[test]
fn l32_a_dropped_wait_does_not_hold_the_lock() {
    let condition = Condition::new(());
    drop(condition.wait(at_once(condition.lock())));
    assert!(!condition.locked(), "it was never polled");
    drop(waits(&condition));
    assert!(!condition.locked());
    assert!(format!("{condition:?}").contains("waiters: 0"));
}

#[test]
fn l27_a_cancelled_wait_has_the_lock_again_before_it_ends() {
    let condition = Condition::new(());
    let waiting = Waiting::new(condition.wait_caught(at_once(condition.lock())));
    waiting.cancel();
    let (guard, _cancelled) = waiting.ready().expect_err("it was cancelled");
    assert!(condition.locked());
    drop(guard);
    assert!(!condition.locked());
}

#[test]
fn l27_further_requests_while_it_waits_for_the_lock_are_absorbed() {
    let condition = Condition::new(());
    let mut waiting = Waiting::new(condition.wait_caught(at_once(condition.lock())));
    let guard = at_once(condition.lock());
    for _ in 0..3 {
        waiting.cancel();
        assert!(waiting.poll().is_pending(), "it needs the lock");
    }
    drop(guard);
    assert_eq!(waiting.wakes(), 1);
    // Handed the lock and cancelled once more: it goes to the end of the line.
    waiting.cancel();
    let other = Waiting::new(condition.lock());
    assert!(waiting.poll().is_pending());
    drop(other.ready());
    assert!(waiting.ready().is_err());
    assert!(!condition.locked() && format!("{condition:?}").contains("waiters: 0"));
}

#[test]
fn l27_a_cancelled_wait_passes_its_notification_on_once_it_has_the_lock() {
    for poll_before in [false, true] {
        let condition = Condition::new(());
        let mut cancelled = Waiting::new(condition.wait_caught(at_once(condition.lock())));
        let [next, last] = [(); 2].map(|()| waits(&condition));
        let guard = at_once(condition.lock());
        condition.notify(&guard, 1);
        if poll_before {
            assert!(cancelled.poll().is_pending(), "it waits for the lock");
        }
        cancelled.cancel();
        assert!(cancelled.poll().is_pending());
        assert!(!next.woken());
        drop(guard);
        assert!(cancelled.ready().is_err());
        assert_eq!((next.wakes(), last.wakes()), (1, 0));
        drop(next.ready());
    }
}

#[test]
fn l27_a_cancelled_wait_that_was_not_notified_wakes_nobody() {
    let condition = Condition::new(());
    let cancelled = Waiting::new(condition.wait_caught(at_once(condition.lock())));
    let other = waits(&condition);
    cancelled.cancel();
    assert!(cancelled.ready().is_err() && !other.woken());
}

#[test]
fn l32_without_a_handler_the_lock_is_held_until_the_unwinding_drops_the_wait() {
    let condition = Condition::new(());
    let mut waiting = waits(&condition);
    waiting.cancel();
    assert!(waiting.poll().is_pending() && condition.locked());
    assert!(waiting.poll().is_pending() && condition.locked());
    drop(waiting);
    assert!(!condition.locked());
}

#[test]
fn l32_a_wait_that_is_dropped_while_it_re_acquires_holds_nothing_and_passes_on() {
    let condition = Condition::new(());
    let mut cancelled = Waiting::new(condition.wait_caught(at_once(condition.lock())));
    let next = waits(&condition);
    let guard = at_once(condition.lock());
    condition.notify(&guard, 1);
    cancelled.cancel();
    assert!(cancelled.poll().is_pending());
    drop(cancelled);
    assert!(next.woken());
    drop(guard);
    drop(next.ready());
    assert!(!condition.locked());
}

#[test]
fn a_waiter_passed_over_as_dead_whose_request_is_taken_back_waits_anew() {
    let condition = Condition::new(());
    let mut revived = waits(&condition);
    let live = waits(&condition);
    revived.cancel();
    notify(&condition, 1);
    revived.uncancel();
    assert!(revived.poll().is_pending());
    drop(live.ready());
    assert!(!revived.woken());
    notify(&condition, 1);
    drop(revived.ready());
}

#[test]
fn g31_a_wake_or_the_drop_of_a_waker_may_use_the_condition() {
    let condition = Condition::new(());
    let used = condition.clone();
    let hooked = Hooked::new(move || {
        if let Some(guard) = used.try_lock() {
            used.notify(&guard, 1);
        }
        assert!(!format!("{used:?}").is_empty());
    });
    let mut waiting = [(); 3].map(|()| {
        let mut one = Box::pin(condition.wait(at_once(condition.lock())));
        assert!(hooked.poll(one.as_mut()).is_pending());
        one
    });
    assert!(hooked.poll(waiting[2].as_mut()).is_pending(), "with another waker");
    notify(&condition, 1);
    let before = hooked.calls();
    drop(waiting);
    assert!(hooked.calls() > before && !condition.locked());
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let condition = Condition::new(7);
    let waiting = waits(&condition);
    assert_eq!(
        format!("{condition:?}"),
        "Condition { waiters: 1, lock: Lock { locked: false, waiters: 0, value: RefCell { value: \
         7 } } }"
    );
    drop(waiting);
    let wait = condition.wait(at_once(condition.lock()));
    assert_eq!(
        format!("{wait:?}"),
        "ConditionWait(ConditionWaitCaught { stage: \"holding\", cancelled: false, .. })"
    );
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn a_poll_after_the_end_panics() {
    let condition = Condition::new(());
    let mut waiting = waits(&condition);
    notify(&condition, 1);
    assert!(waiting.poll().is_ready());
    let _ = waiting.poll();
}
