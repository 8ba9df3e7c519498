//! What a synthetic server is to do, and its words on the command line.

use crate::rng::Rng;
use crate::serve::Wire;

/// A freeze that repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    /// How long nothing is served.
    pub(crate) length_ns: u64,
    /// From the start of one freeze to the start of the next.
    pub(crate) every_ns: u64,
}

/// How long a synthetic server takes for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// The same for each.
    Fixed(u64),
    /// Drawn from the exponential distribution with this mean.
    Exponential(u64),
    /// One of two.
    Bimodal {
        /// Most of the time.
        short_ns: u64,
        /// Now and then.
        long_ns: u64,
        /// How often, in millionths.
        long_ppm: u32,
    },
}

/// A millionth is the smallest share.
const MILLION: u64 = 1_000_000;

impl Service {
    /// The mean.
    pub(crate) fn mean_ns(self) -> u64 {
        match self {
            Service::Fixed(mean_ns) | Service::Exponential(mean_ns) => mean_ns,
            Service::Bimodal { short_ns, long_ns, long_ppm } => {
                let long = u64::from(long_ppm);
                (short_ns * (MILLION - long) + long_ns * long) / MILLION
            }
        }
    }

    /// The times of the requests in the order in which they are served; always the same ones.
    pub(crate) fn draws(self) -> impl FnMut() -> u64 {
        let mut rng = Rng::new(SERVICE_SEED);
        move || match self {
            Service::Fixed(time_ns) => time_ns,
            Service::Exponential(mean_ns) => (mean_ns as f64 * rng.exponential()).round() as u64,
            Service::Bimodal { short_ns, long_ns, long_ppm } => {
                if rng.below(MILLION) < u64::from(long_ppm) { long_ns } else { short_ns }
            }
        }
    }

    fn argument(self) -> String {
        match self {
            Service::Fixed(time_ns) => format!("fixed:{time_ns}ns"),
            Service::Exponential(mean_ns) => format!("exp:{mean_ns}ns"),
            Service::Bimodal { short_ns, long_ns, long_ppm } => {
                let percent = f64::from(long_ppm) / 1e4;
                format!("bimodal:{short_ns}ns/{long_ns}ns/{percent}%")
            }
        }
    }
}

/// The service times are the same in each run, so that theory can be told which they were.
const SERVICE_SEED: u64 = 0x7365_7276;

/// What a synthetic server does wrong, on purpose, to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What.
    pub(crate) kind: FaultKind,
    /// To which: the n-th of all connections together, counted from one.
    pub(crate) request: u64,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It gets no answer, and nothing does that comes after it on its connection.
    Drop,
    /// The last byte of its answer is another one.
    Wrong,
    /// The server ends before it answers.
    Die,
}

impl FaultKind {
    /// Each with its word.
    pub(crate) const ALL: [(&'static str, FaultKind); 3] =
        [("drop", FaultKind::Drop), ("wrong", FaultKind::Wrong), ("die", FaultKind::Die)];

    fn name(self) -> &'static str {
        FaultKind::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What the synthetic server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SyntheticSpec {
    /// What it speaks. It stores nothing: it answers `+OK`, an empty page, or `STORED` and `END`.
    pub(crate) wire: Wire,
    /// Length of an echo frame.
    pub(crate) frame_bytes: usize,
    /// How long it takes for each request.
    pub(crate) service: Service,
    /// Whether it holds answers back by timers, many at the same time, in place of spinning for one after the other.
    pub(crate) parallel: bool,
    /// What it does wrong.
    pub(crate) fault: Option<Fault>,
    /// When it freezes.
    pub(crate) stall: Option<Stall>,
    /// Whether it also spins while it has nothing to do, so that no request waits for a wake-up.
    pub(crate) spin: bool,
}

impl SyntheticSpec {
    /// A server that answers at once: what is left is the network and the generator.
    pub(crate) fn null(wire: Wire, frame_bytes: usize) -> Self {
        SyntheticSpec {
            wire,
            frame_bytes,
            service: Service::Fixed(0),
            parallel: false,
            fault: None,
            stall: None,
            spin: false,
        }
    }

    pub(in crate::serve) fn add_arguments(&self, arguments: &mut Vec<String>) {
        arguments.push(format!("--wire={}", self.wire.name()));
        arguments.push(format!("--service-time={}", self.service.argument()));
        if self.parallel {
            arguments.push("--parallel".to_owned());
        }
        if let Some(Fault { kind, request }) = self.fault {
            arguments.push(format!("--fault={}:{request}", kind.name()));
        }
        if let Some(stall) = self.stall {
            arguments.push(format!("--stall={}ns/{}ns", stall.length_ns, stall.every_ns));
        }
        if self.spin {
            arguments.push("--spin".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_the_same_behind_the_command_line() {
        let bimodal =
            |long_ppm| Service::Bimodal { short_ns: 100_000, long_ns: 10_000_000, long_ppm };
        for service in [
            Service::Fixed(0),
            Service::Fixed(200_123),
            Service::Exponential(5),
            bimodal(10_000),
            bimodal(123),
        ] {
            assert_eq!(crate::units::service(&service.argument()), Ok(service));
        }
    }

    #[test]
    fn times_are_as_long_and_as_often_as_they_were_ordered() {
        const COUNT: u64 = 1_000_000;
        let service = Service::Bimodal { short_ns: 100, long_ns: 10_000, long_ppm: 10_000 };
        let mut draw = service.draws();
        let times: Vec<u64> = (0..COUNT).map(|_| draw()).collect();
        let long = times.iter().filter(|time_ns| **time_ns == 10_000).count() as f64;
        // Five standard deviations of a million draws at one percent.
        assert!((long - 10_000.0).abs() < 5.0 * 99.5, "{long}");
        assert!(times.iter().all(|time_ns| [100, 10_000].contains(time_ns)));
        assert_eq!((service.mean_ns(), Service::Fixed(7).mean_ns()), (199, 7));
        let mean = times.iter().sum::<u64>() as f64 / COUNT as f64;
        assert!((mean / 199.0 - 1.0).abs() < 0.03, "{mean}");
        let mut exponential = Service::Exponential(1_000_000).draws();
        let mean = (0..COUNT).map(|_| exponential()).sum::<u64>() as f64 / COUNT as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.01, "{mean}");
    }
}
