//! Signals of simulated processes.

use std::io;
use std::time::Duration;

use signal_hook::consts::{
    SIGCHLD, SIGCONT, SIGINT, SIGPIPE, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

use super::{Place, Simulation};
use crate::driver::sim::HostId;
use crate::error::Result;

/// The highest signal of Linux.
const LAST: i32 = 64;
/// What these do by default is nothing; SIGPIPE every Rust program ignores.
const IGNORED: [i32; 5] = [SIGCHLD, SIGCONT, SIGPIPE, SIGURG, SIGWINCH];
/// What these do is not simulated.
const STOPPING: [i32; 4] = [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU];
/// A process that a signal has ended does not come back by itself.
const FOR_GOOD: Duration = Duration::MAX;

/// How it stands with SIGINT and the main of a `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    No,
    /// It has come, and main is to be cancelled.
    Due,
    /// Main was cancelled.
    Done,
}

/// Whether a simulated process can get a signal of this number.
pub(super) fn check(number: i32) -> io::Result<()> {
    let why = match number {
        _ if STOPPING.contains(&number) => "stops a process, which a simulation does by a stall",
        1..=LAST => return Ok(()),
        _ => "does not exist",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("signal {number} {why}")))
}

impl Simulation {
    /// Sends a signal to the process on the host of `place`, which all its loops are. Each [stream](crate::signal()) of
    /// it that a loop there has gets the signal, and then nothing else happens. If there is none:
    ///
    /// - SIGINT interrupts the program as [`run`](crate::run) has it: the main of [`run`](Self::run), if that is there,
    ///   and those of [`start`](Self::start) are cancelled. `run` fails with an error that
    ///   [is interrupted](crate::Error::is_interrupted) then, if its main has ended by that. The second one ends the
    ///   process.
    /// - SIGCHLD, SIGCONT, SIGPIPE, SIGURG and SIGWINCH are ignored.
    /// - Any other ends the process, as a [kill](super::Fault::kill) does, but it does not come back.
    ///
    /// [`Fault::signal`](super::Fault::signal) does so at a time that is known before.
    ///
    /// ```
    /// use corelane::sim::{self, Simulation};
    ///
    /// sim::check(20, |sim| {
    ///     let server = sim.host("server")?;
    ///     let serving = sim.spawn(server, async || {
    ///         let mut terminate = corelane::signal(libc::SIGTERM)?;
    ///         terminate.recv().await;
    ///         Ok("in order")
    ///     });
    ///     sim.run_for(std::time::Duration::from_secs(1))?;
    ///     sim.signal(server, libc::SIGTERM)?;
    ///     sim.run_until(|| serving.done())
    /// });
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a number that is no signal's, and for those that stop a process. An I/O error if the host
    /// cannot be made ready to begin anew.
    pub fn signal(&mut self, place: Place, number: i32) -> Result<()> {
        check(number)?;
        self.deliver(self.machines[place.index].host, number)
    }

    /// A signal comes to the process on a host.
    pub(super) fn deliver(&mut self, host: HostId, number: i32) -> Result<()> {
        if self.world.signal(host, number) || IGNORED.contains(&number) {
            return Ok(());
        }
        if number == SIGINT && self.interrupt(host) {
            return Ok(());
        }
        self.fall(host, FOR_GOOD, false, false)
    }

    /// Cancels the mains on a host. False if there are none, or they were cancelled before.
    fn interrupt(&mut self, host: HostId) -> bool {
        let mut is_first = false;
        if let Some((of_run, interrupt @ Interrupt::No)) = &mut self.running
            && *of_run == host
        {
            *interrupt = Interrupt::Due;
            is_first = true;
        }
        let Some(site) = self.sites.get_mut(&host) else { return is_first };
        let was_interrupted = std::mem::replace(&mut site.is_interrupted, true);
        let mains = std::mem::take(&mut site.mains);
        for (place, main) in &mains {
            is_first |= !was_interrupted;
            self.machines[place.index].attend(|event_loop| event_loop.enter(|| main.cancel()));
        }
        self.sites.entry(host).or_default().mains.extend(mains);
        is_first
    }
}
