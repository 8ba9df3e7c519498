use super::super::support::{Waiting, at_once};
use super::*;

#[test]
fn readers_share_and_a_writer_is_alone() {
    let lock = RwLock::new(1);
    let readers = [(); 2].map(|()| at_once(lock.read()));
    assert!(lock.try_write().is_none() && lock.try_read().is_some());
    let writer = Waiting::new(lock.write());
    drop(readers);
    let mut writer = writer.ready();
    *writer += 1;
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    drop(writer);
    assert_eq!(*at_once(lock.read()), 2);
}

#[test]
fn who_waits_is_served_in_order_and_nobody_overtakes() {
    let lock = RwLock::new(());
    let reader = at_once(lock.read());
    let writer = Waiting::new(lock.write());
    let late = [(); 2].map(|()| Waiting::new(lock.read()));
    assert!(lock.try_read().is_none(), "a writer waits");
    drop(reader);
    assert_eq!((writer.wakes(), late.each_ref().map(Waiting::wakes)), (1, [0, 0]));
    drop(writer.ready());
    assert_eq!(late.each_ref().map(Waiting::wakes), [1, 1], "readers go in together");
    late.into_iter().for_each(|reader| drop(reader.ready()));
    assert!(lock.try_write().is_some());
}

#[test]
fn a_dropped_writer_lets_the_readers_behind_it_in() {
    let lock = RwLock::new(());
    let reader = at_once(lock.read());
    let writer = Waiting::new(lock.write());
    let behind = Waiting::new(lock.read());
    drop(writer);
    assert!(behind.woken());
    drop((reader, behind.ready()));

    let reader = at_once(lock.read());
    let woken = Waiting::new(lock.write());
    let next = Waiting::new(lock.write());
    drop(reader);
    woken.cancel();
    drop(woken);
    drop(next.ready());
    assert!(lock.try_write().is_some());
}

#[test]
fn a_writer_that_becomes_a_reader_lets_readers_in_and_no_writer() {
    let lock = RwLock::new(1);
    let mut writer = at_once(lock.write());
    *writer = 2;
    let [reader, other] = [(); 2].map(|()| Waiting::new(lock.read()));
    let last = Waiting::new(lock.write());
    let downgraded = RwLockWriteGuard::downgrade(writer);
    assert!(reader.woken() && other.woken() && !last.woken());
    assert_eq!((*downgraded, *reader.ready()), (2, 2));
    drop(other);
    drop(downgraded);
    drop(last.ready());
}

#[test]
fn a_panic_of_a_holder_releases() {
    let lock = RwLock::new(());
    let panics = std::panic::AssertUnwindSafe(|| {
        let _writer = lock.try_write().expect("it is free");
        panic!("with the lock held");
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert!(lock.try_write().is_some());
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let lock = RwLock::new(7);
    let reader = at_once(lock.read());
    let waiting = Waiting::new(lock.write());
    let shown = "RwLock { readers: 1, writer: false, waiters: 1, value: RefCell { value: 7 } }";
    assert_eq!(format!("{lock:?}"), shown);
    drop(reader);
    let writer = waiting.ready();
    assert!(format!("{lock:?}").contains("readers: 0, writer: true, waiters: 0"));
    assert_eq!(format!("{writer:?}"), "RwLockWriteGuard(7)");
}
