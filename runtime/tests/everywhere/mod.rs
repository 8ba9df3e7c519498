//! A contract test on every net: the system's, and the simulated one without and with mishaps.
//!
//! The other end of a connection is a plain socket on the system. In a simulation it is a socket of the same
//! loop, moved by hand: what is sent to it or from it takes its time, which passes whenever the test waits.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::net;
use std::time::Duration;

use corelane::sim::Simulation;
use corelane::{ConnectBuilder, Result, StreamReader, StreamWriter, TcpListener, TcpStream, sleep};

use crate::peer;

/// Seeds of the simulated net with mishaps.
const SEED_COUNT: u64 = 50;

thread_local! {
    static IS_SIMULATED: Cell<bool> = const { Cell::new(false) };
}

/// The other end of a connection.
pub(crate) enum Peer {
    System(net::TcpStream),
    Simulated(TcpStream),
}

/// Runs a test on the system, and in a simulation in which what is sent by one call arrives by one receive.
pub(crate) fn on_both(main: impl AsyncFnOnce() -> Result<()> + Clone + 'static) -> Result<()> {
    peer::run(main.clone())?;
    simulate(Simulation::builder(1).calm().build(), main)
}

/// The same, and under many seeds in a simulation in which anything may happen that is allowed to.
pub(crate) fn everywhere(main: impl AsyncFnOnce() -> Result<()> + Clone + 'static) -> Result<()> {
    on_both(main.clone())?;
    (0..SEED_COUNT).try_for_each(|seed| simulate(Simulation::new(seed), main.clone()))
}

fn simulate(mut sim: Simulation, main: impl AsyncFnOnce() -> Result<()> + 'static) -> Result<()> {
    IS_SIMULATED.set(true);
    let host = sim.host("only")?;
    let outcome = sim.run(host, main);
    IS_SIMULATED.set(false);
    Ok(outcome?)
}

/// A connection of ours, and its other end.
pub(crate) async fn pair() -> Result<(StreamReader, StreamWriter, Peer)> {
    pair_with(&ConnectBuilder::new()).await
}

/// A connection of ours with other options.
pub(crate) async fn pair_with(
    builder: &ConnectBuilder,
) -> Result<(StreamReader, StreamWriter, Peer)> {
    if !IS_SIMULATED.get() {
        let (reader, writer, peer) = peer::pair_with(builder).await?;
        return Ok((reader, writer, Peer::System(peer)));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (reader, writer) = builder.open(listener.local_addr()?).await?;
    Ok((reader, writer, Peer::Simulated(listener.accept().await?)))
}

/// A connection whose other end has sent `bytes` and closed.
pub(crate) async fn sent(bytes: &[u8], limit_bytes: usize) -> Result<(StreamReader, StreamWriter)> {
    let builder = ConnectBuilder::new().limit_bytes(limit_bytes);
    let (reader, writer, mut peer) = pair_with(&builder).await?;
    peer.write_all(bytes)?;
    Ok((reader, writer))
}

/// Lets everything arrive that is under way.
pub(crate) async fn settle() {
    if IS_SIMULATED.get() { sleep(Duration::from_millis(100)).await } else { peer::settle().await }
}

/// Resets a connection: the other end gets an error instead of an end.
pub(crate) fn reset(peer: Peer) -> Result<()> {
    match peer {
        Peer::System(peer) => peer::reset(peer),
        Peer::Simulated(peer) => Ok(peer.set_linger(Some(Duration::ZERO))?),
    }
}

impl Write for Peer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::System(peer) => peer.write(bytes),
            Self::Simulated(peer) => match peer.split().1.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("more than fits: a peer that is moved by hand cannot wait")
                }
                written => written,
            },
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
