//! Several faults, and those that are drawn.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::fault::Fault;

/// What goes wrong in a run: faults that are written down, and such that are drawn from the seed.
///
/// ```
/// use std::time::Duration;
///
/// use corelane::sim::{Fault, FaultKind, Faults};
///
/// let second = Duration::from_secs(1);
/// let written = Faults::new()
///     .and(Fault::delay(Duration::ZERO..=second).one_in(10))
///     .and(Fault::stall("server", 3 * second).at(5 * second));
/// let drawn = Faults::any().at_most(5).within(Duration::ZERO..60 * second);
/// let resets_and_partitions = Faults::any().only(&[FaultKind::Reset, FaultKind::Partition]);
/// # let _ = (written, drawn, resets_and_partitions);
/// ```
///
/// Its `Display` is the code that makes it, of what is drawn once it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "faults do nothing until they are given to a simulation"]
pub struct Faults {
    pub(super) written: Vec<Fault>,
    bounds: Option<Bounds>,
}

/// Within which bounds faults are drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bounds {
    most: usize,
    window: Range<Duration>,
    hosts: Vec<String>,
    kinds: Vec<FaultKind>,
    tasks: Vec<String>,
}

/// A kind of fault that may be drawn: what [`Fault`]'s function of the same name makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the functions of `Fault` are documented")]
pub enum FaultKind {
    Delay,
    Loss,
    Duplication,
    Reset,
    HalfOpen,
    Slow,
    Partition,
    NoDescriptors,
    Drift,
    Ahead,
    Stall,
    Kill,
    Crash,
    /// SIGHUP, SIGINT or SIGTERM. It is not drawn unless it is named.
    Signal,
    /// Not by itself: a kill or a crash may wipe what the host has stored.
    Wiping,
}

/// What is drawn unless told otherwise: what ends no process.
const GENTLE: [FaultKind; 11] = [
    FaultKind::Delay,
    FaultKind::Loss,
    FaultKind::Duplication,
    FaultKind::Reset,
    FaultKind::HalfOpen,
    FaultKind::Slow,
    FaultKind::Partition,
    FaultKind::NoDescriptors,
    FaultKind::Drift,
    FaultKind::Ahead,
    FaultKind::Stall,
];

impl Default for Bounds {
    fn default() -> Self {
        Self {
            most: 4,
            window: Duration::ZERO..Duration::from_secs(60),
            hosts: Vec::new(),
            kinds: GENTLE.to_vec(),
            tasks: Vec::new(),
        }
    }
}

impl Faults {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Up to four faults in the first minute that are drawn from the seed, on any hosts, of every kind but those
    /// that end a process. Each is over at the end of that time, but that a connection that is half open stays so.
    pub fn any() -> Self {
        Self { written: Vec::new(), bounds: Some(Bounds::default()) }
    }

    /// One more that is written down.
    pub fn and(mut self, fault: Fault) -> Self {
        self.written.push(fault);
        self
    }

    fn bounded(mut self, bound: impl FnOnce(&mut Bounds)) -> Self {
        bound(self.bounds.get_or_insert_default());
        self
    }

    /// Of those that are drawn: so many at most.
    pub fn at_most(self, count: usize) -> Self {
        self.bounded(|bounds| bounds.most = count)
    }

    /// Of those that are drawn: in this time.
    pub fn within(self, window: Range<Duration>) -> Self {
        self.bounded(|bounds| bounds.window = window)
    }

    /// Of those that are drawn: on these hosts only, and between them.
    pub fn among(self, hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        self.bounded(|bounds| bounds.hosts = hosts)
    }

    /// Of those that are drawn: of these kinds only.
    pub fn only(self, kinds: &[FaultKind]) -> Self {
        self.bounded(|bounds| bounds.kinds = kinds.to_vec())
    }

    /// Of those that are drawn: of these kinds too.
    pub fn also(self, kinds: &[FaultKind]) -> Self {
        self.bounded(|bounds| bounds.kinds.extend(kinds))
    }

    /// Of those that are drawn: not of these kinds.
    pub fn without(self, kinds: &[FaultKind]) -> Self {
        self.bounded(|bounds| bounds.kinds.retain(|kind| !kinds.contains(kind)))
    }

    /// Tasks with these names may panic as well.
    pub fn task_panics(self, names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.bounded(|bounds| bounds.tasks = names)
    }

    /// What was written and what is drawn, in a world of these hosts.
    pub(super) fn draw(self, seed: u64, hosts: &[String]) -> Vec<Fault> {
        let Self { mut written, bounds } = self;
        if let Some(mut bounds) = bounds {
            if bounds.hosts.is_empty() {
                bounds.hosts = hosts.to_vec();
            }
            // A generator of its own: to leave a fault out must not change what else is drawn.
            let generator = fastrand::Rng::with_seed(seed.rotate_left(32) ^ 0x6661_756c_7473);
            let mut draw = Draw { bounds, generator };
            let count = draw.generator.usize(..=draw.bounds.most);
            written.extend((0..count).filter_map(|_| draw.fault()));
        }
        written
    }
}

/// Draws faults within bounds.
struct Draw {
    bounds: Bounds,
    generator: fastrand::Rng,
}

impl Draw {
    fn fault(&mut self) -> Option<Fault> {
        let kinds: Vec<_> =
            self.bounds.kinds.iter().filter(|kind| **kind != FaultKind::Wiping).copied().collect();
        let place = self.generator.usize(..(kinds.len() + self.bounds.tasks.len()).max(1));
        let host = self.host()?;
        let fault = match kinds.get(place) {
            Some(kind) => self.of_kind(*kind, &host),
            None => Fault::task_panic(self.bounds.tasks.get(place - kinds.len())?),
        };
        Some(fault.during(self.window()))
    }

    fn of_kind(&mut self, kind: FaultKind, host: &str) -> Fault {
        let millis = |draw: &mut Self, most| Duration::from_millis(draw.up_to(most));
        match kind {
            FaultKind::Delay => {
                let most = millis(self, 1_000);
                let one_in = self.up_to(20);
                self.on_a_way(Fault::delay(Duration::ZERO..=most)).one_in(one_in)
            }
            FaultKind::Loss => self.rarely(Fault::loss(), 1..=20),
            FaultKind::Duplication => self.rarely(Fault::duplication(), 1..=20),
            FaultKind::Reset => self.rarely(Fault::reset(), 2..=500),
            FaultKind::HalfOpen => self.rarely(Fault::half_open(), 2..=500),
            FaultKind::Slow => {
                let bytes_per_second = 1_000 * self.up_to(1_000);
                self.on_a_way(Fault::slow(bytes_per_second))
            }
            FaultKind::Partition => self.on_a_way(Fault::partition()),
            FaultKind::NoDescriptors => {
                let one_in = self.up_to(4);
                Fault::no_descriptors(host).one_in(one_in)
            }
            FaultKind::Drift => Fault::drift(host, self.generator.i32(-100_000..=100_000)),
            FaultKind::Ahead => Fault::ahead(host, millis(self, 600_000)),
            FaultKind::Stall => Fault::stall(host, millis(self, 10_000)),
            FaultKind::Kill => {
                let down = millis(self, 10_000);
                self.perhaps_wiping(Fault::kill(host, down))
            }
            FaultKind::Crash => {
                let down = millis(self, 10_000);
                self.perhaps_wiping(Fault::crash(host, down))
            }
            FaultKind::Signal => {
                let number = [SIGHUP, SIGINT, SIGTERM][self.generator.usize(..3)];
                Fault::signal(host, number)
            }
            FaultKind::Wiping => unreachable!("it is drawn with another one"),
        }
    }

    fn rarely(&mut self, fault: Fault, one_in: std::ops::RangeInclusive<u64>) -> Fault {
        let one_in = self.generator.u64(one_in);
        self.on_a_way(fault).one_in(one_in)
    }

    fn perhaps_wiping(&mut self, fault: Fault) -> Fault {
        let may = self.bounds.kinds.contains(&FaultKind::Wiping);
        if may && self.generator.bool() { fault.wiping() } else { fault }
    }

    fn host(&mut self) -> Option<String> {
        let count = self.bounds.hosts.len();
        let place = self.generator.usize(..count.max(1));
        self.bounds.hosts.get(place).cloned()
    }

    /// What goes wrong on all ways that a host of those meant has, or on one.
    fn on_a_way(&mut self, fault: Fault) -> Fault {
        let (Some(one), Some(other)) = (self.host(), self.host()) else { return fault };
        match self.generator.u8(..3) {
            0 => fault.from(&one),
            1 => fault.to(&one),
            _ if one != other => fault.between(&one, &other),
            _ => fault.from(&one),
        }
    }

    /// From 1 to `most`, small numbers as often as large ones.
    fn up_to(&mut self, most: u64) -> u64 {
        let bits = self.generator.u32(..=most.max(1).ilog2());
        self.generator.u64(1..=(2 << bits).min(most))
    }

    /// A part of the time that is meant, in whole milliseconds.
    fn window(&mut self) -> Range<Duration> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 2);
        let (first, last) = (millis(self.bounds.window.start), millis(self.bounds.window.end));
        let start = self.generator.u64(first..=last.saturating_sub(1).max(first));
        let length = self.up_to(last.saturating_sub(start));
        Duration::from_millis(start)..Duration::from_millis(start + length)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self::new().and(fault)
    }
}

impl From<Vec<Fault>> for Faults {
    fn from(written: Vec<Fault>) -> Self {
        Self { written, bounds: None }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.bounds.is_some() { "Faults::any()" } else { "Faults::new()" })?;
        self.written.iter().try_for_each(|fault| write!(f, "\n    .and({fault})"))
    }
}
