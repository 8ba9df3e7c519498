use super::super::support::{Waiting, at_once};
use super::*;

#[test]
fn a_closed_gate_lets_nobody_in_and_waits_for_those_inside() {
    let gate = Gate::new();
    let inside = [(); 2].map(|()| gate.enter().expect("it is open"));
    let early = Waiting::new(gate.wait_closed());
    assert_eq!((gate.inside_count(), gate.is_closed()), (2, false));
    gate.close();
    gate.close();
    assert_eq!(gate.enter().map(|_| ()), Err(GateClosed));
    let [a, b] = inside;
    drop(a);
    assert!(!early.woken());
    drop(b);
    early.ready();
    at_once(gate.wait_closed());
}

#[test]
fn an_open_gate_is_not_drained_when_it_is_empty() {
    let gate = Gate::new();
    let waiting = Waiting::new(gate.wait_closed());
    drop(gate.enter());
    assert!(!waiting.woken());
    gate.close();
    waiting.ready();
}

#[test]
fn a_dropped_wait_leaves_nothing_behind() {
    let gate = Gate::new();
    let waiting = Waiting::new(gate.wait_closed());
    assert_eq!(format!("{gate:?}"), "Gate { closed: false, inside: 0, waiters: 1 }");
    drop(waiting);
    assert_eq!(format!("{gate:?}"), "Gate { closed: false, inside: 0, waiters: 0 }");
}
