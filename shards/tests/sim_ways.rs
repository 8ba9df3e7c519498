//! Programs that meet everything that lanes, permits and the end of a run promise, on every way through: what they
//! find, when it is broken on purpose, is told in the page of the module `sim`.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::sim::{Failure, Simulation, check, draw};
use corelane::{Result, catch_cancel_plain, create_task, now, sleep, spawn, yield_now};
use corelane_shards::sync::channel;
use corelane_shards::{Builder, CallError, PanicPolicy, Phase, Placement, Priority, Shard, Shards};

/// `CORELANE_SEEDS` in the environment is another count.
const SEED_COUNT: u64 = 60;

/// Few permits and the smallest lane, so that everything has to wait for both.
fn tight(count: usize) -> Builder {
    Shards::builder().placement(Placement::Unpinned(count)).permits(3).lane_capacity(1)
}

fn die(sides: u64) -> u64 {
    draw("program", sides).unwrap_or(0)
}

fn peer_of(shard: &Shard) -> corelane_shards::ShardId {
    let others: Vec<_> = shard.all().filter(|peer| *peer != shard.id()).collect();
    others[die(others.len() as u64) as usize]
}

/// Who has sent what, in the order in which it ran.
type Seen = Rc<RefCell<BTreeMap<(usize, usize), Vec<u32>>>>;

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

fn note(from: usize, number: u32) {
    let here = Shard::current().map_or(usize::MAX, |shard| shard.id().index());
    let seen = SEEN.with_borrow(Rc::clone);
    seen.borrow_mut().entry((from, here)).or_default().push(number);
}

/// Posts and invocations of one shard to another run once each, in their order.
fn orders(sim: &mut Simulation) -> Result<(), Failure> {
    let seen = SEEN.with_borrow_mut(|seen| {
        *seen = Seen::default();
        Rc::clone(seen)
    });
    let host = sim.host("server")?;
    let site = tight(3).simulate(sim, host, async |shard| {
        let own = shard.id().index();
        let mut sent: BTreeMap<usize, u32> = BTreeMap::new();
        let mut answers = Vec::new();
        for _ in 0..60 {
            let to = peer_of(&shard);
            let number = sent.entry(to.index()).or_default();
            *number += 1;
            let number = *number;
            match die(4) {
                0 => answers.push(create_task(shard.invoke(to, move || {
                    note(own, number);
                    number
                }))),
                1 => assert_eq!(
                    shard
                        .invoke(to, move || {
                            note(own, number);
                            number
                        })
                        .await?,
                    number
                ),
                _ => shard.post(to, move || note(own, number)).await?,
            }
            match die(8) {
                0 => sleep(Duration::from_micros(die(300))).await,
                1 => yield_now().await,
                _ => {}
            }
        }
        for answer in answers {
            answer.await?;
        }
        for to in shard.all() {
            shard.invoke(to, || ()).await?;
        }
        Ok(sent)
    })?;
    let sent = site.join(sim)?;
    let seen = seen.borrow();
    for (from, sent) in sent.into_iter().enumerate() {
        for (to, count) in sent {
            assert_eq!(seen[&(from, to)], (1..=count).collect::<Vec<_>>(), "from {from} to {to}");
        }
    }
    Ok(())
}

#[test]
fn what_one_shard_sends_another_runs_once_and_in_its_order() {
    check(SEED_COUNT, orders);
}

/// Calls that wait, are given up at any moment, or panic; afterwards all permits are there.
fn give_up(sim: &mut Simulation) -> Result<(), Failure> {
    let host = sim.host("server")?;
    let running = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&running);
    let site = tight(3).call_depth(3).simulate(sim, host, async move |shard| {
        let mut tasks = Vec::new();
        for _ in 0..24 {
            let (to, counted) = (peer_of(&shard), Arc::clone(&counted));
            let (length, panics) = (Duration::from_micros(die(2_000)), die(6) == 0);
            let call = shard.call(to, move || async move {
                let _count = Count::new(&counted);
                sleep(length).await;
                assert!(!panics, "on purpose");
                Ok(7)
            });
            let patience = Duration::from_micros(die(3_000));
            tasks.push(spawn(async move { corelane::wait_for(call, patience).await }));
            if die(3) == 0 {
                drop(shard.invoke(to, || ()));
                drop(shard.post(to, || ()));
            }
        }
        for task in tasks {
            match task.await? {
                Ok(answer) => assert_eq!(answer, 7),
                Err(error) if error.is_timeout() => {}
                Err(error) => {
                    let error = error.downcast_ref::<CallError>().unwrap().clone();
                    assert!(matches!(error, CallError::Panicked(_)), "{error}");
                }
            }
        }
        // More than there are permits, each in its time.
        for to in shard.all() {
            let calls: Vec<_> =
                (0..9).map(|number| shard.call(to, move || async move { Ok(number) })).collect();
            for (number, call) in calls.into_iter().enumerate() {
                assert_eq!(call.await?, number);
            }
            shard.at_priority(Priority::High, shard.invoke(to, || ())).await?;
        }
        Ok(())
    })?;
    site.join(sim)?;
    assert_eq!(running.load(Ordering::SeqCst), 0, "what was given up has ended");
    Ok(())
}

/// Counts itself while it lives.
struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn what_is_given_up_ends_over_there_and_gives_its_permit_back() {
    check(SEED_COUNT, give_up);
}

#[test]
fn a_call_that_is_given_up_is_cancelled_over_there_at_once() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let site = tight(2).simulate(sim, host, async |shard| {
            let to = peer_of(&shard);
            let ended = Arc::new(AtomicUsize::new(0));
            let counts = Arc::clone(&ended);
            let call = shard.call(to, move || async move {
                let _count = Count::new(&counts);
                sleep(Duration::from_secs(3_600)).await;
                Ok(())
            });
            let begun = now();
            let given_up = corelane::wait_for(call, Duration::from_millis(die(3))).await;
            assert!(given_up.unwrap_err().is_timeout());
            while ended.load(Ordering::SeqCst) > 0 {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(now() - begun < Duration::from_secs(1));
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn calls_inside_of_calls_and_floods_both_ways_come_to_an_end() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let builder = tight(3).permits(1).call_depth(4);
        let site = builder.simulate(sim, host, async |shard| {
            let mut tasks = Vec::new();
            for number in 0..6 {
                let to = peer_of(&shard);
                tasks.push(create_task(shard.call(to, move || async move {
                    let here = Shard::current().unwrap();
                    let back = peer_of(&here);
                    here.post(back, || ()).await?;
                    here.call(back, move || async move { Ok(number) }).await
                })));
            }
            let mut sum = 0;
            for task in tasks {
                sum += task.await?;
            }
            Ok(sum)
        })?;
        assert_eq!(site.join(sim)?, [15, 15, 15]);
        Ok(())
    });
}

/// What was asked for before the end is answered, and what was posted has run.
#[test]
fn the_end_of_a_run_loses_nothing_that_was_asked_before_it() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let run = Arc::new(AtomicUsize::new(0));
        let runs = Arc::clone(&run);
        let site = tight(3).simulate(sim, host, async move |shard| {
            let count = 1 + die(10) as usize;
            for _ in 0..count {
                let runs = Arc::clone(&runs);
                let to = peer_of(&shard);
                shard.post(to, move || _ = runs.fetch_add(1, Ordering::SeqCst)).await?;
            }
            if die(2) == 0 {
                shard.shutdown().request();
            }
            Ok(count)
        })?;
        let sent: usize = site.join(sim)?.into_iter().sum();
        assert_eq!(run.load(Ordering::SeqCst), sent);
        Ok(())
    });
}

#[test]
fn what_cleans_up_has_its_time_and_may_still_call() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let builder = tight(3).drain(Duration::from_millis(40)).clean_up(Duration::from_secs(2));
        let cleaned = Rc::new(Cell::new(0));
        let cleans = Rc::clone(&cleaned);
        let site = builder.simulate(sim, host, async move |shard| {
            let (tidy, cleans) = (shard.clone(), Rc::clone(&cleans));
            drop(spawn(async move {
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
                let peer = peer_of(&tidy);
                sleep(Duration::from_millis(die(1_000))).await;
                assert_eq!(tidy.invoke(peer, || 3).await.unwrap(), 3);
                cleans.set(cleans.get() + 1);
            }));
            sleep(Duration::from_millis(die(20))).await;
            if shard.id().index() == 1 {
                shard.shutdown().request();
            }
            if die(2) == 0 {
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
            }
            Ok(())
        })?;
        let begun = sim.now();
        let ending = site.join_to_end(sim)?;
        assert_eq!(cleaned.get(), 3);
        assert!(sim.now() - begun < Duration::from_millis(2_200));
        assert!(ending.failure.is_none(), "{:?}", ending.failure);
        assert!(ending.late.iter().all(|late| late.phase == Phase::Drain), "{:?}", ending.late);
        Ok(())
    });
}

#[test]
fn a_shard_that_panics_at_any_moment_is_lost_to_the_others_and_nobody_waits_for_it() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let builder = tight(3).panic_policy(PanicPolicy::ShutShard);
        let site = builder.simulate(sim, host, async |shard| {
            if shard.id().index() == 1 {
                let moment = Duration::from_micros(die(3_000));
                drop(spawn(async move {
                    sleep(moment).await;
                    panic!("on purpose")
                }));
            }
            for _ in 0..30 {
                let to = peer_of(&shard);
                let call = shard.call(to, || async {
                    sleep(Duration::from_micros(die(200))).await;
                    Ok(())
                });
                if let Err(error) = call.await {
                    let gone = matches!(error.downcast_ref(), Some(CallError::ShardGone(_)));
                    assert!(gone || error.is_cancelled(), "{error}");
                }
                let _ = shard.post(to, || ()).await;
            }
            Ok(())
        })?;
        let ending = site.join_to_end(sim)?;
        assert!(ending.mains[0].is_ok() && ending.mains[2].is_ok(), "{ending:?}");
        Ok(())
    });
}

#[test]
fn items_of_a_channel_arrive_once_and_in_the_order_of_each_sender() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let (sender, receiver) = channel::bounded(2);
        let receiver = Rc::new(Cell::new(Some(receiver)));
        let senders = Rc::new(RefCell::new(vec![sender.clone(), sender]));
        let site = tight(3).simulate(sim, host, async move |shard| {
            let own = shard.id().index();
            if own > 0 {
                let sender = senders.borrow_mut().pop().unwrap();
                for number in 0..20_u32 {
                    let send = sender.send((own, number));
                    match corelane::wait_for(send, Duration::from_micros(die(400))).await {
                        Ok(()) => {}
                        Err(error) if error.is_timeout() => {}
                        Err(error) => return Err(error),
                    }
                }
                return Ok(0);
            }
            let mut receiver = receiver.take().unwrap();
            let mut last = BTreeMap::new();
            let mut count = 0;
            while let Some((from, number)) = receiver.recv().await {
                let before = last.insert(from, number);
                assert!(before.is_none_or(|before| before < number));
                count += 1;
                if die(4) == 0 {
                    sleep(Duration::from_micros(die(500))).await;
                }
            }
            Ok(count)
        })?;
        assert!(site.join(sim)?[0] > 0);
        Ok(())
    });
}
