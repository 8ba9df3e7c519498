//! Loom models of the channels: no interleaving loses an item, room, a wake-up or the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use ::loom::sync::{Condvar, Mutex};
use ::loom::thread;

use super::{channel, oneshot, watch};

/// Runs `body` in every interleaving with at most three preemptions; `LOOM_MAX_PREEMPTIONS` overrides
/// it.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

/// Sleeps until it is woken.
struct Sleeper {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().expect("nobody panics while it is held") = true;
        self.changed.notify_one();
    }
}

/// Polls `future` until it is ready, and sleeps in between.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let sleeper = Arc::new(Sleeper { woken: Mutex::new(false), changed: Condvar::new() });
    let waker = Waker::from(Arc::clone(&sleeper));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let mut woken = sleeper.woken.lock().expect("nobody panics while it is held");
        while !*woken {
            woken = sleeper.changed.wait(woken).expect("nobody panics while it is held");
        }
        *woken = false;
    }
}

#[test]
fn loom_two_senders_share_the_room_of_one_item() {
    model(|| {
        let (sender, mut receiver) = channel::bounded(1);
        let other = sender.clone();
        let threads = [(sender, 1), (other, 2)].map(|(sender, item)| {
            thread::spawn(move || block_on(sender.send(item)).expect("somebody receives"))
        });
        let mut sum = 0;
        while let Some(item) = block_on(receiver.recv()) {
            sum += item;
        }
        assert_eq!(sum, 3);
        for thread in threads {
            thread.join().expect("it does not panic");
        }
    });
}

#[test]
fn loom_room_that_is_given_up_is_not_lost() {
    model(|| {
        let (sender, mut receiver) = channel::bounded(1);
        sender.try_send(1).expect("there is room");
        let other = sender.clone();
        let gives_up = thread::spawn(move || {
            let mut sending = pin!(sender.send(2));
            // Once; then it is given up, in line or with room.
            let polled = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            matches!(polled, Poll::Ready(Ok(())))
        });
        let sends = thread::spawn(move || block_on(other.send(3)).expect("somebody receives"));
        let mut sum = 0;
        while let Some(item) = block_on(receiver.recv()) {
            sum += item;
        }
        let was_sent = gives_up.join().expect("it does not panic");
        sends.join().expect("it does not panic");
        assert_eq!(sum, if was_sent { 6 } else { 4 });
    });
}

#[test]
fn loom_a_receiver_that_goes_away_is_seen_by_who_waits_for_room() {
    model(|| {
        let (sender, receiver) = channel::bounded(1);
        sender.try_send(1).expect("there is room");
        let sends = thread::spawn(move || block_on(sender.send(2)).is_err());
        drop(receiver);
        assert!(sends.join().expect("it does not panic"));
    });
}

#[test]
fn loom_one_value_or_its_absence_arrives() {
    for does_send in [true, false] {
        model(move || {
            let (sender, receiver) = oneshot::channel();
            let sends = thread::spawn(move || {
                if does_send {
                    sender.send(7).expect("somebody receives");
                }
            });
            let expected = if does_send { Ok(7) } else { Err(oneshot::NothingSent) };
            assert_eq!(block_on(receiver), expected);
            sends.join().expect("it does not panic");
        });
    }
}

#[test]
fn loom_the_last_change_is_seen() {
    model(|| {
        let (sender, mut receiver) = watch::channel(0);
        let sends = thread::spawn(move || {
            sender.send(1);
            sender.send(2);
        });
        let mut last = 0;
        while let Ok(value) = block_on(receiver.changed()) {
            assert!(*value > last);
            last = *value;
        }
        assert_eq!(last, 2);
        sends.join().expect("it does not panic");
    });
}
