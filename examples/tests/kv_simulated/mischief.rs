//! What goes wrong while clients talk with servers.

use std::time::Duration;

use corelane::Instant;
use corelane::sim::{Place, Simulation};
use fastrand::Rng;

/// Partitions and stalls, drawn one after the other.
pub(crate) struct Mischief {
    /// Between whom, and until when.
    cuts: Vec<(Place, Place, Instant)>,
}

impl Mischief {
    pub(crate) fn new() -> Self {
        Self { cuts: Vec::new() }
    }

    /// Ends what has lasted long enough, and begins something else at times.
    pub(crate) fn go_on(&mut self, sim: &mut Simulation, rng: &mut Rng, places: &[Place]) {
        let now = sim.now();
        self.end_where(sim, |until| until <= now);
        let duration = Duration::from_micros(rng.u64(100..30_000));
        let one = places[rng.usize(..places.len())];
        match rng.u8(..6) {
            0 => sim.stall(one, duration),
            1 => {
                let other = places[rng.usize(..places.len())];
                let is_cut = |cut: &&(Place, Place, Instant)| {
                    [(one, other), (other, one)].contains(&(cut.0, cut.1))
                };
                if one.ip() != other.ip() && self.cuts.iter().find(is_cut).is_none() {
                    sim.partition(one, other);
                    self.cuts.push((one, other, now + duration));
                }
            }
            _ => {}
        }
    }

    /// Ends everything.
    pub(crate) fn end(&mut self, sim: &mut Simulation) {
        self.end_where(sim, |_| true);
    }

    fn end_where(&mut self, sim: &mut Simulation, is_over: impl Fn(Instant) -> bool) {
        self.cuts.retain(|&(one, other, until)| {
            if is_over(until) {
                sim.heal(one, other);
            }
            !is_over(until)
        });
    }
}
