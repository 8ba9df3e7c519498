//! **Unsafe room**: what a loop is doing at this moment, for another thread to look at.
//!
//! The loop's thread writes, with plain stores; anybody reads. The task that makes a step and the place where it
//! was created are two words, so a reader could see them from two different steps. It cannot be fooled, though:
//!
//! ```text
//!  loop                                    reader
//!   step A: place = a, task = A
//!   end:    task = 0                        task: A
//!   step B: place = b, task = B             place: b   acquires all before, so also task = 0
//!                                           task: no longer A, so it looks again
//! ```
//!
//! What was written before a store is seen by whoever sees the store (release, acquire), and no task makes two
//! steps in one turn. So if turn and number are the same before and after, the place is that task's.
#![allow(unsafe_code)] // A reference that went through an atomic pointer is a pointer when it comes out.

use std::collections::BTreeMap;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

use super::id::TaskId;
use crate::util::atomic::{AtomicBool, AtomicPtr, AtomicU64, Mutex, Ordering};

#[cfg(test)]
mod tests;

/// No task's number: the loop waits, or nobody turns it.
const RESTING: u64 = u64::MAX;
/// No task's number: the loop does something that is no task's step.
const NO_TASK: u64 = 0;

/// What a loop is doing. Written by its thread alone.
pub(crate) struct Pulse {
    turns: AtomicU64,
    task: AtomicU64,
    place: AtomicPtr<Location<'static>>,
    /// Somebody looks, so that names are to be written down.
    is_watched: AtomicBool,
    /// Somebody has left off looking, and is to be told when the loop goes on from its rest.
    is_awaited: AtomicBool,
    alarm: Mutex<Option<Alarm>>,
    /// The given names of unfinished tasks, while somebody looks.
    names: Mutex<BTreeMap<u64, Box<str>>>,
}

/// Tells somebody that a loop goes on.
pub(crate) type Alarm = Box<dyn FnOnce() + Send>;

/// What a loop was doing when somebody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It waits for something to do, or nobody turns it.
    Resting,
    /// Its own work, or a callback.
    Other,
    /// The step of a task.
    Step(TaskId, &'static Location<'static>),
}

/// A look at a [`Pulse`]. Two that are the same say that the loop has not come further in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) turn_count: u64,
    pub(crate) doing: Doing,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            turns: AtomicU64::new(0),
            task: AtomicU64::new(RESTING),
            place: AtomicPtr::new(ptr::null_mut()),
            is_watched: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            alarm: Mutex::new(None),
            names: Mutex::new(BTreeMap::new()),
        }
    }

    /// A turn begins.
    #[inline]
    pub(crate) fn begin_turn(&self) {
        // One thread writes, so this needs no read-modify-write.
        self.turns.store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Turns that have begun.
    pub(crate) fn turn_count(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The step of a task begins.
    #[inline]
    pub(super) fn begin_step(&self, id: TaskId, place: &'static Location<'static>) {
        // Release: its partner is the acquiring load in `look`, which then does not see an older number.
        self.place.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
        self.task.store(id.0, Ordering::Release);
    }

    /// The step has ended.
    #[inline]
    pub(crate) fn end_step(&self) {
        self.task.store(NO_TASK, Ordering::Release);
    }

    /// The loop goes on after a rest.
    #[inline]
    pub(crate) fn go_on(&self) {
        self.end_step();
        if self.is_awaited.load(Ordering::Relaxed) {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        let mut alarm = self.alarm.lock();
        self.is_awaited.store(false, Ordering::Relaxed);
        let told = alarm.take();
        drop(alarm);
        if let Some(tell) = told {
            tell();
        }
    }

    /// Has `alarm` called by the loop's thread when it next goes on from a rest. It must not block. A loop that goes
    /// on at this very moment may miss it; whoever looks once more a while later sees that it did.
    pub(crate) fn await_going_on(&self, alarm: Alarm) {
        let mut awaited = self.alarm.lock();
        let replaced = awaited.replace(alarm);
        // Nothing travels by it: the lock guards the alarm. To order the loop's own store before its load of this
        // would take a fence in each of its sleeps, hence the second look.
        self.is_awaited.store(true, Ordering::Relaxed);
        drop(awaited);
        drop(replaced);
    }

    /// Whether the loop has still to go on since then.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_awaited.load(Ordering::Relaxed)
    }

    /// The loop is about to wait, or to be left alone.
    pub(crate) fn rest(&self) {
        self.task.store(RESTING, Ordering::Release);
    }

    /// The number and the place of the task that makes a step. For the loop's own thread.
    pub(super) fn stepped(&self) -> Option<(TaskId, &'static Location<'static>)> {
        match self.task.load(Ordering::Relaxed) {
            NO_TASK | RESTING => None,
            id => Some((TaskId(id), self.place()?)),
        }
    }

    /// What the loop is doing, from any thread. `None` if it went on while we looked.
    pub(crate) fn look(&self) -> Option<Beat> {
        // Each load acquires, so that none of them sees less than the one before it.
        let turn_count = self.turns.load(Ordering::Acquire);
        let task = self.task.load(Ordering::Acquire);
        let doing = match task {
            NO_TASK => Doing::Other,
            RESTING => Doing::Resting,
            id => Doing::Step(TaskId(id), self.place()?),
        };
        let is_same = self.task.load(Ordering::Acquire) == task
            && self.turns.load(Ordering::Relaxed) == turn_count;
        is_same.then_some(Beat { turn_count, doing })
    }

    fn place(&self) -> Option<&'static Location<'static>> {
        let place = self.place.load(Ordering::Acquire);
        // SAFETY: the pointer is null, or `begin_step` made it of a reference that is valid for ever and that
        // nobody writes through.
        unsafe { place.as_ref() }
    }

    /// Has names written down from now on.
    pub(crate) fn watch(&self) {
        self.is_watched.store(true, Ordering::Relaxed);
    }

    /// The name of a task: the given one if somebody watched when it was given.
    pub(crate) fn name_of(&self, id: TaskId) -> String {
        match self.names.lock().get(&id.0) {
            Some(name) => name.to_string(),
            None => format!("Task-{id}"),
        }
    }
}

/// Keeps the name of one task written down, if somebody watches, for as long as the task has it.
pub(super) struct Listing {
    pulse: Arc<Pulse>,
    id: TaskId,
}

impl Listing {
    pub(super) fn new(pulse: &Arc<Pulse>, id: TaskId, name: &str) -> Option<Self> {
        if !pulse.is_watched.load(Ordering::Relaxed) {
            return None;
        }
        pulse.names.lock().insert(id.0, name.into());
        Some(Self { pulse: Arc::clone(pulse), id })
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.pulse.names.lock().remove(&self.id.0);
    }
}
