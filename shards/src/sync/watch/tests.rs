use super::*;

fn poll<T>(changed: &mut Changed<'_, T>) -> Poll<Result<Arc<T>, SenderGone>> {
    Pin::new(changed).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_receiver_sees_the_latest_value_and_each_change_once() {
    let (sender, mut receiver) = channel(0);
    assert!(!receiver.has_changed());
    assert!(poll(&mut receiver.changed()).is_pending());
    assert_eq!(*sender.send(1), 0);
    sender.send(2);
    assert!(receiver.has_changed());
    assert_eq!(*receiver.latest(), 2);
    assert_eq!(poll(&mut receiver.changed()), Poll::Ready(Ok(Arc::new(2))));
    assert!(poll(&mut receiver.changed()).is_pending());
}

#[test]
fn a_wait_that_is_dropped_has_seen_nothing_and_leaves_nothing_behind() {
    let (sender, mut receiver) = channel(0);
    let mut waiting = receiver.changed();
    assert!(poll(&mut waiting).is_pending());
    assert_eq!(lock(&sender.0).waiting.len(), 1);
    sender.send(1);
    drop(waiting);
    assert!(receiver.has_changed());
    let mut waiting = receiver.clone();
    let mut waiting = waiting.changed();
    assert!(poll(&mut waiting).is_ready());
    assert!(lock(&sender.0).waiting.is_empty());
}

#[test]
fn the_last_value_is_seen_before_the_end() {
    let (sender, mut receiver) = channel(0);
    assert_eq!(sender.receiver_count(), 1);
    let late = sender.subscribe();
    assert_eq!(sender.receiver_count(), 2);
    drop(late);
    assert_eq!((sender.receiver_count(), *sender.latest()), (1, 0));
    sender.send(1);
    assert!(!sender.subscribe().has_changed(), "who comes late has seen what is there");
    drop(sender);
    assert_eq!(poll(&mut receiver.changed()), Poll::Ready(Ok(Arc::new(1))));
    assert_eq!(poll(&mut receiver.changed()), Poll::Ready(Err(SenderGone)));
    assert_eq!(*receiver.latest(), 1);
}
