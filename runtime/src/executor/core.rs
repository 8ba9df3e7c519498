//! The parts of one loop, and what the rooms above ask of it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use super::alarm::Alarms;
use super::budget::{Budget, DEFAULT_STEP_BUDGET};
use super::groups::Groups;
use super::hooks::{Flush, Poller};
use super::inbox::{Inbox, RemoteLoop};
use super::meddler::Meddler;
use super::ops::{OpOwner, OpTable};
use super::tally::{Tally, count};
use super::timers::{Look, TimerKey, Timers};
use super::turn::Pace;
use crate::driver::{
    self, Completion, CpuSteering, Driver, DriverKind, End, Keep, Op, OpId, Outgoing,
    PeerCredentials, SocketOption, SourceId, SourceSpec, Started,
};
use crate::error::Error;
use crate::task::{Callback, Home, Mailbox, Report, ReportKind};
use crate::util::chance::Chance;
use crate::util::instant::Instant;

/// What a loop does when it has nothing to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Idle {
    /// Sleeps until something happens. An idle loop takes no CPU time.
    #[default]
    Park,
    /// Looks again and again for this long (50 µs is a good start), then sleeps. A virtual CPU that halts
    /// takes some 24 µs to wake, one that spins answers in 0.1 µs.
    SpinThenPark(Duration),
    /// The same, but only while that has paid lately: after spins that found nothing it sleeps at once, more and
    /// more often, and a sleep that a spin would have bridged has it spin again.
    Adaptive(Duration),
    /// Never sleeps: takes its core whole.
    Spin,
}

/// How late a timer may be for the sake of others, unless told otherwise: a few times what it takes to wake.
pub(crate) const DEFAULT_TIMER_SLACK: Duration = Duration::from_micros(100);

/// What a loop is made with.
#[derive(Debug, Clone)]
pub struct LoopConfig {
    /// The backend.
    pub driver: DriverKind,
    /// What the loop does when it has nothing to do.
    pub idle: Idle,
    /// By how much a timer may be late so that a loop that sleeps wakes once for several, as at
    /// [`timer_slack`](crate::Builder::timer_slack).
    pub timer_slack: Duration,
    /// How long a task may go on in one turn before [`yield_if_needed`](crate::yield_if_needed) yields.
    pub step_budget: Duration,
    /// The threads of `to_thread`.
    pub pool: PoolConfig,
}

impl Default for LoopConfig {
    fn default() -> Self {
        Self {
            driver: DriverKind::default(),
            idle: Idle::default(),
            timer_slack: DEFAULT_TIMER_SLACK,
            step_budget: DEFAULT_STEP_BUDGET,
            pool: PoolConfig::default(),
        }
    }
}

/// The threads of a loop for what blocks. They are started when they are needed.
#[derive(Debug, Clone)]
pub struct PoolConfig {
    /// How many there may be, at least one; `None` for asyncio's number, four more than the process has CPUs
    /// and 32 at most.
    pub thread_limit: Option<usize>,
    /// How long a thread without work stays.
    pub idle_timeout: Duration,
    /// The CPUs that these threads, and child processes, run on; `None` for those of the loop's thread. For a
    /// loop whose thread is bound to one CPU, which they would share with it otherwise.
    pub cpus: Option<Arc<[usize]>>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { thread_limit: None, idle_timeout: Duration::from_secs(10), cpus: None }
    }
}

/// The parts of a loop.
pub(crate) struct LoopCore {
    pub(super) home: Rc<Home>,
    pub(super) mailbox: &'static Mailbox,
    pub(super) driver: RefCell<Box<dyn Driver>>,
    pub(super) timers: RefCell<Timers>,
    pub(super) alarms: Alarms,
    pub(super) ops: RefCell<OpTable>,
    /// What the driver has handed up and was not delivered yet.
    pub(super) completions: RefCell<Vec<Completion>>,
    pub(super) pollers: RefCell<Vec<Rc<dyn Poller>>>,
    pub(super) flushes: RefCell<Vec<Rc<dyn Flush>>>,
    pub(super) inbox: RefCell<Option<Inbox>>,
    pub(super) remote: RemoteLoop,
    /// The clock when the loop last looked.
    pub(super) seen: Cell<Instant>,
    pub(super) pace: Pace,
    pub(super) tally: Tally,
    pub(super) groups: Groups,
    /// No timer is set, no poller there, no flush enlisted, so that a turn may pass over them.
    pub(super) quiet: Cell<bool>,
    pub(super) idle: Idle,
    /// How much later than the first timer the loop may wake.
    pub(super) timer_slack: Duration,
    budget: Budget,
    /// Whether [`HALT`](super::turn::HALT) is meant for this loop.
    pub(super) heeds_halt: Cell<bool>,
    pool_config: PoolConfig,
    /// A number that no other loop of the process has or will have.
    serial: u64,
    /// What rooms above keep with the loop, one of a type.
    pub(super) companions: RefCell<Vec<Rc<dyn Any>>>,
    /// How many tasks wait for what happens outside of the loop's time.
    pub(super) outside_waits: Cell<usize>,
    pub(super) is_virtual: bool,
    /// In a simulation: who decides what is left to chance.
    chance: Option<Rc<dyn Chance>>,
    /// Entries of the present batch whose turn has come.
    pub(super) begun: Cell<usize>,
    pub(super) is_shut: Cell<bool>,
    /// Completions are being delivered.
    pub(super) is_delivering: Cell<bool>,
}

impl LoopCore {
    pub(crate) fn new(config: &LoopConfig) -> io::Result<Rc<Self>> {
        if config.pool.thread_limit == Some(0) {
            return Err(Error::value("a pool of no threads would never run anything").into());
        }
        let driver = driver::open(config.driver)?;
        let home = Home::new()
            .ok_or_else(|| io::Error::other("65,535 loops live in this process already"))?;
        home.mailbox().open(driver.unparker());
        let (inbox, remote) = Inbox::new(home.mailbox());
        let is_virtual = config.driver != DriverKind::Mio;
        let core = Rc::new(Self {
            mailbox: home.mailbox(),
            home,
            seen: Cell::new(driver.now()),
            chance: driver.chance(),
            driver: RefCell::new(driver),
            timers: RefCell::default(),
            alarms: Alarms::default(),
            ops: RefCell::default(),
            completions: RefCell::default(),
            pollers: RefCell::default(),
            flushes: RefCell::default(),
            inbox: RefCell::new(Some(inbox)),
            remote,
            pace: Pace::default(),
            tally: Tally::default(),
            groups: Groups::default(),
            quiet: Cell::new(false),
            // A virtual clock moves only when the loop sleeps, so a spin would never end.
            idle: if is_virtual { Idle::Park } else { config.idle },
            // Virtual time costs nothing, so nothing is to be saved by being late.
            timer_slack: if is_virtual { Duration::ZERO } else { config.timer_slack },
            budget: Budget::new(config.step_budget),
            heeds_halt: Cell::new(false),
            pool_config: config.pool.clone(),
            serial: next_serial(),
            companions: RefCell::default(),
            outside_waits: Cell::new(0),
            is_virtual,
            begun: Cell::new(0),
            is_shut: Cell::new(false),
            is_delivering: Cell::new(false),
        });
        if let Some(chance) = &core.chance {
            core.add_poller(Meddler::new(&core.home, chance));
        }
        Ok(core)
    }

    pub(crate) fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// Whether the step that is being made has had its time.
    pub(super) fn step_budget_is_spent(&self) -> bool {
        let step = (self.home.pulse().turn_count(), self.begun.get());
        self.budget.is_spent(step, || self.now())
    }

    pub(crate) fn remote(&self) -> &RemoteLoop {
        &self.remote
    }

    pub(crate) fn pool_config(&self) -> &PoolConfig {
        &self.pool_config
    }

    /// A number that no other loop of the process has or will have: for what may outlive the loop and must not
    /// hold it.
    #[cfg_attr(
        not(feature = "hyper"),
        expect(dead_code, reason = "only that bridge has such things")
    )]
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// What a room above keeps with the loop until it is shut; `make` makes it for the first who asks.
    /// `None` once the loop has been shut.
    pub(crate) fn companion<T: 'static>(&self, make: impl FnOnce() -> T) -> Option<Rc<T>> {
        if let Some(found) = self.existing_companion() {
            return Some(found);
        }
        if self.is_shut.get() {
            return None;
        }
        let made = Rc::new(make());
        self.companions.borrow_mut().push(Rc::clone(&made) as Rc<dyn Any>);
        Some(made)
    }

    /// The same, if it was made.
    pub(crate) fn existing_companion<T: 'static>(&self) -> Option<Rc<T>> {
        let companions = self.companions.borrow();
        companions.iter().find_map(|candidate| Rc::clone(candidate).downcast().ok())
    }

    /// Who decides in a simulation; `None` on a real system.
    pub(crate) fn chance(&self) -> Option<&dyn Chance> {
        self.chance.as_deref()
    }

    /// One more task, or one less, waits for what happens outside of the loop's time. Meanwhile a virtual
    /// clock does not move.
    pub(crate) fn count_outside_wait(&self, change: isize) {
        self.outside_waits.set(self.outside_waits.get().saturating_add_signed(change));
    }

    /// The clock, read anew.
    pub(crate) fn now(&self) -> Instant {
        self.driver.borrow().now()
    }

    /// The clock as the loop last saw it.
    pub(crate) fn seen(&self) -> Instant {
        self.seen.get()
    }

    /// Moves a virtual clock; false if the clock is the system's.
    pub(crate) fn advance(&self, duration: Duration) -> bool {
        let moved = self.driver.borrow_mut().advance(duration);
        if moved {
            // The next turn fires what has come due, even one that is too busy to look at the clock.
            self.seen.set(self.now());
        }
        moved
    }

    /// Puts `f` at the end of the ready queue.
    pub(crate) fn call_soon(&self, f: Callback) {
        self.home.call_soon(f);
    }

    pub(crate) fn insert_timer(&self, deadline: Instant, waker: Waker) -> TimerKey {
        self.quiet.set(false);
        self.timers.borrow_mut().insert(deadline, waker)
    }

    pub(crate) fn cancel_timer(&self, key: TimerKey) {
        let waker = self.timers.borrow_mut().cancel(key);
        drop(waker);
    }

    /// Whether the timer has still to fire; if so it will wake `waker`.
    pub(crate) fn renew_timer(&self, key: TimerKey, waker: &Waker) -> bool {
        let look = self.timers.borrow().look(key, waker);
        if look == Look::ForAnother {
            // Cloning and dropping a waker may be another executor's code: nothing is borrowed meanwhile.
            let replaced = {
                let waker = waker.clone();
                self.timers.borrow_mut().renew(key, waker)
            };
            drop(replaced);
        }
        look != Look::Fired
    }

    /// Whether it will never turn again: then nothing is flushed and no op completes.
    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.get()
    }

    /// Has `flush` called at the end of this turn; not on a loop that is shut.
    #[inline(always)]
    pub(crate) fn enlist_flush(&self, flush: Rc<dyn Flush>) {
        if !self.is_shut.get() {
            self.quiet.set(false);
            self.flushes.borrow_mut().push(flush);
        }
    }

    pub(crate) fn add_poller(&self, poller: Rc<dyn Poller>) {
        self.quiet.set(false);
        self.pollers.borrow_mut().push(poller);
    }

    pub(crate) fn open(&self, spec: SourceSpec) -> io::Result<SourceId> {
        self.driver.borrow_mut().open(spec)
    }

    pub(crate) fn close(&self, source: SourceId) {
        self.driver.borrow_mut().close(source);
    }

    /// A number for the ops of `owner`, who is told of each completion with `tag`.
    pub(crate) fn register(&self, owner: Rc<dyn OpOwner>, tag: u32) -> OpId {
        // What outlives its loop must not keep it alive, as the loop would keep it.
        let owner = if self.is_shut.get() { None } else { Some(owner) };
        self.ops.borrow_mut().register(owner, tag)
    }

    /// Lets go of a number. An op in flight is cancelled and its completion goes to nobody.
    pub(crate) fn release(&self, id: OpId) {
        let (owner, in_flight) = self.ops.borrow_mut().release(id);
        if in_flight {
            self.driver.borrow_mut().cancel(id);
        }
        drop(owner);
    }

    /// Starts an op: done at once, or parked until its owner is told.
    pub(crate) fn start(&self, id: OpId, op: Op) -> Started {
        self.tally.count_op(&op);
        let started = self.driver.borrow_mut().start(id, op);
        match &started {
            Started::Parked => self.ops.borrow_mut().parked(id),
            Started::Done(outcome) => self.tally.count_outcome(outcome),
        }
        started
    }

    /// Sends at once what needs no waiting, and says how much that was.
    pub(crate) fn try_send(&self, source: SourceId, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.driver.borrow_mut().try_send(source, bytes)?;
        count(&self.tally.sent_bytes, sent as u64);
        Ok(sent)
    }

    /// The same for several slices by one call.
    pub(crate) fn try_send_vectored(
        &self,
        source: SourceId,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let sent = self.driver.borrow_mut().try_send_vectored(source, slices)?;
        count(&self.tally.sent_bytes, sent as u64);
        Ok(sent)
    }

    /// Receives at once what is there; `None` if that would wait.
    pub(crate) fn try_receive(
        &self,
        source: SourceId,
        into: &mut [u8],
        keep: Keep,
    ) -> io::Result<Option<usize>> {
        let received = self.driver.borrow_mut().try_receive(source, into, keep)?;
        if keep == Keep::No {
            count(&self.tally.received_bytes, received.unwrap_or(0) as u64);
        }
        Ok(received)
    }

    /// Another thread has sent bytes on a shared descriptor.
    pub(crate) fn note_sent(&self, bytes: u64) {
        count(&self.tally.sent_bytes, bytes);
    }

    /// A second descriptor of the same open file.
    pub(crate) fn share(&self, source: SourceId) -> io::Result<OwnedFd> {
        self.driver.borrow().share(source)
    }

    /// Somebody is about to send on a shared descriptor.
    pub(crate) fn forget_room(&self, source: SourceId) {
        self.driver.borrow_mut().forget_room(source);
    }

    /// Who sends on a shared descriptor was not refused.
    pub(crate) fn found_room(&self, source: SourceId) {
        self.driver.borrow_mut().found_room(source);
    }

    /// Closes a source and gives its descriptor away.
    pub(crate) fn take(&self, source: SourceId) -> io::Result<OwnedFd> {
        self.driver.borrow_mut().take(source)
    }

    /// Sends a datagram at once; false if that would wait.
    pub(crate) fn try_send_to(
        &self,
        source: SourceId,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> io::Result<bool> {
        let is_sent = self.driver.borrow_mut().try_send_to(source, bytes, to)?;
        count(&self.tally.sent_bytes, if is_sent { bytes.len() as u64 } else { 0 });
        Ok(is_sent)
    }

    /// Sends as many datagrams as need no waiting, and says how many those were.
    pub(crate) fn try_send_batch(
        &self,
        source: SourceId,
        datagrams: &[Outgoing<'_>],
    ) -> io::Result<usize> {
        let sent_count = self.driver.borrow_mut().try_send_batch(source, datagrams)?;
        let sent = datagrams[..sent_count].iter().map(|datagram| datagram.bytes.len() as u64);
        count(&self.tally.sent_bytes, sent.sum());
        Ok(sent_count)
    }

    /// Connects a UDP socket.
    pub(crate) fn set_peer(&self, source: SourceId, peer: SocketAddr) -> io::Result<()> {
        self.driver.borrow_mut().set_peer(source, peer)
    }

    /// Asks an op to end early; its owner is told.
    pub(crate) fn cancel(&self, id: OpId) {
        self.driver.borrow_mut().cancel(id);
    }

    pub(crate) fn shutdown(&self, source: SourceId, how: Shutdown) -> io::Result<()> {
        self.driver.borrow_mut().shutdown(source, how)
    }

    pub(crate) fn local_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        self.driver.borrow().local_addr(source)
    }

    pub(crate) fn peer_addr(&self, source: SourceId) -> io::Result<SocketAddr> {
        self.driver.borrow().peer_addr(source)
    }

    pub(crate) fn unix_addr(&self, source: SourceId, end: End) -> io::Result<UnixAddr> {
        self.driver.borrow().unix_addr(source, end)
    }

    pub(crate) fn peer_credentials(&self, source: SourceId) -> io::Result<PeerCredentials> {
        self.driver.borrow().peer_credentials(source)
    }

    pub(crate) fn listen(&self, source: SourceId, backlog: u32) -> io::Result<()> {
        self.driver.borrow_mut().listen(source, backlog)
    }

    pub(crate) fn set_option(&self, source: SourceId, option: SocketOption) -> io::Result<()> {
        self.driver.borrow_mut().set_option(source, option)
    }

    pub(crate) fn steer(&self, source: SourceId, steering: &CpuSteering) -> io::Result<()> {
        self.driver.borrow_mut().steer(source, steering)
    }

    /// Reports to the exception handler (rule E20).
    pub(crate) fn report(&self, kind: ReportKind, error: Error) {
        self.home.report(&Report::new(kind, error));
    }
}

fn next_serial() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the numbers have to differ, and no data travels by them.
    LAST.fetch_add(1, Ordering::Relaxed)
}
