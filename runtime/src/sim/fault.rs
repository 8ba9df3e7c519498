//! One thing that can go wrong in a simulated world: where, when, and how often.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use crate::driver::sim::{Harm, Way};

/// One thing that goes wrong: what, where, when, and how often. [`Simulation::faults`](super::Simulation::faults)
/// takes one or [several](super::Faults).
///
/// Hosts are named as they were made. Times are those of the world, which begins at zero. Unless told otherwise
/// a fault concerns all messages between different hosts, or begins at once, and never ends.
///
/// ```
/// use std::time::Duration;
///
/// use corelane::sim::Fault;
///
/// let second = Duration::from_secs(1);
/// // One connection in a hundred messages of the server's ends with an error.
/// let reset = Fault::reset().from("server").one_in(100);
/// // They do not reach each other from the tenth to the fifteenth second.
/// let partition = Fault::partition().between("server", "client").during(10 * second..15 * second);
/// // The server loses its power and what it had in memory, and is back after a minute.
/// let crash = Fault::crash("server", 60 * second).at(20 * second);
/// # let _ = (reset, partition, crash);
/// ```
///
/// Its `Display` is the code that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a fault does nothing until it is given to a simulation"]
pub struct Fault {
    pub(super) what: What,
    /// Hosts are named.
    pub(super) way: Way<String>,
    pub(super) window: Range<Duration>,
    pub(super) one_in: u64,
    pub(super) times: u64,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// On its way.
    Harm(Harm),
    Drift(String, i32),
    Ahead(String, Duration),
    Stall(String, Duration),
    TaskPanic(String),
    Kill {
        host: String,
        down: Duration,
        wipes: bool,
    },
    Crash {
        host: String,
        down: Duration,
        wipes: bool,
    },
    Signal(String, i32),
}

impl Fault {
    fn new(what: What) -> Self {
        Self {
            what,
            way: Way::Route(None, None),
            window: Duration::ZERO..Duration::MAX,
            one_in: 1,
            times: u64::MAX,
        }
    }

    /// A message is late by so much more. What one end of a connection sends keeps its order; datagrams do not.
    pub fn delay(by: RangeInclusive<Duration>) -> Self {
        Self::new(What::Harm(Harm::Delay(by)))
    }

    /// A datagram is lost. What belongs to a connection is sent again, 200 ms later.
    pub fn loss() -> Self {
        Self::new(What::Harm(Harm::Loss))
    }

    /// A datagram comes twice, the second one up to 200 ms later. A connection notices nothing.
    pub fn duplication() -> Self {
        Self::new(What::Harm(Harm::Duplication))
    }

    /// The connection to which the message belongs ends with an error, for both sides.
    pub fn reset() -> Self {
        Self::new(What::Harm(Harm::Reset))
    }

    /// Nothing of the connection to which the message belongs arrives any more, in either direction, and nobody is
    /// told. Who sends on it gets `TimedOut` after a quarter of an hour, who probes it by keep-alive earlier, and
    /// who only reads never.
    pub fn half_open() -> Self {
        Self::new(What::Harm(Harm::HalfOpen))
    }

    /// No more than so many bytes a second pass, each way for itself.
    pub fn slow(bytes_per_second: u64) -> Self {
        Self::new(What::Harm(Harm::Slow(bytes_per_second)))
    }

    /// Nothing passes, as after [`Simulation::partition`](super::Simulation::partition).
    pub fn partition() -> Self {
        Self::new(What::Harm(Harm::Partition))
    }

    /// A host has as many descriptors open as it may: sockets cannot be opened, connections not be accepted
    /// (`EMFILE`).
    pub fn no_descriptors(host: &str) -> Self {
        let fault = Self::new(What::Harm(Harm::NoDescriptors));
        Self { way: Way::On(host.to_owned()), ..fault }
    }

    /// The clock of a host goes too fast by so many parts in a million, or too slow if that is less than zero. Of
    /// several at a time the last one holds.
    pub fn drift(host: &str, parts_in_a_million: i32) -> Self {
        Self::new(What::Drift(host.to_owned(), parts_in_a_million))
    }

    /// The clock of a host jumps ahead, once.
    pub fn ahead(host: &str, by: Duration) -> Self {
        Self::new(What::Ahead(host.to_owned(), by))
    }

    /// A loop makes no turn for so long, once, as [`Simulation::stall`](super::Simulation::stall) does. The first
    /// loop of a host has the host's name; one [beside](super::Simulation::beside) it has `, loop` and its number
    /// added, and a [kept](super::Simulation::keep) one, as shards have, a name of its own.
    pub fn stall(loop_name: &str, duration: Duration) -> Self {
        Self::new(What::Stall(loop_name.to_owned(), duration))
    }

    /// The next step of a task with this name panics, on whatever host: of the first task that has it. It waits
    /// for one as long as [`during`](Self::during) says.
    pub fn task_panic(task_name: &str) -> Self {
        Self::new(What::TaskPanic(task_name.to_owned()))
    }

    /// The process on a host is killed, once, and begins anew after `down`: its loops end, the system closes its
    /// connections, and nobody listens meanwhile. What is to run again says
    /// [`Simulation::start`](super::Simulation::start).
    pub fn kill(host: &str, down: Duration) -> Self {
        Self::new(What::Kill { host: host.to_owned(), down, wipes: false })
    }

    /// A host loses its power, once, and has it again after `down`. Nobody is told: what is sent to it waits, and
    /// is answered by a reset when it is back.
    pub fn crash(host: &str, down: Duration) -> Self {
        Self::new(What::Crash { host: host.to_owned(), down, wipes: false })
    }

    /// A signal comes to the process on a host, once, as by [`Simulation::signal`](super::Simulation::signal). The
    /// numbers are those of the system, for instance of the constants in `libc`.
    ///
    /// # Panics
    /// If no simulated process can get a signal of that number.
    #[track_caller]
    pub fn signal(host: &str, number: i32) -> Self {
        if let Err(error) = super::signals::check(number) {
            panic!("{error}");
        }
        Self::new(What::Signal(host.to_owned(), number))
    }

    /// Of a [`kill`](Self::kill) or a [`crash`](Self::crash): what the host had stored is gone as well.
    pub fn wiping(mut self) -> Self {
        if let What::Kill { wipes, .. } | What::Crash { wipes, .. } = &mut self.what {
            *wipes = true;
        }
        self
    }

    /// Only messages that this host sends.
    pub fn from(mut self, host: &str) -> Self {
        if let Way::Route(_, to) = self.way {
            self.way = Way::Route(Some(host.to_owned()), to);
        } else {
            self.go(Way::Route(Some(host.to_owned()), None));
        }
        self
    }

    /// Only messages to this host.
    pub fn to(mut self, host: &str) -> Self {
        if let Way::Route(from, _) = self.way {
            self.way = Way::Route(from, Some(host.to_owned()));
        } else {
            self.go(Way::Route(None, Some(host.to_owned())));
        }
        self
    }

    /// Only messages between these two, both ways.
    pub fn between(mut self, one: &str, other: &str) -> Self {
        self.go(Way::Between(one.to_owned(), other.to_owned()));
        self
    }

    /// It goes another way, unless it is about what happens on a host.
    fn go(&mut self, way: Way<String>) {
        if !matches!(self.way, Way::On(_)) {
            self.way = way;
        }
    }

    /// Only in this time. What happens once happens at its beginning.
    pub fn during(mut self, window: Range<Duration>) -> Self {
        self.window = window;
        self
    }

    /// Not before this time.
    pub fn at(mut self, time: Duration) -> Self {
        self.window.start = time;
        self
    }

    /// Of the messages, or the sockets, that are meant, only one in so many, which is drawn.
    pub fn one_in(mut self, count: u64) -> Self {
        self.one_in = count.max(1);
        self
    }

    /// So often at most. Of what happens to single messages or sockets.
    pub fn times(mut self, count: u64) -> Self {
        self.times = count;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault::{}", self.what)?;
        match &self.way {
            Way::On(host) => write!(f, "({host:?})")?,
            Way::Between(one, other) => write!(f, ".between({one:?}, {other:?})")?,
            Way::Route(from, to) => {
                for (name, host) in [("from", from), ("to", to)] {
                    if let Some(host) = host {
                        write!(f, ".{name}({host:?})")?;
                    }
                }
            }
        }
        let Range { start, end } = self.window;
        match (start == Duration::ZERO, end == Duration::MAX) {
            (true, true) => {}
            (false, true) => write!(f, ".at({})", Code(start))?,
            (_, false) => write!(f, ".during({}..{})", Code(start), Code(end))?,
        }
        if self.one_in > 1 {
            write!(f, ".one_in({})", self.one_in)?;
        }
        if self.times < u64::MAX {
            write!(f, ".times({})", self.times)?;
        }
        Ok(())
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = |f: &mut fmt::Formatter<'_>, name, host: &str, down, wipes| {
            let wiping = if wipes { ".wiping()" } else { "" };
            write!(f, "{name}({host:?}, {}){wiping}", Code(down))
        };
        match self {
            Self::Harm(harm) => write!(f, "{harm}"),
            Self::Drift(host, parts) => write!(f, "drift({host:?}, {parts})"),
            Self::Ahead(host, by) => write!(f, "ahead({host:?}, {})", Code(*by)),
            Self::Stall(name, duration) => write!(f, "stall({name:?}, {})", Code(*duration)),
            Self::TaskPanic(name) => write!(f, "task_panic({name:?})"),
            Self::Kill { host, down, wipes } => fate(f, "kill", host, *down, *wipes),
            Self::Crash { host, down, wipes } => fate(f, "crash", host, *down, *wipes),
            Self::Signal(host, number) => write!(f, "signal({host:?}, {number})"),
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(by) => write!(f, "delay({}..={})", Code(*by.start()), Code(*by.end())),
            Self::Loss => f.write_str("loss()"),
            Self::Duplication => f.write_str("duplication()"),
            Self::Reset => f.write_str("reset()"),
            Self::HalfOpen => f.write_str("half_open()"),
            Self::Slow(bytes_per_second) => write!(f, "slow({bytes_per_second})"),
            Self::Partition => f.write_str("partition()"),
            // The host follows.
            Self::NoDescriptors => f.write_str("no_descriptors"),
        }
    }
}

/// A duration as code.
struct Code(Duration);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let units = [("secs", 1_000_000_000), ("millis", 1_000_000), ("micros", 1_000)];
        if nanos == 0 {
            return f.write_str("Duration::ZERO");
        }
        let whole = units.iter().find(|(_, size)| nanos.is_multiple_of(*size));
        let (unit, size) = whole.copied().unwrap_or(("nanos", 1));
        write!(f, "Duration::from_{unit}({})", nanos / size)
    }
}

#[cfg(test)]
mod tests;
