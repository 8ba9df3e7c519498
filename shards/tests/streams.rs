//! Calls with many answers, and groups of calls with a share of the permits.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use corelane::{Error, create_task, gather, yield_now};
use corelane_shards::sync::oneshot;
use corelane_shards::{CallError, ServiceGroup, ShardId};
use support::{FAR, everywhere, shards};

#[test]
fn items_come_in_their_order_and_the_sender_waits_for_the_reader() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    everywhere(shards(2), async |shard| {
        for to in [FAR, shard.id()] {
            SENT.store(0, Ordering::SeqCst);
            let mut items = shard.call_stream(to, 2, async |items| {
                for number in 0..200 {
                    items.send(number).await?;
                    SENT.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            });
            for number in 0..200 {
                assert_eq!(items.next().await.expect("there is one more")?, number);
                assert!(SENT.load(Ordering::SeqCst) <= number + 3, "two wait to be read");
            }
            assert!(items.next().await.is_none());
            assert!(items.next().await.is_none());
        }
        Ok(())
    });
}

#[test]
fn what_the_call_fails_with_comes_after_the_last_item() {
    everywhere(shards(2), async |shard| {
        for to in [FAR, shard.id()] {
            let mut failing = shard.call_stream(to, 4, async |items| {
                items.send(1).await?;
                Err(Error::msg("no more of them"))
            });
            assert_eq!(failing.next().await.expect("an item")?, 1);
            let error = failing.next().await.expect("the failure").unwrap_err();
            assert_eq!(error.to_string(), "no more of them");
            assert!(failing.next().await.is_none());
            let mut panicking = shard.call_stream::<u8, _>(to, 4, async |_| panic!("on purpose"));
            let error = panicking.next().await.expect("the failure").unwrap_err();
            assert!(matches!(error.downcast_ref(), Some(CallError::Panicked(_))), "{error}");
            let mut none = shard.call_stream::<u8, _>(ShardId::new(7), 1, async |_| Ok(()));
            assert!(none.next().await.expect("the failure").is_err());
            assert!(none.next().await.is_none());
        }
        Ok(())
    });
}

#[test]
fn a_stream_that_is_dropped_cancels_its_call() {
    everywhere(shards(2), async |shard| {
        let (held, ended) = oneshot::channel::<()>();
        let mut items = shard.call_stream(FAR, 1, async move |items| {
            let _held = held;
            items.send(1).await?;
            std::future::pending().await
        });
        assert_eq!(items.next().await.expect("an item")?, 1);
        drop(items);
        assert!(ended.await.is_err(), "its task was dropped");
        Ok(())
    });
}

#[test]
fn a_group_takes_no_more_than_its_share_and_leaves_the_rest_to_others() {
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    everywhere(shards(2), async |shard| {
        let repairs = ServiceGroup::new(2)?;
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let repairs = repairs.clone();
                create_task(async move {
                    let call = repairs.call(FAR, || async {
                        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
                        MOST.fetch_max(running, Ordering::SeqCst);
                        for _ in 0..5 {
                            yield_now().await;
                        }
                        RUNNING.fetch_sub(1, Ordering::SeqCst);
                        Ok(())
                    });
                    call.await
                })
            })
            .collect();
        while repairs.stats(&shard, FAR).in_flight_count < 2 {
            yield_now().await;
        }
        assert_eq!(repairs.stats(&shard, FAR).in_flight_count, 2);
        // Others are not in its line.
        assert_eq!(shard.call(FAR, || async { Ok(1) }).await?, 1);
        gather(calls).await?;
        assert_eq!(MOST.load(Ordering::SeqCst), 2);
        let stats = repairs.stats(&shard, FAR);
        assert_eq!((stats.in_flight_count, stats.wait_count), (0, 18));
        assert_eq!(repairs.invoke(FAR, || 3).await?, 3);
        Ok(())
    });
}

#[test]
fn calls_of_one_group_that_call_back_do_not_wait_for_their_own_share() {
    everywhere(shards(2), async |shard| {
        let group = ServiceGroup::new(1)?;
        let home = shard.id();
        let there = group.clone();
        let call = group.call(FAR, move || async move {
            let back = there.clone();
            // The same pair of shards again, two calls deeper.
            let again = async move || back.call(FAR, || async { Ok(7) }).await;
            there.call(home, move || async move { again().await }).await
        });
        assert_eq!(call.await?, 7);
        Ok(())
    });
}

#[test]
fn a_group_without_a_share_and_a_thread_that_is_no_shard_are_refused() {
    assert!(ServiceGroup::new(0).unwrap_err().is_value());
    let group = ServiceGroup::new(1).unwrap();
    assert!(corelane::run(async move || group.invoke(FAR, || ()).await).unwrap_err().is_runtime());
}
