//! A loop as a value.

use std::future::Future;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::context::{self, Entered};
use super::core::{LoopConfig, LoopCore};
use super::inbox::RemoteLoop;
use super::stalls::LoopPulse;
use super::turn::Buffers;
use crate::error::{Error, Result};
use crate::task::{Home, LocalContext, Task};

/// One event loop. It belongs to the thread that made it; whoever owns it turns it.
///
/// Most programs use [`run`](crate::run) or [`Runner`](crate::Runner), which turn a loop until their main
/// task has ended. This is for those who turn loops themselves: a shard, a simulation.
pub struct EventLoop {
    core: Rc<LoopCore>,
    buffers: Buffers,
    closed: bool,
}

impl EventLoop {
    /// A loop with nothing to do.
    ///
    /// # Errors
    /// What the system says when the driver cannot be opened, such as no descriptors left.
    pub fn new(config: &LoopConfig) -> io::Result<Self> {
        Ok(Self { core: LoopCore::new(config)?, buffers: Buffers::default(), closed: false })
    }

    /// Creates a task on this loop, which need not be turning.
    ///
    /// # Errors
    /// Runtime, if the loop has been closed.
    #[track_caller]
    pub fn create_task<T: 'static>(
        &mut self,
        future: impl Future<Output = Result<T>> + 'static,
    ) -> Result<Task<T>> {
        self.create_task_at(future, Location::caller())
    }

    /// The same for a task that is said to be created at `location`.
    pub(crate) fn create_task_at<T: 'static>(
        &mut self,
        future: impl Future<Output = Result<T>> + 'static,
        location: &'static Location<'static>,
    ) -> Result<Task<T>> {
        Task::spawn(self.core.home(), future, location)
            .ok_or_else(|| Error::runtime("the loop has been closed"))
    }

    /// Makes one turn. If nothing is ready it waits for a timer, an event or a wake, unless `may_wait` is
    /// false.
    ///
    /// # Errors
    /// Runtime, if a loop is being turned on this thread already or this one has been closed; an I/O error if
    /// waiting fails, after which the loop cannot go on.
    pub fn turn(&mut self, may_wait: bool) -> Result<()> {
        let _entered = self.entered()?;
        Ok(self.core.turn(&mut self.buffers, may_wait)?)
    }

    /// Whether a turn would find something to do without waiting for time or for I/O: for who turns several loops
    /// on one thread.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.closed && self.core.has_work()
    }

    /// Whether a task or a callback is ready. Unlike [`has_work`](Self::has_work) it does not look at what other
    /// threads, or other loops, have sent.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.closed && self.core.is_busy()
    }

    /// Turns until `stop`, asked after each turn, says so.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn turn_until(&mut self, mut stop: impl FnMut() -> bool) -> Result<()> {
        let _entered = self.entered()?;
        while !stop() {
            self.core.turn(&mut self.buffers, true)?;
        }
        Ok(())
    }

    /// Cancels every task that is left and turns until all have ended, however long their clean-up takes
    /// (rule T3). Tasks that are created meanwhile are not waited for (rule T5). Errors are reported with
    /// kind `shutdown` (rule T4).
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn cancel_all(&mut self) -> Result<()> {
        self.cancel_all_until(|| false)
    }

    /// The same, but no longer than until `stop`, asked after each turn, says so. What has not ended then goes on
    /// if the loop is turned, and is dropped if it is closed.
    ///
    /// # Errors
    /// As [`turn`](Self::turn).
    pub fn cancel_all_until(&mut self, mut stop: impl FnMut() -> bool) -> Result<()> {
        let cancelled = self.begin_cancel_all()?;
        self.turn_until(|| cancelled.left() == 0 || stop())?;
        self.enter(|| cancelled.report())
    }

    /// The same for who turns the loop by other means: cancels every task that is left, and gives something to ask
    /// how many of them have not ended.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub fn begin_cancel_all(&mut self) -> Result<Cancelled> {
        self.begin_cancel_all_but(|_| false)
    }

    /// The same, but spares the tasks of which `is_spared` says so. It is asked with what each has set in its
    /// [`LocalContext`], which it has from the task that created it: so whole families can be spared.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub fn begin_cancel_all_but(
        &mut self,
        is_spared: impl FnMut(&LocalContext) -> bool,
    ) -> Result<Cancelled> {
        let home = Rc::clone(self.core.home());
        self.enter(|| home.cancel_all(is_spared))?;
        Ok(Cancelled(home))
    }

    /// Something to send closures to, from any thread.
    #[must_use]
    pub fn remote(&self) -> RemoteLoop {
        self.core.remote().clone()
    }

    /// What the loop is doing, to be asked by any thread.
    #[must_use]
    pub fn pulse(&self) -> LoopPulse {
        LoopPulse(Arc::clone(self.core.home().pulse()))
    }

    /// Calls `f` with this loop as the current one, without a turn: to set it up.
    ///
    /// # Errors
    /// Runtime, if a loop is being turned on this thread already.
    pub fn enter<R>(&mut self, f: impl FnOnce() -> R) -> Result<R> {
        let _entered = self.entered()?;
        Ok(f())
    }

    /// Whether this loop makes no further step while [`HALT`](super::turn::HALT) is up.
    pub(crate) fn heed_halt(&mut self, heed: bool) {
        self.core.heeds_halt.set(heed);
    }

    pub(crate) fn core(&self) -> &LoopCore {
        &self.core
    }

    fn entered(&self) -> Result<Entered> {
        if self.closed {
            return Err(Error::runtime("the loop has been closed"));
        }
        Entered::new(&self.core)
    }

    /// Ends the loop: what is left of its tasks is dropped and reported as `destroyed-pending`
    /// (rules T5, T38). Dropping an `EventLoop` does the same.
    pub fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        // Inside another loop's turn there is no way to be the current one: the guards of the tasks then
        // find that other loop. Whoever nests loops closes the inner one outside.
        let entered = Entered::new(&self.core);
        self.core.shut();
        drop(entered);
    }

    /// Ends the loop of a machine that crashes: as [`close`](Self::close) does, but says nothing of its tasks.
    #[cfg(feature = "sim")]
    pub(crate) fn crash(&mut self) {
        self.core.home().crashes.set(true);
        self.close();
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn unfinished_count(&self) -> usize {
        self.core.home().unfinished_count()
    }
}

/// The tasks of a loop that were cancelled because it is to end.
pub struct Cancelled(Rc<Home>);

impl Cancelled {
    /// How many have not ended.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.leftovers()
    }

    /// Reports the errors that they ended with, with kind `shutdown` (rule T4). Called inside of the loop:
    /// [`EventLoop::enter`].
    pub fn report(self) {
        for report in self.0.take_shutdown_reports() {
            self.0.report(&report);
        }
    }
}

impl std::fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancelled").field("left", &self.left()).finish()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLoop")
            .field("inside", &context::is_inside())
            .field("unfinished", &self.unfinished_count())
            .finish_non_exhaustive()
    }
}
