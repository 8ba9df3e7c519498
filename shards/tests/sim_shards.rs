//! Shards in simulation: that they start, call, serve and end as on threads, on every way through.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use corelane::sim::{Failure, Fault, Reason, Simulation, check, check_twice};
use corelane::{
    Result, StreamReader, StreamWriter, catch_cancel_plain, now, open_connection, sleep, spawn,
};
use corelane_shards::{Accept, CallError, PanicPolicy, Phase, Placement, Shard, ShardId, Shards};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

fn shards(count: usize) -> corelane_shards::Builder {
    Shards::builder().placement(Placement::Unpinned(count))
}

/// The other one of two.
fn other(shard: &Shard) -> ShardId {
    shard.all().find(|peer| *peer != shard.id()).unwrap()
}

/// Sends every line back, with the number of the shard.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    let id = Shard::current().map(|shard| shard.id().index());
    while let Some(line) = reader.next_line().await? {
        writer.write(format!("{id:?} ").as_bytes())?;
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

/// Each shard calls, invokes and posts to each other one.
async fn everybody(shard: Shard) -> Result<usize> {
    let mut sum = 0;
    for peer in shard.all() {
        sum += shard.invoke(peer, || Shard::current().map_or(100, |own| own.id().index())).await?;
        sum += shard
            .call(peer, async move || {
                sleep(Duration::from_millis(1)).await;
                Ok(peer.index())
            })
            .await?;
        shard.post(peer, || drop(spawn(async {}))).await?;
    }
    Ok(sum)
}

#[test]
fn shards_call_each_other_and_two_runs_with_one_seed_do_the_same() {
    check_twice(100, |sim| {
        let host = sim.host("server")?;
        let site = shards(3).simulate(sim, host, everybody)?;
        assert_eq!(site.join(sim)?, [6, 6, 6]);
        Ok(())
    });
}

#[test]
fn other_seeds_have_other_shards_first() {
    let mut orders = BTreeSet::new();
    for seed in 0..60 {
        let mut sim = Simulation::new(seed);
        let host = sim.host("server").unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&order);
        let site = shards(3).simulate(&mut sim, host, async move |shard| {
            seen.borrow_mut().push(shard.id().index());
            Ok(())
        });
        site.unwrap().join(&mut sim).unwrap();
        orders.insert(order.take());
    }
    assert_eq!(orders.len(), 6);
}

#[test]
fn connections_of_other_hosts_come_to_all_shards_and_the_end_drains_them() {
    let mut served_by = BTreeSet::new();
    check(40, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let addr = server.addr(7);
        let site = shards(3).simulate(sim, server, async move |shard| {
            shard.serve(addr, echo).await?.wait_closed().await;
            Ok(())
        })?;
        sim.run_for(Duration::from_millis(10))?;
        let lines = sim.run(client, async move || {
            let mut lines = Vec::new();
            for _ in 0..4 {
                let (mut reader, writer) = open_connection(addr).await?;
                writer.write(b"hello\n")?;
                lines.push(reader.read_line().await?);
            }
            Ok(lines)
        })?;
        served_by.extend(lines);
        site.handle().request_shutdown();
        site.join(sim)?;
        Ok(())
    });
    assert_eq!(served_by.len(), 3, "{served_by:?}");
}

#[test]
fn a_port_of_the_systems_choice_is_the_same_for_all_shards() {
    check(20, |sim| {
        let host = sim.host("server")?;
        let site = shards(3).simulate(sim, host, async |shard| {
            let server = shard.serve("127.0.0.1:0", echo).await?;
            let (mut reader, writer) = open_connection(server.local_addrs()[0]).await?;
            writer.write(b"hello\n")?;
            assert!(reader.read_line().await?.ends_with(b" hello\n"));
            Ok(server.local_addrs())
        })?;
        let addrs = site.join(sim)?;
        assert!(addrs.iter().all(|own| *own == addrs[0]), "{addrs:?}");
        Ok(())
    });
}

#[test]
fn shards_of_two_hosts_know_nothing_of_each_other() {
    check(20, |sim| {
        let (one, other) = (sim.host("one")?, sim.host("other")?);
        let serve = async |shard: Shard| {
            let server = shard.serve("0.0.0.0:7", echo).await?;
            server.wait_closed().await;
            Ok(shard.count())
        };
        let sites = [shards(2).simulate(sim, one, serve)?, shards(3).simulate(sim, other, serve)?];
        sim.run_for(Duration::from_millis(10))?;
        sim.run(one, async move || {
            let (mut reader, writer) = open_connection(other.addr(7)).await?;
            writer.write(b"hello\n")?;
            reader.read_line().await?;
            Ok(())
        })?;
        for (site, count) in sites.into_iter().zip([2, 3]) {
            site.handle().request_shutdown();
            assert_eq!(site.join(sim)?, vec![count; count]);
        }
        Ok(())
    });
}

#[test]
fn a_task_elsewhere_reaches_the_shards_by_their_handle() {
    check(30, |sim| {
        let (host, client) = (sim.host("server")?, sim.host("client")?);
        let site = shards(2).simulate(sim, host, async |shard| {
            shard.shutdown().requested().await;
            Ok(shard.id().index())
        })?;
        let handle = site.handle();
        let answer = sim.run(client, async move || {
            let to = ShardId::new(1);
            let sum = handle.call(to, async || {
                sleep(Duration::from_millis(3)).await;
                Ok(6 * 7)
            });
            assert_eq!(handle.invoke(to, || Shard::current().unwrap().id()).await?, to);
            let answer = sum.await?;
            handle.request_shutdown();
            Ok(answer)
        })?;
        assert_eq!(answer, 42);
        assert_eq!(site.join(sim)?, [0, 1]);
        Ok(())
    });
}

#[test]
fn the_deadlines_of_the_end_are_in_the_time_of_the_world() {
    check(20, |sim| {
        let host = sim.host("server")?;
        let builder = shards(2).drain(Duration::from_secs(60)).clean_up(Duration::from_secs(600));
        let site = builder.simulate(sim, host, async |shard| {
            if shard.id().index() == 0 {
                // Longer than it may take.
                let _ = catch_cancel_plain(std::future::pending::<()>()).await;
                sleep(Duration::from_secs(6_000)).await;
            }
            Ok(())
        })?;
        site.handle().request_shutdown();
        let begun = sim.now();
        let ending = site.join_to_end(sim)?;
        let late: Vec<_> = ending.late.iter().map(|late| (late.phase, late.id.index())).collect();
        assert_eq!(late, [(Phase::Drain, 0), (Phase::CleanUp, 0)]);
        assert!(ending.mains[0].as_ref().unwrap_err().is_cancelled());
        let passed = (sim.now() - begun).as_secs();
        assert!((660..662).contains(&passed), "{passed} s");
        Ok(())
    });
}

#[test]
fn a_main_that_panics_ends_the_run_and_the_others_clean_up() {
    check(30, |sim| {
        let host = sim.host("server")?;
        let cleaned = Rc::new(RefCell::new(0));
        let cleans = Rc::clone(&cleaned);
        let site = shards(3).simulate(sim, host, async move |shard| {
            if shard.id().index() == 1 {
                sleep(Duration::from_millis(5)).await;
                panic!("on purpose");
            }
            let stays = catch_cancel_plain(std::future::pending::<()>()).await;
            sleep(Duration::from_millis(5)).await;
            *cleans.borrow_mut() += 1;
            stays.map_err(Into::into)
        })?;
        let failure = site.join(sim).unwrap_err();
        assert!(failure.to_string().contains("on purpose"), "{failure}");
        assert_eq!(*cleaned.borrow(), 2);
        Ok(())
    });
}

#[test]
fn a_shard_that_is_lost_ends_alone_and_calls_to_it_fail() {
    check(40, |sim| {
        let host = sim.host("server")?;
        let builder = shards(3).panic_policy(PanicPolicy::ShutShard);
        let site = builder.simulate(sim, host, async |shard| {
            let lost = ShardId::new(1);
            if shard.id() == lost {
                drop(spawn(async { panic!("on purpose") }));
                return std::future::pending().await;
            }
            loop {
                if let Err(error) = shard.call(lost, async || Ok(())).await {
                    assert_eq!(error.downcast_ref(), Some(&CallError::ShardGone(lost)));
                    return shard.invoke(ShardId::new(2), || ()).await;
                }
                sleep(Duration::from_millis(1)).await;
            }
        })?;
        let ending = site.join_to_end(sim)?;
        assert!(ending.failure.is_some_and(|failure| failure.to_string().contains("on purpose")));
        assert!(ending.mains[0].is_ok() && ending.mains[2].is_ok());
        Ok(())
    });
}

#[test]
fn a_host_that_crashes_loses_what_it_had_and_comes_back() {
    check(30, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let addr = server.addr(7);
        let serve = async move |shard: Shard| {
            shard.serve(addr, echo).await?.wait_closed().await;
            Ok(())
        };
        let before = shards(2).simulate(sim, server, serve)?;
        sim.run_for(Duration::from_millis(10))?;
        let talk = async move || {
            let (mut reader, writer) = open_connection(addr).await?;
            writer.write(b"hello\n")?;
            reader.read_line().await?;
            Ok((reader, writer))
        };
        let (mut reader, _writer) = sim.run(client, talk)?;
        before.crash(sim);
        sim.run(client, async move || {
            // The end, or a reset.
            assert!(reader.read_line().await.map_or(true, |line| line.is_empty()));
            Ok(())
        })?;
        let after = shards(3).simulate(sim, server, serve)?;
        sim.run_for(Duration::from_millis(10))?;
        sim.run(client, talk)?;
        after.handle().request_shutdown();
        after.join(sim)?;
        Ok(())
    });
}

#[test]
fn a_run_in_which_shards_wait_for_each_other_for_ever_fails_and_says_which() {
    let mut sim = Simulation::new(1);
    let host = sim.host("server").unwrap();
    let site = shards(2).simulate(&mut sim, host, async |shard| {
        let peer = other(&shard);
        shard.call(peer, async || std::future::pending::<Result<()>>().await).await
    });
    let failure = site.unwrap().join(&mut sim).unwrap_err();
    assert!(matches!(failure.reason(), Reason::Stuck), "{failure}");
    let text = failure.to_string();
    assert!(text.contains("tasks of server, shard 1:\n"), "{text}");
}

#[test]
fn a_time_limit_travels_in_the_time_of_the_world() {
    check(30, |sim| {
        let host = sim.host("server")?;
        let site = shards(2).simulate(sim, host, async |shard| {
            let begun = now();
            let peer = other(&shard);
            let hour = Duration::from_secs(3_600);
            let late = shard
                .within(hour, shard.call(peer, async || std::future::pending::<Result<()>>().await))
                .await;
            assert!(late.is_err());
            assert!(now() - begun >= hour);
            Ok(())
        })?;
        site.join(sim)?;
        Ok(())
    });
}

#[test]
fn what_is_wrong_with_the_settings_is_said_before_anything_runs() -> Result<(), Failure> {
    let mut sim = Simulation::new(1);
    let host = sim.host("server")?;
    let refused = shards(0).simulate(&mut sim, host, async |_| Ok(())).unwrap_err();
    assert!(refused.to_string().contains("at least one shard"), "{refused}");
    sim.shut_down()
}

#[test]
fn who_joins_shards_whose_host_was_killed_is_told_so() {
    let second = Duration::from_secs(1);
    for fall in [Fault::kill("server", second), Fault::crash("server", second)] {
        check(20, |sim| {
            let (server, other) = (sim.host("server")?, sim.host("other")?);
            // Somebody else goes on for ever.
            let goes_on = async move || -> Result<()> {
                loop {
                    sleep(second).await;
                }
            };
            drop(sim.spawn(other, goes_on));
            let site = shards(2).simulate(sim, server, async |shard| {
                shard.shutdown().requested().await;
                Ok(())
            })?;
            sim.faults(fall.clone().at(5 * second));
            let failure = site.join(sim).unwrap_err();
            let told = "the host was killed before its shards had ended";
            assert!(failure.to_string().contains(told), "{failure}");
            Ok(())
        });
    }
}

/// Connections to each shard of a server that deals them out.
fn dealt(sim: &mut Simulation, accept: Accept, count: usize) -> Result<Vec<usize>, Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    let addr = server.addr(7);
    let site = shards(3).simulate(sim, server, async move |shard| {
        let server = shard.serve_with(accept, addr, echo).await?;
        sleep(Duration::from_secs(10)).await;
        Ok(server.connection_count())
    })?;
    sim.run_for(Duration::from_millis(10))?;
    let talking = sim.spawn(client, async move || {
        for _ in 0..count {
            drop(spawn(async move {
                let (mut reader, writer) = open_connection(addr).await?;
                writer.write(b"hello\n")?;
                assert!(reader.read_line().await?.ends_with(b" hello\n"));
                assert!(reader.read_line().await?.is_empty(), "the end");
                Ok::<_, corelane::Error>(())
            }));
        }
        Ok(())
    });
    sim.run_until(|| talking.done())?;
    sim.run_for(Duration::from_secs(11))?;
    site.handle().request_shutdown();
    site.join(sim)
}

#[test]
fn connections_come_to_the_shard_on_whose_core_their_first_packet_came_in() {
    check(20, |sim| {
        let counts = dealt(sim, Accept::ByCpu, 60)?;
        assert_eq!(counts.iter().sum::<usize>(), 60);
        // Three shards, four cores: one shard has two of them.
        assert!(counts.iter().all(|count| (4..50).contains(count)), "{counts:?}");
        Ok(())
    });
}

#[test]
fn a_shard_that_ends_to_serve_leaves_its_core_to_the_others() {
    check(20, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let addr = server.addr(7);
        let site = shards(3).simulate(sim, server, async move |shard| {
            let server = shard.serve_with(Accept::ByCpu, addr, echo).await?;
            if shard.id().index() == 0 {
                sleep(Duration::from_secs(1)).await;
                server.close();
            }
            shard.shutdown().requested().await;
            Ok(server.connection_count())
        })?;
        sim.run_for(Duration::from_secs(2))?;
        sim.run(client, async move || {
            for _ in 0..30 {
                let (mut reader, writer) = open_connection(addr).await?;
                writer.write(b"hello\n")?;
                assert!(!reader.read_line().await?.starts_with(b"Some(0)"));
            }
            Ok(())
        })?;
        sim.signal(server, SIGTERM)?;
        assert_eq!(site.join(sim)?[0], 0);
        Ok(())
    });
}

#[test]
fn the_first_signal_ends_the_run_in_order_and_a_second_one_at_once() {
    check_twice(40, |sim| {
        let server = sim.host("server")?;
        let ended = Rc::new(RefCell::new(Vec::new()));
        let ends = Rc::clone(&ended);
        let site =
            shards(3).drain(Duration::from_secs(60)).simulate(sim, server, async move |shard| {
                shard.shutdown().requested().await;
                sleep(Duration::from_secs(10)).await;
                ends.borrow_mut().push(shard.id().index());
                Ok(shard.id().index())
            })?;
        let first = [SIGINT, SIGTERM][(sim.seed() % 2) as usize];
        let is_ended_at_once = sim.seed() % 4 > 1;
        sim.run_for(Duration::from_secs(1))?;
        // What all tasks are doing is asked for, and ends nothing.
        if sim.seed() == 0 {
            sim.signal(server, SIGUSR1)?;
        }
        sim.run_for(Duration::from_secs(1))?;
        assert!(!site.is_over());
        sim.signal(server, first)?;
        sim.run_for(Duration::from_secs(5))?;
        assert!(!site.is_over() && ended.borrow().is_empty());
        if is_ended_at_once {
            sim.signal(server, SIGTERM)?;
            sim.run_for(Duration::from_secs(60))?;
            assert!(ended.borrow().is_empty());
            return Ok(());
        }
        assert_eq!(site.join(sim)?, [0, 1, 2]);
        Ok(())
    });
}

#[test]
fn a_run_that_handles_no_signals_ends_by_them() {
    check(20, |sim| {
        let server = sim.host("server")?;
        let site = shards(2).handle_signals(false).simulate(sim, server, async |shard| {
            shard.shutdown().requested().await;
            Ok(())
        })?;
        sim.run_for(Duration::from_secs(1))?;
        sim.signal(server, SIGINT)?;
        sim.run_for(Duration::from_secs(1))?;
        // Nobody is there to say how it ended.
        assert!(site.is_over() && site.was_killed());
        let failure = site.join(sim).unwrap_err();
        assert!(failure.to_string().contains("the host was killed"), "{failure}");
        Ok(())
    });
}

#[test]
fn one_shard_deals_connections_out_evenly_and_reuse_port_does_not() {
    let mut widest = 0;
    check(20, |sim| {
        let accept = [Accept::InTurn, Accept::LeastLoaded][(sim.seed() % 2) as usize];
        assert_eq!(dealt(sim, accept, 9)?, [3, 3, 3]);
        Ok(())
    });
    check(20, |sim| {
        let counts = dealt(sim, Accept::ReusePort, 9)?;
        assert_eq!(counts.iter().sum::<usize>(), 9);
        widest = widest.max(counts.into_iter().max().unwrap_or(0));
        Ok(())
    });
    assert!(widest > 5, "{widest}");
}
