use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering as AtomicOrdering};

use super::*;

/// Counts its rings; every one finds a sleeper.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Ring for Counter {
    fn ring(&self) -> bool {
        self.0.fetch_add(1, AtomicOrdering::Relaxed);
        true
    }
}

type Sender<M> = LaneSender<M, Crossbeam, Counter>;
type Receiver<M> = LaneReceiver<M, Crossbeam, Counter>;

/// A lane from shard 3 to shard 5, and both mailboxes.
fn pair<M: Send>(capacity: usize) -> (Sender<M>, Receiver<M>, [Arc<Mailbox<Counter>>; 2]) {
    let mailboxes = [(); 2].map(|()| Arc::new(Mailbox::new(Counter::default())));
    let (sender, receiver) = lane(
        &End { id: 3, mailbox: &mailboxes[0] },
        &End { id: 5, mailbox: &mailboxes[1] },
        capacity,
    );
    (sender, receiver, mailboxes)
}

fn drain(receiver: &mut Receiver<u64>) -> Vec<u64> {
    std::iter::from_fn(|| receiver.next().ok()).collect()
}

#[test]
fn what_one_flush_sends_is_one_packet_and_one_announcement() {
    let (mut sender, mut receiver, [_, mailbox]) = pair(4);
    (0..100).for_each(|n| sender.push(n));
    assert!(!mailbox.has_news(), "nothing leaves before the flush");
    assert_eq!(sender.flush(), Flushed::Sent);
    assert_eq!(mailbox.collect(), bit_of(3));
    assert_eq!(drain(&mut receiver), (0..100).collect::<Vec<_>>());
    let expected =
        LaneStats { message_count: 100, packet_count: 1, wake_count: 1, ..LaneStats::default() };
    assert_eq!(sender.stats(), expected);
}

#[test]
fn an_empty_flush_announces_nothing() {
    let (mut sender, _receiver, [_, mailbox]) = pair::<u64>(4);
    assert_eq!(sender.flush(), Flushed::Sent);
    assert!(!mailbox.has_news());
    assert_eq!(sender.stats(), LaneStats::default());
}

#[test]
fn an_emptied_batch_comes_home_for_reuse() {
    let (mut sender, mut receiver, _) = pair(4);
    (0..50).for_each(|n| sender.push(n));
    sender.flush();
    assert_eq!(sender.outbox.capacity(), 0, "the first batch left with its memory");
    drain(&mut receiver);
    (0..2).for_each(|n| sender.push(n));
    sender.flush();
    assert!(sender.outbox.capacity() >= 50, "the first batch is the outbox again");
}

#[test]
fn a_batch_that_grew_too_large_is_freed() {
    let (mut sender, mut receiver, _) = pair(4);
    (0..=REUSED_BATCH_LIMIT as u64).for_each(|n| sender.push(n));
    sender.flush();
    drain(&mut receiver);
    (0..2).for_each(|n| sender.push(n));
    sender.flush();
    assert_eq!(sender.outbox.capacity(), 0);
}

#[test]
fn a_full_lane_keeps_its_messages_in_order_and_learns_of_room() {
    let (mut sender, mut receiver, [home, _]) = pair(1);
    sender.push(0);
    assert_eq!(sender.flush(), Flushed::Sent);
    sender.push(1);
    sender.push(2);
    assert_eq!(sender.flush(), Flushed::Full);
    sender.push(3);
    assert_eq!(sender.flush(), Flushed::Full);
    assert!(!home.has_news());
    assert_eq!(receiver.next(), Ok(0));
    assert_eq!(home.collect(), bit_of(5), "the receiver says that there is room");
    assert_eq!(sender.flush(), Flushed::Sent);
    assert_eq!(drain(&mut receiver), [1, 2, 3]);
    assert!(!home.has_news(), "nobody waits for room any more");
}

#[test]
fn a_sender_of_a_deep_full_lane_learns_of_room_when_it_is_empty_at_the_latest() {
    for taken_before in 0..4 {
        let (mut sender, mut receiver, [home, _]) = pair(4);
        for n in 0..taken_before {
            sender.push(n);
            sender.flush();
            receiver.next().unwrap();
        }
        (0..5).for_each(|n| {
            sender.push(n);
            sender.flush();
        });
        drain(&mut receiver);
        assert!(home.has_news(), "after {taken_before} packets");
    }
}

#[test]
fn a_receiver_that_ends_refuses_and_the_messages_stay_with_the_sender() {
    let (mut sender, receiver, _) = pair(4);
    drop(receiver);
    sender.push(1);
    sender.push(2);
    assert_eq!(sender.flush(), Flushed::Gone);
    assert_eq!(sender.outbox, [1, 2]);
}

#[test]
fn a_sender_that_closes_is_announced_and_seen_after_its_last_message() {
    let (mut sender, mut receiver, [_, mailbox]) = pair(4);
    sender.push(1);
    sender.flush();
    mailbox.collect();
    sender.close();
    assert_eq!(mailbox.collect(), bit_of(3));
    assert_eq!(receiver.next(), Ok(1));
    assert_eq!(receiver.next(), Err(Nothing::Gone));
}

#[test]
fn a_sender_that_closes_over_a_message_that_panics_is_announced() {
    #[derive(Debug)]
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (mut sender, mut receiver, [_, mailbox]) = pair(4);
    sender.push(Guard);
    assert!(catch_unwind(AssertUnwindSafe(|| sender.close())).is_err());
    assert_eq!(mailbox.collect(), bit_of(3));
    assert_eq!(receiver.next().err(), Some(Nothing::Gone));
}

#[test]
fn peers_64_apart_share_a_bit() {
    assert_eq!(bit_of(1), bit_of(65));
    assert_ne!(bit_of(1), bit_of(2));
}

/// A generator of random programs; the multiplier is Knuth's for MMIX.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn random_programs_lose_nothing_and_keep_the_order() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (mut sender, mut receiver, _) = pair(1 + random.below(4) as usize);
        let (mut pushed, mut taken) = (0, 0);
        for step in 0..500 {
            match random.below(4) {
                0 | 1 => {
                    sender.push(pushed);
                    pushed += 1;
                }
                2 => assert_ne!(sender.flush(), Flushed::Gone),
                _ => {
                    for _ in 0..random.below(6) {
                        let Ok(message) = receiver.next() else { break };
                        assert_eq!(message, taken, "seed {seed}, step {step}");
                        taken += 1;
                    }
                }
            }
        }
        while taken < pushed {
            sender.flush();
            for message in drain(&mut receiver) {
                assert_eq!(message, taken, "seed {seed}, at the end");
                taken += 1;
            }
        }
    }
}

#[test]
fn one_packet_in_many_says_how_long_it_was_on_its_way_and_loses_nothing() {
    let (mut sender, mut receiver, _) = pair(1);
    let mut hops = Vec::new();
    let sent = 2 * TIMED_PACKETS + 1;
    for n in 0..sent {
        // Packets of one message, and of several.
        let first = n * 3;
        (first..=first + n % 3).for_each(|message| sender.push(message));
        assert_eq!(sender.flush(), Flushed::Sent);
        let mut expected = first;
        while let Ok(message) = receiver.next_timed(|length| hops.push((n, length))) {
            assert_eq!(message, expected);
            expected += 1;
        }
        assert_eq!(expected, first + n % 3 + 1);
    }
    let timed: Vec<u64> = hops.iter().map(|(n, _)| *n).collect();
    assert_eq!(timed, [0, TIMED_PACKETS, 2 * TIMED_PACKETS]);
    assert_eq!(sender.stats().message_count, (0..sent).map(|n| n % 3 + 1).sum::<u64>());
}

#[test]
fn a_timed_packet_that_finds_the_lane_full_comes_back_whole() {
    let (mut sender, mut receiver, _) = pair(1);
    for n in 0..TIMED_PACKETS {
        sender.push(n);
        assert_eq!(sender.flush(), Flushed::Sent);
        if n + 1 < TIMED_PACKETS {
            assert_eq!(receiver.next(), Ok(n));
        }
    }
    // The lane holds the last of them, and the next one is to be timed.
    (100..103).for_each(|n| sender.push(n));
    assert_eq!(sender.flush(), Flushed::Full);
    assert_eq!(drain(&mut receiver), [TIMED_PACKETS - 1]);
    assert_eq!(sender.flush(), Flushed::Sent);
    assert_eq!(drain(&mut receiver), [100, 101, 102]);
}
