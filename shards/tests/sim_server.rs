//! A server on several shards in simulation, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::io::ErrorKind;
use std::time::Duration;

use corelane::sim::{Failure, Place, Simulation, check, check_twice, draw};
use corelane::{
    Instant, Result, StreamReader, StreamWriter, open_connection, sleep, sleep_until, spawn,
    start_server, timeout,
};
use corelane_shards::sim::Site;
use corelane_shards::{Accept, PanicPolicy, Placement, Shard, Shards};
use signal_hook::consts::SIGTERM;

const SECOND: Duration = Duration::from_secs(1);
const SHARD_COUNT: usize = 3;
const WAYS: [Accept; 4] = [Accept::ReusePort, Accept::ByCpu, Accept::InTurn, Accept::LeastLoaded];

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

async fn ask(streams: &mut (StreamReader, StreamWriter)) -> Result<bool> {
    streams.1.write(b"hello\n")?;
    Ok(streams.0.read_line().await? == "hello\n")
}

/// Serves on every shard until the end, and shows its client.
fn serve(sim: &mut Simulation, drain: Duration) -> Result<(Place, Place, Site<()>), Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    let builder = Shards::builder().placement(Placement::Count(SHARD_COUNT)).drain(drain);
    let (addr, accept) = (server.addr(7), WAYS[sim.seed() as usize % WAYS.len()]);
    let site = builder.simulate(sim, server, async move |shard: Shard| {
        shard.serve_with(accept, addr, echo).await?.wait_closed().await;
        Ok(())
    })?;
    sim.run_for(SECOND)?;
    Ok((server, client, site))
}

#[test]
fn at_the_end_no_connection_is_accepted_and_open_ones_may_finish() {
    check_twice(60, |sim| {
        let (server, client, site) = serve(sim, 60 * SECOND)?;
        let mut open = sim.run(client, async move || {
            let mut open = Vec::new();
            for _ in 0..6 {
                let mut streams = open_connection(server.addr(7)).await?;
                assert!(ask(&mut streams).await?);
                open.push(streams);
            }
            Ok(open)
        })?;
        sim.signal(server, SIGTERM)?;
        sim.run_for(SECOND)?;
        assert!(!site.is_over(), "it drains");
        sim.run(client, async move || {
            let refused = open_connection(server.addr(7)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            for streams in &mut open {
                assert!(ask(streams).await?);
            }
            Ok(())
        })?;
        let begun = sim.now();
        site.join(sim)?;
        assert!(sim.now() - begun < 10 * SECOND, "nothing was waited for any more");
        Ok(())
    });
}

#[test]
fn connections_that_stay_are_cut_at_the_deadline_and_not_before() {
    check_twice(60, |sim| {
        let (server, client, site) = serve(sim, 60 * SECOND)?;
        let begun = sim.now();
        sim.signal(server, SIGTERM)?;
        let cut = sim.spawn(client, async move || {
            // It may be too late for one.
            let Ok(mut streams) = open_connection(server.addr(7)).await else { return Ok(None) };
            while timeout(SECOND, async |_| ask(&mut streams).await).await.unwrap_or(false) {
                corelane::sleep(SECOND).await;
            }
            Ok(Some(corelane::now()))
        });
        site.join(sim)?;
        sim.run_until(|| cut.done())?;
        if let Some(cut) = cut.result()? {
            let served = (cut - begun).as_secs();
            assert!((60..63).contains(&served) || served < 3, "{served} s");
        }
        Ok(())
    });
}

#[test]
fn a_port_that_is_taken_without_sharing_is_an_error() {
    check_twice(40, |sim| {
        let server = sim.host("server")?;
        let _taken =
            sim.run(server, async move || Ok(start_server(echo, server.addr(7)).await?))?;
        let (addr, accept) = (server.addr(7), WAYS[sim.seed() as usize % WAYS.len()]);
        let builder = Shards::builder().placement(Placement::Count(SHARD_COUNT));
        let site = builder.simulate(sim, server, async move |shard: Shard| {
            shard.serve_with(accept, addr, echo).await?;
            Ok(())
        })?;
        let ending = site.join_to_end(sim)?;
        let refused = ending.into_result().unwrap_err();
        assert_eq!(refused.io_kind(), Some(ErrorKind::AddrInUse), "{refused}");
        Ok(())
    });
}

#[test]
fn a_door_reaches_the_last_shard_though_the_one_that_it_was_handed_to_ends_too() {
    check(60, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let builder = Shards::builder().placement(Placement::Count(SHARD_COUNT));
        let addr = server.addr(7);
        let site = builder.panic_policy(PanicPolicy::ShutShard).simulate(
            sim,
            server,
            async move |shard: Shard| {
                // In this order, so that shard 0 accepts and shard 1 is the next to do so.
                sleep(SECOND * shard.id().index() as u32).await;
                let part = shard.serve_with(Accept::InTurn, addr, echo).await?;
                if shard.id().index() < 2 {
                    let at = draw("panic", 400).unwrap_or(0);
                    sleep_until(Instant::ZERO + 5 * SECOND + Duration::from_micros(at)).await;
                    drop(spawn(async { panic!("on purpose") }));
                }
                part.wait_closed().await;
                Ok(())
            },
        )?;
        sim.run_for(10 * SECOND)?;
        let answered = sim.run(client, async move || {
            timeout(60 * SECOND, async |_| ask(&mut open_connection(addr).await?).await).await
        });
        assert!(matches!(answered, Ok(true)), "{answered:?}");
        site.handle().request_shutdown();
        drop(site.join_to_end(sim)?);
        Ok(())
    });
}
