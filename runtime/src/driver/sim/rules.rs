//! Rules by which messages of the simulated net fare ill, and hosts lack things.

use std::collections::BTreeMap;
use std::io;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::net::Event;
use super::world::{HostId, Route, State};
use crate::util::chance::Chance;
use crate::util::instant::Instant;

/// A segment that was lost is sent again after this time: the least that Linux waits.
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// When what goes wrong.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// On which way messages are meant.
    pub(crate) way: Way,
    pub(crate) window: Range<Instant>,
    /// Once in so many times.
    pub(crate) one_in: u64,
    /// How often at most.
    pub(crate) times: u64,
    pub(crate) harm: Harm,
}

/// A choice of routes between hosts, or whatever stands for those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way<H = HostId> {
    /// What one host sends to another; `None` is any, but not to itself.
    Route(Option<H>, Option<H>),
    /// Both ways between two.
    Between(H, H),
    /// None: it is about what happens on a host.
    On(H),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// A message is late by so much more.
    Delay(RangeInclusive<Duration>),
    /// A datagram is lost; what belongs to a connection is sent again.
    Loss,
    /// A datagram comes twice.
    Duplication,
    /// A connection ends with an error on both sides.
    Reset,
    /// Nothing of a connection arrives any more, and nobody is told.
    HalfOpen,
    /// No more than so many bytes a second pass.
    Slow(u64),
    /// Nothing passes; what belongs to a connection passes when it is over.
    Partition,
    /// A socket cannot be opened, a connection not be accepted.
    NoDescriptors,
}

/// A rule in its world.
pub(super) struct Standing {
    rule: Rule,
    /// Of a slow way: when what was sent before has passed, by route.
    busy_until: BTreeMap<Route, Instant>,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cargo {
    /// Bytes of a connection.
    Stream(usize),
    /// What makes and keeps a connection.
    Control,
    Datagram(usize),
}

/// How a message fares.
pub(super) struct Fate {
    pub(super) at: Instant,
    pub(super) is_lost: bool,
    /// When a second one of it comes.
    pub(super) again_at: Option<Instant>,
    pub(super) blow: Blow,
}

/// What becomes of the connection of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    None,
    Reset,
    HalfOpen,
}

impl<H> Way<H> {
    /// The same way between what stands for those hosts elsewhere.
    pub(crate) fn map<T>(&self, mut to: impl FnMut(&H) -> T) -> Way<T> {
        match self {
            Self::Route(one, other) => {
                Way::Route(one.as_ref().map(&mut to), other.as_ref().map(&mut to))
            }
            Self::Between(one, other) => Way::Between(to(one), to(other)),
            Self::On(host) => Way::On(to(host)),
        }
    }
}

impl Way {
    fn has(&self, route: Route) -> bool {
        let (from, to) = route;
        match *self {
            Self::Route(None, None) => from != to,
            Self::Route(one, other) => {
                let is = |wanted: Option<HostId>, host| wanted.is_none_or(|wanted| wanted == host);
                let is_within = from == to && (one.is_none() || other.is_none());
                !is_within && is(one, from) && is(other, to)
            }
            Self::Between(one, other) => route == (one, other) || route == (other, one),
            Self::On(_) => false,
        }
    }
}

impl Standing {
    fn is_on(&self, now: Instant) -> bool {
        self.rule.times > 0 && self.rule.window.contains(&now)
    }
}

impl State {
    /// From now on this rule holds, in its window.
    pub(super) fn add_rule(&mut self, rule: Rule) {
        if matches!(rule.harm, Harm::Partition) {
            self.happen_at(rule.window.start, Event::Look);
            if rule.window.end < Instant::MAX {
                self.happen_at(rule.window.end, Event::Look);
            }
        }
        self.rules.push(Standing { rule, busy_until: BTreeMap::new() });
    }

    /// Whether a partition by rule is between two hosts.
    pub(super) fn is_parted(&self, route: Route) -> bool {
        let parts = |standing: &Standing| {
            matches!(standing.rule.harm, Harm::Partition)
                && standing.is_on(self.now)
                && standing.rule.way.has(route)
        };
        self.rules.iter().any(parts)
    }

    /// Whether a socket that is to be opened on a host cannot be: the process has as many descriptors as it may.
    pub(super) fn lacks_descriptors(&mut self, host: HostId) -> bool {
        let (draws, now) = (&self.draws, self.now);
        let mut strikes = |standing: &mut Standing| {
            let is_meant = matches!(standing.rule.harm, Harm::NoDescriptors)
                && matches!(standing.rule.way, Way::On(where_to) if where_to == host)
                && standing.is_on(now);
            let strikes = is_meant && draws.happens("no descriptors", standing.rule.one_in);
            standing.rule.times -= u64::from(strikes);
            strikes
        };
        self.rules.iter_mut().any(&mut strikes)
    }

    /// How a message fares that would arrive at a time.
    pub(super) fn fate(&mut self, route: Route, cargo: Cargo, at: Instant) -> Fate {
        let mut fate = Fate { at, is_lost: false, again_at: None, blow: Blow::None };
        let (draws, now) = (&*self.draws, self.now);
        for Standing { rule, busy_until } in &mut self.rules {
            let is_on = rule.times > 0 && rule.window.contains(&now) && rule.way.has(route);
            if !is_on || !rule.harm.is_for(cargo) || !draws.happens(rule.harm.name(), rule.one_in) {
                continue;
            }
            rule.times -= 1;
            match &rule.harm {
                Harm::Delay(by) => fate.at += draws.duration("so late", by),
                Harm::Loss if matches!(cargo, Cargo::Datagram(_)) => fate.is_lost = true,
                Harm::Loss => fate.at += SENT_AGAIN_AFTER,
                Harm::Duplication => {
                    let later = draws.duration("second one", &(Duration::ZERO..=SENT_AGAIN_AFTER));
                    fate.again_at = Some(fate.at + later);
                }
                Harm::Slow(bytes_per_second) => {
                    let free = busy_until.entry(route).or_default();
                    *free = (*free).max(fate.at) + cargo.time_at(*bytes_per_second);
                    fate.at = *free;
                }
                Harm::Reset => fate.blow = Blow::Reset,
                Harm::HalfOpen => fate.blow = Blow::HalfOpen,
                Harm::Partition | Harm::NoDescriptors => {}
            }
        }
        fate
    }
}

impl Harm {
    fn name(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::Reset => "reset",
            Self::HalfOpen => "half-open",
            Self::Slow(_) => "slow",
            Self::Partition => "partition",
            Self::NoDescriptors => "no descriptors",
        }
    }

    /// Whether it is looked for when such a thing is sent.
    fn is_for(&self, cargo: Cargo) -> bool {
        match self {
            Self::Delay(_) | Self::Loss | Self::Slow(_) => true,
            Self::Duplication => matches!(cargo, Cargo::Datagram(_)),
            Self::Reset | Self::HalfOpen => matches!(cargo, Cargo::Stream(_)),
            Self::Partition | Self::NoDescriptors => false,
        }
    }
}

impl Cargo {
    /// How long it takes at so many bytes a second.
    fn time_at(self, bytes_per_second: u64) -> Duration {
        let bytes = match self {
            Self::Stream(bytes) | Self::Datagram(bytes) => bytes as u64,
            Self::Control => 0,
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// What a process gets that has as many descriptors open as it may.
pub(super) fn no_descriptors() -> io::Error {
    io::Error::from_raw_os_error(libc::EMFILE)
}
