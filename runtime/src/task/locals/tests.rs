use std::cell::RefCell;

use super::*;
use crate::{Runner, spawn, yield_now};

static KEY: LocalKey<u32> = LocalKey::new();
static OTHER: LocalKey<String> = LocalKey::sendable();

#[test]
fn a_shared_context_is_copied_by_who_changes_it_and_its_own_is_not() {
    let mut context = LocalContext::default();
    let value = |value: u32| Value { value: Rc::new(value), travel: None };
    assert!(context.insert(1, value(1)).is_none());
    let shared = context.clone();
    assert!(Rc::ptr_eq(shared.0.as_ref().unwrap(), context.0.as_ref().unwrap()));
    context.insert(1, value(2));
    assert!(!Rc::ptr_eq(shared.0.as_ref().unwrap(), context.0.as_ref().unwrap()));
    let number =
        |context: &LocalContext| *context.clone().find(1).unwrap().downcast::<u32>().unwrap();
    assert_eq!((number(&shared), number(&context)), (1, 2));
    let alone = Rc::as_ptr(context.0.as_ref().unwrap());
    context.insert(2, value(3));
    assert_eq!(alone, Rc::as_ptr(context.0.as_ref().unwrap()));
    context.remove(1);
    context.remove(2);
    assert!(context.is_empty(), "a context without keys is none");
}

#[test]
fn two_keys_of_one_kind_are_two() {
    static A: LocalKey<u32> = LocalKey::new();
    static B: LocalKey<u32> = LocalKey::new();
    A.sync_scope(1, || {
        assert_eq!((A.get(), B.get()), (Some(1), None));
        B.sync_scope(2, || assert_eq!((A.get(), B.get()), (Some(1), Some(2))));
    });
    assert_eq!((A.get(), B.get()), (None, None));
}

#[test]
fn a_task_that_sets_nothing_has_nothing_in_the_table() {
    Runner::builder()
        .virtual_clock()
        .build()
        .run(async || {
            let home = current_home().unwrap();
            let plain = spawn(std::future::pending::<()>());
            KEY.set(7);
            let heir = spawn(std::future::pending::<()>());
            yield_now().await;
            let tasks = home.tasks.borrow();
            assert!(tasks.table.rare_if_any(plain.slot().unwrap()).is_none());
            assert!(tasks.table.rare_if_any(heir.slot().unwrap()).is_some());
            Ok(())
        })
        .unwrap();
}

#[test]
fn only_sendable_keys_travel() {
    KEY.sync_scope(1, || {
        OTHER.sync_scope("text".to_owned(), || {
            let travelling = Travelling::capture();
            let there = travelling.enter(|| (KEY.get(), OTHER.get()));
            assert_eq!(there, (None, Some("text".to_owned())));
        });
    });
}

#[test]
fn g31_a_value_may_use_keys_while_it_is_dropped() {
    static WITNESS: LocalKey<RefCell<u32>> = LocalKey::new();
    struct Curious;
    impl Drop for Curious {
        fn drop(&mut self) {
            KEY.set(9);
            WITNESS.with(|seen| *seen.unwrap().borrow_mut() += 1);
        }
    }
    static GUARDED: LocalKey<Curious> = LocalKey::new();
    WITNESS.set(RefCell::new(0));
    GUARDED.set(Curious);
    GUARDED.set(Curious);
    GUARDED.clear();
    assert_eq!(WITNESS.with(|seen| *seen.unwrap().borrow()), 2);
    assert_eq!(KEY.get(), Some(9));
}
