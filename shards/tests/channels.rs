//! Channels between shards, plain threads and loops.
#![allow(clippy::disallowed_methods, reason = "threads that are no shards are part of the subject")]

mod support;

use std::thread;
use std::time::Duration;

use corelane::{create_task, sleep, spawn};
use corelane_shards::Shard;
use corelane_shards::sync::channel::{SendError, bounded};
use corelane_shards::sync::{oneshot, watch};
use support::{FAR, everywhere, on_first, shards};

#[test]
fn a_slow_receiver_holds_its_senders_back_and_gets_everything_in_their_order() {
    everywhere(shards(4), async |shard| {
        let (sender, mut receiver) = bounded(1);
        let sending: Vec<_> = shard
            .all()
            .map(|from| {
                let sender = sender.clone();
                create_task(shard.call(from, move || async move {
                    for number in 0..100 {
                        sender.send((from.index(), number)).await?;
                    }
                    Ok(())
                }))
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        while let Some((from, number)) = receiver.recv().await {
            assert_eq!(number, next[from]);
            next[from] += 1;
        }
        assert_eq!(next, [100; 4]);
        for sending in sending {
            sending.await?;
        }
        Ok(())
    });
}

#[test]
fn a_send_that_is_cancelled_with_its_call_leaves_the_room_to_others() {
    everywhere(shards(2), async |shard| {
        let (sender, mut receiver) = bounded(1);
        sender.send(1).await?;
        let there = sender.clone();
        let (tell, told) = oneshot::channel();
        let (held, ended) = oneshot::channel::<()>();
        let stuck = shard.call(FAR, move || async move {
            let _held = held;
            tell.send(()).map_err(|()| corelane::Error::msg("nobody listens"))?;
            Ok(there.send(2).await?)
        });
        told.await?;
        drop(stuck);
        // The cancellation has arrived.
        assert!(ended.await.is_err());
        let last = spawn(async move { sender.send(3).await.is_ok() });
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(receiver.recv().await, Some(3));
        assert!(last.await?);
        assert_eq!(receiver.recv().await, None);
        Ok(())
    });
}

#[test]
fn threads_and_shards_meet_in_a_channel_and_a_shard_is_not_stopped() {
    on_first(shards(1), async |_| {
        let (to_thread, mut at_thread) = bounded::<u32>(1);
        let (to_shard, mut at_shard) = bounded::<u32>(1);
        let thread = thread::spawn(move || {
            while let Ok(Some(number)) = at_thread.recv_blocking() {
                to_shard.send_blocking(number * 2).expect("the shard receives");
            }
        });
        for number in 0..50 {
            to_thread.send(number).await?;
            assert_eq!(at_shard.recv().await, Some(number * 2));
        }
        assert!(at_shard.recv_blocking().unwrap_err().is_runtime());
        let (full, _kept) = bounded(1);
        assert!(full.send_blocking(1).is_ok(), "there is no need to wait");
        assert_eq!(full.send_blocking(2), Err(SendError::WouldBlockLoop(2)));
        let (sender, receiver) = oneshot::channel::<u8>();
        assert!(receiver.wait().unwrap_err().is_runtime());
        assert_eq!(sender.send(1), Err(1));
        drop(to_thread);
        assert_eq!(at_shard.recv().await, None);
        thread.join().expect("it does not panic");
        Ok(())
    });
}

#[test]
fn every_shard_sees_the_latest_value() {
    everywhere(shards(3), async |shard| {
        let (sender, receiver) = watch::channel(0);
        let seen = shard.call_all(move || {
            let mut receiver = receiver.clone();
            async move {
                let mut last = 0;
                while let Ok(value) = receiver.changed().await {
                    assert!(*value > last, "values do not go back");
                    last = *value;
                }
                Ok(last)
            }
        });
        let sending = async move {
            for value in 1..=20 {
                sender.send(value);
                sleep(Duration::from_micros(100)).await;
            }
        };
        let sending = spawn(sending);
        assert_eq!(seen.await?, [20; 3]);
        sending.await
    });
}

#[test]
fn a_shard_that_ends_closes_what_it_held() {
    let builder = shards(2);
    let (sender, mut receiver) = bounded(4);
    let run = builder.run(async move |shard: Shard| {
        sender.send(shard.id().index()).await?;
        Ok(())
    });
    run.expect("no main fails");
    let mut seen = [0; 2].map(|_| receiver.recv_blocking().expect("this thread may block"));
    seen.sort();
    assert_eq!(seen, [Some(0), Some(1)]);
    assert_eq!(receiver.recv_blocking().expect("this thread may block"), None);
}
