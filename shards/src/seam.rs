//! Where the rest of this crate meets a simulation, with the feature `sim`: the clock, how much is taken from a lane
//! at a time, and which addresses a host has. Off a simulation each of these is nothing, and without the feature the
//! compiler knows that: `seam/none.rs`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use corelane::Instant as LoopInstant;
use corelane::sim::{bind_listener, claim_addr, draw_part, world_time};

/// How long the simulated host has been there.
pub(crate) fn passed() -> Option<Duration> {
    world_time().map(|now| now - LoopInstant::ZERO)
}

/// This moment of the simulated host, as one of the system's clock, which is only good to be compared with others.
#[expect(clippy::disallowed_methods, reason = "somewhere the count has to begin")]
pub(crate) fn instant() -> Option<Instant> {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    passed().map(|passed| *BEGINNING.get_or_init(Instant::now) + passed)
}

/// How much is taken at a time where `whole` could be.
pub(crate) fn part(whole: usize) -> usize {
    draw_part("messages to take", whole).unwrap_or(whole)
}

/// Whether somebody could listen there, and with which port if it had none.
pub(crate) fn claim(addr: SocketAddr) -> Option<io::Result<SocketAddr>> {
    claim_addr(addr)
}

/// A listener that is bound there.
pub(crate) fn bind(addr: SocketAddr) -> Option<io::Result<OwnedFd>> {
    bind_listener(addr)
}
