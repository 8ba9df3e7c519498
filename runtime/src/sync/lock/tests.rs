use super::super::support::{Hooked, Said, Waiting, Yard, at_once};
use super::*;

mod model;

#[test]
fn l1_a_free_lock_is_acquired_without_suspending() {
    let lock = Lock::new(1);
    assert!(!lock.locked());
    let mut guard = at_once(lock.acquire());
    *guard += 1;
    assert!(lock.locked());
    drop(guard);
    assert!(!lock.locked());
    assert_eq!(*at_once(lock.acquire()), 2);
}

#[test]
fn l2_release_wakes_exactly_the_first_and_the_rest_in_order() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let waiting = [(); 3].map(|()| Waiting::new(lock.acquire()));
    drop(guard);
    assert_eq!(waiting.each_ref().map(Waiting::wakes), [1, 0, 0]);
    let [a, b, c] = waiting;
    drop(a.ready());
    assert_eq!((b.wakes(), c.wakes()), (1, 0));
    drop(b.ready());
    drop(c.ready());
    assert!(!lock.locked());
}

#[test]
fn l3_a_newcomer_queues_behind_a_woken_waiter() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let waiting = Waiting::new(lock.acquire());
    drop(guard);
    assert!(!lock.locked(), "free for a moment (L7)");
    assert!(lock.try_acquire().is_none());
    let newcomer = Waiting::new(lock.acquire());
    let guard = waiting.ready();
    assert!(lock.locked());
    drop(guard);
    drop(newcomer.ready());
}

#[test]
fn l3_cancelled_waiters_do_not_bar_a_newcomer() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let dead = [(); 2].map(|()| Waiting::new(lock.acquire()));
    dead.iter().for_each(Waiting::cancel);
    drop(guard);
    let guard = at_once(lock.acquire());
    drop(dead);
    assert!(lock.locked(), "the cancelled had nothing to pass on");
    drop(guard);
    assert!(lock.try_acquire().is_some());
}

#[test]
fn l4_a_raw_release_of_a_lock_that_is_not_held_raw_is_refused() {
    let lock = Lock::new(());
    assert!(lock.release_raw().is_err());
    let guard = at_once(lock.acquire());
    assert!(lock.release_raw().is_err(), "a guard holds it");
    let waiting = Waiting::new(lock.acquire());
    LockGuard::forget(guard);
    assert!(lock.locked() && !waiting.woken());
    assert!(lock.release_raw().is_ok(), "any task may release it");
    assert!(lock.release_raw().is_err(), "it is handed, not held");
    drop(waiting.ready());
}

#[test]
fn l5_a_lock_handed_to_a_waiter_that_is_dropped_goes_to_the_next_live_one() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let [a, b, c] = [(); 3].map(|()| Waiting::new(lock.acquire()));
    drop(guard);
    assert!(a.woken());
    b.cancel();
    drop(a);
    assert_eq!((b.wakes(), c.wakes()), (0, 1));
    drop(b);
    assert_eq!(c.wakes(), 1);
    drop(c.ready());
    assert!(!lock.locked());
}

#[test]
fn l5_a_waiter_dropped_before_it_was_woken_just_leaves() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let [a, b] = [(); 2].map(|()| Waiting::new(lock.acquire()));
    drop(a);
    assert!(lock.locked() && !b.woken());
    drop(guard);
    drop(b.ready());
}

#[test]
fn l6_the_guard_releases_when_its_holder_panics() {
    let lock = Lock::new(0);
    let holder = std::panic::AssertUnwindSafe(|| {
        *at_once(lock.acquire()) = 7;
        let _guard = at_once(lock.acquire());
        panic!("planted");
    });
    assert!(std::panic::catch_unwind(holder).is_err());
    assert_eq!(*at_once(lock.acquire()), 7);
}

#[test]
fn l8_a_lock_is_not_re_entrant() {
    let lock = Lock::new(());
    let _guard = at_once(lock.acquire());
    let _again = Waiting::new(lock.acquire());
}

/// What the workers said when the lock is released and workers are cancelled in one step.
fn handed_over(how: impl FnOnce(&mut Yard, LockGuard<'_>, [usize; 3])) -> Vec<String> {
    let (lock, said, mut yard) = (Lock::default(), Said::default(), Yard::new());
    let guard = at_once(lock.acquire());
    let workers = ["a", "b", "c"].map(|name| {
        let (lock, said) = (lock.clone(), said.clone());
        yard.spawn(async move {
            let _guard = lock.acquire().await;
            said.say(name);
        })
    });
    yard.settle();
    how(&mut yard, guard, workers);
    yard.settle();
    assert!(!lock.locked() && workers.iter().all(|worker| yard.done(*worker)));
    said.take()
}

#[test]
fn l9_cancelling_the_first_and_releasing_in_one_step_gives_the_lock_to_one_later_waiter() {
    let release_then_cancel = handed_over(|yard, guard, [a, ..]| {
        drop(guard);
        yard.cancel(a);
    });
    assert_eq!(release_then_cancel, ["b", "c"]);
    let cancel_then_release = handed_over(|yard, guard, [a, ..]| {
        yard.cancel(a);
        drop(guard);
    });
    assert_eq!(cancel_then_release, ["b", "c"]);
    let cancel_second = handed_over(|yard, guard, [_, b, _]| {
        drop(guard);
        yard.cancel(b);
    });
    assert_eq!(cancel_second, ["a", "c"]);
    let cancel_both = handed_over(|yard, guard, [a, b, _]| {
        drop(guard);
        yard.cancel(a);
        yard.cancel(b);
    });
    assert_eq!(cancel_both, ["c"]);
}

#[test]
fn g31_a_wake_or_the_drop_of_a_waker_may_use_the_lock() {
    let lock = Lock::new(0);
    let used = lock.clone();
    let hooked = Hooked::new(move || {
        assert!(used.inner.value.try_borrow_mut().is_ok(), "the guard let go before the wake");
        assert!(used.try_acquire().is_none() && !format!("{used:?}").is_empty());
    });
    let guard = at_once(lock.acquire());
    let mut waiting = Box::pin(lock.acquire());
    assert!(hooked.poll(waiting.as_mut()).is_pending());
    drop(guard);
    assert_eq!(hooked.calls(), 2, "once for the wake, once for the waker's end");
    let guard = lock.acquire();
    drop(waiting);
    assert!(hooked.poll(Box::pin(guard).as_mut()).is_ready());
}

#[test]
fn g31_the_drop_of_a_replaced_or_leaving_waker_may_use_the_lock() {
    let lock = Lock::new(0);
    let used = lock.clone();
    let hooked = Hooked::new(move || assert!(used.try_acquire().is_none()));
    let guard = at_once(lock.acquire());
    LockGuard::forget(guard);
    let mut waiting = Box::pin(lock.acquire());
    for _ in 0..3 {
        assert!(hooked.poll(waiting.as_mut()).is_pending());
    }
    assert_eq!(hooked.calls(), 2, "each poll had a waker of its own");
    drop(waiting);
    assert_eq!(hooked.calls(), 3);
    let used = lock.clone();
    let released = Hooked::new(move || drop(format!("{used:?}")));
    let mut waiting = Box::pin(lock.acquire());
    assert!(released.poll(waiting.as_mut()).is_pending());
    lock.release_raw().expect("it is held raw");
    assert_eq!(released.calls(), 2);
}

#[test]
fn a_poll_with_another_waker_moves_the_wake_up_there() {
    let lock = Lock::new(());
    let guard = at_once(lock.acquire());
    let mut waiting = Waiting::new(lock.acquire());
    assert!(waiting.poll_with_another_waker().is_pending());
    drop(guard);
    assert_eq!(waiting.wakes(), 1);
}

#[test]
fn debug_shows_the_state_the_waiters_and_the_value() {
    let lock = Lock::new('x');
    assert_eq!(
        format!("{lock:?}"),
        "Lock { locked: false, waiters: 0, value: RefCell { value: 'x' } }"
    );
    let guard = at_once(lock.acquire());
    let _waiting = Waiting::new(lock.acquire());
    assert_eq!(format!("{guard:?}"), "LockGuard('x')");
    assert_eq!(
        format!("{lock:?}"),
        "Lock { locked: true, waiters: 1, value: RefCell { value: <borrowed> } }"
    );
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn a_poll_after_the_end_panics() {
    let lock = Lock::new(());
    let mut acquire = Waiting::unpolled(lock.acquire());
    assert!(acquire.poll().is_ready());
    let _ = acquire.poll();
}
