//! Scheduling groups between shards: what travels, in which order it runs, and what has a share of its own.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use corelane::{Error, Result, SchedulingGroup, gather, spawn, task, yield_now};
use corelane_shards::sync::{oneshot, watch};
use corelane_shards::{Builder, CallError, Shard, ShardId};
use support::{FAR, run_to_end, shards};

const HOME: ShardId = ShardId::new(0);
/// For what blocks a thread on purpose, so that it cannot do so for ever.
const LIMIT: Duration = Duration::from_secs(50);

fn group(name: &str, shares: u32) -> SchedulingGroup {
    SchedulingGroup::new(name, shares).expect("the shares are in range")
}

fn here() -> String {
    SchedulingGroup::current().name().to_owned()
}

/// Runs `main` on the first shard of those that `builder` makes, as a task of `group`.
fn run_in(
    builder: Builder,
    group: SchedulingGroup,
    main: impl AsyncFnOnce(Shard) -> Result<()> + Clone + Send + 'static,
) {
    let ending = run_to_end(builder, async move |shard: Shard| match shard.id() {
        HOME => task().group(&group).create(async move { main(shard).await }).await,
        _ => Ok(()),
    });
    ending.into_result().expect("no main fails");
}

#[test]
fn the_group_of_who_calls_goes_with_closures_calls_and_posts() {
    run_in(shards(2), group("background", 100), async |shard| {
        assert_eq!(shard.invoke(FAR, here).await?, "background");
        let called = shard.call(FAR, || async {
            let begun = here();
            let child = spawn(async { here() }).await?;
            let shard = Shard::current().expect("it runs on a shard");
            let back = shard.invoke(HOME, here).await?;
            let again = shard.call(HOME, || async { Ok(here()) }).await?;
            Ok([begun, child, back, again, here()])
        });
        assert_eq!(called.await?, ["background"; 5]);
        let (sender, posted) = oneshot::channel();
        shard.post(FAR, move || _ = sender.send(here())).await?;
        assert_eq!(posted.await?, "background");
        assert_eq!(shard.broadcast(here).await?, ["background"; 2]);
        // It is one group, and not only one of the same name.
        let own = SchedulingGroup::current();
        assert!(shard.invoke(FAR, move || SchedulingGroup::current() == own).await?);
        Ok(())
    });
}

#[test]
fn what_is_of_the_default_group_stays_in_it() {
    run_in(shards(2), SchedulingGroup::default(), async |shard| {
        // Also on a shard that knows another one.
        let other = group("other", 1);
        shard.call(FAR, move || async move { other.spawn(async {}).await }).await?;
        assert_eq!(shard.invoke(FAR, here).await?, "default");
        assert_eq!(shard.call(FAR, || async { Ok(here()) }).await?, "default");
        Ok(())
    });
}

#[test]
fn order_is_first_in_first_out_for_each_pair_of_shards_and_group() {
    // Where none has to wait for a permit, calls start in one order with the rest.
    sends_in_order(shards(2).group_permits(1_000), 3);
    // Posts and invocations are in one order also where they wait.
    sends_in_order(shards(2).permits(8).group_permits(3), 2);
}

/// Sends posts, invocations and, if there are three kinds, calls, from three groups.
fn sends_in_order(builder: Builder, kind_count: usize) {
    const COUNT: usize = 200;
    run_in(builder, SchedulingGroup::default(), async move |shard| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let groups = [SchedulingGroup::default(), group("slow", 10), group("fast", 10_000)];
        let mut answers = Vec::new();
        for number in 0..COUNT {
            for group in &groups {
                let log = Arc::clone(&log);
                let note = move || log.lock().expect("no panic holds it").push((here(), number));
                let shard = shard.clone();
                // All three are made in one step each, so that they leave in this order.
                answers.push(group.enter(|| match number % kind_count {
                    0 => task().spawn(async move { shard.post(FAR, note).await }),
                    1 => task().spawn(async move { shard.invoke(FAR, note).await }),
                    _ => task().spawn(async move {
                        let call = shard.call(FAR, move || {
                            note();
                            async { Ok(()) }
                        });
                        call.await
                    }),
                })?);
            }
        }
        for answer in gather(answers).await? {
            answer?;
        }
        for group in &groups {
            // Whatever was posted last has run as well.
            let shard = shard.clone();
            group.spawn(async move { shard.invoke(FAR, || ()).await }).await??;
        }
        let log = log.lock().expect("no panic holds it");
        for group in &groups {
            let own = log.iter().filter(|(name, _)| name == group.name());
            let numbers: Vec<usize> = own.map(|(_, number)| *number).collect();
            assert_eq!(numbers, Vec::from_iter(0..COUNT), "{group:?}");
        }
        Ok(())
    });
}

#[test]
fn what_comes_without_a_group_runs_in_the_one_for_it() {
    let inbound = shards(2).inbound_group(group("inbound", 500));
    run_in(inbound.clone(), SchedulingGroup::default(), async |shard| {
        assert_eq!(here(), "default");
        assert_eq!(shard.invoke(FAR, here).await?, "inbound");
        let called = shard.call(FAR, || async {
            let shard = Shard::current().expect("it runs on a shard");
            // It has a group now, which goes with its own calls.
            Ok((here(), shard.invoke(HOME, here).await?, spawn(async { here() }).await?))
        });
        let there = || "inbound".to_owned();
        assert_eq!(called.await?, (there(), there(), there()));
        let (sender, posted) = oneshot::channel();
        shard.post(FAR, move || _ = sender.send(here())).await?;
        assert_eq!(posted.await?, "inbound");
        assert_eq!(shard.invoke(HOME, here).await?, "default", "nothing comes in");
        assert_eq!(here(), "default");
        Ok(())
    });
    run_in(inbound, group("background", 100), async |shard| {
        assert_eq!(shard.invoke(FAR, here).await?, "background");
        Ok(())
    });
}

#[test]
fn what_is_sent_from_outside_runs_in_the_group_for_it() {
    let running = shards(2).inbound_group(group("inbound", 500)).start(async |shard: Shard| {
        shard.shutdown().requested().await;
        Ok(here())
    });
    let running = running.expect("the shards start");
    let handle = running.handle();
    assert_eq!(handle.invoke(FAR, here).wait(LIMIT).expect("it runs"), "inbound");
    let called = handle.call(FAR, || async {
        let begun = here();
        yield_now().await;
        Ok([begun, here(), spawn(async { here() }).await?])
    });
    assert_eq!(called.wait(LIMIT).expect("it runs"), ["inbound"; 3]);
    let (sender, posted) = mpsc::channel();
    handle.try_post(FAR, move || _ = sender.send(here())).expect("there is room");
    assert_eq!(posted.recv_timeout(LIMIT).expect("it runs"), "inbound");
    let failed = handle.call(FAR, || async { Err::<(), _>(Error::value("a reason")) });
    assert_eq!(failed.wait(LIMIT).expect_err("it fails").to_string(), "a reason");
    let panicked = handle.invoke(FAR, || panic!("on purpose")).wait(LIMIT);
    let panicked = panicked.expect_err("it panics");
    assert!(panicked.downcast_ref::<CallError>().is_some(), "{panicked}");
    handle.request_shutdown();
    assert_eq!(running.join().expect("no main fails"), ["default"; 2]);
}

#[test]
fn what_is_given_up_while_it_waits_for_its_group_does_not_run() {
    run_in(shards(2), group("background", 100), async |shard| {
        let (release, released) = mpsc::channel::<()>();
        let have_run = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        // They travel together, and the first one keeps the others waiting.
        let first = shard.invoke(FAR, move || released.recv_timeout(LIMIT).is_ok());
        let [invoked, called] = have_run.clone();
        let second = shard.invoke(FAR, move || invoked.store(true, Ordering::Relaxed));
        let third = shard.call(FAR, move || {
            called.store(true, Ordering::Relaxed);
            async { Ok(()) }
        });
        drop((second, third));
        release.send(()).expect("the other end waits");
        assert!(first.await?, "it was released");
        shard.invoke(FAR, || ()).await?;
        assert!(have_run.iter().all(|ran| !ran.load(Ordering::Relaxed)));
        Ok(())
    });
}

#[test]
fn calls_that_hold_the_permits_of_their_group_keep_no_other_group_waiting() {
    let few = shards(2).permits(2).group_permits(1);
    run_in(few, SchedulingGroup::default(), async |shard| {
        let (stop, stopped) = watch::channel(false);
        // Four of the background, of which one may be over there; and two of the default group.
        let groups = [group("background", 100), SchedulingGroup::default()];
        let mut held = Vec::new();
        for group in [0, 0, 0, 0, 1, 1].map(|index| &groups[index]) {
            let (shard, mut stopped) = (shard.clone(), stopped.clone());
            held.push(group.spawn(async move {
                let call = shard.call(FAR, move || async move {
                    while !*stopped.latest() {
                        stopped.changed().await?;
                    }
                    Ok(())
                });
                call.await
            }));
        }
        while shard.lane_stats(FAR).wait_count < 3 {
            yield_now().await;
        }
        // Three wait for the one that is over there. Whoever of another group calls now is answered.
        for number in 0..3 {
            let (other, shard) = (group(&format!("other-{number}"), 10), shard.clone());
            other.spawn(async move { shard.call(FAR, || async { Ok(()) }).await }).await??;
        }
        assert!(held.iter().all(|task| !task.done()));
        stop.send(true);
        for answer in gather(held).await? {
            answer?;
        }
        Ok(())
    });
}

#[test]
fn posts_of_a_group_have_its_permits_which_come_home() {
    run_in(shards(2).permits(2).group_permits(3), group("background", 100), async |shard| {
        for _ in 0..20 {
            // In one step nothing comes home.
            let sent = (0..10).filter(|_| shard.try_post(FAR, || ()).is_ok()).count();
            assert_eq!(sent, 3);
            let default = SchedulingGroup::default();
            let sent_by_others =
                default.enter(|| (0..10).filter(|_| shard.try_post(FAR, || ()).is_ok()).count())?;
            assert_eq!(sent_by_others, 2);
            // What is posted now waits until all before have run, and their permits have come home.
            for _ in 0..3 {
                shard.post(FAR, || ()).await?;
            }
            shard.invoke(FAR, || ()).await?;
            let peer = shard.clone();
            default.spawn(async move { peer.invoke(FAR, || ()).await }).await??;
        }
        Ok(())
    });
}

#[test]
fn a_part_of_the_permits_that_nobody_could_have_is_refused() {
    for count in [0, 1 << 21] {
        let refused = shards(1).group_permits(count).run(async |_| Ok(()));
        assert!(refused.is_err_and(|error| error.to_string().contains("permits")));
    }
}

#[test]
fn a_panic_comes_home_from_a_group_and_its_shard_goes_on() {
    run_in(shards(2), group("background", 100), async |shard| {
        let invoked: Result<()> = shard.invoke(FAR, || panic!("of a closure")).await;
        assert!(invoked.is_err_and(|error| error.to_string().contains("of a closure")));
        shard.post(FAR, || panic!("of a post")).await?;
        let called = shard.call(FAR, || async { panic!("of a call") });
        let called: Result<()> = called.await;
        assert!(called.is_err_and(|error| error.to_string().contains("of a call")));
        assert_eq!(shard.invoke(FAR, here).await?, "background");
        Ok(())
    });
}

#[test]
fn where_there_is_no_room_for_a_group_its_calls_run_all_the_same() {
    run_in(shards(2), SchedulingGroup::default(), async |shard| {
        let fill = shard.call(FAR, || async {
            for number in 0..7 {
                group(&format!("group-{number}"), 1).spawn(async {}).await?;
            }
            Ok(())
        });
        fill.await?;
        let eighth = task().group(&group("eighth", 100)).create(async move {
            assert_eq!(here(), "eighth");
            assert_eq!(shard.invoke(FAR, here).await?, "default");
            shard.call(FAR, || async { Ok(here()) }).await
        });
        assert_eq!(eighth.await?, "default");
        Ok(())
    });
}
