use super::super::support::{Waiting, at_once};
use super::*;

#[test]
fn a_receiver_sees_the_latest_value_and_each_once() {
    let (sender, mut receiver) = channel(0);
    assert_eq!((*receiver.get(), receiver.has_changed()), (0, false));
    sender.send(1);
    sender.send(2);
    assert!(receiver.has_changed());
    assert_eq!(at_once(receiver.changed()).map(|value| *value), Ok(2));
    assert!(!receiver.has_changed());
    let waiting = Waiting::new(receiver.changed());
    sender.send(3);
    assert_eq!((waiting.wakes(), waiting.ready().map(|value| *value)), (1, Ok(3)));
}

#[test]
fn all_who_watch_are_woken_and_a_clone_has_seen_what_its_original_had() {
    let (sender, mut first) = channel(0);
    sender.send(1);
    let mut second = first.clone();
    let mut late = sender.subscribe();
    assert_eq!((sender.receiver_count(), late.has_changed()), (3, false));
    assert_eq!(at_once(second.changed()).map(|value| *value), Ok(1));
    assert!(first.has_changed());
    assert_eq!(at_once(first.changed()).map(|value| *value), Ok(1));
    let waiting = [&mut first, &mut second, &mut late].map(|one| Waiting::new(one.changed()));
    sender.send(2);
    assert_eq!(waiting.map(|one| *one.ready().expect("it was sent")), [2; 3]);
}

#[test]
fn a_dropped_wait_loses_no_value() {
    let (sender, mut receiver) = channel(0);
    let waiting = Waiting::new(receiver.changed());
    sender.send(1);
    drop(waiting);
    assert_eq!(at_once(receiver.changed()).map(|value| *value), Ok(1));
}

#[test]
fn wait_for_begins_with_the_present_value() {
    let (sender, mut receiver) = channel(1);
    assert_eq!(at_once(receiver.wait_for(|value| *value == 1)).map(|value| *value), Ok(1));
    let mut waiting = Waiting::new(receiver.wait_for(|value| *value == 3));
    sender.send(2);
    assert!(waiting.poll().is_pending());
    sender.send(3);
    assert_eq!(waiting.ready().map(|value| *value), Ok(3));
}

#[test]
fn the_end_of_the_other_side_is_noticed() {
    let (sender, mut receiver) = channel(0);
    let other = sender.clone();
    sender.send(1);
    drop(sender);
    assert_eq!(at_once(receiver.changed()).map(|value| *value), Ok(1), "the last value is seen");
    let waiting = Waiting::new(receiver.changed());
    drop(other);
    assert_eq!(waiting.ready(), Err(WatchClosed));
    let (sender, receiver) = channel(0);
    let second = receiver.clone();
    let closed = Waiting::new(sender.closed());
    drop(receiver);
    assert!(!closed.woken());
    drop(second);
    closed.ready();
    sender.send(1);
    assert_eq!(*sender.get(), 1);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let (sender, mut receiver) = channel(7);
    let _waiting = Waiting::new(receiver.changed());
    let shown = "Sender { value: 7, senders: 1, receivers: 1, waiters: 1 }";
    assert_eq!(format!("{sender:?}"), shown);
}

#[test]
fn g31_the_drop_of_a_value_may_use_the_channel() {
    struct Meddler(Option<Sender<Self>>);
    impl Drop for Meddler {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.send(Self(None));
            }
        }
    }
    let (sender, receiver) = channel(Meddler(None));
    sender.send(Meddler(Some(sender.clone())));
    sender.send(Meddler(None));
    assert!(receiver.has_changed() && receiver.get().0.is_none());
}
