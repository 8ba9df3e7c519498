//! What many seeds of one program come to, in one number: the same on every machine, on any number of threads and under
//! any load. `scripts/simulation.sh` compares.
//!
//! ```sh
//! cargo run --release -p corelane --features sim --example sim_traces -- 1000
//! ```

use std::time::Duration;

use corelane::sim::{Check, Failure, Fault, FaultKind, Faults, Simulation};
use corelane::{
    Result, Server, StreamReader, StreamWriter, UdpSocket, open_connection, signal, sleep, spawn,
    timeout, to_thread,
};

const SECOND: Duration = Duration::from_secs(1);

/// Sends every line back.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<()> {
    while let Some(line) = reader.next_line().await? {
        writer.write_bytes(line)?;
        writer.drain().await?;
    }
    Ok(())
}

/// One line there and back, if all goes well.
async fn ask(addr: std::net::SocketAddr) -> Result<()> {
    let (mut reader, writer) = open_connection(addr).await?;
    for _ in 0..3 {
        writer.write(b"anybody?\n")?;
        reader.read_line().await?;
    }
    Ok(())
}

/// Two loops of a server share a port, clients come and go, and much goes wrong.
fn program(sim: &mut Simulation) -> Result<(), Failure> {
    let (server, client) = (sim.host("server")?, sim.host("client")?);
    for place in [server, sim.beside(server)?] {
        sim.start(
            place,
            || (),
            async move |_| {
                let _hangup = signal(libc::SIGHUP)?;
                let udp = UdpSocket::bind_shared(server.addr(9)).await?;
                drop(spawn(async move {
                    while let Ok((bytes, from)) = udp.recv_datagram().await {
                        let _ = udp.send_to(&bytes, from).await;
                    }
                }));
                let listening =
                    Server::builder().reuse_port(true).start(echo, server.addr(7)).await?;
                listening.serve_forever().await
            },
        )?;
    }
    let faults = Faults::any().at_most(8).among(&["server"]).within(Duration::ZERO..20 * SECOND);
    let faults = faults.also(&[FaultKind::Kill, FaultKind::Signal]);
    // Who cannot open a socket at the start ends the run.
    let faults = faults.without(&[FaultKind::NoDescriptors]);
    sim.faults(faults.and(Fault::signal("server", libc::SIGHUP).at(SECOND)));
    sim.run(client, async move || {
        let udp = UdpSocket::bind("0.0.0.0:0").await?;
        for number in 0..20_u8 {
            let asking =
                (0..4).map(|_| spawn(timeout(SECOND, async move |_| ask(server.addr(7)).await)));
            for asked in asking.collect::<Vec<_>>() {
                // Well or not.
                let _ = asked.await;
            }
            let _ = udp.send_to(&[number], server.addr(9)).await;
            let _ = timeout(SECOND / 10, async |_| Ok(udp.recv_datagram().await?)).await;
            to_thread(move || Ok(number)).await?;
            sleep(SECOND / 2).await;
        }
        Ok(())
    })
}

fn main() {
    // What fails in these worlds is meant to, and nobody is to be told of each.
    tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::new())
        .expect("it is the first");
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100);
    let traces = Check::new(count).traces(program);
    let all = traces.iter().fold(0_u64, |all, trace| all.rotate_left(7) ^ trace);
    println!("{} seeds: {all:016x}", traces.len());
}
