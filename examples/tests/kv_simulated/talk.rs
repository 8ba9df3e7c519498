//! Clients that talk with servers for a while, and what is to be said about it.

use std::time::Duration;

use corelane::Error;
use corelane::sim::{Failure, Place, Simulation};
use fastrand::Rng;

use crate::client::{Client, Work};
use crate::history::Counts;

const CLIENT_COUNT: usize = 4;
/// A talk that takes longer, in the time of the world, never ends. Most take less than a second, and with all faults
/// less than a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// More than the servers take to remove what has expired.
const UNTIL_SWEPT: Duration = Duration::from_millis(300);

/// Has clients, each on a host of its own, do `work`. Every few milliseconds `meddle` is asked what else is to
/// happen; it is given the clients' hosts.
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
    let limit = sim.now() + PATIENCE;
    while !talks.iter().all(|talk| talk.done()) {
        if sim.now() > limit {
            work.history.check().map_err(Error::msg)?;
            return Err(Error::msg("the clients do not come to an end").into());
        }
        sim.run_for(Duration::from_micros(rng.u64(500..5_000)))?;
        meddle(sim, rng, &places)?;
    }
    for talk in talks {
        talk.result()?;
    }
    Ok(())
}

/// Looks at every key once more, when what has expired was removed, and decides about what clients saw.
pub(crate) fn judge(sim: &mut Simulation, work: &Work) -> Result<Counts, Failure> {
    sim.run_for(UNTIL_SWEPT)?;
    let place = sim.host("the last client")?;
    let (last, before) = (Client::new(work.clone(), 0), work.history.counts());
    sim.run(place, async move || last.look().await)?;
    work.history.check().map_err(Error::msg)?;
    let counts = work.history.counts();
    // Or it would not be known what the keys hold.
    let look = Counts { answered: before.answered, refused: before.refused, ..counts };
    assert_eq!(look, before, "the last look has answers");
    Ok(counts)
}
