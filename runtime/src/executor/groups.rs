//! How a loop divides its time between scheduling groups.
//!
//! ```text
//!  what is ready ──deal──▶ timers, completions        run first, all of them
//!                     └──▶ a backlog for each group ──▶ the group with the least virtual time runs, until its
//!                                                       backlog is empty or its slice of the turn is over
//! ```
//!
//! A group's virtual time is the time that it ran, divided by its shares. One that had nothing ready goes on
//! from where the others are: what it has not used is gone. One group runs in a turn, so that what its steps made
//! ready takes part in the next choice; and the clock is looked at once for a batch of steps, unless they are
//! long.
//!
//! A loop that has met no group but the default never comes here.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::core::LoopCore;
use super::scheduling::SchedulingGroup;
use crate::error::{Error, Result};
use crate::stats::GroupStats;
use crate::task::{Backlog, Call, Entry, GroupNumber, MAX_GROUPS, Work};
use crate::util::cancel::{self, Scope};
use crate::util::instant::Instant;

/// How long a group runs in one turn, so long as its steps are short: what another group has to wait at the most
/// when it becomes ready, and what I/O has to.
const SLICE: Duration = Duration::from_micros(100);
/// The most steps between two looks at the clock. As many long ones may pass before it is noticed that they are.
const MAX_STRIDE: u32 = 8;
/// Steps of a sampled turn that are measured one by one.
const MEASURED_STEPS: u32 = 16;
/// What a step counts where time stands still while it is made: on a virtual clock.
const NOMINAL_STEP: Duration = Duration::from_micros(1);

/// The groups that a loop has met, by number. Empty while it has met none but the default.
#[derive(Default)]
pub(super) struct Groups {
    known: RefCell<Vec<Group>>,
    /// The virtual time that the group had which ran last: no group that has something ready has less.
    floor: Cell<u128>,
    /// In the last turn no group ran.
    is_put_off: Cell<bool>,
}

struct Group {
    scheduling: SchedulingGroup,
    backlog: Backlog,
    virtual_time: u128,
    /// How long its last steps took.
    pace: Duration,
    /// What it has done; what is known elsewhere is filled in when somebody asks.
    stats: GroupStats,
}

impl Group {
    fn new(scheduling: SchedulingGroup) -> Self {
        let stats = GroupStats {
            name: scheduling.name().to_owned(),
            shares: scheduling.shares(),
            ..GroupStats::default()
        };
        Self { scheduling, backlog: Backlog::default(), virtual_time: 0, pace: SLICE, stats }
    }

    /// Adds what it has used.
    fn charge(&mut self, used: Duration) {
        // The reciprocal, so that nothing is divided that is wider than a word.
        let weight = (1_u64 << 32) / u64::from(self.stats.shares);
        self.virtual_time += used.as_nanos() * u128::from(weight);
        self.stats.run_time += used;
        self.stats.turn_count += 1;
    }
}

impl Groups {
    /// The number of a group, which the loop may meet for the first time.
    ///
    /// # Errors
    /// Value, if it has as many as it may.
    fn meet(&self, scheduling: &SchedulingGroup) -> Result<GroupNumber> {
        if scheduling.is_default() {
            return Ok(0);
        }
        let known = &mut *self.known.borrow_mut();
        if known.is_empty() {
            known.push(Group::new(SchedulingGroup::default()));
        }
        if let Some(number) = known.iter().position(|group| group.scheduling == *scheduling) {
            return Ok(number as GroupNumber);
        }
        if known.len() >= MAX_GROUPS {
            return Err(Error::value(
                "a loop has seven scheduling groups besides the default at most",
            ));
        }
        known.push(Group::new(scheduling.clone()));
        Ok(known.len() as GroupNumber - 1)
    }

    /// The group whose turn it is: of those with something ready the one with the least virtual time.
    fn choose(&self) -> Option<GroupNumber> {
        let known = self.known.borrow();
        let ready = known.iter().enumerate().filter(|(_, group)| !group.backlog.is_empty());
        let (number, next) = ready.min_by_key(|(_, group)| group.virtual_time)?;
        self.floor.set(next.virtual_time);
        Some(number as GroupNumber)
    }

    fn pop(&self, number: GroupNumber) -> Option<Work> {
        self.known.borrow_mut()[usize::from(number)].backlog.pop()
    }

    /// Whether the choice is to be put off to the next turn, where it can be between all; not twice in a row.
    fn puts_off(&self, has_more: bool) -> bool {
        let puts_off = has_more && !self.is_put_off.get();
        self.is_put_off.set(puts_off);
        puts_off
    }

    fn has_backlog(&self) -> bool {
        self.known.borrow().iter().any(|group| !group.backlog.is_empty())
    }

    fn with<R>(&self, number: GroupNumber, f: impl FnOnce(&mut Group) -> R) -> R {
        f(&mut self.known.borrow_mut()[usize::from(number)])
    }

    /// Takes the callbacks that will not run any more.
    pub(super) fn take_calls(&self) -> Vec<Call> {
        let known = &mut *self.known.borrow_mut();
        known.iter_mut().flat_map(|group| group.backlog.take_calls()).collect()
    }
}

impl LoopCore {
    /// The number that a group has on this loop.
    ///
    /// # Errors
    /// Value, if the loop has as many as it may.
    pub(super) fn number_of(&self, group: &SchedulingGroup) -> Result<GroupNumber> {
        let number = self.groups.meet(group)?;
        if number != 0 {
            self.tally.divide();
        }
        Ok(number)
    }

    /// The group of what is being run.
    pub(super) fn running_group(&self) -> SchedulingGroup {
        match self.home.running_group() {
            0 => SchedulingGroup::default(),
            number => self.groups.with(number, |group| group.scheduling.clone()),
        }
    }

    /// What each group has done.
    pub(super) fn group_stats(&self) -> Vec<GroupStats> {
        let known = self.groups.known.borrow();
        let stats = known.iter().enumerate().map(|(number, group)| GroupStats {
            task_count: self.home.joined_count(number as GroupNumber),
            ready_count: group.backlog.len() as u64,
            ..group.stats.clone()
        });
        stats.collect()
    }

    /// Deals out what is ready to the groups; what is of none is left.
    pub(super) fn deal_out(&self, batch: &mut Vec<Entry>) {
        let floor = self.groups.floor.get();
        let known = &mut *self.groups.known.borrow_mut();
        self.home.deal(batch, |number, entry, call| {
            let group = &mut known[usize::from(number)];
            if group.backlog.is_empty() {
                group.virtual_time = group.virtual_time.max(floor);
            }
            group.backlog.push(entry, call);
        });
    }

    /// Runs the group whose turn it is, for its slice of the time. If timers and I/O have made tasks ready the
    /// choice waits for these.
    pub(super) fn run_group(&self) {
        if self.groups.puts_off(self.home.has_ready()) {
            return self.keep_awake();
        }
        let Some(number) = self.groups.choose() else { return };
        let mut slice = Slice::begin(self, number);
        self.home.run_as(number, || {
            while !self.is_halted() && !slice.is_over() {
                let Some(work) = self.groups.pop(number) else { break };
                slice.count(&work);
                self.run_work(work, slice.steps <= MEASURED_STEPS);
            }
        });
        drop(slice);
        cancel::enter(Scope::NONE);
    }

    /// With a backlog left the loop must not sleep.
    fn keep_awake(&self) {
        if self.groups.has_backlog() {
            self.home.push(Entry::backlog());
        }
    }

    fn run_work(&self, work: Work, may_measure: bool) {
        // Each has a number of its own in this turn, after those of the batch.
        self.begun.set(self.begun.get() + 1);
        match work {
            Work::Step(slot) if may_measure && self.tally.is_sampled() => self.step_measured(slot),
            Work::Step(slot) => self.home.step(slot),
            Work::Call(call) => self.run_callback(&self.tally.callbacks, || call.run()),
        }
    }
}

/// How many steps fit into the time that is left, at this pace; not too many, as the pace may change.
fn stride_of(pace: Duration, left: Duration) -> u32 {
    let fitting = left.as_nanos() / pace.as_nanos().max(1);
    fitting.clamp(1, MAX_STRIDE.into()) as u32
}

/// A group's part of one turn. It is charged for it also if something unwinds out of it.
struct Slice<'a> {
    core: &'a LoopCore,
    number: GroupNumber,
    begun: Instant,
    looked: Instant,
    /// How long a step takes, and after how many the clock is looked at.
    pace: Duration,
    stride: u32,
    /// Steps and callbacks, of which so many were callbacks.
    steps: u32,
    calls: u32,
    /// Steps that were counted at the last look at the clock.
    seen: u32,
}

impl<'a> Slice<'a> {
    fn begin(core: &'a LoopCore, number: GroupNumber) -> Self {
        let pace = core.groups.with(number, |group| group.pace);
        let begun = core.now();
        let stride = stride_of(pace, SLICE);
        Self { core, number, begun, looked: begun, pace, stride, steps: 0, calls: 0, seen: 0 }
    }

    fn count(&mut self, work: &Work) {
        self.steps += 1;
        self.calls += u32::from(matches!(work, Work::Call(_)));
    }

    /// Whether the group has had its time.
    fn is_over(&mut self) -> bool {
        if self.steps - self.seen < self.stride {
            return false;
        }
        let now = self.core.now();
        self.pace = (now - self.looked + self.nominal(self.stride)) / self.stride;
        self.looked = now;
        self.seen = self.steps;
        let used = now - self.begun + self.nominal(self.steps);
        let left = SLICE.saturating_sub(used);
        self.stride = stride_of(self.pace, left);
        left.is_zero()
    }

    /// What so many steps took beyond what the clock says.
    fn nominal(&self, steps: u32) -> Duration {
        if self.core.is_virtual { NOMINAL_STEP * steps } else { Duration::ZERO }
    }
}

impl Drop for Slice<'_> {
    fn drop(&mut self) {
        let core = self.core;
        let now = if self.seen == self.steps { self.looked } else { core.now() };
        let used = now - self.begun + self.nominal(self.steps);
        // Timers that came due meanwhile fire in the next turn.
        core.seen.set(now);
        core.count_entries(self.steps as usize);
        core.groups.with(self.number, |group| {
            group.charge(used);
            group.pace = self.pace;
            group.stats.step_count += u64::from(self.steps - self.calls);
            group.stats.callback_count += u64::from(self.calls);
        });
        core.keep_awake();
    }
}
