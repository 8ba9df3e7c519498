use super::super::support::{Waiting, at_once};
use super::*;

fn ends(capacity: usize) -> (Sender<u32>, Receiver<u32>) {
    channel(capacity).expect("there is room")
}

/// What is there, as text.
fn all(receiver: &mut Receiver<u32>) -> String {
    let mut got = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(Some(message)) => got.push(message.to_string()),
            Ok(None) => return got.join(" "),
            Err(RecvError::Lagged(count)) => got.push(format!("-{count}")),
            Err(RecvError::Closed) => return got.join(" ") + ".",
        }
    }
}

fn kept<T>(sender: &Sender<T>) -> usize {
    sender.shared.kept.borrow().messages.len()
}

#[test]
fn every_receiver_gets_every_message_in_order() {
    let (sender, mut first) = ends(4);
    let mut second = sender.subscribe();
    for message in 1..=3 {
        assert_eq!(sender.send(message), Ok(2));
    }
    let mut third = sender.subscribe();
    assert_eq!(sender.send(4), Ok(3));
    assert_eq!([&mut first, &mut second, &mut third].map(all), ["1 2 3 4", "1 2 3 4", "4"]);
    assert_eq!(kept(&sender), 0, "what all have received is not kept");
    drop(sender);
    assert_eq!(all(&mut first), ".");
}

#[test]
fn a_slow_receiver_is_told_how_many_it_missed() {
    let (sender, mut slow) = ends(2);
    let mut quick = sender.subscribe();
    for message in 1..=5 {
        sender.send(message).expect("there are receivers");
        assert_eq!(all(&mut quick), message.to_string());
    }
    assert_eq!(all(&mut slow), "-3 4 5");
    assert!(channel::<u8>(0).is_err());
}

#[test]
fn a_waiting_receiver_is_woken_by_a_message_and_by_the_end() {
    let (sender, mut first) = ends(1);
    let mut second = first.clone();
    let waiting = [&mut first, &mut second].map(|one| Waiting::new(one.recv()));
    let other = sender.clone();
    sender.send(1).expect("there are receivers");
    assert_eq!(waiting.map(|one| one.ready().map(|message| *message)), [Ok(1); 2]);
    let waiting = Waiting::new(first.recv());
    drop(sender);
    assert!(!waiting.woken());
    drop(other);
    assert_eq!(waiting.ready(), Err(RecvError::Closed));
}

#[test]
fn a_dropped_receive_has_received_nothing() {
    let (sender, mut receiver) = ends(1);
    let waiting = Waiting::new(receiver.recv());
    sender.send(1).expect("there is a receiver");
    drop(waiting);
    assert_eq!(at_once(receiver.recv()).map(|message| *message), Ok(1));
}

#[test]
fn a_receiver_that_goes_away_holds_no_message_back() {
    let (sender, first) = ends(4);
    let mut second = sender.subscribe();
    let third = first.clone();
    for message in 1..=3 {
        sender.send(message).expect("there are receivers");
    }
    let copy = second.clone();
    assert_eq!(all(&mut second), "1 2 3");
    drop((first, third));
    assert_eq!(kept(&sender), 3, "the copy has not received them");
    drop(copy);
    assert_eq!(kept(&sender), 0);
    drop(second);
    assert_eq!(sender.send(4), Err(NoReceivers(4)));
    assert_eq!(all(&mut sender.subscribe()), "");
}

#[test]
fn g31_the_drop_of_a_message_may_use_the_channel() {
    struct Meddler(Sender<Self>);
    impl Drop for Meddler {
        fn drop(&mut self) {
            assert!(!format!("{:?}", self.0).is_empty());
            drop(self.0.subscribe());
        }
    }
    let (sender, mut receiver) = channel(1).expect("there is room");
    for _ in 0..3 {
        sender.send(Meddler(sender.clone())).expect("there is a receiver");
    }
    assert!(receiver.try_recv().is_err());
    drop(receiver.try_recv());
    sender.send(Meddler(sender.clone())).expect("there is a receiver");
    drop(receiver);
    assert_eq!(kept(&sender), 0);
}

#[test]
fn debug_shows_the_state_and_the_waiters() {
    let (sender, mut receiver) = ends(2);
    let _waiting = Waiting::new(receiver.recv());
    let shown = "Sender { capacity: 2, kept: 0, senders: 1, receivers: 1, waiters: 1 }";
    assert_eq!(format!("{sender:?}"), shown);
}
