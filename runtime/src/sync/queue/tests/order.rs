//! Items whose order is user code that misbehaves.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

thread_local! {
    static PANICS: Cell<bool> = const { Cell::new(false) };
    static QUEUE: RefCell<Option<PriorityQueue<Item>>> = const { RefCell::new(None) };
}

/// Compares as its number, with a panic or a look at the queue on the way.
#[derive(Debug, PartialEq, Eq)]
struct Item(u32);

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        assert!(!PANICS.get(), "no order today");
        QUEUE.with_borrow(|queue| queue.as_ref().map(PriorityQueue::qsize));
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn an_order_that_panics_loses_no_item_that_is_put_and_no_count() {
    let queue = PriorityQueue::new(0);
    queue.put_nowait(Item(2)).unwrap();
    PANICS.set(true);
    assert!(panics(|| queue.put_nowait(Item(1)).unwrap()));
    PANICS.set(false);
    assert_eq!(queue.qsize(), 2);
    for _ in 0..2 {
        queue.get_nowait().unwrap();
        queue.task_done().unwrap();
    }
    assert!(queue.task_done().is_err(), "each item was counted once");
}

#[test]
fn an_order_that_uses_its_own_queue_panics_and_the_queue_goes_on() {
    let queue = PriorityQueue::new(0);
    QUEUE.set(Some(queue.clone()));
    queue.put_nowait(Item(2)).unwrap();
    assert!(panics(|| queue.put_nowait(Item(1)).unwrap()));
    QUEUE.set(None);
    queue.put_nowait(Item(3)).unwrap();
    assert_eq!(queue.qsize(), 3);
}
