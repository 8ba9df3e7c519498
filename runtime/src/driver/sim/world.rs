//! The world: its clock, what is on its way in it, and the loops that live there.
//!
//! ```text
//!  a loop turns ── send ─▶ event at now + latency ─▶ heap
//!                                                     │  step: everything that is due
//!  a loop is awake ◀── its source is hot ◀────────────┘
//!  nobody is awake: the clock jumps to the next event or alarm
//! ```
//!
//! A loop whose driver was asked to wait, and had nothing, sleeps; an event for one of its sources, its deadline,
//! or its bell wakes it. Time moves when all sleep, and by a little with each turn.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::agenda::Agenda;
use super::clock::Clock;
use super::datagrams::Socket;
use super::descriptors::Deed;
use super::draws::Draws;
use super::listeners::{Group, Listener};
use super::net::{End, Event};
use super::rules::Standing;
use super::settings::Settings;
use super::signals::Ear;
use super::unix::UnixName;
use crate::driver::source::SourceId;
use crate::util::chance::Chance;
use crate::util::instant::Instant;
use crate::util::slab::{Key, Slab};
use crate::util::unpark::Unpark;

/// A host of a world, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(super) usize);

/// A loop of a world, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeatId(pub(super) usize);

impl SeatId {
    /// From zero, in the order in which the loops were made.
    pub(crate) fn number(self) -> usize {
        self.0
    }
}

/// The world, as the drivers in it and the one who turns it see it.
pub(super) struct State {
    pub(super) draws: Rc<Draws>,
    pub(super) settings: Settings,
    pub(super) now: Instant,
    /// What will happen, by time and then by the order in which it was sent.
    events: BTreeMap<(Instant, u64), Message>,
    last_event: u64,
    /// Pairs of hosts that do not reach each other.
    cuts: BTreeSet<Route>,
    pub(super) rules: Vec<Standing>,
    /// What came to a cut, in its order: it arrives when the cut is healed.
    held: Vec<Held>,
    pub(super) seats: Vec<Seat>,
    agenda: Agenda,
    /// A bell of any of them was rung since it was last looked for.
    rings: Arc<AtomicBool>,
    pub(super) hosts: Vec<Host>,
    pub(super) ends: Slab<End>,
    pub(super) listeners: Slab<Listener>,
    pub(super) sockets: Slab<Socket>,
    pub(super) ears: Slab<Ear>,
    /// What is on its way between loops, or came that way.
    pub(super) deeds: Vec<Deed>,
}

/// From which host to which.
pub(super) type Route = (HostId, HostId);

/// Something on its way.
struct Message {
    /// Nothing if it is not between hosts.
    route: Option<Route>,
    event: Event,
}

/// Something that came to a cut.
struct Held {
    since: Instant,
    route: Route,
    event: Event,
}

/// The place of a loop.
pub(super) struct Seat {
    pub(super) host: HostId,
    /// It does not wait for time or for the net.
    is_awake: bool,
    /// When it wants to be woken, if it waits, by the clock of its host.
    alarm: Option<Instant>,
    /// It makes no turn before.
    stalled_until: Instant,
    pub(super) bell: Arc<Bell>,
    /// Its sources to which something has happened, sorted.
    pub(super) hot: Vec<Key>,
    is_gone: bool,
    /// It ends as a process that is killed does.
    pub(super) is_killed: bool,
}

/// A machine of the world.
pub(super) struct Host {
    pub(super) ip: IpAddr,
    next_port: u16,
    pub(super) clock: Clock,
    /// It has no power: it hears nothing, and says nothing.
    pub(super) is_down: bool,
    /// Who listens where.
    pub(super) bound: BTreeMap<SocketAddr, Group>,
    /// What stands at the names of Unix sockets: a listener, or what one that was killed has left.
    pub(super) unix: BTreeMap<UnixName, Key>,
}

/// What is sent within a host is so many times faster.
const WITHIN_A_HOST: u32 = 16;
/// The first port that a host gives out by itself.
const FIRST_PORT: u16 = 32_768;

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            draws: Rc::new(Draws::new(&settings)),
            settings,
            now: Instant::ZERO,
            events: BTreeMap::new(),
            last_event: 0,
            cuts: BTreeSet::new(),
            rules: Vec::new(),
            held: Vec::new(),
            seats: Vec::new(),
            agenda: Agenda::default(),
            rings: Arc::default(),
            hosts: Vec::new(),
            ends: Slab::new(),
            listeners: Slab::new(),
            sockets: Slab::new(),
            ears: Slab::new(),
            deeds: Vec::new(),
        }
    }

    /// One more machine. The first has 10.0.0.1, the next 10.0.0.2, and so on.
    pub(super) fn add_host(&mut self) -> HostId {
        let number = self.hosts.len() as u32 + 1;
        let ip = IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + number));
        self.hosts.push(Host {
            ip,
            next_port: FIRST_PORT,
            clock: Clock::new(),
            is_down: false,
            bound: BTreeMap::new(),
            unix: BTreeMap::new(),
        });
        HostId(self.hosts.len() - 1)
    }

    /// One more loop on a host.
    pub(super) fn add_seat(&mut self, host: HostId) -> SeatId {
        let rings = Arc::clone(&self.rings);
        self.seats.push(Seat {
            host,
            is_awake: true,
            alarm: None,
            stalled_until: Instant::ZERO,
            bell: Arc::new(Bell { is_rung: AtomicBool::new(false), rings }),
            hot: Vec::new(),
            is_gone: false,
            is_killed: false,
        });
        let seat = SeatId(self.seats.len() - 1);
        self.plan_turn(seat);
        seat
    }

    /// A loop has ended.
    pub(super) fn leave(&mut self, seat: SeatId) {
        self.seats[seat.0].is_gone = true;
        self.plan_turn(seat);
    }

    /// The host with this address, as seen from `host`.
    pub(super) fn host_at(&self, ip: IpAddr, from: HostId) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        self.hosts.iter().position(|host| host.ip == ip).map(HostId)
    }

    /// A port that nobody on the host listens on, or has a datagram socket at.
    pub(super) fn free_port(&mut self, id: HostId) -> u16 {
        let host = &mut self.hosts[id.0];
        loop {
            let port = host.next_port;
            host.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let mut sockets = self.sockets.iter();
            let is_bound = host.bound.keys().any(|addr| addr.port() == port);
            if !is_bound && !sockets.any(|(_, one)| one.host == id && one.local.port() == port) {
                return port;
            }
        }
    }

    /// How long a message takes from one host to another; less within one.
    pub(super) fn latency(&self, from: HostId, to: HostId) -> Duration {
        let latency = self.draws.duration("latency", &self.settings.latency);
        if from == to { latency / WITHIN_A_HOST } else { latency }
    }

    /// Has something that goes from one host to another happen at a time.
    pub(super) fn send(&mut self, at: Instant, route: Route, event: Event) {
        self.enqueue(at, Message { route: Some(route), event });
    }

    /// Has something happen at a time, whoever reaches whom.
    pub(super) fn happen_at(&mut self, at: Instant, event: Event) {
        self.enqueue(at, Message { route: None, event });
    }

    fn enqueue(&mut self, at: Instant, message: Message) {
        self.last_event += 1;
        self.events.insert((at, self.last_event), message);
    }

    /// Lets nothing pass between two hosts, or again, and then what was held first.
    pub(super) fn set_cut(&mut self, (one, other): Route, is_cut: bool) {
        for route in [(one, other), (other, one)] {
            if is_cut {
                self.cuts.insert(route)
            } else {
                self.cuts.remove(&route)
            };
        }
        self.let_pass();
        self.settle();
    }

    /// Whether nothing passes from one host to another.
    fn is_cut(&self, route: Route) -> bool {
        self.cuts.contains(&route) || self.hosts[route.1.0].is_down || self.is_parted(route)
    }

    /// What was held arrives, unless it is still cut off; in its order, and before what comes behind it.
    pub(super) fn let_pass(&mut self) {
        for held in std::mem::take(&mut self.held) {
            if self.is_cut(held.route) {
                self.held.push(held);
            } else {
                self.happen(held.event);
            }
        }
    }

    /// Whether something that an end waits for was held for so long.
    pub(super) fn is_held(&self, waiter: Key, duration: Duration) -> bool {
        let is_meant = |held: &Held| held.event.waiter().is_some_and(|(end, _)| end == waiter);
        self.held.iter().any(|held| is_meant(held) && held.since + duration <= self.now)
    }

    /// A host loses its power, or has it again. It forgets whom it spoke with, and they are told when they ask.
    pub(super) fn set_down(&mut self, host: HostId, is_down: bool) {
        self.hosts[host.0].is_down = is_down;
        if !is_down {
            self.let_pass();
        }
    }

    /// What the clock of a loop's host shows.
    pub(super) fn time_of(&self, seat: SeatId) -> Instant {
        self.hosts[self.seats[seat.0].host.0].clock.at(self.now)
    }

    /// Has a loop make no turn for so long.
    pub(super) fn stall(&mut self, seat: SeatId, duration: Duration) {
        let until = self.now + duration;
        let stalled_until = &mut self.seats[seat.0].stalled_until;
        *stalled_until = until.max(*stalled_until);
        self.plan_turn(seat);
    }

    /// Something has happened to a source.
    pub(super) fn heat(&mut self, owner: (SeatId, SourceId)) {
        let (id, source) = owner;
        let seat = &mut self.seats[id.0];
        if !seat.is_gone && source != SourceId::NONE {
            if let Err(place) = seat.hot.binary_search(&source.0) {
                seat.hot.insert(place, source.0);
            }
            self.stir(id);
        }
    }

    /// There is something to do for a loop.
    pub(super) fn stir(&mut self, seat: SeatId) {
        if !std::mem::replace(&mut self.seats[seat.0].is_awake, true) {
            self.plan_turn(seat);
        }
    }

    /// Whether something has happened to a source of the loop.
    pub(super) fn is_hot(&self, seat: SeatId) -> bool {
        !self.seats[seat.0].hot.is_empty()
    }

    /// Takes the sources to which something has happened, `limit` at most and perhaps not all, in a drawn order.
    pub(super) fn take_hot(&mut self, seat: SeatId, limit: usize, taken: &mut Vec<Key>) {
        let hot = &mut self.seats[seat.0].hot;
        debug_assert!(taken.is_empty());
        std::mem::swap(hot, taken);
        let mut count = limit.min(taken.len());
        if self.draws.happens("short poll", self.settings.short) {
            count = 1 + self.draws.below("events", count as u64) as usize;
        }
        if self.settings.shuffles {
            let len = taken.len();
            self.draws.shuffle("order of events", len, &mut |one, other| taken.swap(one, other));
        }
        hot.extend(taken.drain(count.min(taken.len())..));
        hot.sort_unstable();
    }

    /// The loop waits, until `alarm` at the latest.
    pub(super) fn sleep(&mut self, id: SeatId, alarm: Option<Instant>) {
        self.draws.note(alarm.map_or(u64::MAX, Instant::as_nanos));
        let seat = &mut self.seats[id.0];
        seat.is_awake = false;
        seat.alarm = alarm;
        self.plan_turn(id);
    }

    /// Draws which of the loops turns next: one of those that can, if there are any.
    pub(super) fn draw_turn(&mut self) -> Option<SeatId> {
        self.answer_bells();
        let place = self.draws.below("whose turn", self.agenda.now_count() as u64);
        let seat = self.agenda.nth_now(place as usize)?;
        self.begin_turn(seat);
        Some(seat)
    }

    /// The loop is about to turn: that takes a moment.
    pub(super) fn begin_turn(&mut self, seat: SeatId) {
        let seat_number = seat.0 as u64;
        self.draws.note(seat_number);
        let now = self.now + self.draws.duration("turn time", &self.settings.turn_time);
        self.seats[seat.0].alarm = None;
        self.stir(seat);
        self.pass(now);
        self.collect_given();
        self.settle();
    }

    /// Who was rung for can turn.
    fn answer_bells(&mut self) {
        // Pairs with the store in `unpark`: of whom it speaks is known by then.
        if self.rings.swap(false, Ordering::Acquire) {
            for number in 0..self.seats.len() {
                if self.seats[number].bell.is_rung() {
                    self.stir(SeatId(number));
                }
            }
        }
    }

    /// Whether a loop can turn.
    #[cfg(test)]
    pub(super) fn is_awake(&mut self, seat: SeatId) -> bool {
        self.answer_bells();
        self.agenda.is_now(seat)
    }

    /// When a loop can have its next turn, if nothing happens before.
    fn wakes_at(&self, seat: &Seat) -> Option<Instant> {
        let clock = &self.hosts[seat.host.0].clock;
        let alarm = seat.alarm.map(|alarm| clock.when(alarm));
        let wakes = if seat.is_awake { Some(Instant::ZERO) } else { alarm };
        wakes.filter(|_| !seat.is_gone).map(|wakes| wakes.max(seat.stalled_until))
    }

    /// What decides about the next turn of a loop has changed.
    fn plan_turn(&mut self, seat: SeatId) {
        let wakes = self.wakes_at(&self.seats[seat.0]);
        self.agenda.plan(seat, wakes, self.now);
    }

    /// Changes the clock of a host: who waits for a time there waits for another one of the world.
    pub(super) fn set_clock(&mut self, host: HostId, change: impl FnOnce(&mut Clock, Instant)) {
        change(&mut self.hosts[host.0].clock, self.now);
        for number in 0..self.seats.len() {
            if self.seats[number].host == host {
                self.plan_turn(SeatId(number));
            }
        }
    }

    /// It is `now`.
    fn pass(&mut self, now: Instant) {
        self.now = now;
        self.agenda.come_to(now);
    }

    /// Moves the clock to the next thing that will happen, but not past `limit`. False if nothing will and there
    /// is no limit.
    pub(super) fn jump(&mut self, limit: Instant) -> bool {
        self.answer_bells();
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let next = [event, self.agenda.next()].into_iter().flatten().fold(limit, Instant::min);
        if next == Instant::MAX {
            return false;
        }
        self.pass(self.now.max(next));
        self.draws.note(self.now.as_nanos());
        self.settle();
        true
    }

    /// Has everything happen that is due.
    fn settle(&mut self) {
        while let Some(first) = self.events.first_entry()
            && first.key().0 <= self.now
        {
            let Message { route, event } = first.remove();
            match route {
                Some(route) if self.is_cut(route) => self.hold(route, event),
                _ => self.happen(event),
            }
        }
    }

    /// What came to a cut waits there, but not for ever: who sent it gives up some time. Nobody sends a datagram
    /// again.
    fn hold(&mut self, route: Route, event: Event) {
        if matches!(event, Event::Parcel(_) | Event::Unreachable { .. }) {
            return;
        }
        if let Some((end, patience)) = event.waiter() {
            self.happen_at(self.now + patience, Event::GiveUp { end, patience });
        }
        self.held.push(Held { since: self.now, route, event });
    }
}

/// What others ring to wake a loop. It remembers one ring.
#[derive(Debug)]
pub(super) struct Bell {
    is_rung: AtomicBool,
    /// One for all loops of the world.
    rings: Arc<AtomicBool>,
}

impl Bell {
    fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    /// Whether it was rung since the last look.
    pub(super) fn take(&self) -> bool {
        // Pairs with the store in `unpark`: what was sent before the ring is seen after it.
        self.is_rung.swap(false, Ordering::Acquire)
    }
}

impl Unpark for Bell {
    fn unpark(&self) {
        self.is_rung.store(true, Ordering::Release);
        // Pairs with the swap in `answer_bells`.
        self.rings.store(true, Ordering::Release);
    }
}
