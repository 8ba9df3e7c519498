//! What is asked of the world from inside of it: by whoever lives on one of its loops and has to know.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use crate::driver::SourceSpec;
use crate::executor::{self, LoopCore};
use crate::util::instant::Instant;

/// A number below `bound`, drawn from the generator of the simulation whose loop is being turned; 0 if `bound` is 0.
/// `None` off a simulation. `what` is shown with the last draws of a run that fails.
///
/// For programs that would ask a generator of their own, and for what a crate that builds on loops leaves to chance.
///
/// ```
/// use corelane::sim::{Simulation, draw};
///
/// let mut sim = Simulation::new(7);
/// let host = sim.host("only")?;
/// let drawn = sim.run(host, async || Ok(draw("die", 6)))?;
/// assert!(drawn.is_some_and(|die| die < 6));
/// assert_eq!(draw("die", 6), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn draw(what: &'static str, bound: u64) -> Option<u64> {
    let drawn = executor::with(|core| core.chance().map(|chance| chance.below(what, bound)));
    drawn.ok().flatten()
}

/// How much of `whole` is done at a time: all of it, or at times less, down to 1. `None` off a simulation. A
/// [calm](super::Builder::calm) one always does all.
#[must_use]
pub fn draw_part(what: &'static str, whole: usize) -> Option<usize> {
    let drawn = executor::with(|core| core.chance().map(|chance| chance.part(what, whole)));
    drawn.ok().flatten()
}

/// The time at the host whose loop is being turned, the same for all its loops. `None` off a simulation.
#[must_use]
pub fn world_time() -> Option<Instant> {
    let now = executor::with(|core| core.chance().map(|_| core.now()));
    now.ok().flatten()
}

/// A listener that is bound to `addr` on the host whose loop is being turned, as the descriptor that other loops of it
/// adopt it by: [`ServerBuilder::adopt`](crate::ServerBuilder::adopt). It is of no other use. `None` off a simulation.
#[must_use]
pub fn bind_listener(addr: SocketAddr) -> Option<io::Result<OwnedFd>> {
    let bind = |core: &LoopCore| {
        core.take(core.open(SourceSpec::Listen { addr, backlog: None, reuse_port: false })?)
    };
    executor::with(|core| core.chance().map(|_| bind(core))).ok().flatten()
}

/// Whether somebody could listen at `addr` on the host whose loop is being turned: the address, with a port that
/// nobody has if it was 0. `None` off a simulation.
#[must_use]
pub fn claim_addr(addr: SocketAddr) -> Option<io::Result<SocketAddr>> {
    let claim = |core: &LoopCore| {
        let source = core.open(SourceSpec::Listen { addr, backlog: None, reuse_port: true })?;
        let bound = core.local_addr(source);
        core.close(source);
        bound
    };
    executor::with(|core| core.chance().map(|_| claim(core))).ok().flatten()
}
