//! What is sent arrives, or is known to be missed.

use std::cell::RefCell;
use std::rc::Rc;

use corelane::sync::broadcast::{self, RecvError};
use corelane::sync::watch;
use proptest::prelude::*;

use crate::{Crew, Log, cases, on_a_loop, settle, turns};

#[derive(Clone, Debug)]
enum Step {
    /// A receiver that reads this many and then goes away.
    Receive(usize),
    Send,
    EndOne(usize, bool),
    Turns(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (1..8_usize).prop_map(Step::Receive),
        30 => Just(Step::Send),
        10 => (any::<usize>(), any::<bool>()).prop_map(|(pick, how)| Step::EndOne(pick, how)),
        20 => (1..3_usize).prop_map(Step::Turns),
    ];
    proptest::collection::vec(step, 1..80)
}

async fn play(
    steps: Vec<Step>,
    crew: &mut Crew,
    mut receive: impl FnMut(&mut Crew, usize, usize),
    mut send: impl FnMut(usize),
) {
    let mut sent = 0;
    for step in steps {
        match step {
            Step::Receive(count) => receive(crew, count, sent),
            Step::Send => {
                sent += 1;
                send(sent);
            }
            Step::EndOne(pick, by_request) => crew.end_one(pick, by_request),
            Step::Turns(count) => turns(count).await,
        }
    }
    settle().await;
}

/// A receiver sees every message in order, or how many it missed.
fn broadcast(capacity: usize, steps: Vec<Step>) {
    on_a_loop(async move || {
        let (sender, first) = broadcast::channel(capacity).unwrap();
        drop(first);
        let mut crew = Crew::default();
        let gone = Log::new();
        let receive = |crew: &mut Crew, count, sent| {
            let (mut receiver, gone) = (sender.subscribe(), gone.clone());
            crew.start(async move |_| {
                let mut last = sent;
                for _ in 0..count {
                    match receiver.recv().await {
                        Ok(message) => {
                            assert_eq!(*message, last + 1);
                            last += 1;
                        }
                        Err(RecvError::Lagged(missed)) => last += usize::try_from(missed).unwrap(),
                        Err(RecvError::Closed) => return gone.push(()),
                    }
                }
            });
        };
        play(steps, &mut crew, receive, |number| {
            let _ = sender.send(number);
        })
        .await;
        assert_eq!(crew.pending().len(), sender.receiver_count());
        if sender.receiver_count() == 0 {
            assert!(format!("{sender:?}").contains("kept: 0"), "{sender:?}");
        }
        let pending = crew.pending().len();
        drop(sender);
        settle().await;
        assert!(crew.pending().is_empty() && gone.len() == pending);
    });
}

/// A receiver sees ever newer values, and the last one in the end.
fn watch(steps: Vec<Step>) {
    on_a_loop(async || {
        let (sender, first) = watch::channel(0);
        drop(first);
        let sender = Rc::new(RefCell::new(Some(sender)));
        let mut crew = Crew::default();
        let receive = |crew: &mut Crew, _, _| {
            let mut receiver = sender.borrow().as_ref().map(watch::Sender::subscribe).unwrap();
            crew.start(async move |_| {
                let mut last = *receiver.get();
                while let Ok(value) = receiver.changed().await {
                    assert!(*value > last);
                    last = *value;
                }
                assert_eq!(*receiver.get(), last);
            });
        };
        let send = |number| sender.borrow().as_ref().unwrap().send(number);
        play(steps, &mut crew, receive, send).await;
        sender.take();
        settle().await;
        assert!(crew.pending().is_empty());
        assert!(crew.workers.iter().all(|one| one.ended_early || !one.task.cancelled()));
    });
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_broadcast_reaches_everybody_in_order(capacity in 1..4_usize, steps in steps()) {
        broadcast(capacity, steps);
    }

    #[test]
    fn a_watch_shows_the_last_value_in_the_end(steps in steps()) {
        watch(steps);
    }
}
