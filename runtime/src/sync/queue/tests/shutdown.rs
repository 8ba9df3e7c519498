use super::*;

#[test]
fn q40_after_shutdown_puts_fail_and_gets_drain_what_is_left() {
    let queue = holding(1, ["left"]);
    queue.shutdown(false);
    let refused = queue.put_nowait("x");
    assert_eq!(refused, Err(TryPutError::ShutDown(QueueShutDown("x"))), "it wins over full");
    assert_eq!(at_once(queue.put("y")), Err(QueueShutDown("y")));
    assert_eq!(at_once(queue.get()), Ok("left"));
    assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown(QueueShutDown(()))));
    assert_eq!(at_once(queue.get()), Err(QueueShutDown(())));
}

#[test]
fn q41_blocked_putters_and_getters_wake_and_fail() {
    let queue = holding(1, [0]);
    let putters = [1, 2].map(|item| Waiting::new(queue.put(item)));
    queue.shutdown(false);
    assert!(putters.iter().all(Waiting::woken));
    let failed = putters.map(Waiting::ready);
    assert_eq!(failed, [Err(QueueShutDown(1)), Err(QueueShutDown(2))]);
    assert_eq!(queue.qsize(), 1);

    let queue = Queue::<u8>::new(0);
    let getters = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.shutdown(false);
    assert!(getters.iter().all(Waiting::woken));
    assert_eq!(getters.map(Waiting::ready), [Err(QueueShutDown(())); 2]);
}

#[test]
fn q41_a_getter_woken_for_an_item_still_gets_it_after_a_shutdown() {
    let queue = Queue::new(0);
    let [first, second] = [(); 2].map(|()| Waiting::new(queue.get()));
    queue.put_nowait(1).expect("there is room");
    queue.shutdown(false);
    assert_eq!(first.ready(), Ok(1));
    assert_eq!(second.ready(), Err(QueueShutDown(())));
}

#[test]
fn q42_an_immediate_shutdown_discards_the_items_and_counts_them_as_done() {
    let queue = holding(0, [1, 2, 3]);
    let joiner = Waiting::new(queue.join());
    queue.shutdown(true);
    assert_eq!((queue.qsize(), queue.get_nowait().is_err()), (0, true));
    assert!(joiner.woken());
    joiner.ready();
    assert!(queue.task_done().is_err());
}

#[test]
fn q42_items_reported_before_anybody_took_them_do_not_count_twice() {
    let queue = holding(0, [1, 2]);
    queue.task_done().expect("two were put");
    queue.shutdown(true);
    at_once(queue.join());
    assert!(queue.task_done().is_err());
}

#[test]
fn q43_a_plain_shutdown_does_not_wake_joiners_while_items_are_unfinished() {
    let queue = holding(0, [1]);
    let joiner = Waiting::new(queue.join());
    queue.shutdown(false);
    assert!(!joiner.woken());
    assert_eq!(queue.get_nowait(), Ok(1));
    queue.task_done().expect("one is unfinished");
    joiner.ready();
}

#[test]
fn q43_items_got_before_an_immediate_shutdown_still_have_to_be_reported() {
    let queue = holding(0, [1, 2]);
    assert_eq!(queue.get_nowait(), Ok(1));
    let joiner = Waiting::new(queue.join());
    queue.shutdown(true);
    assert!(!joiner.woken());
    queue.task_done().expect("one is unfinished");
    joiner.ready();
}

#[test]
fn q44_shutting_down_again_is_allowed_also_immediately_after_all() {
    let queue = holding(0, [1]);
    queue.shutdown(false);
    queue.shutdown(false);
    assert_eq!(queue.qsize(), 1);
    queue.shutdown(true);
    assert_eq!(queue.qsize(), 0);
    queue.shutdown(true);
    at_once(queue.join());
}

#[test]
fn q45_a_putter_woken_before_the_shutdown_fails_and_stores_nothing() {
    let queue = holding(1, [0]);
    let putter = Waiting::new(queue.put(1));
    assert_eq!(queue.get_nowait(), Ok(0));
    assert!(putter.woken());
    queue.shutdown(false);
    assert_eq!(putter.ready(), Err(QueueShutDown(1)));
    assert!(queue.empty());
}

#[test]
fn g31_those_woken_by_a_shutdown_find_the_queue_in_order() {
    let (queue, said, mut yard) = (holding(1, [0]), Said::default(), Yard::new());
    let putter = (queue.clone(), said.clone());
    yard.spawn(async move {
        let (queue, said) = putter;
        let refused = queue.put(1).await;
        said.say(format!("{refused:?} {:?}", queue.put_nowait(2)));
    });
    yard.settle();
    queue.shutdown(true);
    yard.settle();
    assert_eq!(said.take(), ["Err(QueueShutDown(..)) Err(ShutDown(QueueShutDown(..)))"]);
}

#[test]
fn errors_say_what_happened_and_give_the_item_back() {
    let full = TryPutError::from(QueueFull('x'));
    assert_eq!((full.to_string(), full.into_item()), ("the queue is full".into(), 'x'));
    let shut = TryPutError::from(QueueShutDown('y'));
    assert_eq!((shut.to_string(), shut.into_item()), ("the queue is shut down".into(), 'y'));
    assert_eq!(full.without_item(), TryPutError::Full(QueueFull(())));
    assert_eq!(QueueShutDown('z').without_item(), QueueShutDown(()));
    assert_eq!(TryGetError::from(QueueEmpty).to_string(), "the queue is empty");
    assert_eq!(TryGetError::from(QueueShutDown(())).to_string(), "the queue is shut down");
    assert_eq!(format!("{full:?}"), "Full(QueueFull(..))");
}
