//! The latencies that theory promises for servers whose behaviour is known.

/// A server that needs `service` for a request and stands still for `stall` in every `period`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StallModel {
    /// Seconds for a request.
    pub(super) service: f64,
    /// Seconds of a freeze.
    pub(super) stall: f64,
    /// Seconds from one freeze to the next.
    pub(super) period: f64,
    /// Requests a second, evenly spaced.
    pub(super) rate: f64,
}

impl StallModel {
    /// The response at a quantile of the tail.
    ///
    /// A request that comes `t` after the freeze has begun waits for the rest of it and for the
    /// backlog before it: `stall - t (1 - load) + service`. Such `t` are uniform, so the share of
    /// requests that wait longer than `x` is `(stall + service - x) / ((1 - load) period)`.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let load = self.service * self.rate;
        let tail = self.stall + self.service - (1.0 - quantile) * self.period * (1.0 - load);
        tail.max(self.service)
    }
}

/// Mean response of a queue with Poisson arrivals and a fixed service time of one, by the formula of
/// Pollaczek and Khinchine.
pub(super) fn md1_mean(load: f64) -> f64 {
    1.0 + load / (2.0 * (1.0 - load))
}

/// 90th and 99th percentile of the response of that queue, in service times; from a simulation of
/// many million requests, since there is no closed form that can be computed with plain doubles.
pub(super) fn md1_tail(load_percent: u32) -> Option<(f64, f64)> {
    match load_percent {
        30 => Some((1.84, 2.89)),
        50 => Some((2.52, 4.32)),
        70 => Some((4.08, 7.44)),
        _ => None,
    }
}

/// Mean and 90th and 99th percentile of the response of a queue with Poisson arrivals and exponential
/// service, in mean service times: it is exponential as well.
pub(super) fn mm1(load: f64) -> [f64; 3] {
    [1.0, 10f64.ln(), 100f64.ln()].map(|value| value / (1.0 - load))
}

/// Responses of requests that arrive at `arrivals_ns` at one server, first come, first served.
pub(super) fn fifo_responses(arrivals_ns: &[u64], mut service_ns: impl FnMut() -> u64) -> Vec<u64> {
    let mut free_ns = 0;
    arrivals_ns
        .iter()
        .map(|arrival_ns| {
            free_ns = free_ns.max(*arrival_ns) + service_ns();
            free_ns - arrival_ns
        })
        .collect()
}

/// The value at a quantile of some numbers, which are sorted for it.
pub(crate) fn quantile(values: &mut [u64], quantile: f64) -> f64 {
    values.sort_unstable();
    let rank = (quantile * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_NS;
    use crate::plan::{Arrival, Rate, Schedule};
    use crate::serve::Service;

    fn arrivals(per_second: f64, arrival: Arrival, seconds: u64) -> Vec<u64> {
        let rate = Rate::per_second(per_second).unwrap();
        let mut schedule = Schedule::new(rate, arrival, 5, (0, seconds * SECOND_NS), (0, 1));
        std::iter::from_fn(move || schedule.advance()).collect()
    }

    #[test]
    fn the_formula_of_the_stall_gives_the_known_figures() {
        let model = |rate| StallModel { service: 20e-6, stall: 0.1, period: 1.0, rate };
        let at = |rate, q| model(rate).quantile(q) * 1e3;
        assert!((at(1_000.0, 0.99) - 90.2).abs() < 0.05, "{}", at(1_000.0, 0.99));
        assert!((at(1_000.0, 0.95) - 51.0).abs() < 0.05);
        assert!((at(10_000.0, 0.99) - 92.0).abs() < 0.05);
        assert!((at(1_000.0, 0.5) - 0.02).abs() < 1e-9);
    }

    #[test]
    fn the_formula_of_the_stall_agrees_with_a_simulation_of_our_own_arrivals() {
        let model = StallModel { service: 20e-6, stall: 0.1, period: 1.0, rate: 10_000.0 };
        let (service_ns, stall_ns) = (20_000, SECOND_NS / 10);
        let mut free_ns = 0u64;
        let mut responses: Vec<u64> = arrivals(model.rate, Arrival::Constant, 10)
            .iter()
            .map(|arrival_ns| {
                let begin_ns = free_ns.max(*arrival_ns);
                let into_ns = begin_ns % SECOND_NS;
                let thawed_ns = begin_ns + stall_ns.saturating_sub(into_ns);
                free_ns = thawed_ns + service_ns;
                free_ns - arrival_ns
            })
            .collect();
        for q in [0.9, 0.95, 0.99, 0.999] {
            let simulated = quantile(&mut responses, q) / 1e9;
            assert!((simulated - model.quantile(q)).abs() < 0.5e-3, "{q}: {simulated}");
        }
    }

    #[test]
    fn theory_and_our_poisson_arrivals_agree_on_the_queue() {
        let service_ns = 200_000;
        for load_percent in [30, 50, 70] {
            let load = f64::from(load_percent) / 100.0;
            let rate = load * 1e9 / service_ns as f64;
            let seconds = (6e5 / rate) as u64;
            let mut responses =
                fifo_responses(&arrivals(rate, Arrival::Poisson, seconds), || service_ns);
            let unit = service_ns as f64;
            let mean = responses.iter().sum::<u64>() as f64 / responses.len() as f64 / unit;
            assert!((mean / md1_mean(load) - 1.0).abs() < 0.03, "{load_percent} %: mean {mean}");
            let (p90, p99) = md1_tail(load_percent).unwrap();
            let found = [0.9, 0.99].map(|q| quantile(&mut responses, q) / unit);
            assert!((found[0] / p90 - 1.0).abs() < 0.05, "{load_percent} %: p90 {}", found[0]);
            assert!((found[1] / p99 - 1.0).abs() < 0.07, "{load_percent} %: p99 {}", found[1]);
        }
    }

    #[test]
    fn theory_and_our_exponential_service_agree_on_the_queue() {
        let mut draws = Service::Exponential(200_000).draws();
        for load in [0.3, 0.5, 0.7] {
            let rate = load * 5_000.0;
            let arrivals = arrivals(rate, Arrival::Poisson, (8e5 / rate) as u64);
            let mut responses = fifo_responses(&arrivals, &mut draws);
            let mean = responses.iter().sum::<u64>() as f64 / responses.len() as f64;
            let found = [mean, quantile(&mut responses, 0.9), quantile(&mut responses, 0.99)];
            for (found, theory) in found.iter().zip(mm1(load)) {
                let units = found / 200_000.0;
                assert!((units / theory - 1.0).abs() < 0.07, "load {load}: {units} and {theory}");
            }
        }
    }
}
