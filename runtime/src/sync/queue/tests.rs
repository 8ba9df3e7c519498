use std::cell::RefCell;
use std::rc::Rc;

use super::super::support::{Hooked, Said, Waiting, Yard, at_once};
use super::*;

mod model;
mod order;
mod shutdown;
mod stream;

/// An item that is compared by its rank alone.
#[derive(Clone, Copy, Debug)]
struct Ranked {
    rank: usize,
    name: usize,
}

impl Ranked {
    fn new(name: usize) -> Self {
        Self { rank: name % 3, name }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ranked {}

/// A queue that holds these items.
fn holding<T>(maxsize: usize, items: impl IntoIterator<Item = T>) -> Queue<T> {
    let queue = Queue::new(maxsize);
    for item in items {
        queue.put_nowait(item).expect("there is room");
    }
    queue
}

/// Number of getters, putters and joiners in line.
fn waiters<T>(queue: &Queue<T>) -> (usize, usize, usize) {
    let state = queue.inner.state.borrow();
    (state.getters.len(), state.putters.len(), state.joiners.len())
}

#[test]
fn q1_sizes_count_stored_items_and_a_queue_without_limit_is_never_full() {
    let queue = holding(2, ["a"]);
    assert_eq!((queue.maxsize(), queue.qsize(), queue.empty(), queue.full()), (2, 1, false, false));
    at_once(queue.put("b")).expect("there is room");
    let _putter = Waiting::new(queue.put("c"));
    assert_eq!((queue.qsize(), queue.full()), (2, true));
    let queue = holding(0, 0..1_000);
    assert_eq!((queue.maxsize(), queue.qsize(), queue.full()), (0, 1_000, false));
    let queue = Queue::<u8>::new(0);
    let _getter = Waiting::new(queue.get());
    assert_eq!((queue.qsize(), queue.empty(), queue.full()), (0, true, false));
}

#[test]
fn q2_items_leave_in_the_order_in_which_they_came() {
    let queue = holding(0, 0..5);
    assert!((0..5).all(|item| queue.get_nowait() == Ok(item)));
}

#[test]
fn q3_put_waits_while_full_and_get_while_empty() {
    let queue = Queue::new(1);
    let getter = Waiting::new(queue.get());
    at_once(queue.put(1)).expect("there is room");
    let putter = Waiting::new(queue.put(2));
    assert_eq!(getter.ready(), Ok(1));
    putter.ready().expect("there is room");
    assert_eq!(at_once(queue.get()), Ok(2));
}

#[test]
fn q4_nowait_calls_fail_without_changing_the_queue() {
    let queue = holding(1, [1]);
    assert_eq!(queue.put_nowait(2), Err(TryPutError::Full(QueueFull(2))));
    assert_eq!(queue.qsize(), 1);
    assert_eq!(queue.get_nowait(), Ok(1));
    assert_eq!(queue.get_nowait(), Err(TryGetError::Empty(QueueEmpty)));
}

#[test]
fn q5_a_put_wakes_the_longest_waiting_getter_and_a_get_the_longest_waiting_putter() {
    let queue = Queue::new(1);
    let getters = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.put_nowait(1).expect("there is room");
    assert_eq!(getters.each_ref().map(Waiting::wakes), [1, 0]);
    drop(getters);
    let putters = [2, 3].map(|item| Waiting::new(queue.put(item)));
    assert_eq!(queue.get_nowait(), Ok(1));
    assert_eq!(putters.each_ref().map(Waiting::wakes), [1, 0]);
}

#[test]
fn q6_a_running_task_may_take_the_item_and_the_woken_getter_waits_again_at_the_end() {
    let queue = Queue::new(0);
    let mut first = Waiting::new(queue.get());
    let second = Waiting::new(queue.get());
    queue.put_nowait("taken").expect("there is room");
    assert!(first.woken());
    assert_eq!(queue.get_nowait(), Ok("taken"));
    assert!(first.poll().is_pending());
    queue.put_nowait("for the second").expect("there is room");
    assert!(second.woken() && first.wakes() == 1);
    assert_eq!(second.ready(), Ok("for the second"));
    queue.put_nowait("for the first").expect("there is room");
    assert_eq!(first.ready(), Ok("for the first"));
}

#[test]
fn q6_a_running_task_may_take_the_room_and_the_woken_putter_waits_again_at_the_end() {
    let queue = holding(1, ["full"]);
    let mut first = Waiting::new(queue.put("p1"));
    let second = Waiting::new(queue.put("p2"));
    assert_eq!(queue.get_nowait(), Ok("full"));
    queue.put_nowait("barger").expect("there is room");
    assert!(first.poll().is_pending());
    assert_eq!(queue.get_nowait(), Ok("barger"));
    second.ready().expect("there is room");
    assert_eq!(queue.get_nowait(), Ok("p2"));
    first.ready().expect("there is room");
    assert_eq!(queue.get_nowait(), Ok("p1"));
}

#[test]
fn q6_a_getter_that_was_not_woken_does_not_overtake_the_woken_one() {
    let queue = Queue::new(0);
    let first = Waiting::new(queue.get());
    let mut second = Waiting::new(queue.get());
    queue.put_nowait(1).expect("there is room");
    assert!(second.poll().is_pending(), "a stray poll is no turn");
    assert_eq!(first.ready(), Ok(1));
}

#[test]
fn q8_several_puts_in_one_step_wake_as_many_getters() {
    let queue = Queue::new(0);
    let getters = [(); 4].map(|()| Waiting::new(queue.get()));
    for item in 0..3 {
        queue.put_nowait(item).expect("there is room");
    }
    assert_eq!(getters.each_ref().map(Waiting::wakes), [1, 1, 1, 0]);
    let got = getters.into_iter().take(3).map(|getter| getter.ready());
    assert!(got.eq([Ok(0), Ok(1), Ok(2)]));
}

#[test]
fn q20_a_getter_cancelled_while_it_waits_just_leaves() {
    let queue = Queue::new(0);
    let [first, second] = [(); 2].map(|()| Waiting::new(queue.get()));
    drop(first);
    queue.put_nowait(1).expect("there is room");
    assert_eq!(second.ready(), Ok(1));
}

#[test]
fn q20_a_getter_cancelled_after_it_was_woken_passes_it_on() {
    let queue = Queue::new(0);
    let [first, second] = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.put_nowait("item").expect("there is room");
    first.cancel();
    drop(first);
    assert!(second.woken());
    assert_eq!(second.ready(), Ok("item"));
}

#[test]
fn q20_a_woken_getter_that_is_cancelled_after_the_item_was_taken_wakes_nobody() {
    let queue = Queue::new(0);
    let [first, second] = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.put_nowait(1).expect("there is room");
    assert_eq!(queue.get_nowait(), Ok(1));
    drop(first);
    assert!(!second.woken());
}

#[test]
fn q20_without_another_getter_the_item_stays_first_in_the_queue() {
    let queue = Queue::new(0);
    let getter = Waiting::new(queue.get());
    queue.put_nowait("kept").expect("there is room");
    queue.put_nowait("next").expect("there is room");
    drop(getter);
    assert_eq!((queue.get_nowait(), queue.get_nowait()), (Ok("kept"), Ok("next")));
}

#[test]
fn g21_a_put_in_the_step_of_the_cancel_skips_the_cancelled_getter() {
    let queue = Queue::new(0);
    let [first, second, third] = [(); 3].map(|()| Waiting::new(queue.get()));
    first.cancel();
    queue.put_nowait(1).expect("there is room");
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
    drop(first);
    assert!(!third.woken(), "the skipped one had nothing to pass on");
    assert_eq!(second.ready(), Ok(1));
}

#[test]
fn q21_a_putter_cancelled_while_it_waits_stores_nothing_and_drops_its_item() {
    let queue = holding(1, [Rc::new(0)]);
    let item = Rc::new(1);
    let putter = Waiting::new(queue.put(Rc::clone(&item)));
    drop(putter);
    assert_eq!(Rc::strong_count(&item), 1);
    assert_eq!((queue.get_nowait().map(|item| *item), queue.qsize()), (Ok(0), 0));
}

#[test]
fn q21_a_putter_cancelled_after_it_was_woken_passes_the_room_on() {
    let queue = holding(1, [0]);
    let [first, second] = [1, 2].map(|item| Waiting::new(queue.put(item)));
    assert_eq!(queue.get_nowait(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert!(second.woken());
    second.ready().expect("there is room");
    assert_eq!((queue.get_nowait(), queue.qsize()), (Ok(2), 0));
}

#[test]
fn q21_a_woken_putter_cancelled_after_the_room_was_taken_wakes_nobody() {
    let queue = holding(1, [0]);
    let [first, second] = [1, 2].map(|item| Waiting::new(queue.put(item)));
    assert_eq!(queue.get_nowait(), Ok(0));
    queue.put_nowait(9).expect("there is room");
    drop(first);
    assert!(!second.woken());
}

#[test]
fn q22_cancelled_getters_leave_nothing_and_swallow_nothing() {
    let queue = Queue::new(0);
    for _ in 0..10_000 {
        Waiting::new(queue.get());
    }
    assert_eq!(waiters(&queue), (0, 0, 0));
    let dead = Waiting::new(queue.get());
    dead.cancel();
    queue.put_nowait("not swallowed").expect("there is room");
    assert_eq!(at_once(queue.get()), Ok("not swallowed"));
}

#[test]
fn q22_a_crowd_of_items_leaves_no_memory_behind() {
    let queue = holding(0, 0..1_000_000);
    while queue.get_nowait().is_ok() {}
    assert!(queue.inner.state.borrow().items.capacity() <= 128);
}

#[test]
fn q23_a_dropped_get_either_took_nothing_or_was_not_pending() {
    let queue = Queue::new(0);
    let mut getter = Waiting::new(queue.get());
    queue.put_nowait(Rc::new(())).expect("there is room");
    assert!(getter.poll().is_ready());
    drop(getter);
    assert!(queue.empty());
    let getter = Waiting::new(queue.get());
    queue.put_nowait(Rc::new(())).expect("there is room");
    drop(getter);
    assert_eq!(queue.qsize(), 1);
}

#[test]
fn q30_joiners_wake_when_the_last_item_is_reported() {
    let queue = holding(0, [1, 2]);
    let joiners = [(); 2].map(|()| Waiting::new(queue.join()));
    queue.task_done().expect("two are unfinished");
    assert!(joiners.iter().all(|joiner| !joiner.woken()));
    queue.task_done().expect("one is unfinished");
    queue.put_nowait(3).expect("there is room");
    assert!(joiners.iter().all(Waiting::woken));
    let _late = Waiting::new(queue.join());
    joiners.into_iter().for_each(Waiting::ready);
}

#[test]
fn q31_task_done_more_often_than_put_is_refused() {
    let queue = holding(0, [1]);
    assert_eq!(queue.task_done(), Ok(()));
    assert!(queue.task_done().is_err());
    queue.put_nowait(2).expect("there is room");
    assert_eq!(queue.task_done(), Ok(()), "the refused call changed nothing");
}

#[test]
fn q32_a_join_with_nothing_unfinished_does_not_suspend() {
    let queue = Queue::<u8>::new(0);
    at_once(queue.join());
}

#[test]
fn q33_getting_an_item_does_not_finish_it() {
    let queue = holding(0, [1]);
    assert_eq!(queue.get_nowait(), Ok(1));
    let joiner = Waiting::new(queue.join());
    queue.task_done().expect("one is unfinished");
    joiner.ready();
}

#[test]
fn q50_a_priority_queue_gives_the_smallest_first_and_the_oldest_of_equals() {
    let queue = PriorityQueue::new(0);
    for name in [5, 3, 4, 1, 6, 0, 2] {
        queue.put_nowait(Ranked::new(name)).expect("there is room");
    }
    let names: Vec<_> =
        std::iter::from_fn(|| queue.get_nowait().ok()).map(|one| one.name).collect();
    assert_eq!(names, [3, 6, 0, 4, 1, 5, 2]);
}

#[test]
fn q51_a_lifo_queue_gives_the_youngest_first() {
    let queue = LifoQueue::new(0);
    for item in 0..3 {
        queue.put_nowait(item).expect("there is room");
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait()), [Ok(2), Ok(1), Ok(0)]);
}

#[test]
fn q52_waiters_of_the_variants_are_served_in_waiting_order() {
    let queue = PriorityQueue::new(2);
    let [a, b] = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.put_nowait(2).and(queue.put_nowait(1)).expect("there is room");
    assert_eq!((a.wakes(), b.wakes()), (1, 1));
    assert_eq!((a.ready(), b.ready()), (Ok(1), Ok(2)), "the first waiter, the smallest item");
    assert_eq!(format!("{queue:?}").split(' ').next(), Some("PriorityQueue"));
    let queue = LifoQueue::new(1);
    queue.put_nowait(0).expect("there is room");
    let putters = [1, 2].map(|item| Waiting::new(queue.put(item)));
    assert_eq!(queue.get_nowait(), Ok(0));
    assert_eq!(putters.each_ref().map(Waiting::wakes), [1, 0]);
}

#[test]
fn q22_a_crowd_of_items_leaves_no_memory_behind_in_the_variants() {
    let (lifo, heap) = (LifoQueue::new(0), PriorityQueue::new(0));
    for item in 0..10_000 {
        lifo.put_nowait(item).and(heap.put_nowait(item)).expect("there is room");
    }
    while lifo.get_nowait().is_ok() && heap.get_nowait().is_ok() {}
    let capacities =
        (lifo.inner.state.borrow().items.capacity(), heap.inner.state.borrow().items.capacity());
    assert!(capacities.0 <= 64 && capacities.1 <= 64, "{capacities:?}");
}

#[test]
fn q5_putters_and_getters_take_turns_in_a_loop() {
    let (queue, said, mut yard) = (Queue::new(1), Said::default(), Yard::new());
    for name in ["x", "y"] {
        let (queue, said) = (queue.clone(), said.clone());
        yard.spawn(async move {
            while let Ok(item) = queue.get().await {
                said.say(format!("{name}{item}"));
                queue.task_done().expect("it was put");
            }
        });
    }
    let (puts, all) = (queue.clone(), said.clone());
    yard.spawn(async move {
        for item in 0..4 {
            puts.put(item).await.expect("it is open");
        }
        puts.join().await;
        all.say("all done");
        puts.shutdown(false);
    });
    yard.settle();
    assert_eq!(said.take(), ["x0", "y1", "x2", "y3", "all done"]);
    assert!((0..3).all(|id| yard.done(id)));
}

/// When dropped, uses the queue it is in.
struct Meddler(Queue<Meddler>, Rc<RefCell<Vec<usize>>>);

impl Drop for Meddler {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0.qsize());
        let _ = self.0.get_nowait();
        let _ = self.0.task_done();
        self.0.shutdown(true);
    }
}

#[test]
fn g31_the_drop_of_an_item_may_use_the_queue() {
    let seen = Rc::default();
    let queue = Queue::new(2);
    for _ in 0..2 {
        assert!(queue.put_nowait(Meddler(queue.clone(), Rc::clone(&seen))).is_ok());
    }
    // A putter that is dropped drops its item, which shuts the queue down, which drops the others.
    drop(Waiting::new(queue.put(Meddler(queue.clone(), Rc::clone(&seen)))));
    assert_eq!(seen.borrow().len(), 3);
    assert!(queue.empty());
}

#[test]
fn g31_a_wake_or_the_drop_of_a_waker_may_use_the_queue() {
    let queue = Queue::new(1);
    let used = queue.clone();
    let hooked = Hooked::new(move || {
        let _ = used.get_nowait();
        let _ = used.put_nowait(0);
        let _ = used.task_done();
        assert!(!format!("{used:?}").is_empty());
    });
    let mut getters = [(); 3].map(|()| Box::pin(queue.get()));
    getters.iter_mut().for_each(|getter| assert!(hooked.poll(getter.as_mut()).is_pending()));
    queue.put_nowait(1).expect("there is room");
    assert!(hooked.calls() >= 2, "a getter was woken and its waker dropped");
    let mut joiner = Box::pin(queue.join());
    assert!(hooked.poll(joiner.as_mut()).is_ready() || hooked.poll(joiner.as_mut()).is_pending());
    let mut putters = [(); 3].map(|()| Box::pin(queue.put(2)));
    putters.iter_mut().for_each(|putter| {
        let _ = hooked.poll(putter.as_mut());
        let _ = queue.put_nowait(3);
    });
    let before = hooked.calls();
    drop(getters);
    let _ = queue.get_nowait();
    queue.shutdown(true);
    drop(putters);
    drop(joiner);
    assert!(hooked.calls() > before);
}

#[test]
fn a_poll_with_another_waker_moves_the_wake_up_there() {
    let queue = Queue::new(1);
    let mut getter = Waiting::new(queue.get());
    assert!(getter.poll_with_another_waker().is_pending());
    queue.put_nowait(1).expect("there is room");
    assert_eq!(getter.wakes(), 1);
    let mut putter = Waiting::new(queue.put(2));
    assert!(putter.poll_with_another_waker().is_pending());
    let mut joiner = Waiting::new(queue.join());
    assert!(joiner.poll_with_another_waker().is_pending());
    assert_eq!(getter.ready(), Ok(1));
    assert_eq!(putter.wakes(), 1);
    queue.task_done().expect("it was put");
    assert_eq!(joiner.wakes(), 1);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let queue = holding(2, [1, 2]);
    let _putter = Waiting::new(queue.put(3));
    let _joiners = [(); 2].map(|()| Waiting::new(queue.join()));
    assert_eq!(
        format!("{queue:?}"),
        "Queue { maxsize: 2, qsize: 2, unfinished: 2, shut_down: false, getters: 0, putters: 1, \
         joiners: 2 }"
    );
}

#[test]
fn polls_after_the_end_panic() {
    fn panics<F: Future>(future: F) {
        let mut future = Waiting::unpolled(future);
        assert!(future.poll().is_ready());
        let again = std::panic::AssertUnwindSafe(|| future.poll().is_ready());
        assert!(std::panic::catch_unwind(again).is_err());
    }
    let queue = holding(0, [1]);
    panics(queue.get());
    panics(queue.put(2));
    queue.task_done().and(queue.task_done()).expect("two were put");
    panics(queue.join());
    assert_eq!((queue.get_nowait(), queue.qsize()), (Ok(2), 0), "the queue is as it was");
}
