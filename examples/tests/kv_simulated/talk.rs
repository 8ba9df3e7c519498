//! Clients that talk with servers for a while, and what is to be said about it.

use std::time::Duration;

use corelane::Error;
use corelane::sim::{Failure, Place, Simulation};
use fastrand::Rng;

use crate::client::{Client, Work};
use crate::history::Counts;

const CLIENT_COUNT: usize = 4;

/// Has clients, each on a host of its own, do `work`. Every few milliseconds `meddle` is asked what else is to
/// happen; it is given the clients' hosts. What it began has to end by itself, or the last look at all keys waits
/// for ever.
pub(crate) fn converse(
    sim: &mut Simulation,
    work: &Work,
    rng: &mut Rng,
    mut meddle: impl FnMut(&mut Simulation, &mut Rng, &[Place]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut places = Vec::new();
    let mut talks = Vec::new();
    for number in 0..CLIENT_COUNT {
        let place = sim.host(&format!("client {number}"))?;
        let client = Client::new(work.clone(), rng.u64(..));
        talks.push(sim.spawn(place, async move || client.run().await));
        places.push(place);
    }
    while !talks.iter().all(|talk| talk.done()) {
        sim.run_for(Duration::from_micros(rng.u64(500..5_000)))?;
        meddle(sim, rng, &places)?;
    }
    for talk in talks {
        talk.result()?;
    }
    let (place, last) = (sim.host("the last client")?, Client::new(work.clone(), 0));
    sim.run(place, async move || last.look().await)?;
    Ok(())
}

/// Decides about what clients saw.
pub(crate) fn judge(work: &Work) -> Result<Counts, Failure> {
    work.history.check().map_err(Error::msg)?;
    let counts = work.history.counts();
    assert!(counts.answered > 2 * counts.given_up, "{counts:?}: that says little");
    Ok(counts)
}
