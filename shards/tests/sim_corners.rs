//! Programs for what few programs do: calls from outside, posts of several scheduling groups, services that are stopped
//! while all ends. What they find, when it is broken on purpose, is told in the page of the module `sim`.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::sim::{check, draw};
use corelane::{Result, SchedulingGroup, sleep, spawn, timeout};
use corelane_shards::{Builder, Placement, Shard, ShardId, Sharded, Shards, TryPostError};

const SEED_COUNT: u64 = 60;
const COUNT: usize = 40;

/// Few permits and the smallest lane, so that everything has to wait for both.
fn tight(count: usize) -> Builder {
    Shards::builder().placement(Placement::Unpinned(count)).permits(3).lane_capacity(1)
}

fn moment() -> Duration {
    Duration::from_micros(draw("program", 300).unwrap_or(0))
}

#[test]
fn posts_and_calls_from_outside_arrive_in_order_and_room_comes_back() {
    check(SEED_COUNT, |sim| {
        let (host, client) = (sim.host("server")?, sim.host("client")?);
        let site = tight(2).simulate(sim, host, async |shard| {
            shard.shutdown().requested().await;
            Ok(())
        })?;
        let handle = site.handle();
        // It does not come to what is sent to it.
        sim.stall(site.place(ShardId::new(1)), Duration::from_millis(20));
        sim.run(client, async move || {
            let ran = Arc::new(Mutex::new(Vec::new()));
            let mut refused = 0;
            for number in 0..COUNT {
                let to = handle.all().nth(number % 2).unwrap();
                let runs = Arc::clone(&ran);
                let mut post: Box<dyn FnOnce() + Send> =
                    Box::new(move || runs.lock().unwrap().push(number));
                loop {
                    match handle.try_post(to, post) {
                        Ok(()) => break,
                        Err(TryPostError::Full(again)) => post = again,
                        Err(gone) => panic!("{to}: {gone}"),
                    }
                    refused += 1;
                    sleep(Duration::from_millis(1)).await;
                }
                if number % 11 == 10 {
                    assert_eq!(handle.call(to, async move || Ok(number)).await?, number);
                }
            }
            for to in handle.all() {
                handle.invoke(to, || ()).await?;
            }
            let ran = ran.lock().unwrap().clone();
            for parity in 0..2 {
                let own: Vec<_> = ran.iter().copied().filter(|n| n % 2 == parity).collect();
                assert_eq!(own, (0..COUNT).filter(|n| n % 2 == parity).collect::<Vec<_>>());
            }
            assert!(refused > 0, "no post had to wait for room");
            handle.request_shutdown();
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

/// So many posts from tasks of their own, which all wait for permits; they run in the order in which they came.
async fn burst(shard: &Shard, group: &SchedulingGroup, to: ShardId) -> Result<()> {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let next = Rc::new(Cell::new(0));
    let posting = (0..COUNT).map(|_| {
        let (shard, ran, next) = (shard.clone(), Arc::clone(&ran), Rc::clone(&next));
        group.spawn(async move {
            let number = next.replace(next.get() + 1);
            shard.post(to, move || ran.lock().unwrap().push(number)).await
        })
    });
    for posted in posting.collect::<Vec<_>>() {
        posted.await??;
    }
    // No post is answered: a closure of the same group comes behind them.
    let here = shard.clone();
    let behind = group.spawn(async move { here.invoke(to, || ()).await });
    behind.await??;
    assert_eq!(*ran.lock().unwrap(), (0..COUNT).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn posts_of_each_scheduling_group_get_their_permits_back_and_keep_their_order() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let groups = [
            SchedulingGroup::default(),
            SchedulingGroup::new("front", 300)?,
            SchedulingGroup::new("back", 20)?,
        ];
        // Few permits, which come home one by one, or many, which come several at a time.
        let count = [3, 32][(sim.seed() % 2) as usize];
        let builder = tight(2).permits(count).group_permits(count - 1);
        let site = builder.simulate(sim, host, async move |shard| {
            let to = shard.all().find(|peer| *peer != shard.id()).unwrap();
            let bursts: Vec<_> = groups
                .iter()
                .map(|group| {
                    let (shard, group) = (shard.clone(), group.clone());
                    spawn(async move {
                        sleep(moment()).await;
                        burst(&shard, &group, to).await
                    })
                })
                .collect();
            for burst in bursts {
                burst.await??;
            }
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

thread_local! {
    /// What the services of this test have done since the run began.
    static STOPPED: RefCell<Rc<Cell<(usize, usize)>>> = RefCell::default();
}

#[test]
fn each_service_is_stopped_to_its_end_whatever_is_cancelled_meanwhile() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let counts = Rc::new(Cell::new((0, 0)));
        STOPPED.set(Rc::clone(&counts));
        let builder = tight(3).drain(Duration::from_millis(5));
        let site = builder.simulate(sim, host, async |shard| {
            let stop = async |_| {
                let counts = STOPPED.with_borrow(Rc::clone);
                let (begun, ended) = counts.get();
                counts.set((begun + 1, ended));
                sleep(Duration::from_millis(20)).await;
                let (begun, ended) = counts.get();
                counts.set((begun, ended + 1));
                Ok(())
            };
            let service = Sharded::start_with(&shard, async |_| Ok(5), stop).await?;
            assert_eq!(*service.local()?, 5);
            sleep(moment()).await;
            // Half of them are stopped by hand, and some of those waits are given up.
            if shard.id().index() % 2 == 0 {
                drop(timeout(moment(), async |_| service.stop().await).await);
            }
            shard.shutdown().request();
            std::future::pending::<Result<()>>().await
        })?;
        let ending = site.join_to_end(sim)?;
        // Three services of three instances each, unless the end came before one was there.
        let (begun, ended) = counts.get();
        assert!(begun == ended && begun >= 3, "{begun} begun, {ended} ended: {ending:?}");
        Ok(())
    });
}
