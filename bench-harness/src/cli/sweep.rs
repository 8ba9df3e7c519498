//! `sweep`: latency against throughput.

use std::io;

use clap::Args;

use super::aim::Aimed;
use super::talk::Talk;
use super::{Exit, usage};
use crate::phases::RatePlan;
use crate::plan::Rate;
use crate::rng::Rng;
use crate::units;

/// Options of `sweep`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    aimed: Aimed,
    /// The first load: a rate, or a percentage of what a closed-loop probe reaches
    #[arg(long, default_value = "10%", value_parser = units::rate)]
    from: RatePlan,
    /// The last load, likewise
    #[arg(long, default_value = "110%", value_parser = units::rate)]
    to: RatePlan,
    /// Loads in even steps from the first to the last; in place of these, --rate lists them
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(2..=100))]
    steps: u32,
    /// How often each load is measured: first upwards, then in random order, which shows whether a
    /// server remembers the load before
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
}

impl Sweep {
    /// Runs it.
    ///
    /// # Errors
    /// If nothing could be measured.
    pub(super) fn execute(mut self, talk: &Talk) -> io::Result<Exit> {
        let steps = if self.aimed.load().rates().is_empty() {
            match steps(self.from, self.to, self.steps) {
                Ok(steps) => steps,
                Err(text) => return Ok(usage(&text)),
            }
        } else {
            self.aimed.load().rates().to_vec()
        };
        let seed = self.aimed.load().seed();
        let rates = ordered(&steps, self.repeat, seed);
        self.aimed.load_mut().set_rates(rates, "sweep");
        self.aimed.execute(talk)
    }
}

fn steps(from: RatePlan, to: RatePlan, steps: u32) -> Result<Vec<RatePlan>, String> {
    let between = |low: f64, high: f64| {
        (0..steps).map(move |step| low + (high - low) * f64::from(step) / f64::from(steps - 1))
    };
    match (from, to) {
        (RatePlan::OfProbe(low), RatePlan::OfProbe(high)) if low < high => {
            let rounded = |percent: f64| RatePlan::OfProbe((percent * 10.0).round() / 10.0);
            Ok(between(low, high).map(rounded).collect())
        }
        (RatePlan::Exact(low), RatePlan::Exact(high))
            if low.as_per_second() < high.as_per_second() =>
        {
            between(low.as_per_second(), high.as_per_second())
                .map(|rate| Rate::per_second(rate).map(RatePlan::Exact))
                .collect()
        }
        _ => Err("--from must lie below --to, both as rates or both in percent".to_owned()),
    }
}

/// All steps upwards, then again in random order as often as asked for.
fn ordered(steps: &[RatePlan], repeat: u32, seed: u64) -> Vec<RatePlan> {
    let mut rng = Rng::new(seed);
    let mut rates = steps.to_vec();
    for _ in 1..repeat {
        let mut again = steps.to_vec();
        for place in (1..again.len()).rev() {
            again.swap(place, rng.below(place as u64 + 1) as usize);
        }
        rates.extend(again);
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_go_up_in_even_steps_and_then_in_any_order() {
        let all = steps(RatePlan::OfProbe(10.0), RatePlan::OfProbe(110.0), 5).unwrap();
        assert_eq!(all, [10.0, 35.0, 60.0, 85.0, 110.0].map(RatePlan::OfProbe));
        let rate = |per_second| RatePlan::Exact(Rate::per_second(per_second).unwrap());
        assert_eq!(steps(rate(10.0), rate(20.0), 2), Ok(vec![rate(10.0), rate(20.0)]));
        for (from, to) in [(rate(2.0), rate(1.0)), (rate(1.0), RatePlan::OfProbe(50.0))] {
            assert!(steps(from, to, 3).is_err());
        }
        let rates = ordered(&all, 3, 1);
        assert_eq!((rates.len(), &rates[..5]), (15, &all[..]));
        for again in rates[5..].chunks(5) {
            assert!(all.iter().all(|rate| again.contains(rate)), "{again:?}");
        }
        assert_ne!(rates[5..10], all[..], "this seed does not give the order upwards");
    }
}
