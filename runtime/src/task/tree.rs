//! What a loop's tasks are doing, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::panic::Location;
use std::task::Waker;
use std::time::Duration;

use super::cell::Joiner;
use super::home::Home;
use super::id::{TaskId, WakeId};
use super::table::{Standing, TaskTable};
use super::waker;
use crate::util::cancel::{self, Links};
use crate::util::instant::Instant;
use crate::util::wait_kind::WaitKind;

#[cfg(test)]
mod tests;

/// What an unfinished task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// Its step is being made: it is the one that asks.
    Running,
    /// In the ready queue.
    Ready,
    /// Waiting to be woken.
    Waiting,
}

/// An unfinished task, as [`describe_tasks`](crate::describe_tasks) finds it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: TaskId,
    /// Its name: the given one, or `Task-N`.
    pub name: String,
    /// What it is doing.
    pub state: TaskState,
    /// Where it was created.
    pub location: &'static Location<'static>,
    /// How long ago it was created: not less than that, and more by a turn of the loop or, for an old task, by
    /// less than a tenth. No task carries a time for it.
    pub age: Duration,
    /// Cancel requests that were not taken back.
    pub cancelling: usize,
    /// The tasks that it awaits: by their handles, as members of its groups, or in what else waits for several
    /// ([`gather`](crate::gather), [`wait`](crate::wait), [`as_completed`](crate::as_completed),
    /// [`shield`](crate::shield)).
    pub awaits: Vec<TaskId>,
    /// What it waits for, as far as it is something of this crate: in its own body, and in each of the scopes that
    /// it is in. Empty unless it is [waiting](TaskState::Waiting).
    pub waits_for: Vec<WaitKind>,
    /// How long until the next timer that it waits for, if there is one: the time that a sleep has left.
    pub sleeps: Option<Duration>,
    /// How long until the next [`timeout`](crate::timeout) strikes that it is in, if there is one.
    pub times_out: Option<Duration>,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
        })
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, state, age, location, .. } = self;
        write!(f, "{name} {state}, {age:?} old, created at {location}")?;
        for kind in &self.waits_for {
            // A sleep says for how long.
            if *kind != WaitKind::Sleep || self.sleeps.is_none() {
                write!(f, ", waits for {kind}")?;
            }
        }
        if let Some(left) = self.sleeps {
            write!(f, ", sleeps for {left:?}")?;
        }
        if let Some(left) = self.times_out {
            write!(f, ", times out in {left:?}")?;
        }
        if self.cancelling > 0 { f.write_str(", cancelling") } else { Ok(()) }
    }
}

/// When tasks were created, by their numbers: now and then the clock and the last number are written down
/// together. When the list is full it is thinned, so that the past grows coarser with distance.
#[derive(Default)]
pub(super) struct Births(Vec<(u64, Instant)>);

const BIRTHS_KEPT: usize = 1024;

impl Births {
    pub(super) fn note(&mut self, last_id: u64, now: Instant) {
        match self.0.last_mut() {
            Some((id, seen)) if *id == last_id => *seen = now,
            _ => {
                if self.0.len() == BIRTHS_KEPT {
                    self.thin(now);
                }
                self.0.push((last_id, now));
            }
        }
    }

    /// Drops each entry whose neighbours lie so close together, for their age, that they can do without it.
    fn thin(&mut self, now: Instant) {
        let mut kept: Vec<(u64, Instant)> = Vec::with_capacity(BIRTHS_KEPT);
        for (index, entry) in self.0.iter().enumerate().rev() {
            let older = index.checked_sub(1).map(|older| self.0[older].1);
            let spared = kept
                .last()
                .zip(older)
                .is_some_and(|((_, later), older)| (*later - older) * 16 <= now - older);
            if !spared {
                kept.push(*entry);
            }
        }
        // Years would have to pass for this to happen; then the oldest go.
        kept.truncate(BIRTHS_KEPT - BIRTHS_KEPT / 8);
        kept.reverse();
        self.0 = kept;
    }

    /// A time at which the task of `id` was not there yet, soon before it was created.
    fn before(&self, id: TaskId) -> Instant {
        let index = self.0.partition_point(|(last, _)| *last < id.0);
        index.checked_sub(1).map_or(Instant::ZERO, |index| self.0[index].1)
    }
}

impl Home {
    /// Notes that all tasks up to the last one had been created by `now`.
    pub(crate) fn note_time(&self, now: Instant) {
        self.births.borrow_mut().note(self.last_id.get(), now);
    }

    /// All tasks that have not ended, oldest first (rule T46).
    pub(crate) fn describe<'a>(
        &self,
        now: Instant,
        timers: impl Iterator<Item = (Instant, &'a Waker)>,
    ) -> Vec<TaskInfo> {
        let mut tasks = self.tasks.borrow_mut();
        let table = &mut tasks.table;
        let slots: Vec<u32> = table.unfinished_slots().collect();
        let infos = slots.iter().filter_map(|slot| Some((*slot, self.info(table, *slot, now)?)));
        let mut infos: BTreeMap<_, _> = infos.collect();
        let by_id: BTreeMap<_, _> = infos.iter().map(|(slot, info)| (info.id, *slot)).collect();
        for (awaited, waiter) in edges(table, &slots, &by_id) {
            let Some(awaited) = infos.get(&awaited).map(|info| info.id) else { continue };
            if let Some(waiter) = infos.get_mut(&waiter) {
                waiter.awaits.push(awaited);
            }
        }
        for (deadline, waker) in timers {
            let Some((task, is_alarm)) = woken_by(waker) else { continue };
            if let Some(info) = infos.get_mut(&task.slot()).filter(|_| table.is_alive(task)) {
                let left = deadline.saturating_duration_since(now);
                let place = if is_alarm { &mut info.times_out } else { &mut info.sleeps };
                *place = Some(place.map_or(left, |known| known.min(left)));
            }
        }
        let mut infos: Vec<_> = infos.into_values().collect();
        infos.sort_unstable_by_key(|info| info.id);
        for info in &mut infos {
            info.awaits.sort_unstable();
            info.awaits.dedup();
        }
        infos
    }

    /// What is known of the task in `slot` by itself.
    fn info(&self, table: &mut TaskTable, slot: u32, now: Instant) -> Option<TaskInfo> {
        let cell = table.cell(slot).map(|cell| (cell.id(), cell.location(), cell.links()));
        // The cell of the task that is being stepped is not in the table.
        let stepped = self.running().filter(|running| running.slot == slot);
        let stepped = stepped.map(|task| (task.id, task.location, Links::default()));
        let (id, location, links) = cell.or(stepped)?;
        let state = match table.standing(slot) {
            Standing::Running => TaskState::Running,
            Standing::Queued => TaskState::Ready,
            Standing::Waiting | Standing::Done => TaskState::Waiting,
        };
        let rare = table.rare_if_any(slot);
        let name = rare.and_then(|rare| rare.name.as_deref());
        Some(TaskInfo {
            id,
            name: name.map_or_else(|| format!("Task-{id}"), str::to_owned),
            state,
            location,
            age: now - self.births.borrow().before(id),
            cancelling: rare.map_or(0, |rare| rare.cancelling),
            awaits: Vec::new(),
            waits_for: match state {
                TaskState::Waiting => links.waits().collect(),
                TaskState::Running | TaskState::Ready => Vec::new(),
            },
            sleeps: None,
            times_out: None,
        })
    }
}

/// The task that a timer's waker wakes, and whether by an alarm: because a deadline has struck.
fn woken_by(waker: &Waker) -> Option<(WakeId, bool)> {
    let id = waker::id_of(waker)?;
    if id.loop_id() != 0 {
        return Some((id, false));
    }
    cancel::tree::alarm_task(id.0).map(|task| (WakeId(task), true))
}

/// Slots of awaited tasks, each with the slot of one that awaits it.
fn edges(table: &mut TaskTable, slots: &[u32], by_id: &BTreeMap<TaskId, u32>) -> Vec<(u32, u32)> {
    let mut edges = Vec::new();
    for &slot in slots {
        let mut waiters: Vec<WakeId> =
            table.rare_if_any(slot).map(|rare| rare.joiners.tasks().collect()).unwrap_or_default();
        if let Some(Joiner::Task(id)) = table.cell(slot).map(|cell| cell.joiner()) {
            waiters.push(id);
        }
        // A number that is not its slot's present one names a task that is gone, or another loop's.
        let alive = waiters.into_iter().filter(|id| table.is_alive(*id));
        edges.extend(alive.map(|id| (slot, id.slot())));
        if let Some(rare) = table.rare_if_any(slot) {
            let behalf = rare.joiners.behalf().filter_map(|task| by_id.get(&task));
            edges.extend(behalf.map(|waiter| (slot, *waiter)));
        }
    }
    let observed = table.notices.behalf();
    edges.extend(observed.filter_map(|(slot, task)| Some((slot, *by_id.get(&task)?))));
    edges
}

/// The tasks as a tree: below each one those that it awaits.
pub(crate) fn draw(tasks: &[TaskInfo]) -> String {
    let by_id: BTreeMap<TaskId, &TaskInfo> = tasks.iter().map(|task| (task.id, task)).collect();
    let awaited: BTreeSet<TaskId> = tasks.iter().flat_map(|task| task.awaits.clone()).collect();
    let mut drawing = Drawing { by_id, drawn: BTreeSet::new(), text: String::new() };
    for task in tasks.iter().filter(|task| !awaited.contains(&task.id)) {
        drawing.draw(task.id);
    }
    // Tasks that wait for each other in a ring are below nobody.
    for task in tasks {
        if !drawing.drawn.contains(&task.id) {
            drawing.draw(task.id);
        }
    }
    drawing.text
}

struct Drawing<'a> {
    by_id: BTreeMap<TaskId, &'a TaskInfo>,
    drawn: BTreeSet<TaskId>,
    text: String,
}

impl Drawing<'_> {
    /// Draws a task and all below it. Not by calling itself: a chain of tasks may be long.
    fn draw(&mut self, root: TaskId) {
        let mut left = vec![(root, 0)];
        while let Some((id, depth)) = left.pop() {
            let Some(task) = self.by_id.get(&id) else { continue };
            let indent = "    ".repeat(depth);
            let again = !self.drawn.insert(id);
            // Writing to a string does not fail.
            let _ = if again {
                writeln!(self.text, "{indent}{} (see above)", task.name)
            } else {
                writeln!(self.text, "{indent}{task}")
            };
            if !again {
                left.extend(task.awaits.iter().rev().map(|awaited| (*awaited, depth + 1)));
            }
        }
    }
}
