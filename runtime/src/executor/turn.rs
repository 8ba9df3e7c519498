//! One turn, in five phases.
//!
//! ```text
//!  mail    wakes and closures of other threads, lanes, up to a budget       → ready
//!  poll    nothing ready? say asleep, look at the mail again, then wait
//!          until the next timer; else do not wait. completions              → ready
//!  timers  those that are due, by deadline, then by creation                → ready
//!  run     each entry that was ready when this phase began, once, in order
//!  flush   what was written or sent during the turn
//! ```
//!
//! Each phase is bounded by what was there when it began. A task that wakes itself runs in the next turn. After a turn
//! that only told of completions the next one begins with its run phase.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::core::{Idle, LoopCore};
use super::hooks::Flush;
use super::tally::{Care, Tally, count};
use crate::driver::{Completion, OpId, Park};
use crate::task::{Entry, Ready};
use crate::util::cancel::{self, Scope};
use crate::util::instant::Instant;

#[cfg(test)]
mod tests;

/// Wakes, and closures, of other threads that one turn takes in.
const MAIL_BUDGET: usize = 1024;
/// The driver is asked at least once in so many entries of the ready queue …
const POLL_EVERY_ENTRIES: u32 = 61;
/// … and in so much time, while tasks keep the loop busy.
const POLL_EVERY_NANOS: u64 = 50_000;
/// Turns between two looks at the clock while tasks keep the loop busy: a look each turn would double the
/// price of a task switch.
const CLOCK_EVERY_TURNS: u32 = 8;
/// The most sleeps that pass without a spin before them, after spins that found nothing.
const MAX_UNSPUN: u32 = 63;

/// While it is up, the loop that heeds it begins no task and no callback: they stay in the queue, in their order.
/// Any thread may raise it; no data travels by it. It is one for the process, as at most one loop heeds it and
/// a look before each step must cost next to nothing.
pub(crate) static HALT: AtomicBool = AtomicBool::new(false);

/// How long ago a busy loop looked at the driver and at the clock, and whether spinning has paid.
#[derive(Default)]
pub(crate) struct Pace {
    entries: Cell<u32>,
    turns: Cell<u32>,
    looked: Cell<Instant>,
    /// The turns are so long that the clock has to be looked at in each.
    slow: Cell<bool>,
    polled: Cell<Instant>,
    unspun: Cell<u32>,
    misses: Cell<u32>,
}

/// Vectors that keep their memory from turn to turn; whoever turns the loop holds them.
#[derive(Default)]
pub(super) struct Buffers {
    batch: Vec<Entry>,
    done: Vec<Completion>,
    flushes: Vec<Rc<dyn Flush>>,
}

impl LoopCore {
    /// Makes one turn. It waits only if nothing is ready and `may_wait` allows it.
    pub(super) fn turn(&self, buffers: &mut Buffers, may_wait: bool) -> io::Result<()> {
        self.home.pulse().begin_turn();
        let busy = self.is_busy();
        let due = busy && self.poll_is_due();
        // With tasks ready, no mail, no timer, no poller, and the driver not due, the first three phases
        // have nothing to do.
        if !busy || due || !self.quiet.get() || self.mailbox.has_mail() {
            self.take_mail();
            let due = if busy { due } else { self.is_busy() && self.poll_is_due() };
            self.poll_driver(buffers, due, may_wait)?;
            self.fire_timers();
        }
        self.run_ready(&mut buffers.batch);
        if !self.quiet.get() {
            self.flush(&mut buffers.flushes);
        }
        Ok(())
    }

    fn take_mail(&self) {
        let mailbox = self.mailbox;
        if mailbox.take_mail() {
            let (is_all, woken) = self.home.take_wakes(MAIL_BUDGET);
            count(&self.tally.foreign_wakes, woken);
            if !(is_all & self.take_letters()) {
                mailbox.leave_mail();
            }
        }
        self.poll_pollers();
    }

    /// Queues the closures of other threads; true if it took all.
    fn take_letters(&self) -> bool {
        for _ in 0..MAIL_BUDGET {
            let letter = self.inbox.borrow().as_ref().and_then(super::inbox::Inbox::take);
            let Some(letter) = letter else { return true };
            count(&self.tally.foreign_calls, 1);
            self.call_soon(letter);
        }
        false
    }

    fn poll_pollers(&self) {
        let mut index = 0;
        loop {
            let poller = self.pollers.borrow().get(index).map(Rc::clone);
            let Some(poller) = poller else { return };
            self.home.guarded(|| {
                poller.poll_mail();
            });
            index += 1;
        }
    }

    /// Whether a turn would find something to do without waiting.
    pub(super) fn has_work(&self) -> bool {
        self.is_busy() || self.has_mail()
    }

    pub(super) fn has_mail(&self) -> bool {
        self.mailbox.has_mail() || self.pollers.borrow().iter().any(|poller| poller.has_mail())
    }

    /// Whether something is ready that needs no look at what came from elsewhere.
    pub(super) fn is_busy(&self) -> bool {
        self.home.has_ready() || !self.quiet.get() && !self.flushes.borrow().is_empty()
    }

    fn poll_driver(&self, buffers: &mut Buffers, due: bool, may_wait: bool) -> io::Result<()> {
        if self.is_busy() {
            return if due { self.ask_driver(&mut buffers.done, Park::No) } else { Ok(()) };
        }
        if !may_wait {
            return self.ask_driver(&mut buffers.done, Park::No);
        }
        count(&self.tally.sleeps, 1);
        let pulse = self.home.pulse();
        pulse.rest();
        let asked = self.wait(buffers);
        pulse.go_on();
        asked
    }

    /// There is nothing to do but to wait for something.
    fn wait(&self, buffers: &mut Buffers) -> io::Result<()> {
        match self.idle {
            Idle::Park if self.has_mail() => self.go_on(buffers),
            Idle::Park => self.sleep(buffers),
            Idle::SpinThenPark(limit) => {
                self.pace.unspun.set(0);
                self.spin_then_sleep(buffers, Some(limit))
            }
            Idle::Adaptive(limit) => self.spin_then_sleep(buffers, Some(limit)),
            Idle::Spin => self.spin_then_sleep(buffers, None),
        }
    }

    /// There is mail for the next turn, so the driver need not be asked, unless that is due.
    fn go_on(&self, buffers: &mut Buffers) -> io::Result<()> {
        if self.poll_is_due() { self.ask_driver(&mut buffers.done, Park::No) } else { Ok(()) }
    }

    /// Whether a loop with ready tasks has to look at the driver all the same (rule G8).
    fn poll_is_due(&self) -> bool {
        let pace = &self.pace;
        if pace.entries.get() >= POLL_EVERY_ENTRIES {
            return true;
        }
        let turns = pace.turns.get() + 1;
        pace.turns.set(turns);
        if turns < CLOCK_EVERY_TURNS && !pace.slow.get() {
            return false;
        }
        let now = self.now();
        self.seen.set(now);
        pace.turns.set(0);
        let passed_nanos = now.as_nanos() - pace.looked.replace(now).as_nanos();
        // Beside a turn of that length a look costs nothing, and without one a timer would be late by eight.
        let limit_nanos = u64::from(turns) * POLL_EVERY_NANOS / u64::from(CLOCK_EVERY_TURNS);
        pace.slow.set(passed_nanos > limit_nanos);
        now.as_nanos() - pace.polled.get().as_nanos() >= POLL_EVERY_NANOS
    }

    /// Sleeps until the next timer, an event, or mail.
    fn sleep(&self, buffers: &mut Buffers) -> io::Result<()> {
        // What is waited for outside takes no virtual time, so no timer may come before it.
        let stands_still = self.is_virtual && self.outside_waits.get() > 0;
        let alarm = if stands_still { None } else { self.alarm() };
        let park = alarm.map_or(Park::Forever, Park::Until);
        let flag = self.mailbox.flag();
        flag.prepare_sleep();
        let stuck = if self.is_virtual && alarm.is_none() { self.stuck() } else { None };
        // From here on a sender sees that the loop sleeps, so what it sent before must be seen here.
        let asked = if let Some(error) = stuck {
            Err(error)
        } else if self.has_mail() {
            self.go_on(buffers)
        } else {
            self.ask_driver(&mut buffers.done, park)
        };
        // A simulated loop goes on sleeping when its turn is over: its next one begins with this.
        if self.chance().is_none() {
            flag.wake_up();
        }
        asked
    }

    /// When to wake for timers. A wake costs far more than a timer, so one serves all that come due within the
    /// slack of the first. It comes with the last of them: a timer without neighbours is not late at all.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let mut timers = self.timers.borrow_mut();
        // A virtual clock jumps to this moment, a real one may find that the timer was put off.
        let first = if self.is_virtual { timers.next() } else { timers.next_look() }?;
        if self.timer_slack.is_zero() {
            return Some(first);
        }
        let last = timers.last_until(first + self.timer_slack);
        // The first may have come due since the clock was looked at.
        if last > first && first <= self.now() { Some(first) } else { Some(last) }
    }

    fn spin_then_sleep(&self, buffers: &mut Buffers, limit: Option<Duration>) -> io::Result<()> {
        let pace = &self.pace;
        let started = self.now();
        if limit.is_some() && pace.unspun.get() > 0 {
            pace.unspun.set(pace.unspun.get() - 1);
            self.sleep(buffers)?;
            // A sleep that a spin would have bridged says that spinning pays again.
            if limit.is_some_and(|limit| self.seen.get() - started < limit) {
                pace.misses.set(0);
                pace.unspun.set(0);
            }
            return Ok(());
        }
        loop {
            self.ask_driver(&mut buffers.done, Park::No)?;
            let mut timers = self.timers.borrow_mut();
            let due = timers.next_look().is_some_and(|next| next <= self.seen.get());
            drop(timers);
            if due || self.is_busy() || self.has_mail() {
                pace.misses.set(0);
                return Ok(());
            }
            if limit.is_some_and(|limit| self.seen.get() - started >= limit) {
                let misses = (pace.misses.get() * 2 + 1).min(MAX_UNSPUN);
                pace.misses.set(misses);
                pace.unspun.set(misses);
                self.tally.drop_sample();
                return self.sleep(buffers);
            }
            self.tally.drop_sample();
            std::hint::spin_loop();
        }
    }

    /// Asks the driver for completions and queues one entry for all of them: they would stand side by side.
    fn ask_driver(&self, done: &mut Vec<Completion>, park: Park) -> io::Result<()> {
        let mut driver = self.driver.borrow_mut();
        if self.tally.is_sampled() {
            self.tally.end_sample(driver.now());
        }
        let asked = driver.turn(park, done);
        let now = driver.now();
        drop(driver);
        self.tally.begin_sample(now);
        self.seen.set(now);
        self.home.note_time(now);
        self.pace.polled.set(now);
        self.pace.looked.set(now);
        self.pace.turns.set(0);
        self.pace.entries.set(done.len() as u32);
        if !done.is_empty() {
            let mut completions = self.completions.borrow_mut();
            if completions.is_empty() {
                std::mem::swap(&mut *completions, done);
            } else {
                completions.append(done);
            }
            self.home.push(Entry::completions());
        }
        asked
    }

    fn fire_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        let quiet = timers.earliest().is_none()
            && self.pollers.borrow().is_empty()
            && self.flushes.borrow().is_empty();
        self.quiet.set(quiet);
        if self.tally.is_sampled()
            && timers.earliest().is_some_and(|earliest| earliest <= self.seen.get())
            && let Some(next) = timers.next().filter(|next| *next <= self.seen.get())
        {
            self.tally.sample_lateness(self.seen.get() - next);
        }
        while let Some(slot) = timers.pop_due(self.seen.get()) {
            self.home.push(Entry::timer(slot));
        }
    }

    /// Does what a due timer is for.
    fn fire(&self, slot: u32) {
        // Before anything is called: the next timer may get the slot.
        let call = self.alarms.take(slot);
        let waker = self.timers.borrow_mut().fire(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
        if let Some(call) = call {
            call();
        }
    }

    fn run_ready(&self, batch: &mut Vec<Entry>) {
        if !batch.is_empty() {
            self.rescue(batch);
        }
        self.home.swap_ready(batch);
        // The next entry that is measured, if it is a step.
        let measured = match self.tally.care() {
            Care::None => usize::MAX,
            Care::Sampled => 0,
            Care::Divided => return self.run_divided(batch),
        };
        let is_only_completions = *batch == [Entry::completions()];
        self.run_batch(batch, measured);
        if is_only_completions && self.goes_on_at_once() {
            self.home.pulse().begin_turn();
            self.home.swap_ready(batch);
            self.run_batch(batch, measured);
        }
    }

    /// Whether the next turn, after one in which completions were all there was, needs none of its first phases and
    /// this one no flush: a request to an idle server costs the price of one turn then. The driver was asked just now,
    /// and what comes due or from elsewhere stands behind the tasks that are ready anyway.
    fn goes_on_at_once(&self) -> bool {
        self.home.has_ready() && self.flushes.borrow().is_empty()
    }

    /// Runs what is of no scheduling group, and then the group whose turn it is.
    #[cold]
    fn run_divided(&self, batch: &mut Vec<Entry>) {
        self.deal_out(batch);
        self.begun.set(0);
        self.run_batch(batch, usize::MAX);
        self.run_group();
    }

    // A call of its own would cost every turn a dozen instructions.
    #[inline(always)]
    fn run_batch(&self, batch: &mut Vec<Entry>, mut measured: usize) {
        self.count_entries(batch.len());
        for (index, entry) in batch.iter().enumerate() {
            if self.is_halted() {
                self.put_back(batch, index);
                break;
            }
            self.begun.set(index + 1);
            match entry.unpack() {
                Ok(slot) if index >= measured => {
                    measured = index + Tally::stride(batch.len());
                    self.step_measured(slot);
                }
                Ok(slot) => self.home.step(slot),
                Err(Ready::Completions) => {
                    if !self.deliver_all() {
                        self.put_back(batch, index);
                        break;
                    }
                    count(&self.tally.deliveries, 1);
                }
                Err(Ready::Timer(slot)) => {
                    self.run_callback(&self.tally.timers, || self.fire(slot));
                }
                Err(Ready::Backlog) => {}
                Err(Ready::Callback(_)) => self.run_callback(&self.tally.callbacks, || {
                    let call = self.home.take_call();
                    if let Some(call) = call {
                        call.run();
                    }
                }),
            }
        }
        batch.clear();
        cancel::enter(Scope::NONE);
    }

    #[inline]
    pub(super) fn count_entries(&self, more: usize) {
        self.pace.entries.set(self.pace.entries.get().saturating_add(more as u32));
        count(&self.tally.entries, more as u64);
    }

    #[cold]
    pub(super) fn step_measured(&self, slot: u32) {
        let begun = self.now();
        self.home.step(slot);
        self.tally.sample_step(self.now() - begun);
    }

    /// Something unwound out of the last batch, which is a bug of ours. What it had not begun is ready again: a
    /// task that is marked as queued and is in no queue would never run.
    #[cold]
    fn rescue(&self, batch: &mut Vec<Entry>) {
        for entry in batch.drain(..).skip(self.begun.get()) {
            self.home.push(entry);
        }
    }

    /// What of the batch was not begun is ready again, before what was woken meanwhile.
    #[cold]
    fn put_back(&self, batch: &mut Vec<Entry>, begun: usize) {
        let left = (batch.len() - begun) as u64;
        self.tally.entries.set(self.tally.entries.get().saturating_sub(left));
        let mut newer = Vec::new();
        self.home.swap_ready(&mut newer);
        for entry in batch.drain(..).skip(begun).chain(newer) {
            self.home.push(entry);
        }
    }

    /// Runs what is no task: outside of all frames, and in no task's context.
    pub(super) fn run_callback(&self, counter: &Cell<u64>, callback: impl FnOnce()) {
        count(counter, 1);
        cancel::enter(Scope::NONE);
        self.home.guarded(callback);
        self.home.forget_locals();
    }

    /// Hands each completion to its owner, as an entry by itself would: what one wakes or drops cannot keep
    /// the next from its owner. False if the loop was halted before the last.
    fn deliver_all(&self) -> bool {
        let mut completions = self.completions.take();
        self.is_delivering.set(true);
        let mut left = completions.drain(..);
        let mut halted = false;
        while !halted && left.len() > 0 {
            cancel::enter(Scope::NONE);
            self.home.guarded(|| {
                while !halted && let Some(completion) = left.next() {
                    count(&self.tally.completions, 1);
                    self.deliver(completion);
                    halted = left.len() > 0 && self.is_halted();
                }
            });
        }
        self.is_delivering.set(false);
        self.home.forget_locals();
        if halted {
            let left: Vec<_> = left.collect();
            self.completions.borrow_mut().splice(..0, left);
            return false;
        }
        drop(left);
        // Its memory is good for the next turn's.
        let mut newer = self.completions.borrow_mut();
        if newer.is_empty() {
            *newer = completions;
        }
        true
    }

    /// Whether the driver may have handed up something of this op that its owner was not told of yet. While
    /// completions are delivered nobody knows of which.
    pub(crate) fn may_have_come(&self, id: OpId) -> bool {
        let waiting = self.completions.borrow();
        self.is_delivering.get() || waiting.iter().any(|completion| completion.id == id)
    }

    pub(super) fn is_halted(&self) -> bool {
        HALT.load(Ordering::Relaxed) && self.heeds_halt.get()
    }

    fn flush(&self, flushes: &mut Vec<Rc<dyn Flush>>) {
        std::mem::swap(&mut *self.flushes.borrow_mut(), flushes);
        let mut left = flushes.drain(..);
        while left.len() > 0 {
            self.home.guarded(|| left.by_ref().for_each(|flush| flush.flush()));
        }
    }
}
