//! How fast a simulation is: hours of an idle cluster in a minute, and requests in a second.
//!
//! ```sh
//! cargo run --release -p corelane --features sim --example sim_speed
//! ```
#![allow(clippy::disallowed_methods, reason = "how much real time passes is the subject")]

use std::time::{Duration, Instant};

use corelane::sim::{Failure, Simulation};
use corelane::{Result, StreamReader, StreamWriter, open_connection, sleep, start_server};

const HOSTS: usize = 8;
const HOURS: u32 = 1;
const REQUESTS: u32 = 20_000;

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
    }
    Ok(())
}

/// Hosts of which each looks once a second whether there is something to do.
fn idle(sim: &mut Simulation) -> Result<(), Failure> {
    for number in 0..HOSTS {
        let host = sim.host(&format!("host {number}"))?;
        drop(sim.spawn(host, async || -> Result<()> {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        }));
    }
    sim.run_for(Duration::from_secs(3_600) * HOURS)
}

/// A client that sends a line and waits for it to come back, again and again.
fn requests(sim: &mut Simulation) -> Result<(), Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    let _server = sim.run(server, async move || Ok(start_server(echo, server.addr(7)).await?))?;
    sim.run(client, async move || {
        let (mut reader, writer) = open_connection(server.addr(7)).await?;
        for _ in 0..REQUESTS {
            writer.write(b"sixteen bytes..\n")?;
            reader.read_line().await?;
        }
        Ok(())
    })
}

fn timed(mut sim: Simulation, program: fn(&mut Simulation) -> Result<(), Failure>) -> f64 {
    let begun = Instant::now();
    program(&mut sim).expect("it ends well");
    begun.elapsed().as_secs_f64()
}

fn report(name: &str, world: fn() -> Simulation) {
    let hours = f64::from(HOURS) * 60.0 / timed(world(), idle);
    let rate = f64::from(REQUESTS) / timed(world(), requests);
    println!(
        "{name}: {hours:.0} hours a minute of {HOSTS} idle hosts, {rate:.0} requests a second"
    );
}

fn main() {
    report("calm", || Simulation::builder(1).calm().build());
    report("with mishaps", || Simulation::new(1));
}
