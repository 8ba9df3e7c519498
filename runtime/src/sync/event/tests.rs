use super::super::support::{Said, Waiting, Yard, at_once};
use super::*;

#[test]
fn l15_a_wait_for_a_set_event_does_not_suspend() {
    let event = Event::new();
    event.set();
    at_once(event.wait());
    assert!(event.is_set());
}

#[test]
fn l15_set_wakes_all_waiters_in_order() {
    let event = Event::new();
    let said = Said::default();
    let mut yard = Yard::new();
    for name in ["a", "b", "c"] {
        let (event, said) = (event.clone(), said.clone());
        yard.spawn(async move {
            event.wait().await;
            said.say(name);
        });
    }
    yard.settle();
    assert!(said.take().is_empty());
    event.set();
    yard.settle();
    assert_eq!(said.take(), ["a", "b", "c"]);
}

#[test]
fn l16_setting_twice_changes_nothing_and_clear_resets() {
    let event = Event::new();
    event.set();
    event.set();
    event.clear();
    assert!(!event.is_set());
    let waiting = Waiting::new(event.wait());
    event.set();
    assert_eq!(waiting.wakes(), 1);
    event.set();
    assert_eq!(waiting.wakes(), 1);
    waiting.ready();
}

#[test]
fn l16_a_woken_waiter_returns_even_if_clear_came_before_its_turn() {
    let event = Event::new();
    let waiting = Waiting::new(event.wait());
    event.set();
    event.clear();
    waiting.ready();
    let _late = Waiting::new(event.wait());
}

#[test]
fn l17_cancelled_waiters_leave_nothing_behind() {
    let event = Event::new();
    let waiting = [(); 3].map(|()| Waiting::new(event.wait()));
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 3 }");
    waiting[0].cancel();
    drop(waiting);
    assert_eq!(format!("{event:?}"), "Event { set: false, waiters: 0 }");
    event.set();
}

#[test]
fn g30_a_waiter_of_a_foreign_executor_is_woken_as_any_other() {
    let event = Event::new();
    let waiting = Waiting::foreign(event.wait());
    event.set();
    assert!(waiting.woken());
    waiting.ready();
}

#[test]
fn a_poll_with_another_waker_moves_the_wake_up_there() {
    let event = Event::new();
    let mut waiting = Waiting::new(event.wait());
    assert!(waiting.poll().is_pending());
    assert!(waiting.poll_with_another_waker().is_pending());
    event.set();
    assert_eq!(waiting.wakes(), 1);
}

#[test]
#[should_panic(expected = "polled after it had returned")]
fn a_poll_after_the_end_panics() {
    let event = Event::new();
    event.set();
    let mut wait = Waiting::unpolled(event.wait());
    assert!(wait.poll().is_ready());
    let _ = wait.poll();
}
