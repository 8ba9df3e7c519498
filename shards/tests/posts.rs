//! Posts between shards: they run once and in order, a flood is held back, nobody is told.

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corelane::{Error, ReportKind, set_report_handler, yield_now};
use corelane_shards::{CallError, Shard, ShardId, TryPostError};
use support::{FAR, call_error, everywhere, on_first, shards};

thread_local! {
    static SEEN: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

fn see(number: u32) {
    SEEN.with_borrow_mut(|seen| seen.push(number));
}

fn count(runs: &AtomicUsize) {
    runs.fetch_add(1, Ordering::Relaxed);
}

/// Keeps shard 1 from its mail until the guard is dropped.
fn hold_up(shard: &Shard) -> impl Drop + use<> {
    struct Release(Arc<AtomicUsize>);
    impl Drop for Release {
        fn drop(&mut self) {
            self.0.store(1, Ordering::Release);
        }
    }
    let released = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&released);
    let posted = shard.try_post(FAR, move || {
        while seen.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
    });
    assert!(posted.is_ok());
    Release(released)
}

#[test]
fn a_post_runs_on_the_other_shard_and_only_there() {
    everywhere(shards(2), async |shard| {
        shard.post(FAR, || see(7)).await?;
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [7]);
        assert_eq!(SEEN.take(), []);
        Ok(())
    });
}

#[test]
fn posts_invocations_and_calls_run_in_the_order_in_which_they_were_made() {
    everywhere(shards(2), async |shard| {
        let (mut invocations, mut calls) = (Vec::new(), Vec::new());
        for number in (0..400).step_by(4) {
            shard.post(FAR, move || see(number)).await?;
            invocations.push(shard.invoke(FAR, move || see(number + 1)));
            calls.push(shard.call(FAR, move || {
                see(number + 2);
                async { Ok(()) }
            }));
            shard.try_post(FAR, move || see(number + 3)).map_err(|_| Error::msg("no room"))?;
        }
        for invocation in invocations {
            invocation.await?;
        }
        for call in calls {
            call.await?;
        }
        let seen = shard.invoke(FAR, || SEEN.take()).await?;
        assert_eq!(seen, (0..400).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn posts_that_wait_for_permits_keep_the_order_with_invocations() {
    everywhere(shards(2).permits(3), async |shard| {
        let (mut posts, mut calls) = (Vec::new(), Vec::new());
        for number in (0..200).step_by(2) {
            posts.push(shard.post(FAR, move || see(number)));
            calls.push(shard.invoke(FAR, move || see(number + 1)));
        }
        for post in posts {
            post.await?;
        }
        for call in calls {
            call.await?;
        }
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, (0..200).collect::<Vec<_>>());
        Ok(())
    });
}

#[test]
fn a_flood_is_held_back_by_the_permits_and_all_of_it_runs() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    for permits in [1, 2, 3, 4, 64] {
        on_first(shards(2).permits(permits).lane_capacity(1), async move |shard| {
            RUN.store(0, Ordering::Relaxed);
            for sent in 0..2_000 {
                shard.post(FAR, || count(&RUN)).await?;
                let run = RUN.load(Ordering::Relaxed);
                assert!(sent + 1 - run <= permits as usize, "{sent} sent, {run} run");
            }
            shard.invoke(FAR, || ()).await?;
            assert_eq!(RUN.load(Ordering::Relaxed), 2_000);
            Ok(())
        });
    }
}

#[test]
fn two_shards_that_flood_each_other_through_one_permit_and_one_slot_end() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = shards(2).permits(1).lane_capacity(1).run(async |shard: Shard| {
        let peer = ShardId::new(1 - shard.id().index() as u16);
        for _ in 0..2_000 {
            shard.post(peer, || count(&RUN)).await?;
        }
        shard.invoke(peer, || ()).await
    });
    run.expect("no main fails");
    assert_eq!(RUN.load(Ordering::Relaxed), 4_000);
}

#[test]
fn a_post_without_a_permit_comes_back_and_can_be_tried_again() {
    everywhere(shards(2).permits(2), async |shard| {
        let held = hold_up(&shard);
        shard.try_post(FAR, || see(1)).map_err(|_| Error::msg("no room"))?;
        let refused = shard.try_post(FAR, || see(2)).expect_err("both permits are in use");
        assert!(refused.is_full());
        assert_eq!(refused.to_string(), "no permit is free for a post");
        assert_eq!(shard.lane_stats(FAR).wait_count, 0, "it did not join the queue");
        drop(held);
        let mut again = refused.into_closure();
        while let Err(refused) = shard.try_post(FAR, again) {
            again = refused.into_closure();
            yield_now().await;
        }
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [1, 2]);
        Ok(())
    });
}

#[test]
fn a_post_that_waits_is_taken_back_when_its_future_is_dropped() {
    everywhere(shards(2).permits(1), async |shard| {
        let held = hold_up(&shard);
        let waiting = shard.post(FAR, || see(1));
        let patient = shard.post(FAR, || see(2));
        drop(waiting);
        drop(held);
        patient.await?;
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [2]);
        Ok(())
    });
}

#[test]
fn a_post_that_has_left_runs_though_its_future_is_dropped() {
    everywhere(shards(2), async |shard| {
        drop(shard.post(FAR, || see(1)));
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [1]);
        Ok(())
    });
}

#[test]
fn a_post_that_panics_is_reported_on_the_other_shard_and_costs_no_permit() {
    everywhere(shards(2).permits(1), async |shard| {
        let watch = || {
            set_report_handler(|report| {
                assert_eq!(report.kind, ReportKind::Callback);
                let message = report.error.as_ref().and_then(Error::panic_message);
                see(message.map_or(0, |message| message.len() as u32));
            });
        };
        shard.invoke(FAR, watch).await?;
        for _ in 0..5 {
            shard.post(FAR, || panic!("four")).await?;
        }
        // The handler has its turn as a callback of the loop, so it takes another turn to see it.
        let turn = async || {
            yield_now().await;
            Ok(())
        };
        shard.call(FAR, turn).await?;
        assert_eq!(shard.invoke(FAR, || SEEN.take()).await?, [4; 5]);
        assert_eq!(SEEN.take(), [], "nothing is reported at home");
        Ok(())
    });
}

#[test]
fn a_post_to_the_own_shard_runs_at_once_and_its_panic_is_reported_here() {
    everywhere(shards(2), async |shard| {
        let reports = Rc::new(Cell::new(0));
        let handed_in = Rc::clone(&reports);
        set_report_handler(move |_| handed_in.set(handed_in.get() + 1));
        let posting = shard.post(shard.id(), || see(3));
        assert_eq!(SEEN.take(), [3]);
        posting.await?;
        shard.post(shard.id(), || panic!("on purpose")).await?;
        yield_now().await;
        assert_eq!(reports.get(), 1);
        Ok(())
    });
}

#[test]
fn a_post_to_a_shard_that_is_none_says_so_and_comes_back() {
    everywhere(shards(2), async |shard| {
        let nowhere = ShardId::new(9);
        let expected = CallError::NoSuchShard { asked: nowhere, count: 2 };
        let error = shard.post(nowhere, || ()).await.expect_err("there is no such shard");
        assert_eq!(call_error(&error), &expected);
        let refused = shard.try_post(nowhere, || ()).expect_err("there is no such shard");
        assert!(!refused.is_full());
        assert_eq!(refused.to_string(), "there is no shard 9, only 0 to 1");
        assert!(matches!(refused, TryPostError::Unreachable(_, error) if error == expected));
        Ok(())
    });
}
