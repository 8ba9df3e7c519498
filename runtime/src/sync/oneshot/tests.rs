use super::super::support::{Waiting, at_once};
use super::*;

#[test]
fn a_value_goes_from_one_end_to_the_other() {
    let (sender, mut receiver) = channel();
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let waiting = Waiting::new(receiver);
    sender.send(7).expect("somebody receives");
    assert_eq!((waiting.wakes(), waiting.ready()), (1, Ok(7)));
    let (sender, receiver) = channel();
    sender.send(8).expect("somebody receives");
    assert_eq!(at_once(receiver), Ok(8));
}

#[test]
fn a_sender_that_goes_away_is_noticed() {
    let (sender, receiver) = channel::<u8>();
    let waiting = Waiting::new(receiver);
    drop(sender);
    assert_eq!(waiting.ready(), Err(SenderGone));
    let (sender, mut receiver) = channel::<u8>();
    drop(sender);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed(SenderGone)));
}

#[test]
fn a_receiver_that_goes_away_or_closes_is_noticed() {
    let (sender, receiver) = channel();
    let closed = Waiting::new(sender.closed());
    drop(receiver);
    assert!(closed.woken());
    closed.ready();
    assert_eq!((sender.is_closed(), sender.send(7)), (true, Err(7)));
    let (sender, mut receiver) = channel();
    receiver.close();
    assert_eq!((sender.send(7), at_once(receiver)), (Err(7), Err(SenderGone)));
}

#[test]
fn what_was_sent_before_the_close_is_received_and_a_dropped_wait_loses_nothing() {
    let (sender, mut receiver) = channel();
    drop(Waiting::new(&mut receiver));
    sender.send(7).expect("somebody receives");
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(7));
}

#[test]
fn a_value_that_nobody_took_is_dropped_with_its_receiver() {
    let (sender, receiver) = channel();
    let value = Rc::new(());
    sender.send(Rc::clone(&value)).expect("somebody receives");
    assert_eq!(Rc::strong_count(&value), 2);
    drop(receiver);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let (sender, receiver) = channel::<u8>();
    let _waiting = Waiting::new(receiver);
    let shown = "Sender { sent: false, sender_gone: false, receiver_gone: false, waiters: 1 }";
    assert_eq!(format!("{sender:?}"), shown);
}
