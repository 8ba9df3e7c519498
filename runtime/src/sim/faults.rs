//! What can go wrong in a simulated world, when the test says so.

use std::time::Duration;

use super::fault::{Fault, What};
use super::plan::Faults;
use super::{Place, Simulation};
use crate::driver::sim::{HostId, Rule};
use crate::error::Result;
use crate::executor;
use crate::util::instant::Instant;

/// Something that is to happen to a host or a loop.
pub(super) enum Action {
    Drift(HostId, i32),
    Ahead(HostId, Duration),
    Stall(usize, Duration),
    /// The next step of a task of this name panics, until then.
    TaskPanic(String, Instant),
    /// The host ends, with a word to its peers or without.
    Fall {
        host: HostId,
        down: Duration,
        is_silent: bool,
        wipes: bool,
    },
    /// The host is back.
    Rise(HostId),
    /// A signal comes to the process on the host.
    Signal(HostId, i32),
}

impl Simulation {
    /// Has things go wrong, as they say, from now on. Those that are to be drawn are drawn now: from the seed, for
    /// the hosts that are there.
    ///
    /// # Panics
    /// If a fault names a host, or a loop, that is not there.
    #[track_caller]
    pub fn faults(&mut self, faults: impl Into<Faults>) {
        let mut hosts: Vec<(HostId, &String)> = Vec::new();
        for machine in &self.machines {
            if hosts.iter().all(|(host, _)| *host != machine.host) {
                hosts.push((machine.host, &machine.name));
            }
        }
        let hosts: Vec<String> = hosts.into_iter().map(|(_, name)| name.clone()).collect();
        let call = self.plan_count;
        self.plan_count += 1;
        let faults = match &self.instead {
            Some(plan) => {
                plan.iter().filter(|(of, _)| *of == call).map(|(_, one)| one.clone()).collect()
            }
            // Another call draws others.
            None => faults.into().draw(self.seed.wrapping_add((call as u64) << 32), &hosts),
        };
        for fault in faults {
            self.add_fault(&fault);
            self.plan.push((call, fault));
        }
    }

    /// The faults that it was given, with those that were drawn.
    #[must_use = "it changes nothing"]
    pub fn fault_plan(&self) -> Faults {
        self.plan.iter().map(|(_, fault)| fault.clone()).collect::<Vec<_>>().into()
    }

    #[track_caller]
    fn add_fault(&mut self, fault: &Fault) {
        let (start, end) = (at(fault.window.start), at(fault.window.end));
        let harm = match &fault.what {
            What::Harm(harm) => harm.clone(),
            What::Drift(host, parts) => {
                let host = self.host_of(host);
                self.plan_action(start, Action::Drift(host, *parts));
                return self.plan_action(end, Action::Drift(host, 0));
            }
            What::Ahead(host, by) => {
                return self.plan_action(start, Action::Ahead(self.host_of(host), *by));
            }
            What::Stall(name, duration) => {
                return self.plan_action(start, Action::Stall(self.loop_of(name), *duration));
            }
            What::TaskPanic(name) => {
                return self.plan_action(start, Action::TaskPanic(name.clone(), end));
            }
            What::Kill { host, down, wipes } => {
                let (host, down) = (self.host_of(host), *down);
                let fall = Action::Fall { host, down, is_silent: false, wipes: *wipes };
                return self.plan_action(start, fall);
            }
            What::Crash { host, down, wipes } => {
                let (host, down) = (self.host_of(host), *down);
                let fall = Action::Fall { host, down, is_silent: true, wipes: *wipes };
                return self.plan_action(start, fall);
            }
            What::Signal(host, number) => {
                return self.plan_action(start, Action::Signal(self.host_of(host), *number));
            }
        };
        let way = fault.way.map(|name| self.host_of(name));
        let (one_in, times) = (fault.one_in, fault.times);
        self.world.add_rule(Rule { way, window: start..end, one_in, times, harm });
    }

    #[track_caller]
    fn loop_of(&self, name: &str) -> usize {
        // The last one: those before it have ended.
        let place = self.machines.iter().rposition(|machine| machine.name == name);
        place.unwrap_or_else(|| panic!("a fault is to happen at {name:?}, which is not there"))
    }

    #[track_caller]
    fn host_of(&self, name: &str) -> HostId {
        self.machines[self.loop_of(name)].host
    }

    pub(super) fn plan_action(&mut self, at: Instant, action: Action) {
        if at < Instant::MAX {
            self.action_count += 1;
            self.actions.insert((at, self.action_count), action);
        }
    }

    /// When the next of them happens.
    pub(super) fn next_action(&self) -> Option<Instant> {
        self.actions.first_key_value().map(|((at, _), _)| *at)
    }

    /// Has happen to hosts and loops what is due.
    pub(super) fn act(&mut self) -> Result<()> {
        while let Some(first) = self.actions.first_entry()
            && first.key().0 <= self.world.now()
        {
            let action = first.remove();
            self.perform(action)?;
        }
        if !self.panics.is_empty() {
            self.panic_tasks();
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Drift(host, parts) => self.world.set_drift(host, parts),
            Action::Ahead(host, by) => self.world.go_ahead(host, by),
            Action::Stall(index, duration) => {
                self.world.stall(self.machines[index].seat, duration);
            }
            Action::TaskPanic(name, until) => self.panics.push((name, until)),
            Action::Fall { host, down, is_silent, wipes } => {
                return self.fall(host, down, is_silent, wipes);
            }
            Action::Rise(host) => return self.rise(host),
            Action::Signal(host, number) => return self.deliver(host, number),
        }
        Ok(())
    }

    /// Has the tasks panic that are to, as far as they are there.
    fn panic_tasks(&mut self) {
        let now = self.world.now();
        let mut panics = std::mem::take(&mut self.panics);
        panics.retain(|(name, until)| {
            let strike = |machine: &mut super::Machine| {
                let strike = || executor::with(|core| core.home().panic_task(name));
                let struck = machine.attend(|event_loop| event_loop.enter(strike));
                matches!(struck, Some(Ok(Ok(true)))).then_some(machine.host)
            };
            let struck =
                (*until > now).then(|| self.machines.iter_mut().find_map(strike)).flatten();
            self.unchecked.extend(struck);
            *until > now && struck.is_none()
        });
        self.panics = panics;
    }

    /// Lets nothing pass between the hosts of two places until [`heal`](Self::heal). What is sent meanwhile is not
    /// lost, as TCP sends it again: it arrives when the partition ends. Nobody is told, so who needs to know has a
    /// timeout; who has waited a quarter of an hour for an answer, or two minutes for a connection, gets `TimedOut`.
    pub fn partition(&mut self, one: Place, other: Place) {
        self.set_cut(one, other, true);
    }

    /// Ends a [`partition`](Self::partition).
    pub fn heal(&mut self, one: Place, other: Place) {
        self.set_cut(one, other, false);
    }

    fn set_cut(&mut self, one: Place, other: Place, is_cut: bool) {
        let (one, other) = (self.machines[one.index].host, self.machines[other.index].host);
        self.world.set_cut(one, other, is_cut);
    }

    /// Has the loop at `place` make no turn for so long, as one whose core is taken from it.
    pub fn stall(&mut self, place: Place, duration: Duration) {
        self.world.stall(self.machines[place.index].seat, duration);
    }

    /// Ends the loop at `place` at once, as a process that is killed: nothing of it is cancelled or waits, its
    /// futures are dropped, its connections end or are reset, what it had not sent is lost. The place has a new loop
    /// then, with nothing to do. A [`Fault::kill`] does so to a whole host, for a time.
    ///
    /// # Errors
    /// An I/O error if the new loop cannot be made; the old one has ended all the same.
    pub fn restart(&mut self, place: Place) -> Result<()> {
        self.world.kill(self.machines[place.index].seat);
        self.begin_anew(place.index)
    }
}

fn at(time: Duration) -> Instant {
    Instant::ZERO + time
}
