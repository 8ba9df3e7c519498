use super::super::support::{Hooked, Said, Waiting, Yard, at_once};
use super::*;

fn barrier(parties: usize) -> Barrier {
    Barrier::new(parties).expect("there are parties")
}

fn last(barrier: &Barrier) {
    assert_eq!(at_once(barrier.wait()), Ok(barrier.parties() - 1));
}

#[test]
fn l65_a_barrier_tells_its_parties_and_who_waits() {
    assert!(Barrier::new(0).is_err());
    let barrier = barrier(3);
    assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.broken()), (3, 0, false));
    let _two = [(); 2].map(|()| Waiting::new(barrier.wait()));
    assert_eq!(barrier.n_waiting(), 2);
    last(&barrier);
    assert_eq!(barrier.n_waiting(), 0, "it drains");
}

#[test]
fn l66_each_gets_an_index_in_the_order_of_arrival() {
    let barrier = barrier(4);
    let waiting = [(); 3].map(|()| Waiting::new(barrier.wait()));
    last(&barrier);
    let [a, b, c] = waiting;
    assert_eq!((c.ready(), a.ready(), b.ready()), (Ok(2), Ok(0), Ok(1)));
}

#[test]
fn l66_the_indices_are_distinct_also_after_somebody_left() {
    let barrier = barrier(3);
    let [gone, a] = [(); 2].map(|()| Waiting::new(barrier.wait()));
    drop(gone);
    let b = Waiting::new(barrier.wait());
    last(&barrier);
    assert_eq!((a.ready(), b.ready()), (Ok(0), Ok(1)));
}

#[test]
fn l67_who_comes_while_a_round_drains_belongs_to_the_next() {
    let barrier = barrier(2);
    let first = Waiting::new(barrier.wait());
    last(&barrier);
    let mut outside = Waiting::new(barrier.wait());
    assert!(!outside.woken() && barrier.n_waiting() == 0);
    assert_eq!(first.ready(), Ok(0));
    assert!(outside.woken() && outside.poll().is_pending());
    assert_eq!(barrier.n_waiting(), 1);
    last(&barrier);
    assert_eq!(outside.ready(), Ok(0));
}

#[test]
fn l67_a_round_drains_also_if_those_who_were_let_go_are_dropped() {
    let barrier = barrier(3);
    let [a, b] = [(); 2].map(|()| Waiting::new(barrier.wait()));
    last(&barrier);
    let outside = Waiting::new(barrier.wait());
    drop(a);
    assert!(!outside.woken());
    drop(b);
    assert!(outside.woken());
}

#[test]
fn l68_a_barrier_is_good_for_many_rounds() {
    let barrier = barrier(3);
    let said = Said::default();
    let mut yard = Yard::new();
    for name in ["a", "b", "c"] {
        let (barrier, said) = (barrier.clone(), said.clone());
        yard.spawn(async move {
            for round in 0..50 {
                let index = barrier.wait().await.expect("nobody breaks it");
                said.say(format!("{round} {index} {name}"));
            }
        });
    }
    yard.settle();
    let said = said.take();
    for (round, three) in said.chunks(3).enumerate() {
        let mut indices: Vec<_> = three.iter().map(|one| &one[..one.len() - 2]).collect();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2].map(|index| format!("{round} {index}")));
    }
    assert_eq!(said.len(), 150);
}

#[test]
fn l69_a_cancelled_waiter_is_out_of_the_count_at_once() {
    let barrier = barrier(3);
    let [cancelled, a] = [(); 2].map(|()| Waiting::new(barrier.wait()));
    cancelled.cancel();
    assert_eq!(barrier.n_waiting(), 1);
    let b = Waiting::new(barrier.wait());
    assert!(!a.woken() && !barrier.broken());
    last(&barrier);
    assert_eq!(cancelled.wakes(), 0);
    assert_eq!((a.ready(), b.ready()), (Ok(0), Ok(1)));
    let next = Waiting::new(barrier.wait());
    drop(cancelled);
    assert_eq!(barrier.n_waiting(), 1);
    drop(next);
}

#[test]
fn l70_abort_fails_all_who_wait_and_all_who_come() {
    let barrier = barrier(3);
    let [a, b] = [(); 2].map(|()| Waiting::new(barrier.wait()));
    barrier.abort();
    assert!(barrier.broken() && barrier.n_waiting() == 0);
    assert_eq!((a.ready(), b.ready()), (Err(BrokenBarrierError), Err(BrokenBarrierError)));
    assert_eq!(at_once(barrier.wait()), Err(BrokenBarrierError));
    barrier.reset();
    let again = [(); 2].map(|()| Waiting::new(barrier.wait()));
    last(&barrier);
    assert_eq!(again.map(Waiting::ready), [Ok(0), Ok(1)]);
}

#[test]
fn l70_abort_fails_also_those_at_the_entrance() {
    let barrier = barrier(2);
    let inside = Waiting::new(barrier.wait());
    last(&barrier);
    let outside = Waiting::new(barrier.wait());
    barrier.abort();
    assert_eq!(outside.ready(), Err(BrokenBarrierError));
    assert_eq!(inside.ready(), Err(BrokenBarrierError));
    assert!(barrier.broken(), "that all have left does not mend it");
}

#[test]
fn l71_reset_fails_those_who_wait_and_newcomers_wait_until_they_have_left() {
    let barrier = barrier(2);
    let failed = Waiting::new(barrier.wait());
    barrier.reset();
    assert!(!barrier.broken());
    let mut newcomer = Waiting::new(barrier.wait());
    assert_eq!(barrier.n_waiting(), 0);
    barrier.reset();
    assert!(!newcomer.woken(), "one is still in");
    assert_eq!(failed.ready(), Err(BrokenBarrierError));
    assert!(newcomer.woken() && newcomer.poll().is_pending());
    last(&barrier);
    assert_eq!(newcomer.ready(), Ok(0));
}

#[test]
fn l71_a_reset_without_waiters_changes_nothing_and_mends_a_broken_barrier() {
    let barrier = barrier(1);
    barrier.reset();
    last(&barrier);
    barrier.abort();
    barrier.reset();
    last(&barrier);
}

#[test]
fn l72_who_was_let_go_and_has_not_run_fails_with_a_reset_or_an_abort() {
    for breaks in [Barrier::reset, Barrier::abort] {
        let barrier = barrier(3);
        let [left, late] = [(); 2].map(|()| Waiting::new(barrier.wait()));
        last(&barrier);
        assert_eq!(left.ready(), Ok(0));
        breaks(&barrier);
        assert_eq!(late.ready(), Err(BrokenBarrierError));
    }
}

#[test]
fn l72_an_abort_and_a_reset_before_they_run_fail_them_too() {
    let barrier = barrier(2);
    let late = Waiting::new(barrier.wait());
    last(&barrier);
    barrier.abort();
    barrier.reset();
    let outside = Waiting::new(barrier.wait());
    assert_eq!(late.ready(), Err(BrokenBarrierError));
    assert!(outside.woken());
}

#[test]
fn l73_the_index_is_a_plain_number_whose_end_does_nothing() {
    let barrier = barrier(2);
    let first = Waiting::new(barrier.wait());
    {
        let _index = at_once(barrier.wait()).expect("nobody breaks it");
    }
    assert_eq!((first.ready(), barrier.n_waiting()), (Ok(0), 0));
}

#[test]
fn l74_one_party_never_suspends_for_others() {
    let barrier = barrier(1);
    for _ in 0..3 {
        assert_eq!(at_once(barrier.wait()), Ok(0));
    }
}

#[test]
fn g31_a_wake_or_the_drop_of_a_waker_may_use_the_barrier() {
    let barrier = barrier(4);
    let used = barrier.clone();
    let hooked = Hooked::new(move || {
        used.reset();
        assert!(used.n_waiting() == 0 && !format!("{used:?}").is_empty());
    });
    let mut waiting = [(); 3].map(|()| Box::pin(barrier.wait()));
    waiting.iter_mut().for_each(|one| assert!(hooked.poll(one.as_mut()).is_pending()));
    assert!(hooked.poll(waiting[2].as_mut()).is_pending(), "with another waker, whose end resets");
    for one in &mut waiting {
        assert_eq!(hooked.poll(one.as_mut()), Poll::Ready(Err(BrokenBarrierError)));
    }
    assert!(hooked.calls() >= 3);
    assert!(hooked.poll(Box::pin(barrier.wait()).as_mut()).is_pending());
}

#[test]
fn a_waiter_passed_over_as_dead_whose_request_is_taken_back_arrives_anew() {
    let barrier = barrier(2);
    let mut revived = Waiting::new(barrier.wait());
    revived.cancel();
    let a = Waiting::new(barrier.wait());
    last(&barrier);
    revived.uncancel();
    assert!(revived.poll().is_pending(), "a round drains");
    assert_eq!(a.ready(), Ok(0));
    assert!(revived.poll().is_pending(), "it is the first of the next");
    last(&barrier);
    assert_eq!(revived.ready(), Ok(0));
}

#[test]
fn e6_a_broken_barrier_is_a_runtime_error() {
    let error = crate::Error::from(BrokenBarrierError);
    assert!(error.is_runtime() && !error.is_value());
    assert_eq!(error.downcast_ref::<BrokenBarrierError>(), Some(&BrokenBarrierError));
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let barrier = barrier(2);
    let inside = Waiting::new(barrier.wait());
    last(&barrier);
    let _outside = Waiting::new(barrier.wait());
    assert_eq!(
        format!("{barrier:?}"),
        "Barrier { state: Draining, parties: 2, waiters: 0, leaving: 1, at_entrance: 1 }"
    );
    drop(inside);
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn a_poll_after_the_end_panics() {
    let barrier = barrier(1);
    let mut wait = Waiting::unpolled(barrier.wait());
    assert!(wait.poll().is_ready());
    let _ = wait.poll();
}
