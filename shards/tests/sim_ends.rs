//! Programs for how things end: services and values that a shard keeps, calls of scheduling groups that are given up,
//! servers that are full, shards that are lost. What they find, when it is broken on purpose, is told in the page of the
//! module `sim`.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corelane::sim::{Simulation, check, draw};
use corelane::{
    Result, SchedulingGroup, Server, StreamReader, StreamWriter, catch_cancel_plain, gather, now,
    open_connection, sleep, spawn, wait_for,
};
use corelane_shards::{
    Accept, Builder, CallError, Foreign, PanicPolicy, Phase, Placement, Priority, Shard, ShardId,
    ShardServer, Sharded, Shards,
};

const SEED_COUNT: u64 = 60;
const MILLI: Duration = Duration::from_millis(1);

/// Few permits and the smallest lane, so that everything has to wait for both.
fn tight(count: usize) -> Builder {
    Shards::builder().placement(Placement::Unpinned(count)).permits(3).lane_capacity(1)
}

fn die(sides: u64) -> u64 {
    draw("program", sides).unwrap_or(0)
}

fn moment() -> Duration {
    Duration::from_micros(die(500))
}

/// The shard behind this one.
fn next(shard: &Shard) -> ShardId {
    shard.all().nth((shard.id().index() + 1) % shard.count()).unwrap()
}

thread_local! {
    /// What the shards of this run have noted, each with its number.
    static LOG: RefCell<Vec<(usize, &'static str)>> = const { RefCell::new(Vec::new()) };
}

fn note(what: &'static str) {
    let here = Shard::current().map_or(usize::MAX, |shard| shard.id().index());
    LOG.with_borrow_mut(|log| log.push((here, what)));
}

/// What a shard has noted.
fn notes_of(id: usize) -> Vec<&'static str> {
    LOG.with_borrow(|log| log.iter().filter(|(of, _)| *of == id).map(|(_, what)| *what).collect())
}

#[test]
fn at_the_end_tasks_are_cancelled_then_services_stop_the_youngest_first_and_peers_answer() {
    check(SEED_COUNT, |sim| {
        LOG.take();
        let host = sim.host("server")?;
        let site = tight(3).simulate(sim, host, async |shard| {
            let stop = |name| {
                async move |_: Rc<()>| {
                    let here = Shard::current().unwrap();
                    // A peer may be further, but it answers.
                    assert_eq!(here.call(next(&here), async || Ok(7)).await?, 7);
                    sleep(moment()).await;
                    note(name);
                    Ok(())
                }
            };
            let make = async |_: Shard| Ok(());
            let services = if shard.id().index() == 0 {
                let first = Sharded::start_with(&shard, make, stop("first")).await?;
                let second = Sharded::start_with(&shard, make, stop("second")).await?;
                // The last handle of this one goes while it all runs.
                drop(Sharded::start_with(&shard, make, stop("dropped")).await?);
                Some((first, second))
            } else {
                None
            };
            drop(spawn(async {
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
                sleep(moment()).await;
                note("task");
            }));
            sleep(5 * MILLI).await;
            shard.shutdown().request();
            shard.shutdown().requested().await;
            drop(catch_cancel_plain(std::future::pending::<()>()).await);
            drop(services);
            Ok(())
        })?;
        let ending = site.join_to_end(sim)?;
        for id in 0..3 {
            let (seen, ended) = (notes_of(id), ["dropped", "task", "second", "first"]);
            // The two that a main has held are dropped on shard 0 by hand, which is in order too.
            let is_ended = |what: &&str| seen.contains(what);
            assert!(ended.iter().all(is_ended) && seen.len() == 4, "{id}: {seen:?}, {ending:?}");
            let place = |what| seen.iter().position(|seen| *seen == what);
            assert!(place("dropped") < place("task"), "{id}: {seen:?}");
        }
        Ok(())
    });
}

#[test]
fn services_that_nobody_has_stopped_are_stopped_the_youngest_first() {
    check(SEED_COUNT, |sim| {
        LOG.take();
        let host = sim.host("server")?;
        let site = tight(3).simulate(sim, host, async |shard| {
            if shard.id().index() == 0 {
                for name in ["first", "second", "third"] {
                    let stop = async move |_| {
                        sleep(moment()).await;
                        note(name);
                        Ok(())
                    };
                    // Its key is never dropped.
                    std::mem::forget(Sharded::start_with(&shard, async |_| Ok(()), stop).await?);
                }
            }
            Ok(())
        })?;
        site.join(sim)?;
        (0..3).for_each(|id| assert_eq!(notes_of(id), ["third", "second", "first"], "{id}"));
        Ok(())
    });
}

/// Notes on which shard it is dropped.
struct Noting;

impl Drop for Noting {
    fn drop(&mut self) {
        note("dropped");
    }
}

#[test]
fn a_value_is_dropped_once_and_at_home_when_its_last_key_has_gone_anywhere() {
    check(SEED_COUNT, |sim| {
        LOG.take();
        let host = sim.host("server")?;
        let site = tight(3).simulate(sim, host, async |shard| {
            let key: Foreign<Noting> = shard.keep(Noting);
            let mut holding = Vec::new();
            for to in shard.all() {
                let key = key.clone();
                let holds = shard.call(to, move || async move {
                    sleep(moment()).await;
                    key.invoke(|_: &Noting| ()).await
                });
                holding.push(spawn(async move {
                    // Some are given up with the key on its way.
                    let _ = wait_for(holds, 2 * moment()).await;
                }));
            }
            drop(key);
            gather(holding).await?;
            sleep(10 * MILLI).await;
            let own = shard.id().index();
            assert_eq!(notes_of(own), ["dropped"]);
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn calls_of_each_scheduling_group_run_in_it_and_are_given_up_by_themselves() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let groups = [
            SchedulingGroup::default(),
            SchedulingGroup::new("front", 300)?,
            SchedulingGroup::new("back", 20)?,
        ];
        let running = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&running);
        let builder = tight(2).group_permits(2);
        let site = builder.simulate(sim, host, async move |shard| {
            let to = next(&shard);
            let mut tasks = Vec::new();
            for number in 0..30_u64 {
                let group = &groups[number as usize % 3];
                let (shard, own, counts) = (shard.clone(), group.clone(), Arc::clone(&counts));
                tasks.push(group.spawn(async move {
                    let length = moment();
                    let call = shard.call(to, move || async move {
                        let _counted = Counted::new(&counts);
                        sleep(length).await;
                        assert!(SchedulingGroup::current() == own, "{:?}", own);
                        Ok(number)
                    });
                    if number % 3 == die(3) {
                        return wait_for(call, moment()).await.map_or(number, |answer| answer);
                    }
                    call.await.expect("nobody has given it up")
                }));
            }
            for (number, answer) in gather(tasks).await?.into_iter().enumerate() {
                assert_eq!(answer, number as u64);
            }
            // All permits are there: so many calls at once as there are come to their end.
            for group in &groups {
                let shard = shard.clone();
                let all = (0..3).map(move |n| shard.call(to, move || async move { Ok(n) }));
                let all = group.enter(|| all.map(spawn).collect::<Vec<_>>())?;
                for (number, answer) in gather(all).await?.into_iter().enumerate() {
                    assert_eq!(answer?, number);
                }
            }
            Ok(())
        })?;
        site.join(sim)?;
        assert_eq!(running.load(Ordering::SeqCst), 0, "what was given up has ended");
        Ok(())
    });
}

/// Counts itself while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn who_waits_for_a_permit_leaves_by_priority() {
    check(SEED_COUNT, |sim| {
        LOG.take();
        let host = sim.host("server")?;
        let site = tight(2).permits(1).simulate(sim, host, async |shard| {
            if shard.id().index() == 1 {
                return Ok(());
            }
            let to = next(&shard);
            let order = [Priority::Low, Priority::Normal, Priority::High];
            // The first one has the permit, and the rest wait behind it.
            let mut posts = vec![shard.post(to, || note("first"))];
            for (priority, name) in order.into_iter().zip(["low", "normal", "high"]) {
                let made = shard.at_priority(priority, async {
                    [shard.post(to, move || note(name)), shard.post(to, move || note(name))]
                });
                posts.extend(made.await);
            }
            for post in posts {
                post.await?;
            }
            shard.at_priority(Priority::Low, shard.invoke(to, || ())).await
        })?;
        site.join(sim)?;
        assert_eq!(notes_of(1), ["first", "high", "high", "normal", "normal", "low", "low"]);
        Ok(())
    });
}

thread_local! {
    /// Connections that are open on each shard, and how many there were at most on any.
    static OPEN: Cell<([usize; 3], usize)> = const { Cell::new(([0; 3], 0)) };
}

/// One more connection of this shard, or one less.
fn count_connection(change: isize) {
    let id = Shard::current().unwrap().id().index();
    let (mut open, most) = OPEN.get();
    open[id] = open[id].saturating_add_signed(change);
    OPEN.set((open, most.max(open[id])));
}

/// Answers one line, a moment later.
async fn answer(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    count_connection(1);
    let line = reader.read_line().await?;
    sleep(moment()).await;
    count_connection(-1);
    writer.write_bytes(line)
}

#[test]
fn a_full_server_lets_further_connections_wait_and_takes_them_when_there_is_room() {
    const WAYS: [Accept; 4] =
        [Accept::InTurn, Accept::LeastLoaded, Accept::ReusePort, Accept::ByCpu];
    check(SEED_COUNT, |sim| {
        OPEN.take();
        let (host, client) = (sim.host("server")?, sim.host("client")?);
        let (addr, accept) = (host.addr(7), WAYS[sim.seed() as usize % 4]);
        let site = tight(3).simulate(sim, host, async move |shard| {
            let limits = Server::builder().max_connections(2);
            let builder = ShardServer::builder().accept(accept).limits(limits);
            shard.serve_with(builder, addr, answer).await?.wait_closed().await;
            Ok(())
        })?;
        sim.run_for(10 * MILLI)?;
        sim.run(client, async move || {
            let asking = (0..20).map(|_| {
                spawn(async move {
                    let (mut reader, writer) = open_connection(addr).await?;
                    writer.write(b"hello\n")?;
                    assert_eq!(reader.read_to_end().await?, "hello\n");
                    Ok::<_, corelane::Error>(())
                })
            });
            gather(asking.collect::<Vec<_>>()).await?.into_iter().collect::<Result<()>>()
        })?;
        let (open, most) = OPEN.get();
        assert!(open == [0; 3] && most <= 2, "{open:?} at the end, {most} at most");
        site.handle().request_shutdown();
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn a_connection_that_is_open_at_the_end_may_finish_though_all_mains_have() {
    check(SEED_COUNT, |sim| {
        OPEN.take();
        let (host, client) = (sim.host("server")?, sim.host("client")?);
        let addr = host.addr(7);
        let site = tight(2).simulate(sim, host, async move |shard| {
            // It serves until the end, also when main has returned.
            drop(shard.serve(addr, answer).await?);
            shard.shutdown().requested().await;
            Ok(())
        })?;
        sim.run_for(10 * MILLI)?;
        let (mut reader, writer) =
            sim.run(client, async move || Ok(open_connection(addr).await?))?;
        sim.run_for(10 * MILLI)?;
        site.handle().request_shutdown();
        sim.run_for(Duration::from_secs(1))?;
        sim.run(client, async move || {
            writer.write(b"late\n")?;
            assert_eq!(reader.read_to_end().await?, "late\n");
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn a_main_that_waits_for_the_end_ends_by_itself_when_another_one_fails() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let site = tight(3).simulate(sim, host, async |shard| {
            if shard.id().index() == 1 {
                sleep(moment()).await;
                return Err(corelane::Error::value("on purpose"));
            }
            shard.shutdown().requested().await;
            Ok(())
        })?;
        let ending = site.join_to_end(sim)?;
        assert!(ending.mains[0].is_ok() && ending.mains[2].is_ok(), "{ending:?}");
        assert!(ending.failure.is_some());
        Ok(())
    });
}

#[test]
fn a_part_that_is_closed_leaves_what_was_dealt_to_it_to_the_others() {
    check(SEED_COUNT, |sim| {
        OPEN.take();
        let (host, client) = (sim.host("server")?, sim.host("client")?);
        let accept = [Accept::InTurn, Accept::LeastLoaded][(sim.seed() % 2) as usize];
        let addr = host.addr(7);
        let site = tight(3).simulate(sim, host, async move |shard| {
            let server = shard.serve_with(accept, addr, answer).await?;
            if shard.id().index() == 1 {
                sleep(10 * MILLI + 2 * moment()).await;
                server.close();
            }
            shard.shutdown().requested().await;
            Ok(())
        })?;
        sim.run_for(10 * MILLI)?;
        // So much is dealt to it that some of that waits for permits when it closes.
        sim.stall(site.place(ShardId::new(1)), 5 * MILLI);
        sim.run(client, async move || {
            let asking = (0..40).map(|_| {
                spawn(async move {
                    sleep(moment() / 5).await;
                    let (mut reader, writer) = open_connection(addr).await?;
                    writer.write(b"hello\n")?;
                    assert_eq!(reader.read_to_end().await?, "hello\n");
                    Ok::<_, corelane::Error>(())
                })
            });
            gather(asking.collect::<Vec<_>>()).await?.into_iter().collect::<Result<()>>()
        })?;
        site.handle().request_shutdown();
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn a_shard_that_is_lost_and_does_not_end_has_a_time_of_its_own() {
    check(SEED_COUNT, |sim| {
        let host = sim.host("server")?;
        let minute = Duration::from_secs(60);
        let builder = tight(3).panic_policy(PanicPolicy::ShutShard).clean_up(minute);
        let running = Arc::new(AtomicUsize::new(0));
        let site = builder.simulate(sim, host, async move |shard| {
            if shard.id().index() == 1 {
                let counts = Arc::clone(&running);
                // What it has asked others to do is not done when it is lost.
                let asked = shard.call(ShardId::new(0), move || async move {
                    let _counted = Counted::new(&counts);
                    sleep(100 * minute).await;
                    Ok(())
                });
                drop(spawn(asked));
                sleep(MILLI + moment()).await;
                assert_eq!(running.load(Ordering::SeqCst), 1);
                drop(spawn(async { panic!("on purpose") }));
                // It is cancelled, and does not heed that.
                drop(catch_cancel_plain(std::future::pending::<()>()).await);
                sleep(100 * minute).await;
            }
            let begun = now();
            while now() - begun < 10 * minute {
                let to = next(&shard);
                match shard.call(to, async || Ok(())).await {
                    Ok(()) => {}
                    Err(error) => {
                        let gone = Some(&CallError::ShardGone(ShardId::new(1)));
                        assert!(error.is_cancelled() || error.downcast_ref() == gone, "{error}");
                    }
                }
                sleep(minute / 10).await;
            }
            assert_eq!(running.load(Ordering::SeqCst), 0);
            Ok(())
        })?;
        let ending = site.join_to_end(sim)?;
        let late: Vec<_> = ending.late.iter().map(|late| (late.phase, late.id.index())).collect();
        assert_eq!(late, [(Phase::CleanUp, 1)]);
        assert!(ending.mains[0].is_ok() && ending.mains[2].is_ok(), "{ending:?}");
        let passed = (sim.now() - corelane::Instant::ZERO).as_secs();
        assert!((600..620).contains(&passed), "{passed} s");
        Ok(())
    });
}

#[test]
fn a_run_that_waits_for_an_end_that_nobody_asks_for_says_so() {
    let wait = async |shard: Shard| {
        shard.shutdown().requested().await;
        sleep(Duration::from_secs(3_600)).await;
        Ok(())
    };
    let run = |is_asked: bool| {
        let mut sim = Simulation::builder(1).time_limit(Duration::from_secs(60)).build();
        let host = sim.host("only").unwrap();
        let builder = tight(2).drain(Duration::from_secs(7_200));
        let site = builder.simulate(&mut sim, host, wait).unwrap();
        if is_asked {
            site.handle().request_shutdown();
        }
        site.join(&mut sim).unwrap_err().to_string()
    };
    let hint = "nobody has asked for the end of the shards: `site.handle().request_shutdown()`";
    let text = run(false);
    assert!(text.contains(hint), "{text}");
    let text = run(true);
    assert!(!text.contains(hint), "{text}");
}
