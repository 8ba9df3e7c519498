//! Hosts that end and come back, and what runs on them each time.

use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::faults::Action;
use super::{Place, Reason, Simulation};
use crate::driver::sim::HostId;
use crate::error::Result;
use crate::task::Task;
use crate::util::instant::Instant;

/// What runs on a host whenever it begins.
#[derive(Default)]
pub(super) struct Site {
    boots: Vec<(Place, Program)>,
    /// Mains that may not fail.
    pub(super) mains: Vec<(Place, Task<()>)>,
    /// A SIGINT has come for them.
    pub(super) is_interrupted: bool,
    /// When it is back, if it is not there.
    up_at: Option<Instant>,
    is_wiped: bool,
}

/// Sets up a host.
type Program = Box<dyn FnMut(&mut Simulation, Boot) -> Result<()>>;

/// A host begins, for the first time or again.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    place: Place,
    is_blank: bool,
}

impl Boot {
    /// Where.
    #[must_use]
    pub fn place(self) -> Place {
        self.place
    }

    /// Whether nothing is stored there: it is the first time, or what was stored has gone with a fault that was
    /// [wiping](super::Fault::wiping).
    #[must_use]
    pub fn is_blank(self) -> bool {
        self.is_blank
    }
}

impl Simulation {
    /// Runs `main` on the host of `place`: begins it now, and again whenever the host is back after a
    /// [kill](super::Fault::kill) or a [crash](super::Fault::crash). It gets what the host has stored, which `store`
    /// makes at first: whatever it keeps there is there the next time, and all else is gone. A fault that is
    /// [wiping](super::Fault::wiping) has it made anew.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::time::Duration;
    ///
    /// use corelane::sim::{self, Fault};
    ///
    /// sim::check(20, |sim| {
    ///     let server = sim.host("server")?;
    ///     // How often it was begun is all that it stores.
    ///     sim.start(server, || Cell::new(0), async |begun| {
    ///         begun.set(begun.get() + 1);
    ///         assert!(begun.get() <= 2);
    ///         corelane::sleep(Duration::from_secs(3600)).await;
    ///         Ok(())
    ///     })?;
    ///     sim.faults(Fault::crash("server", Duration::from_secs(10)).at(Duration::from_secs(60)));
    ///     sim.run_for(Duration::from_secs(120))
    /// });
    /// ```
    ///
    /// # Errors
    /// What [`on_boot`](Self::on_boot) returns. An error of `main`, or a panic, fails the run.
    #[track_caller]
    pub fn start<D: 'static>(
        &mut self,
        place: Place,
        store: impl Fn() -> D + 'static,
        main: impl AsyncFn(Rc<D>) -> Result<()> + 'static,
    ) -> Result<()> {
        let (main, caller) = (Rc::new(main), Location::caller());
        let mut stored = None;
        self.on_boot(place, move |sim, boot| {
            if boot.is_blank() {
                stored = None;
            }
            let stored = Rc::clone(stored.get_or_insert_with(|| Rc::new(store())));
            let main = Rc::clone(&main);
            let task = sim.spawn_at(boot.place(), async move || main(stored).await, caller);
            let host = sim.machines[boot.place().index].host;
            sim.sites.entry(host).or_default().mains.push((boot.place(), task));
            Ok(())
        })
    }

    /// Calls `boot` now, and again whenever the host of `place` is back after a [kill](super::Fault::kill) or a
    /// [crash](super::Fault::crash): for programs that are more than [one main](Self::start). The loops of the
    /// host, this one and those beside it, are new then and have nothing to do; those that were
    /// [kept](Self::keep) have ended, and `boot` makes others.
    ///
    /// # Errors
    /// What `boot` returns. Later that fails the run.
    pub fn on_boot(
        &mut self,
        place: Place,
        mut boot: impl FnMut(&mut Self, Boot) -> Result<()> + 'static,
    ) -> Result<()> {
        boot(self, Boot { place, is_blank: true })?;
        let host = self.machines[place.index].host;
        self.sites.entry(host).or_default().boots.push((place, Box::new(boot)));
        Ok(())
    }

    /// A host ends, and is back after `down`.
    pub(super) fn fall(
        &mut self,
        host: HostId,
        down: Duration,
        is_silent: bool,
        wipes: bool,
    ) -> Result<()> {
        let site = self.sites.entry(host).or_default();
        // One that ends again while it is not there is not back earlier, unless it would never be.
        let up_at = site.up_at.filter(|up_at| *up_at < Instant::MAX).unwrap_or_default();
        let up_at = up_at.max(self.world.now() + down);
        site.up_at = Some(up_at);
        site.is_interrupted = false;
        site.is_wiped |= wipes;
        let mains = std::mem::take(&mut site.mains);
        if is_silent {
            // First, so that nobody hears how its connections end.
            self.world.set_down(host, true);
        }
        for index in 0..self.machines.len() {
            if self.machines[index].host == host {
                let machine = &mut self.machines[index];
                self.world.kill(machine.seat);
                if machine.is_kept() {
                    machine.end();
                    continue;
                }
                self.begin_anew(index)?;
                self.world.stall(self.machines[index].seat, down);
            }
        }
        drop(mains);
        self.plan_action(up_at, Action::Rise(host));
        Ok(())
    }

    /// A host is back, unless it has ended again meanwhile.
    pub(super) fn rise(&mut self, host: HostId) -> Result<()> {
        let Some(site) = self.sites.get_mut(&host) else { return Ok(()) };
        if site.up_at.is_none_or(|up_at| self.world.now() < up_at) {
            return Ok(());
        }
        site.up_at = None;
        let is_blank = std::mem::take(&mut site.is_wiped);
        let mut boots = std::mem::take(&mut site.boots);
        self.world.set_down(host, false);
        let mut set_up = boots
            .iter_mut()
            .map(|(place, boot)| boot(self, Boot { place: *place, is_blank }))
            .collect::<Vec<_>>();
        let site = self.sites.entry(host).or_default();
        boots.append(&mut site.boots);
        site.boots = boots;
        set_up.drain(..).collect()
    }

    /// A main that was started and has failed fails the run.
    pub(super) fn check_mains(&mut self) -> std::result::Result<(), Reason> {
        while let Some(host) = self.unchecked.pop() {
            let Some(site) = self.sites.get_mut(&host) else { continue };
            while let Some(place) = site.mains.iter().position(|(_, main)| main.done()) {
                let (_, mut main) = site.mains.swap_remove(place);
                match main.take_output() {
                    Some(Err(error)) if !error.is_cancelled() => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
