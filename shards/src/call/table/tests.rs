use std::sync::Arc;
use std::task::Wake;

use super::*;

type Table = CallTable<u32>;

/// Polls as a future does, which leaves its waker.
fn poll(table: &mut Table, slot: u32) -> Polled<u32> {
    match table.poll(slot, Waker::noop()) {
        Polled::NewWaker => {
            table.leave_waker(slot, Waker::noop().clone());
            Polled::Pending
        }
        known => known,
    }
}

fn abandon(table: &mut Table, slot: u32) -> Left<u32> {
    table.abandon(slot).0
}

/// Admits a call that finds a permit.
fn fly(table: &mut Table, errand: u32) -> Ticket {
    let (slot, departure) = table.admit(errand, Priority::Normal);
    let departure = departure.unwrap();
    assert_eq!((departure.errand, departure.ticket.slot), (errand, slot));
    departure.ticket
}

/// Admits a call that has to wait.
fn wait(table: &mut Table, errand: u32) -> u32 {
    let (slot, departure) = table.admit(errand, Priority::Normal);
    assert!(departure.is_none());
    slot
}

#[test]
fn an_answer_is_found_by_who_asks_for_it() {
    let mut table = Table::new(2);
    let ticket = fly(&mut table, 7);
    assert_eq!(poll(&mut table, ticket.slot), Polled::Pending);
    let landing = table.land(ticket, 8);
    assert!(landing.waker.is_some() && landing.unwanted.is_none() && landing.next.is_none());
    assert_eq!(poll(&mut table, ticket.slot), Polled::Home(8));
}

/// A waker that does nothing, and equals its clones.
struct Silent;

impl Wake for Silent {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn wakers_come_back_to_be_dropped_by_the_caller() {
    let mut table = Table::new(1);
    let ticket = fly(&mut table, 0);
    let waiting = wait(&mut table, 1);
    let waker = Waker::from(Arc::new(Silent));
    for slot in [ticket.slot, waiting] {
        assert_eq!(table.poll(slot, &waker), Polled::NewWaker, "none is known");
        assert!(table.leave_waker(slot, waker.clone()).is_none());
        assert_eq!(table.poll(slot, &waker), Polled::Pending, "this one is known");
        assert!(table.leave_waker(slot, waker.clone()).is_some(), "the replaced one");
        assert!(table.abandon(slot).1.is_some(), "the one of a call that is given up");
    }
}

#[test]
fn slots_and_permits_are_used_again() {
    let mut table = Table::new(1);
    for errand in 0..10 {
        let ticket = fly(&mut table, errand);
        assert_eq!(ticket, Ticket { slot: 0, permit: 0 });
        table.land(ticket, errand);
        assert_eq!(poll(&mut table, ticket.slot), Polled::Home(errand));
    }
    assert_eq!(table.wait_count(), 0);
}

#[test]
fn no_more_calls_fly_than_there_are_permits_and_who_waits_leaves_in_order() {
    let mut table = Table::new(2);
    let flying = [fly(&mut table, 0), fly(&mut table, 1)];
    assert_ne!(flying[0].permit, flying[1].permit);
    wait(&mut table, 2);
    wait(&mut table, 3);
    assert_eq!(table.wait_count(), 2);
    let next = table.land(flying[1], 1).next.unwrap();
    assert_eq!((next.errand, next.ticket.permit), (2, flying[1].permit));
    let last = table.land(next.ticket, 2).next.unwrap();
    assert_eq!(last.errand, 3);
    assert!(table.land(last.ticket, 3).next.is_none());
}

#[test]
fn a_waiting_call_that_is_given_up_comes_back_and_is_passed_over() {
    let mut table = Table::new(1);
    let flying = fly(&mut table, 0);
    let (second, _) = table.admit(1, Priority::Normal);
    wait(&mut table, 2);
    wait(&mut table, 3);
    assert_eq!(abandon(&mut table, second), Left::Errand(1));
    assert_eq!(table.land(flying, 0).next.unwrap().errand, 2);
}

#[test]
fn a_call_given_up_in_flight_keeps_its_permit_until_the_answer() {
    let mut table = Table::new(1);
    let flying = fly(&mut table, 0);
    assert_eq!(abandon(&mut table, flying.slot), Left::Flying(flying.permit));
    wait(&mut table, 1);
    let landing = table.land(flying, 9);
    assert_eq!(landing.unwanted, Some(9));
    assert_eq!(landing.next.unwrap().ticket.permit, flying.permit);
}

#[test]
fn an_answer_that_nobody_took_comes_back() {
    let mut table = Table::new(1);
    let flying = fly(&mut table, 0);
    table.land(flying, 4);
    assert_eq!(abandon(&mut table, flying.slot), Left::Errand(4));
    assert_eq!(fly(&mut table, 1).slot, flying.slot);
}

#[test]
fn a_peer_that_ends_fails_what_waits_and_what_flies() {
    let mut table = Table::new(2);
    let [first, given_up] = [fly(&mut table, 0), fly(&mut table, 1)];
    let waiting = wait(&mut table, 2);
    table.abandon(given_up.slot);
    poll(&mut table, first.slot);
    poll(&mut table, waiting);
    let (wakers, errands) = table.fail_all();
    assert_eq!((wakers.len(), errands), (2, vec![2]));
    assert_eq!(poll(&mut table, first.slot), Polled::Gone);
    assert_eq!(poll(&mut table, waiting), Polled::Gone);
}

#[test]
fn calls_made_and_dropped_while_nothing_is_answered_take_no_room() {
    let mut table = Table::new(1);
    fly(&mut table, 0);
    let patient = wait(&mut table, 1);
    for errand in 2..1_000 {
        let slot = wait(&mut table, errand);
        assert_eq!(abandon(&mut table, slot), Left::Errand(errand));
    }
    assert!(table.waiting_count() <= 3, "{} in the queue", table.waiting_count());
    assert!(table.slots.len() <= 5, "{} slots", table.slots.len());
    assert_eq!(poll(&mut table, patient), Polled::Pending);
}

#[test]
fn posts_and_calls_share_the_permits_and_leave_in_one_order() {
    let mut table = Table::new(2);
    let flying = fly(&mut table, 0);
    assert!(table.try_take_permit(), "for a post");
    assert!(!table.try_take_permit());
    let queued = table.queue_post(1, Priority::Normal);
    wait(&mut table, 2);
    assert_eq!(poll(&mut table, queued), Polled::Pending);
    table.release(1);
    let post = table.next_departure().unwrap();
    assert!(post.errand == 1 && post.waker.is_some());
    assert!(table.next_departure().is_none(), "that was the permit");
    assert_eq!(poll(&mut table, queued), Polled::Sent);
    assert_eq!(table.land(flying, 0).next.unwrap().errand, 2);
}

#[test]
fn permits_of_posts_that_come_back_together_let_as_many_go() {
    let mut table = Table::new(3);
    (0..3).for_each(|_| assert!(table.try_take_permit()));
    let slots = [10, 11, 12, 13].map(|errand| table.queue_post(errand, Priority::Normal));
    assert_eq!(abandon(&mut table, slots[1]), Left::Errand(11));
    table.release(3);
    let left: Vec<u32> = std::iter::from_fn(|| table.next_departure()).map(|d| d.errand).collect();
    assert_eq!(left, [10, 12, 13]);
    assert_eq!(abandon(&mut table, slots[0]), Left::Nothing, "it has left");
}

#[test]
fn a_peer_that_ends_fails_the_posts_that_wait_and_not_those_that_left() {
    let mut table = Table::new(1);
    assert!(table.try_take_permit());
    let slots = [1, 2].map(|errand| table.queue_post(errand, Priority::Normal));
    table.release(1);
    table.next_departure().unwrap();
    assert_eq!(poll(&mut table, slots[1]), Polled::Pending);
    let (wakers, errands) = table.fail_all();
    assert_eq!((wakers.len(), errands), (1, vec![2]));
    assert_eq!(slots.map(|slot| poll(&mut table, slot)), [Polled::Sent, Polled::Gone]);
}

#[test]
fn who_waits_is_served_by_priority_and_in_order_among_equals() {
    let mut table = Table::new(1);
    let mut ticket = fly(&mut table, 0);
    let waiting = [
        (1, Priority::Low),
        (2, Priority::Normal),
        (3, Priority::High),
        (4, Priority::Normal),
        (5, Priority::High),
    ];
    for (errand, priority) in waiting {
        assert!(table.admit(errand, priority).1.is_none());
    }
    let gone = table.admit(6, Priority::High).0;
    assert_eq!(abandon(&mut table, gone), Left::Errand(6));
    let mut served = Vec::new();
    while let Some(next) = table.land(ticket, 9).next {
        (ticket, _) = (next.ticket, served.push(next.errand));
    }
    assert_eq!(served, [3, 5, 2, 4, 1]);
    assert_eq!(table.unanswered(), 0);
}

#[test]
fn a_ticket_tells_the_permit_and_the_depth_apart() {
    for (number, depth) in [(0, 0), (MAX_PERMIT_COUNT - 1, 0), (5, 255), (0, 1)] {
        let ticket = Ticket::of_permit(number, depth);
        assert_eq!((ticket.number(), ticket.depth()), (number, depth));
    }
}
