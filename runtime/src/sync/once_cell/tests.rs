use std::cell::Cell;
use std::future::pending;

use super::super::support::{Said, Waiting, Yard, at_once};
use super::*;

#[test]
fn the_first_makes_the_value_and_all_find_it() {
    let (cell, made) = (OnceCell::new(), Cell::new(0));
    assert!(cell.get().is_none());
    for _ in 0..3 {
        let value = at_once(cell.get_or_init(async || {
            made.set(made.get() + 1);
            made.get()
        }));
        assert_eq!(*value, 1);
    }
    assert_eq!((cell.get(), at_once(cell.wait()), cell.set(2)), (Some(&1), &1, Err(2)));
}

#[test]
fn those_who_wait_see_it_when_it_is_set() {
    let cell = OnceCell::new();
    let waiting = [(); 3].map(|()| Waiting::new(cell.wait()));
    cell.clone().set("set").expect("it is empty");
    assert_eq!(waiting.map(Waiting::ready), [&"set"; 3]);
}

#[test]
fn whoever_comes_while_it_is_being_made_waits_for_that() {
    let (cell, gate, said) = (OnceCell::new(), Event::new(), Said::default());
    let mut yard = Yard::new();
    for name in ["a", "b", "c"] {
        let (cell, gate, said) = (cell.clone(), gate.clone(), said.clone());
        yard.spawn(async move {
            let init = async || {
                gate.wait().await;
                name
            };
            said.say(format!("{name} {}", cell.get_or_init(init).await));
        });
    }
    yard.settle();
    gate.set();
    yard.settle();
    assert_eq!(said.take(), ["a a", "b a", "c a"]);
}

#[test]
fn if_the_maker_is_dropped_or_fails_the_next_one_makes_it() {
    let cell = OnceCell::new();
    let dropped = Waiting::new(cell.get_or_init(async || pending().await));
    let fails = Waiting::new(cell.get_or_try_init(async || Err("failed")));
    let makes = Waiting::new(cell.get_or_init(async || 3));
    drop(dropped);
    assert_eq!(fails.ready(), Err("failed"));
    assert_eq!(makes.ready(), &3);
}

#[test]
fn a_value_that_is_set_meanwhile_stands() {
    let (cell, gate) = (OnceCell::new(), Event::new());
    let maker = Waiting::new(cell.get_or_init(async || {
        gate.wait().await;
        1
    }));
    cell.set(2).expect("it is empty");
    gate.set();
    assert_eq!(maker.ready(), &2);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let cell = OnceCell::<u8>::new();
    let _waiting = Waiting::new(cell.wait());
    let shown = format!("{cell:?}");
    assert!(shown.starts_with("OnceCell { value: None,") && shown.contains("waiters: 1"));
}
