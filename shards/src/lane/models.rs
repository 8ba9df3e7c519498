//! Loom models of a lane with its bell: no interleaving loses a message, a wake-up or a note.
//!
//! The channel is a stand-in, a ring of two indices as weakly ordered as a channel may be: a
//! refusal reads one index and synchronises with nothing, so the fences around notes and bells are
//! what is being checked.

use std::collections::VecDeque;
use std::sync::Arc;

use ::loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use ::loom::sync::{Condvar, Mutex};
use ::loom::thread;
use corelane::lowlevel::SleepFlag;

use super::*;

/// Runs `body` in every interleaving with at most three preemptions, a bound that finds what real
/// programs do and ends in seconds; `LOOM_MAX_PREEMPTIONS` overrides it.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = ::loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(body);
}

enum Ringed {}

struct Ringbuf<T> {
    slots: Box<[Mutex<Option<T>>]>,
    sent: AtomicUsize,
    taken: AtomicUsize,
    sender_gone: AtomicBool,
    receiver_gone: AtomicBool,
}

struct Tx<T>(Arc<Ringbuf<T>>);
struct Rx<T>(Arc<Ringbuf<T>>);

impl<T> Drop for Tx<T> {
    fn drop(&mut self) {
        self.0.sender_gone.store(true, Ordering::Release);
    }
}

impl<T> Drop for Rx<T> {
    fn drop(&mut self) {
        self.0.receiver_gone.store(true, Ordering::Release);
    }
}

impl Channel for Ringed {
    type Tx<T: Send> = Tx<T>;
    type Rx<T: Send> = Rx<T>;

    fn bounded<T: Send>(capacity: usize) -> (Tx<T>, Rx<T>) {
        let ring = Arc::new(Ringbuf {
            slots: (0..capacity).map(|_| Mutex::new(None)).collect(),
            sent: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            sender_gone: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
        });
        (Tx(Arc::clone(&ring)), Rx(ring))
    }

    fn try_send<T: Send>(tx: &Tx<T>, item: T) -> Result<(), Refused<T>> {
        let ring = &tx.0;
        if ring.receiver_gone.load(Ordering::Acquire) {
            return Err(Refused::Gone(item));
        }
        let sent = ring.sent.load(Ordering::Relaxed);
        if sent - ring.taken.load(Ordering::Acquire) == ring.slots.len() {
            return Err(Refused::Full(item));
        }
        *ring.slots[sent % ring.slots.len()].lock().unwrap() = Some(item);
        ring.sent.store(sent + 1, Ordering::Release);
        Ok(())
    }

    fn try_recv<T: Send>(rx: &Rx<T>) -> Result<T, Nothing> {
        let ring = &rx.0;
        let gone = ring.sender_gone.load(Ordering::Acquire);
        let taken = ring.taken.load(Ordering::Relaxed);
        if taken == ring.sent.load(Ordering::Acquire) {
            return Err(if gone { Nothing::Gone } else { Nothing::Empty });
        }
        let item = ring.slots[taken % ring.slots.len()].lock().unwrap().take();
        ring.taken.store(taken + 1, Ordering::Release);
        item.ok_or(Nothing::Empty)
    }
}

/// A loop that can sleep: the real flag, and a condition variable in place of the driver.
struct Sleeper {
    flag: SleepFlag,
    poked: Mutex<bool>,
    changed: Condvar,
}

impl Ring for Arc<Sleeper> {
    fn ring(&self) -> bool {
        let asleep = self.flag.must_unpark();
        if asleep {
            *self.poked.lock().unwrap() = true;
            self.changed.notify_one();
        }
        asleep
    }
}

impl Sleeper {
    fn new() -> Arc<Self> {
        let (poked, changed) = (Mutex::new(false), Condvar::new());
        Arc::new(Self { flag: SleepFlag::new(), poked, changed })
    }

    /// What a loop with nothing to do does: sleeps until it is rung for, unless there is news
    /// already.
    fn sleep(&self, mailbox: &Mailbox<Arc<Self>>) {
        self.flag.prepare_sleep();
        if !mailbox.has_news() {
            let mut poked = self.poked.lock().unwrap();
            while !*poked {
                poked = self.changed.wait(poked).unwrap();
            }
            *poked = false;
        }
        self.flag.wake_up();
    }
}

type Sender = LaneSender<u32, Ringed, Arc<Sleeper>>;
type Receiver = LaneReceiver<u32, Ringed, Arc<Sleeper>>;

struct Side {
    sleeper: Arc<Sleeper>,
    mailbox: Arc<Mailbox<Arc<Sleeper>>>,
}

impl Side {
    fn new() -> Self {
        let sleeper = Sleeper::new();
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&sleeper)));
        Self { sleeper, mailbox }
    }
}

fn sides(capacity: usize) -> (Side, Sender, Side, Receiver) {
    let (home, away) = (Side::new(), Side::new());
    let (sender, receiver) = lane(
        &End { id: 0, mailbox: &home.mailbox },
        &End { id: 1, mailbox: &away.mailbox },
        capacity,
    );
    (home, sender, away, receiver)
}

/// Takes messages until the sender has ended, asleep whenever there is nothing.
fn receive_all(side: &Side, receiver: &mut Receiver) -> Vec<u32> {
    let mut received = Vec::new();
    loop {
        if side.mailbox.collect() == 0 {
            side.sleeper.sleep(&side.mailbox);
            continue;
        }
        loop {
            match receiver.next() {
                Ok(message) => received.push(message),
                Err(Nothing::Empty) => break,
                Err(Nothing::Gone) => return received,
            }
        }
    }
}

#[test]
fn loom_no_message_is_left_with_a_sleeping_receiver() {
    model(|| {
        let (_home, mut sender, away, mut receiver) = sides(2);
        let other = thread::spawn(move || {
            for message in 0..2 {
                sender.push(message);
                assert_eq!(sender.flush(), Flushed::Sent);
            }
            sender.close();
        });
        assert_eq!(receive_all(&away, &mut receiver), [0, 1]);
        other.join().unwrap();
    });
}

#[test]
fn loom_a_sender_that_found_the_lane_full_learns_of_room() {
    model(|| {
        let (home, mut sender, away, mut receiver) = sides(1);
        let other = thread::spawn(move || {
            for message in 0..2 {
                sender.push(message);
                while sender.flush() == Flushed::Full {
                    home.sleeper.sleep(&home.mailbox);
                    home.mailbox.collect();
                }
            }
            sender.close();
        });
        assert_eq!(receive_all(&away, &mut receiver), [0, 1]);
        other.join().unwrap();
    });
}

#[test]
fn loom_a_batch_is_never_in_two_hands() {
    model(|| {
        let (_home, mut sender, away, mut receiver) = sides(2);
        let other = thread::spawn(move || {
            for first in [0, 2] {
                sender.push(first);
                sender.push(first + 1);
                assert_eq!(sender.flush(), Flushed::Sent);
                assert_eq!(sender.outbox, VecDeque::<u32>::new(), "an empty batch came home");
            }
            sender.close();
        });
        assert_eq!(receive_all(&away, &mut receiver), [0, 1, 2, 3]);
        other.join().unwrap();
    });
}
