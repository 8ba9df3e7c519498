use std::thread;

use super::*;

/// A bell at which nobody sleeps.
struct Silent;

impl Ring for Silent {
    fn ring(&self) -> bool {
        false
    }
}

type TestPost = Post<u64, Crossbeam, Silent>;

fn posts(shard_count: usize, capacity: usize) -> Vec<TestPost> {
    let bells = (0..shard_count).map(|_| Silent).collect();
    deal(bells, capacity).into_iter().map(Post::new).collect()
}

fn collect(post: &TestPost) -> Vec<(usize, Arrival<u64>)> {
    let mut arrivals = Vec::new();
    post.collect(|from, arrival| arrivals.push((from, arrival)));
    arrivals
}

#[test]
fn a_message_reaches_the_shard_that_it_was_pushed_to() {
    let posts = posts(3, 4);
    assert_eq!(posts[0].push(2, 7), Ok(true), "the first push asks for a flush");
    assert_eq!(posts[0].push(1, 8), Ok(false), "the flush is already due");
    posts[0].flush();
    assert!(posts[2].has_mail());
    assert_eq!(collect(&posts[2]), [(0, Arrival::Message(7))]);
    assert_eq!(collect(&posts[1]), [(0, Arrival::Message(8))]);
    assert!(!posts[2].has_mail());
    assert_eq!(posts[0].push(1, 9), Ok(true), "after a flush the next push asks again");
}

#[test]
fn a_busy_peer_gets_its_share_and_the_rest_waits_for_the_next_turn() {
    let posts = posts(3, 16);
    let many = LANE_SHARE as u64 + 10;
    (0..many).for_each(|n| drop(posts[0].push(2, n)));
    posts[0].flush();
    posts[1].push(2, 1_000).unwrap();
    posts[1].flush();
    let first = collect(&posts[2]);
    assert_eq!(first.len(), LANE_SHARE + 1);
    assert!(first.contains(&(1, Arrival::Message(1_000))));
    assert!(posts[2].has_mail(), "what is left keeps the shard awake");
    assert_eq!(collect(&posts[2]).len(), 10);
    assert!(!posts[2].has_mail());
}

#[test]
fn busy_peers_together_get_no_more_than_the_budget_and_take_turns() {
    let peer_count = TURN_BUDGET / LANE_SHARE + 2;
    let posts = posts(peer_count + 1, 16);
    for post in &posts[1..] {
        (0..LANE_SHARE as u64).for_each(|n| drop(post.push(0, n)));
        post.flush();
    }
    let first = collect(&posts[0]);
    assert_eq!(first.len(), TURN_BUDGET);
    let second = collect(&posts[0]);
    assert_eq!(second.len(), LANE_SHARE * 2);
    let served = |arrivals: &[(usize, Arrival<u64>)], peer| arrivals.iter().any(|a| a.0 == peer);
    for peer in 1..=peer_count {
        assert_ne!(served(&first, peer), served(&second, peer), "peer {peer} had its turn once");
    }
}

#[test]
fn a_blocked_outlet_is_retried_when_the_receiver_makes_room() {
    let posts = posts(2, 1);
    for n in 0..3 {
        posts[0].push(1, n).unwrap();
        posts[0].flush();
    }
    assert_eq!(collect(&posts[1]), [(0, Arrival::Message(0))]);
    assert!(posts[0].has_mail(), "the receiver announced room");
    assert_eq!(collect(&posts[0]), []);
    assert_eq!(collect(&posts[1]), [(0, Arrival::Message(1)), (0, Arrival::Message(2))]);
    assert_eq!(posts[0].lane_stats(1).full_count, 1);
}

#[test]
fn a_full_packet_leaves_before_the_turn_ends() {
    let posts = posts(2, 4);
    let mut pushed = 0;
    while !posts[1].has_mail() {
        posts[0].push(1, pushed).unwrap();
        pushed += 1;
    }
    posts[0].push(1, pushed).unwrap();
    let numbered = |numbers: std::ops::Range<u64>| -> Vec<_> {
        numbers.map(|n| (0, Arrival::Message(n))).collect()
    };
    assert_eq!(collect(&posts[1]), numbered(0..pushed));
    assert!(!posts[1].has_mail(), "what makes no packet waits for the end of the turn");
    posts[0].flush();
    assert_eq!(collect(&posts[1]), numbered(pushed..pushed + 1));
    assert_eq!(posts[0].lane_stats(1).packet_count, 2);
}

#[test]
fn full_packets_for_a_full_lane_wait_in_order_and_try_it_once() {
    let posts = posts(2, 1);
    (0..100).for_each(|n| assert!(posts[0].push(1, n).is_ok()));
    assert_eq!(posts[0].lane_stats(1).full_count, 1);
    posts[0].flush();
    let mut arrivals = Vec::new();
    while arrivals.len() < 100 {
        arrivals.extend(collect(&posts[1]));
        collect(&posts[0]);
    }
    assert!(arrivals.into_iter().eq((0..100).map(|n| (0, Arrival::Message(n)))));
}

#[test]
fn a_full_packet_for_a_peer_that_has_ended_is_dropped_by_the_flush_and_not_before() {
    let mut posts: Vec<Post<Arc<()>, Crossbeam, Silent>> =
        deal(vec![Silent, Silent], 4).into_iter().map(Post::new).collect();
    drop(posts.pop());
    let message = Arc::new(());
    (0..100).for_each(|_| assert!(posts[0].push(1, Arc::clone(&message)).is_ok()));
    assert_eq!(Arc::strong_count(&message), 101);
    posts[0].flush();
    assert_eq!(Arc::strong_count(&message), 1);
}

#[test]
fn a_shard_lingers_once_after_mail_and_never_without() {
    let posts = posts(2, 4);
    let send = |n| {
        posts[0].push(1, n).unwrap();
        posts[0].flush();
    };
    send(0);
    assert!(!posts[1].linger(), "nothing has been taken in yet");
    collect(&posts[1]);
    send(1);
    assert!(posts[1].linger());
    assert!(!posts[1].linger(), "it has lingered for that mail");
    collect(&posts[1]);
    assert!(!posts[1].linger(), "nothing came");
}

#[test]
fn peers_that_share_a_bit_are_both_served() {
    let posts = posts(67, 1);
    for from in [1, 65] {
        posts[from].push(66, from as u64).unwrap();
        posts[from].flush();
    }
    assert_eq!(collect(&posts[66]), [(1, Arrival::Message(1)), (65, Arrival::Message(65))]);
}

#[test]
fn a_peer_that_ends_is_seen_once_after_its_last_message() {
    let mut posts = posts(2, 4);
    let ended = posts.pop().unwrap();
    ended.push(0, 5).unwrap();
    ended.flush();
    posts[0].push(1, 1).unwrap();
    drop(ended);
    assert_eq!(collect(&posts[0]), [(1, Arrival::Message(5)), (1, Arrival::Gone)]);
    assert_eq!(posts[0].push(1, 2), Err(PeerGone(2)));
    posts[0].flush();
    assert!(!posts[0].has_mail());
    assert_eq!(collect(&posts[0]), []);
}

#[test]
fn a_shard_has_no_lane_to_itself() {
    let posts = posts(2, 1);
    assert_eq!(posts[0].push(0, 1), Err(PeerGone(1)));
}

#[test]
fn every_pair_keeps_its_order_between_threads() {
    const SHARDS: usize = 3;
    const EACH: u64 = 20_000;
    let bells = (0..SHARDS).map(|_| Silent).collect();
    let all: Vec<Ends<u64, Crossbeam, Silent>> = deal(bells, 2);
    #[expect(clippy::disallowed_methods, reason = "threads are the subject of this test")]
    thread::scope(|scope| {
        for ends in all {
            scope.spawn(move || {
                let post = Post::new(ends);
                let own = post.inlets.iter().position(|inlet| inlet.borrow().is_none()).unwrap();
                let (mut sent, mut next) = (0, [0; SHARDS]);
                while sent < EACH || (0..SHARDS).any(|p| p != own && next[p] < EACH) {
                    for _ in 0..(EACH - sent).min(1 + sent % 7) {
                        (0..SHARDS).filter(|&to| to != own).for_each(|to| {
                            post.push(to, sent).unwrap();
                        });
                        sent += 1;
                    }
                    post.flush();
                    post.collect(|from, arrival| {
                        if let Arrival::Message(message) = arrival {
                            assert_eq!(message, next[from]);
                            next[from] += 1;
                        }
                    });
                    thread::yield_now();
                }
                // What is still in the outlets must leave before this end is dropped.
                while post.outlets.iter().any(|o| o.borrow().state != OutletState::Idle) {
                    post.collect(|_, _| {});
                    post.flush();
                    thread::yield_now();
                }
            });
        }
    });
}
