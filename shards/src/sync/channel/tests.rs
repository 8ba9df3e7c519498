use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + Unpin>(future: &mut F, bell: &Arc<Bell>) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(&Waker::from(Arc::clone(bell))))
}

fn bell() -> Arc<Bell> {
    Arc::default()
}

#[test]
fn items_come_in_the_order_in_which_they_were_sent_and_then_the_end() {
    let (sender, mut receiver) = bounded(3);
    for item in 0..3 {
        assert!(sender.try_send(item).is_ok());
    }
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!(receiver.len(), 3);
    drop(sender);
    assert_eq!([0; 3].map(|_| receiver.try_recv()), [Ok(0), Ok(1), Ok(2)]);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    assert!(receiver.is_empty());
}

#[test]
fn room_goes_to_the_first_in_line_and_nobody_overtakes() {
    let (sender, mut receiver) = bounded(1);
    let (first_bell, second_bell) = (bell(), bell());
    assert!(sender.try_send(0).is_ok());
    let (mut first, mut second) = (sender.send(1), sender.send(2));
    assert!(poll(&mut first, &first_bell).is_pending());
    assert!(poll(&mut second, &second_bell).is_pending());
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!((first_bell.rung(), second_bell.rung()), (1, 0));
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)), "the room is the first one's");
    assert!(poll(&mut second, &second_bell).is_pending());
    assert_eq!(poll(&mut first, &first_bell), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(poll(&mut second, &second_bell), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(2));
}

#[test]
fn room_that_was_given_to_one_who_gives_up_goes_to_the_next() {
    let (sender, mut receiver) = bounded(1);
    let bells = [bell(), bell(), bell()];
    assert!(sender.try_send(0).is_ok());
    let mut sending: Vec<_> = (1..4).map(|item| sender.send(item)).collect();
    for (sending, bell) in sending.iter_mut().zip(&bells) {
        assert!(poll(sending, bell).is_pending());
    }
    assert_eq!(receiver.try_recv(), Ok(0));
    // The first was given room, the second is still in line.
    drop(sending.remove(0));
    drop(sending.remove(0));
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 1, 1]);
    assert_eq!(poll(&mut sending[0], &bells[2]), Poll::Ready(Ok(())));
    assert_eq!(receiver.try_recv(), Ok(3));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn one_who_leaves_the_line_takes_no_room_along() {
    let (sender, mut receiver) = bounded(1);
    assert!(sender.try_send(0).is_ok());
    let mut gone = sender.send(1);
    assert!(poll(&mut gone, &bell()).is_pending());
    drop(gone);
    assert_eq!(receiver.try_recv(), Ok(0));
    assert!(sender.try_send(2).is_ok());
}

#[test]
fn the_receiver_is_woken_by_an_item_and_by_the_end() {
    let (sender, mut receiver) = bounded::<u8>(2);
    let bell = bell();
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut receiver).poll_next(&mut context).is_pending());
    assert!(sender.try_send(1).is_ok());
    assert_eq!(bell.rung(), 1);
    assert_eq!(Pin::new(&mut receiver).poll_next(&mut context), Poll::Ready(Some(1)));
    assert!(Pin::new(&mut receiver).poll_next(&mut context).is_pending());
    let other = sender.clone();
    drop(sender);
    assert_eq!(bell.rung(), 1, "one sender is left");
    drop(other);
    assert_eq!(bell.rung(), 2);
    assert_eq!(Pin::new(&mut receiver).poll_next(&mut context), Poll::Ready(None));
}

#[test]
fn senders_learn_that_the_receiver_is_gone_and_get_their_items_back() {
    let (sender, receiver) = bounded(1);
    let held = Arc::new(());
    assert!(sender.try_send(Arc::clone(&held)).is_ok());
    let bell = bell();
    let mut waiting = sender.send(Arc::clone(&held));
    assert!(poll(&mut waiting, &bell).is_pending());
    drop(receiver);
    assert_eq!(bell.rung(), 1);
    let Poll::Ready(Err(error)) = poll(&mut waiting, &bell) else { panic!("it is told") };
    assert_eq!(error.to_string(), "the receiver is gone");
    drop(error);
    assert!(sender.is_closed());
    let refused = sender.try_send(Arc::clone(&held)).expect_err("it is closed");
    assert!(matches!(refused, TrySendError::Closed(_)));
    drop(refused);
    assert_eq!(Arc::strong_count(&held), 1, "the unread item is dropped");
}

#[test]
#[should_panic(expected = "room for at least one item")]
fn a_channel_without_room_is_refused() {
    drop(bounded::<u8>(0));
}
