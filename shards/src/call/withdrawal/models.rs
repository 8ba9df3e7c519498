//! Loom model of a mark and the lane that carries what it is about: a mark never speaks of the number's next call.

use std::sync::Arc;

use ::loom::sync::atomic::{AtomicBool, Ordering};
use ::loom::thread;

use super::Withdrawals;

const NUMBER: u32 = 3;

/// One way of a lane, for one message: as weakly ordered as a channel may be.
#[derive(Default)]
struct Way(AtomicBool);

impl Way {
    fn send(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn receive(&self) {
        while !self.0.load(Ordering::Acquire) {
            thread::yield_now();
        }
    }
}

#[test]
fn loom_a_call_is_not_taken_for_the_one_before_it_with_its_number() {
    ::loom::model(|| {
        let board = Arc::new(Withdrawals::new(64));
        // Another mark, so that the words are there: how they come about is `OnceLock`'s affair, which loom does not see.
        board.set(NUMBER + 1);
        let ways: Arc<[Way; 2]> = Arc::default();
        let (their_board, their_ways) = (Arc::clone(&board), Arc::clone(&ways));
        let [answer, next_call] = &*ways;
        let peer = thread::spawn(move || {
            // The first call has arrived. Whether it is run does not matter here.
            let _ = their_board.contains(NUMBER);
            let [answer, next_call] = &*their_ways;
            answer.send();
            next_call.receive();
            assert!(!their_board.contains(NUMBER), "nobody has given the second call up");
        });
        board.set(NUMBER);
        answer.receive();
        board.clear(NUMBER);
        next_call.send();
        peer.join().unwrap();
    });
}
