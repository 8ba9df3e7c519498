use super::super::support::{Hooked, Waiting, at_once};
use super::*;

mod model;

fn taken(semaphore: &Semaphore) -> Permit {
    at_once(semaphore.acquire()).expect("it is not closed")
}

#[test]
fn l45_a_free_permit_is_taken_without_suspending() {
    let semaphore = Semaphore::new(2);
    let first = taken(&semaphore);
    assert!(!semaphore.locked());
    let second = taken(&semaphore);
    assert!(semaphore.locked() && semaphore.try_acquire().is_err());
    drop((first, second));
    assert_eq!(semaphore.available(), 2);
    let empty = Semaphore::new(0);
    let _none = Waiting::new(empty.acquire());
}

#[test]
fn l46_waiters_get_permits_in_order() {
    let semaphore = Semaphore::new(0);
    let [a, b, c] = [(); 3].map(|()| Waiting::new(semaphore.acquire()));
    semaphore.release();
    assert_eq!((a.wakes(), b.wakes(), c.wakes()), (1, 0, 0));
    a.ready().expect("it is not closed").forget();
    semaphore.release();
    assert_eq!((b.wakes(), c.wakes()), (1, 0));
}

#[test]
fn l47_nobody_overtakes_a_live_waiter() {
    let semaphore = Semaphore::new(0);
    let woken = Waiting::new(semaphore.acquire());
    semaphore.release();
    semaphore.release();
    assert!(semaphore.locked() && semaphore.available() == 1);
    assert!(semaphore.try_acquire().is_err());
    let newcomer = Waiting::new(semaphore.acquire());
    assert!(!newcomer.woken());
    let permit = woken.ready();
    assert_eq!(newcomer.wakes(), 1, "it goes on as soon as the one before it has");
    drop((permit, newcomer.ready()));
    assert!(!semaphore.locked());
}

#[test]
fn l47_cancelled_waiters_do_not_bar_a_newcomer() {
    let semaphore = Semaphore::new(1);
    let permit = taken(&semaphore);
    let dead = [(); 2].map(|()| Waiting::new(semaphore.acquire()));
    dead.iter().for_each(Waiting::cancel);
    drop(permit);
    assert!(!semaphore.locked());
    let permit = taken(&semaphore);
    drop(dead);
    assert_eq!(semaphore.available(), 0, "the cancelled had nothing to give back");
    drop(permit);
}

#[test]
fn l48_l53_each_release_wakes_one_who_was_not_woken() {
    let semaphore = Semaphore::new(0);
    let waiting = [(); 3].map(|()| Waiting::new(semaphore.acquire()));
    semaphore.release();
    semaphore.release();
    assert_eq!(waiting.each_ref().map(Waiting::wakes), [1, 1, 0]);
    assert_eq!(semaphore.available(), 0);
}

#[test]
fn l52_a_permit_handed_to_a_waiter_that_is_dropped_goes_to_the_next() {
    let semaphore = Semaphore::new(0);
    let [a, b, c] = [(); 3].map(|()| Waiting::new(semaphore.acquire()));
    semaphore.release();
    drop(b);
    drop(a);
    assert_eq!(c.wakes(), 1);
    drop(c);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn l52_a_woken_waiter_that_is_cancelled_passes_its_permits_on_at_its_turn() {
    let semaphore = Semaphore::new(0);
    let cancelled = Waiting::new(semaphore.acquire_many(2));
    let next = Waiting::new(semaphore.acquire_many(2));
    semaphore.release_many(2);
    cancelled.cancel();
    assert!(!next.woken());
    drop(cancelled);
    assert_eq!(next.ready().map(|permit| permit.count()), Ok(2));
}

#[test]
fn l52_who_leaves_without_its_permits_lets_those_behind_go_on() {
    let semaphore = Semaphore::new(1);
    let greedy = Waiting::new(semaphore.acquire_many(2));
    let modest = Waiting::new(semaphore.acquire());
    assert!(!modest.woken(), "the first in line is not overtaken");
    drop(greedy);
    assert!(modest.woken());
    drop(modest.ready());

    let greedy = Waiting::new(semaphore.acquire_many(2));
    let modest = Waiting::new(semaphore.acquire());
    greedy.cancel();
    drop(greedy);
    assert!(modest.woken());
}

#[test]
fn l54_who_releases_and_acquires_goes_behind_the_waiters() {
    let semaphore = Semaphore::new(1);
    let permit = taken(&semaphore);
    let waiting = Waiting::new(semaphore.acquire());
    drop(permit);
    let again = Waiting::new(semaphore.acquire());
    assert!(waiting.woken() && !again.woken());
}

#[test]
fn l60_a_bounded_semaphore_refuses_a_release_too_many() {
    let semaphore = BoundedSemaphore::new(2);
    assert!(semaphore.release().is_err());
    at_once(semaphore.acquire_many(2)).expect("it is not closed").forget();
    assert!(semaphore.release_many(3).is_err());
    assert_eq!(semaphore.available(), 0, "nothing changed");
    assert!(semaphore.release().is_ok() && semaphore.release().is_ok());
    assert!(semaphore.release().is_err());
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn l60_a_guard_never_brings_a_bounded_semaphore_above_its_bound() {
    let semaphore = BoundedSemaphore::new(1);
    let permit = at_once(semaphore.acquire()).expect("it is not closed");
    semaphore.release().expect("one is missing");
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn l61_a_semaphore_may_be_released_above_its_initial_value() {
    let semaphore = Semaphore::new(0);
    semaphore.release_many(3);
    assert_eq!(semaphore.available(), 3);
    let permit = semaphore.try_acquire_many(3).expect("they are free");
    assert_eq!(permit.count(), 3);
}

#[test]
fn a_forgotten_permit_stays_taken_until_a_release() {
    let semaphore = Semaphore::new(1);
    taken(&semaphore).forget();
    let waiting = Waiting::new(semaphore.acquire());
    semaphore.release();
    drop(waiting.ready());
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn permits_are_split_and_merged() {
    let semaphore = Semaphore::new(5);
    let mut all = semaphore.try_acquire_many(5).expect("they are free");
    assert!(all.split(6).is_none());
    let two = all.split(2).expect("there are five");
    assert_eq!((all.count(), two.count()), (3, 2));
    drop(two);
    assert_eq!(semaphore.available(), 2);
    all.merge(semaphore.try_acquire().expect("it is free"));
    assert_eq!((all.count(), semaphore.available()), (4, 1));
    let merge = std::panic::AssertUnwindSafe(|| all.merge(taken(&Semaphore::new(1))));
    assert!(std::panic::catch_unwind(merge).is_err());
}

#[test]
fn closing_refuses_who_waits_and_who_comes_and_takes_back_nothing() {
    let semaphore = Semaphore::new(1);
    let permit = taken(&semaphore);
    let [promised, refused, dropped] = [(); 3].map(|()| Waiting::new(semaphore.acquire()));
    drop(permit);
    semaphore.close();
    semaphore.close();
    assert!(semaphore.is_closed() && refused.woken());
    drop(dropped);
    assert_eq!(refused.ready().map(|_| ()), Err(SemaphoreClosed));
    assert_eq!(semaphore.available(), 0, "neither gave back what it never had");
    let permit = promised.ready().expect("it had its permit before");
    assert!(at_once(semaphore.acquire()).is_err());
    assert_eq!(semaphore.try_acquire().map(|_| ()), Err(SemaphoreClosed.into()));
    drop(permit);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn a_waiter_passed_over_as_dead_whose_request_is_taken_back_gets_no_permit_for_it() {
    let semaphore = Semaphore::new(0);
    let mut revived = Waiting::new(semaphore.acquire());
    let live = Waiting::new(semaphore.acquire());
    revived.cancel();
    semaphore.release();
    assert!(live.woken());
    revived.uncancel();
    assert!(revived.poll().is_pending());
    drop(live.ready());
    assert_eq!(revived.wakes(), 1, "it waits anew, at the end");
    drop(revived.ready());
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 1, closed: false, waiters: 0 }");
}

#[test]
fn g30_a_semaphore_works_under_a_foreign_executor() {
    let semaphore = Semaphore::new(0);
    let [a, b] = [(); 2].map(|()| Waiting::foreign(semaphore.acquire()));
    semaphore.release();
    drop(a);
    assert_eq!(b.ready().map(|permit| permit.count()), Ok(1));
}

#[test]
fn g31_a_wake_or_the_drop_of_a_waker_may_use_the_semaphore() {
    let semaphore = Semaphore::new(0);
    let used = semaphore.clone();
    let hooked = Hooked::new(move || {
        drop(used.try_acquire());
        let _ = (used.locked(), format!("{used:?}"));
    });
    let mut waiting = [(); 4].map(|()| Box::pin(semaphore.acquire()));
    waiting.iter_mut().for_each(|one| assert!(hooked.poll(one.as_mut()).is_pending()));
    assert!(hooked.poll(waiting[0].as_mut()).is_pending(), "with another waker");
    semaphore.release();
    assert!(hooked.poll(waiting[0].as_mut()).is_ready());
    let before = hooked.calls();
    semaphore.close();
    drop(waiting);
    assert!(hooked.calls() > before);
}

#[test]
fn a_poll_with_another_waker_moves_the_wake_up_there() {
    let semaphore = Semaphore::new(0);
    let mut waiting = Waiting::new(semaphore.acquire());
    assert!(waiting.poll_with_another_waker().is_pending());
    semaphore.release();
    assert_eq!(waiting.wakes(), 1);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let semaphore = BoundedSemaphore::new(1);
    let permit = at_once(semaphore.acquire()).expect("it is not closed");
    let _waiting = [(); 2].map(|()| Waiting::new(semaphore.acquire()));
    assert_eq!(
        format!("{semaphore:?}"),
        "BoundedSemaphore { available: 0, closed: false, waiters: 2 }"
    );
    assert_eq!(format!("{permit:?}"), "Permit { count: 1, .. }");
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn a_poll_after_the_end_panics() {
    let semaphore = Semaphore::new(2);
    let mut acquire = Waiting::unpolled(semaphore.acquire());
    assert!(acquire.poll().is_ready());
    let _ = acquire.poll();
}
