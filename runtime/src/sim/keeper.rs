//! Loops that somebody sees to as their thread would: for crates that build on loops, as shards are.
//!
//! A thread that turns a loop may have more to do than that: it sets itself up, looks between two turns whether it
//! is to end, and leaves things behind for whoever asks on it. In a simulation all loops are turned on one thread, so
//! what such a thread does is the business of a [`Keeper`].

use std::io;

use super::{Place, Simulation};
use crate::driver::DriverKind;
use crate::driver::sim::{HostId, SeatId, World};
use crate::error::{Error, Result};
use crate::executor::{EventLoop, LoopConfig};

/// Does what the thread of a loop would do beside turning it.
pub trait Keeper {
    /// Has the loop make one turn, with [`EventLoop::turn`], and does what is to be done between turns. False if
    /// the loop has ended: it is dropped then, by [`attend`](Self::attend).
    ///
    /// # Errors
    /// What fails the run.
    fn turn(&mut self, event_loop: &mut EventLoop) -> Result<bool>;

    /// Calls `f`, which looks at the loop, cancels its tasks or ends it, with what the thread would have set for
    /// itself.
    fn attend(&mut self, f: &mut dyn FnMut()) {
        f();
    }

    /// Whether something has come that the keeper looks at by itself, and that wakes no loop.
    fn has_mail(&self) -> bool {
        false
    }
}

/// One loop on one host.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) host: HostId,
    pub(super) seat: SeatId,
    /// `None` once it has ended for good.
    event_loop: Option<EventLoop>,
    keeper: Option<Box<dyn Keeper>>,
}

impl Machine {
    /// A loop that nobody keeps.
    pub(super) fn new(world: &World, host: HostId, name: String) -> Result<Self> {
        let (seat, made) = make_loop(world, host, &LoopConfig::default());
        Ok(Self { name, host, seat, event_loop: Some(made?), keeper: None })
    }

    /// Has `f` do something with the loop, as its thread would. `None` if the loop has ended.
    pub(super) fn attend<R>(&mut self, f: impl FnOnce(&mut EventLoop) -> R) -> Option<R> {
        let event_loop = self.event_loop.as_mut()?;
        let Some(keeper) = &mut self.keeper else { return Some(f(event_loop)) };
        let (mut f, mut result) = (Some(f), None);
        keeper.attend(&mut || result = f.take().map(|f| f(event_loop)));
        result
    }

    /// Whether somebody sees to it, or it has ended: then it has no successor.
    pub(super) fn is_kept(&self) -> bool {
        self.keeper.is_some() || self.event_loop.is_none()
    }

    /// Whether the loop would go on by itself.
    pub(super) fn has_work(&self) -> bool {
        self.event_loop.as_ref().is_some_and(EventLoop::is_busy)
            || self.keeper.as_ref().is_some_and(|keeper| keeper.has_mail())
    }

    /// One turn.
    pub(super) fn turn(&mut self) -> Result<()> {
        let Some(event_loop) = &mut self.event_loop else { return Ok(()) };
        let Some(keeper) = &mut self.keeper else { return event_loop.turn(true) };
        if !keeper.turn(event_loop)? {
            self.end();
        }
        Ok(())
    }

    /// Ends the loop at once and for good.
    pub(super) fn end(&mut self) {
        let mut event_loop = self.event_loop.take();
        let mut close = || {
            if let Some(mut ended) = event_loop.take() {
                ended.crash();
            }
        };
        match &mut self.keeper {
            Some(keeper) => keeper.attend(&mut close),
            None => close(),
        }
        self.keeper = None;
    }

    /// The same, and there is a new one then that nobody keeps.
    fn begin_anew(&mut self, world: &World) -> Result<()> {
        self.end();
        let (seat, made) = make_loop(world, self.host, &LoopConfig::default());
        self.seat = seat;
        self.event_loop = Some(made?);
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
    }
}

fn make_loop(world: &World, host: HostId, config: &LoopConfig) -> (SeatId, io::Result<EventLoop>) {
    let config = LoopConfig { driver: DriverKind::Simulated, ..config.clone() };
    let (seat, made) = world.with_place(host, || EventLoop::new(&config));
    if made.is_err() {
        world.leave(seat);
    }
    (seat, made)
}

impl Simulation {
    /// Adds a loop to the host of `place` that is seen to by the keeper that `make` makes for it. `name` is for
    /// reports; of `config` the driver does not matter.
    ///
    /// # Errors
    /// As [`host`](Self::host), and what `make` says.
    pub fn keep<K: Keeper + 'static>(
        &mut self,
        place: Place,
        name: &str,
        config: &LoopConfig,
        make: impl FnOnce(&mut EventLoop) -> Result<K>,
    ) -> Result<Place> {
        let host = self.machines[place.index].host;
        let (seat, made) = make_loop(&self.world, host, config);
        let mut event_loop = made.map_err(Error::from)?;
        let keeper = make(&mut event_loop)?;
        let name = format!("{}, {name}", self.machines[place.index].name);
        Ok(self.add_machine(Machine {
            name,
            host,
            seat,
            event_loop: Some(event_loop),
            keeper: Some(Box::new(keeper)),
        }))
    }

    /// Gives a machine a new loop.
    pub(super) fn begin_anew(&mut self, index: usize) -> Result<()> {
        self.machines[index].begin_anew(&self.world)?;
        self.seat(index);
        Ok(())
    }

    /// Ends the loop at `place` at once and for good, as [`restart`](Self::restart) does before it makes a new one.
    pub fn kill(&mut self, place: Place) {
        self.world.kill(self.machines[place.index].seat);
        self.machines[place.index].end();
    }
}
