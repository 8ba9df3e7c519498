use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::home::Home;
use super::id::WakeId;
use super::registry::{self, Lease};
use super::waker;
use crate::error::Result;

#[test]
fn a_waker_carries_its_number_and_gives_it_back() {
    let id = WakeId(0xABCD_1234_5678_9ABC);
    let made = waker::waker(id);
    assert_eq!(waker::id_of(&made), Some(id));
    assert_eq!(waker::id_of(&made.clone()), Some(id));
    assert!(made.will_wake(&made.clone()));
    assert_eq!(waker::id_of(std::task::Waker::noop()), None);
}

#[test]
fn a_number_of_a_loop_that_never_was_wakes_nobody() {
    waker::waker(WakeId(0xFFFF << 48)).wake_by_ref();
}

#[test]
fn a_loop_that_adopts_a_mailbox_goes_on_with_its_generations() {
    let lease = Lease::new().unwrap();
    let id = lease.id();
    lease.end(41);
    // Another test may take the id in between: then nothing is shown, and nothing is wrong.
    let next = Lease::new().unwrap();
    if next.id() == id {
        assert_eq!(next.first_generation(), 41);
        assert!(std::ptr::eq(registry::mailbox(id).unwrap(), next.mailbox()));
    }
    next.end(0);
}

#[test]
fn a_slot_serves_many_tasks_and_stale_wakers_reach_none_of_them() {
    let home = Home::new().unwrap();
    let before = super::enter(Some(Rc::clone(&home)));
    let pending = || std::future::pending::<Result<()>>();
    let (slot, _) = home.spawn(pending(), std::panic::Location::caller()).unwrap();
    let mut batch = Vec::new();
    home.swap_ready(&mut batch);
    batch.clear();
    home.step(slot);
    let stale = waker::waker(WakeId(u64::from(home.loop_number()) << 48 | u64::from(slot)));
    home.cancel(slot, &None);
    home.swap_ready(&mut batch);
    batch.clear();
    home.step(slot);
    home.detach(slot);
    let (again, _) = home.spawn(pending(), std::panic::Location::caller()).unwrap();
    assert_eq!(again, slot, "the slot was given away");
    home.swap_ready(&mut batch);
    batch.clear();
    home.step(slot);
    stale.wake_by_ref();
    assert!(!home.has_ready(), "the old number names the old task");
    home.close();
    super::enter(before);
}

/// Asks the loop's tasks when it is dropped.
struct Asks(Rc<Home>);

impl Drop for Asks {
    fn drop(&mut self) {
        assert_eq!(self.0.unfinished_count(), 1);
    }
}

#[test]
fn a_task_that_finds_no_room_is_dropped_when_the_table_can_be_asked() {
    let home = Home::new().unwrap();
    home.tasks.borrow_mut().table.limit_to(1);
    let spawn = |asks: Option<Asks>| {
        let future = async move {
            drop(asks);
            Ok(())
        };
        home.spawn(future, Location::caller())
    };
    assert!(spawn(None).is_some());
    let asks = Asks(Rc::clone(&home));
    let refused = catch_unwind(AssertUnwindSafe(|| spawn(Some(asks))));
    assert!(refused.is_err());
    home.close();
}
