//! A driver whose system is simulated: a world with hosts, a net between them, and a clock that jumps.
//!
//! Several loops of one thread share a [`World`]. Who turns them asks it which of them have something to do, has
//! one turn, and lets time move when none has. Nothing here waits, and whatever could happen in one way or
//! another is a draw from the world's generator, so that a run can be had again.
//!
//! `world` has the clock and what is on its way, `agenda` which loop can turn when, `net` the connections and `wire` what is between their ends,
//! `listeners` who takes them, `spread` which of those that share an address, `unix` those within a host, `datagrams` UDP,
//! `signals` those of a process, `names` the addresses of all, `rules` what goes wrong, `draws` the generator and the
//! trace; `driver` is a loop's way into it all, and `source` what that knows of each of its
//! sources.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use self::world::State;
use crate::util::instant::Instant;

mod agenda;
mod clock;
mod datagrams;
mod descriptors;
mod draws;
mod driver;
mod listeners;
mod names;
mod net;
mod rules;
mod settings;
mod signals;
mod source;
mod spread;
mod unix;
mod wire;
mod world;

pub(crate) use draws::Draws;
pub(crate) use driver::SimDriver;
pub(crate) use rules::{Harm, Rule, Way};
pub(crate) use settings::Settings;
pub(crate) use world::{HostId, SeatId};

thread_local! {
    /// Where the next driver of this thread is to live.
    static PLACE: RefCell<Option<(World, SeatId)>> = const { RefCell::new(None) };
}

/// A simulated world. Clones are the same world.
#[derive(Clone)]
pub(crate) struct World(Rc<RefCell<State>>);

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self(Rc::new(RefCell::new(State::new(settings))))
    }

    /// One more machine.
    pub(crate) fn add_host(&self) -> HostId {
        self.0.borrow_mut().add_host()
    }

    /// The address of a machine.
    pub(crate) fn ip(&self, host: HostId) -> IpAddr {
        self.0.borrow().hosts[host.0].ip
    }

    /// Calls `make`, which makes one loop, with a place on `host` for it.
    pub(crate) fn with_place<T>(&self, host: HostId, make: impl FnOnce() -> T) -> (SeatId, T) {
        let seat = self.0.borrow_mut().add_seat(host);
        PLACE.set(Some((self.clone(), seat)));
        let made = make();
        PLACE.set(None);
        (seat, made)
    }

    /// The place of the driver that is being made on this thread.
    ///
    /// # Errors
    /// `Unsupported` if no simulation is making one.
    fn place() -> io::Result<(Self, SeatId)> {
        let text = "a simulated loop is made by a simulation, on its thread";
        PLACE.take().ok_or_else(|| io::Error::new(ErrorKind::Unsupported, text))
    }

    /// The time in the world.
    pub(crate) fn now(&self) -> Instant {
        self.0.borrow().now
    }

    /// Draws which of the loops turns next: one of those that have something to do.
    pub(crate) fn draw_turn(&self) -> Option<SeatId> {
        self.0.borrow_mut().draw_turn()
    }

    /// The loop is about to turn, without a draw.
    #[cfg(test)]
    pub(crate) fn begin_turn(&self, seat: SeatId) {
        self.0.borrow_mut().begin_turn(seat);
    }

    /// Whether the loop has something to do.
    #[cfg(test)]
    pub(crate) fn is_awake(&self, seat: SeatId) -> bool {
        self.0.borrow_mut().is_awake(seat)
    }

    /// Lets nothing pass between two hosts, or again.
    pub(crate) fn set_cut(&self, one: HostId, other: HostId, is_cut: bool) {
        self.0.borrow_mut().set_cut((one, other), is_cut);
    }

    /// Has a loop make no turn for so long.
    pub(crate) fn stall(&self, seat: SeatId, duration: Duration) {
        self.0.borrow_mut().stall(seat, duration);
    }

    /// From now on this rule holds, in its window.
    pub(crate) fn add_rule(&self, rule: Rule) {
        self.0.borrow_mut().add_rule(rule);
    }

    /// A host loses its power, or has it again.
    pub(crate) fn set_down(&self, host: HostId, is_down: bool) {
        self.0.borrow_mut().set_down(host, is_down);
    }

    /// The clock of a host goes so many parts in a million too fast.
    pub(crate) fn set_drift(&self, host: HostId, drift_ppm: i32) {
        self.0.borrow_mut().set_clock(host, |clock, now| clock.set_drift(now, drift_ppm));
    }

    /// The clock of a host jumps.
    pub(crate) fn go_ahead(&self, host: HostId, by: Duration) {
        self.0.borrow_mut().set_clock(host, |clock, now| clock.go_ahead(now, by));
    }

    /// A signal comes to the process on a host: whether somebody there hears it.
    pub(crate) fn signal(&self, host: HostId, number: i32) -> bool {
        self.0.borrow_mut().signal(host, number)
    }

    /// There is something to do for a loop.
    pub(crate) fn stir(&self, seat: SeatId) {
        self.0.borrow_mut().stir(seat);
    }

    /// The loop's process is killed: what it leaves behind it does not clean up.
    pub(crate) fn kill(&self, seat: SeatId) {
        self.0.borrow_mut().seats[seat.0].is_killed = true;
    }

    /// A loop has ended.
    pub(crate) fn leave(&self, seat: SeatId) {
        self.0.borrow_mut().leave(seat);
    }

    /// Moves the clock to what happens next, but not past `limit`. False if nothing will and there is no limit.
    pub(crate) fn jump(&self, limit: Instant) -> bool {
        self.0.borrow_mut().jump(limit)
    }

    /// What was drawn.
    pub(crate) fn draws(&self) -> Rc<Draws> {
        Rc::clone(&self.0.borrow().draws)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}
