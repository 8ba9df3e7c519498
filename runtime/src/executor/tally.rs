//! What a loop counts and measures of itself. Its own thread writes and reads, so these are plain cells.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::context;
use super::core::LoopCore;
use crate::driver::{Op, Outcome};
use crate::error::Result;
use crate::stats::{Durations, LoopStats};
use crate::util::instant::Instant;

/// While turns are rarer than this, each is measured; else one in so much time.
const SAMPLE_EVERY: Duration = Duration::from_millis(1);
/// No more steps of a turn than twice this are measured, wherever they stand in it: two looks at the clock cost
/// more than a short step does.
const STEPS_PER_TURN: usize = 16;

/// The clock is looked at between this look at the driver and the next.
const SAMPLED: u8 = 1;
/// The loop has scheduling groups besides the default.
const DIVIDED: u8 = 1 << 1;

/// How a batch is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// As fast as may be.
    None,
    /// With some steps measured.
    Sampled,
    /// Dealt out to scheduling groups.
    Divided,
}

/// Counters of one loop.
#[derive(Default)]
pub(super) struct Tally {
    /// Entries of the ready queue that were begun: steps, and what the next three count.
    pub(super) entries: Cell<u64>,
    pub(super) timers: Cell<u64>,
    pub(super) callbacks: Cell<u64>,
    /// Entries that stood for completions, and how many those were.
    pub(super) deliveries: Cell<u64>,
    pub(super) completions: Cell<u64>,
    pub(super) foreign_wakes: Cell<u64>,
    pub(super) foreign_calls: Cell<u64>,
    pub(super) driver_looks: Cell<u64>,
    pub(super) sleeps: Cell<u64>,
    pub(super) received_bytes: Cell<u64>,
    pub(super) sent_bytes: Cell<u64>,
    /// What has to be known before a batch is run, in one byte: usually nothing.
    marks: Cell<u8>,
    sampled_at: Cell<Instant>,
    samples: RefCell<Samples>,
}

#[derive(Default)]
struct Samples {
    turns: Durations,
    steps: Durations,
    lateness: Durations,
}

/// One more, or so many.
#[inline]
pub(super) fn count(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get().wrapping_add(more));
}

impl Tally {
    #[inline]
    pub(super) fn is_sampled(&self) -> bool {
        self.marks.get() & SAMPLED != 0
    }

    /// How the next batch is to be run.
    #[inline]
    pub(super) fn care(&self) -> Care {
        match self.marks.get() {
            0 => Care::None,
            SAMPLED => Care::Sampled,
            _ => Care::Divided,
        }
    }

    /// From now on batches are dealt out to scheduling groups.
    pub(super) fn divide(&self) {
        self.marks.set(self.marks.get() | DIVIDED);
    }

    /// The driver has answered: perhaps what comes now is measured.
    pub(super) fn begin_sample(&self, now: Instant) {
        count(&self.driver_looks, 1);
        if now - self.sampled_at.get() >= SAMPLE_EVERY {
            self.sampled_at.set(now);
            self.marks.set(self.marks.get() | SAMPLED);
        }
    }

    /// What was measured ends, as the driver is about to be asked again.
    #[cold]
    pub(super) fn end_sample(&self, now: Instant) {
        self.marks.set(self.marks.get() & !SAMPLED);
        self.samples.borrow_mut().turns.record(now - self.sampled_at.get());
    }

    /// The driver had nothing, and a loop that spins asks it again: no work to be measured.
    pub(super) fn drop_sample(&self) {
        if self.is_sampled() {
            self.marks.set(self.marks.get() & !SAMPLED);
            self.sampled_at.set(Instant::ZERO);
        }
    }

    #[cold]
    pub(super) fn sample_lateness(&self, late: Duration) {
        self.samples.borrow_mut().lateness.record(late);
    }

    pub(super) fn sample_step(&self, length: Duration) {
        self.samples.borrow_mut().steps.record(length);
    }

    /// Every how many-th entry is measured of a batch of so many.
    pub(super) fn stride(entry_count: usize) -> usize {
        entry_count / STEPS_PER_TURN + 1
    }

    /// What is about to be sent.
    pub(super) fn count_op(&self, op: &Op) {
        match op {
            Op::Write { data, .. } => count(&self.sent_bytes, data.len() as u64),
            Op::SendTo { datagram, .. } => count(&self.sent_bytes, datagram.bytes.len() as u64),
            _ => {}
        }
    }

    /// What was received.
    pub(super) fn count_outcome(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Read(buf) | Outcome::Filled(buf) => {
                count(&self.received_bytes, buf.len() as u64);
            }
            Outcome::Datagrams(datagrams) => {
                let bytes = datagrams.iter().flatten().map(|datagram| datagram.bytes.len() as u64);
                count(&self.received_bytes, bytes.sum());
            }
            _ => {}
        }
    }
}

impl LoopCore {
    /// What this loop has done so far.
    pub(crate) fn stats(&self) -> LoopStats {
        let tally = &self.tally;
        let [entries, timers, callbacks, deliveries] =
            [&tally.entries, &tally.timers, &tally.callbacks, &tally.deliveries].map(Cell::get);
        let samples = tally.samples.borrow();
        LoopStats {
            turn_count: self.home.pulse().turn_count(),
            step_count: entries.saturating_sub(timers + callbacks + deliveries),
            task_count: self.home.created_count(),
            unfinished_task_count: self.home.unfinished_count() as u64,
            timer_count: timers,
            callback_count: callbacks,
            completion_count: tally.completions.get(),
            foreign_wake_count: tally.foreign_wakes.get(),
            foreign_call_count: tally.foreign_calls.get(),
            driver_count: tally.driver_looks.get(),
            sleep_count: tally.sleeps.get(),
            received_bytes: tally.received_bytes.get(),
            sent_bytes: tally.sent_bytes.get(),
            turns: samples.turns.clone(),
            steps: samples.steps.clone(),
            lateness: samples.lateness.clone(),
            groups: self.group_stats(),
        }
    }
}

/// What the current loop has done since it began.
///
/// # Errors
/// Runtime, off a loop.
pub fn loop_stats() -> Result<LoopStats> {
    context::with(|core| core.stats())
}
