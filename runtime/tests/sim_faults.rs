//! Faults of a simulated world: partitions, loops that stall, loops that are killed.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::time::Duration;

use corelane::sim::{Failure, Place, Simulation, check_twice};
use corelane::{
    Result, Server, StreamReader, StreamWriter, now, open_connection, sleep, start_server, timeout,
};

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

fn serve(sim: &mut Simulation, place: Place) -> Result<Server, Failure> {
    sim.run(place, async move || Ok(start_server(echo, place.addr(7)).await?))
}

/// Asks for an echo and gives it.
async fn ask(streams: &mut (StreamReader, StreamWriter), line: &str) -> Result<String> {
    streams.1.write(line.as_bytes())?;
    let answer = streams.0.read_line().await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn a_partition_holds_what_is_sent_until_it_is_healed_and_loses_nothing() {
    check_twice(100, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let witness = sim.host("witness")?;
        let _server = serve(sim, server)?;
        let mut streams = sim.run(client, async move || {
            let mut streams = open_connection(server.addr(7)).await?;
            assert_eq!(ask(&mut streams, "before\n").await?, "before\n");
            Ok(streams)
        })?;
        sim.partition(server, client);
        streams = sim.run(client, async move || {
            let late =
                timeout(Duration::from_secs(60), async |_| ask(&mut streams, "held\n").await);
            assert!(late.await.unwrap_err().is_timeout());
            Ok(streams)
        })?;
        // Others reach both.
        sim.run(witness, async move || {
            let mut streams = open_connection(server.addr(7)).await?;
            assert_eq!(ask(&mut streams, "beside\n").await?, "beside\n");
            Ok(())
        })?;
        sim.heal(client, server);
        sim.run(client, async move || {
            assert_eq!(ask(&mut streams, "after\n").await?, "held\n");
            assert_eq!(streams.0.read_line().await?, "after\n");
            Ok(())
        })
    });
}

#[test]
fn a_loop_that_stalls_is_late_and_the_others_are_not() {
    check_twice(50, |sim| {
        let (one, other) = (sim.host("one")?, sim.host("other")?);
        let second = Duration::from_secs(1);
        let waits = async move || {
            let begun = now();
            sleep(second).await;
            Ok(now() - begun)
        };
        let (late, punctual) = (sim.spawn(one, waits), sim.spawn(other, waits));
        sim.run_for(Duration::from_millis(100))?;
        sim.stall(one, 10 * second);
        sim.run_until(|| late.done() && punctual.done())?;
        assert!(punctual.result()? < 2 * second);
        assert!(late.result()? >= 10 * second);
        Ok(())
    });
}

#[test]
fn a_loop_that_is_killed_ends_its_connections_and_serves_again_when_it_is_back() {
    check_twice(100, |sim| {
        let (server, client) = (sim.host("server")?, sim.host("client")?);
        let before = serve(sim, server)?;
        let mut streams = sim.run(client, async move || {
            let mut streams = open_connection(server.addr(7)).await?;
            assert_eq!(ask(&mut streams, "one\n").await?, "one\n");
            Ok(streams)
        })?;
        sim.restart(server)?;
        drop(before);
        sim.run(client, async move || {
            // The end, or a reset: either says that nobody is there.
            let answer = ask(&mut streams, "two\n").await;
            assert!(answer.map_or(true, |line| line.is_empty()));
            assert!(open_connection(server.addr(7)).await.is_err());
            Ok(())
        })?;
        let _after = serve(sim, server)?;
        sim.run(client, async move || {
            let mut streams = open_connection(server.addr(7)).await?;
            assert_eq!(ask(&mut streams, "three\n").await?, "three\n");
            Ok(())
        })
    });
}
