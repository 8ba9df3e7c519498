//! The load loop: one per pinned thread.
//!
//! ```text
//!        ┌───────────────────────── turn ─────────────────────────┐
//! notice │ what is due now joins the backlog                      │
//! assign │ backlog → connections with a free place, in turn       │
//! flush  │ one write for each connection that got some; stamp     │
//! wait   │ until the next request is due, or something arrives    │
//! read   │ replies → latencies; windows have places again         │
//!        └────────────────────────────────────────────────────────┘
//! ```
//!
//! Three times are kept of a request, never one: when it was *intended*, when it was *sent*, when
//! it was *done*. What lies between the first two is the server's fault while every window was full
//! (`client_queue`), else the generator's own (`generator_lag`). After a stall the backlog leaves at
//! once, as real users would.
//!
//! The loop sees time and sockets through a [`World`], so that its arithmetic is tested on a
//! simulated one.

mod load;
mod losses;
mod outcome;
mod times;

pub(crate) use load::{Load, Work};
pub(crate) use losses::Losses;
pub(crate) use outcome::{Censored, ThreadOutcome};
pub(crate) use times::{Pacing, Times};

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::connection::{Connection, Flight};
use crate::hops::Hops;
use crate::protocol::{Note, Protocol};
use crate::record::{Metric, Recorder};
use outcome::{Landing, record_lateness};

/// Time and readiness, real or simulated.
pub(crate) trait World {
    /// A connection's byte stream; it never blocks.
    type Stream: Read + Write;

    /// Nanoseconds on the monotonic clock.
    fn now_ns(&mut self) -> u64;

    /// Waits until a stream is ready or `limit_ns` has passed, and appends the numbers of the
    /// streams that became readable or writable since the last call.
    fn wait(&mut self, limit_ns: u64, ready: &mut Vec<usize>);

    /// Begins to open another stream under a number whose last one is closed. It becomes writable when it is
    /// there; whatever prevents that, its first read or write tells.
    fn connect(&mut self, number: usize) -> std::io::Result<Self::Stream>;
}

/// Hybrid pacing wakes this long before a request is due, and spins for this long after a reply.
const SPIN_NS: u64 = 60_000;

struct Slot<S> {
    connection: Connection<S>,
    alive: bool,
    listed: bool,
    dirty: bool,
}

/// The state of the loop.
pub(crate) struct Generator<W: World> {
    world: W,
    slots: Vec<Slot<W::Stream>>,
    free: VecDeque<usize>,
    dirty: Vec<usize>,
    work: Work,
    protocol: Box<dyn Protocol>,
    recorder: Recorder,
    times: Times,
    timeout_ns: u64,
    pacing: Pacing,
    measure_from: Arc<AtomicU64>,
    /// The measurement has begun, or when it will is known.
    is_decided: bool,
    /// So many requests end the run, and all of them are due.
    is_exhausted: bool,
    /// Connections that have begun.
    joined: usize,
    /// Connections of a closed loop whose users think, and until when.
    thinking: VecDeque<(u64, usize)>,
    stop: Arc<AtomicBool>,
    outcome: ThreadOutcome,
    alive: usize,
    /// Whether connections end and are opened anew.
    reconnects: bool,
    /// A connection that could not be opened has room for the next request, which is not to wait for its time.
    has_freed: bool,
    in_flight: usize,
    active_ns: u64,
    last_sent_ns: u64,
}

impl<W: World> Generator<W> {
    /// A loop that has sent nothing yet.
    pub(crate) fn new(load: Load<W>) -> Self {
        let depth = load.depth;
        let slots: Vec<_> = load
            .streams
            .into_iter()
            .enumerate()
            .map(|(number, stream)| Slot {
                connection: Connection::new(stream, depth, load.requests_each)
                    .read_by(load.shards.get(number).copied()),
                alive: true,
                listed: true,
                dirty: false,
            })
            .collect();
        let hops = load.protocol.is_sampling().then(|| Box::new(Hops::new()));
        Generator {
            world: load.world,
            free: VecDeque::with_capacity(slots.len()),
            dirty: Vec::with_capacity(slots.len()),
            alive: slots.len(),
            slots,
            work: load.work,
            protocol: load.protocol,
            recorder: load.recorder,
            times: load.times,
            timeout_ns: load.timeout_ns,
            pacing: load.pacing,
            measure_from: load.measure_from,
            is_decided: false,
            is_exhausted: false,
            joined: 0,
            thinking: VecDeque::new(),
            stop: load.stop,
            reconnects: load.requests_each.is_some(),
            has_freed: false,
            outcome: ThreadOutcome { hops, ..ThreadOutcome::default() },
            in_flight: 0,
            active_ns: 0,
            last_sent_ns: 0,
        }
    }

    /// Runs to the end of the drain and reports.
    pub(crate) fn run(mut self) -> ThreadOutcome {
        let mut ready = Vec::with_capacity(self.slots.len());
        let mut now_ns = self.world.now_ns();
        while !self.finished(now_ns) {
            self.decide(now_ns);
            self.admit(now_ns);
            self.assign(now_ns);
            self.flush();
            self.recorder.roll(now_ns);
            let limit_ns = self.wait_limit(now_ns);
            self.world.wait(limit_ns, &mut ready);
            for number in ready.drain(..) {
                self.read(number);
            }
            let before_ns = std::mem::replace(&mut now_ns, self.world.now_ns());
            let busy_ns = now_ns.saturating_sub(before_ns).saturating_sub(limit_ns);
            if before_ns >= self.times.measure_ns {
                self.outcome.loop_gap_max_ns = self.outcome.loop_gap_max_ns.max(busy_ns);
            }
        }
        self.close(now_ns)
    }

    fn finished(&self, now_ns: u64) -> bool {
        let all_sent = match &self.work {
            Work::Open(backlog) => backlog.waiting() == 0 && backlog.next_due_ns().is_none(),
            Work::Closed { .. } => true,
        };
        self.alive == 0
            || now_ns >= self.times.drain_end_ns
            || (now_ns >= self.times.end_ns && all_sent && self.in_flight == 0)
            || self.stop.load(Ordering::Relaxed)
    }

    /// Learns when the measurement begins, and notices when a counted run has all its requests.
    fn decide(&mut self, now_ns: u64) {
        if !self.is_decided {
            let told_ns = self.measure_from.load(Ordering::Acquire);
            if told_ns == 0 && now_ns < self.times.measure_ns {
                return;
            }
            let measure_ns = if told_ns == 0 { self.times.measure_ns } else { told_ns };
            self.times = self.times.measured_from(measure_ns);
            if let Work::Open(backlog) = &mut self.work {
                backlog.measure(measure_ns, self.times.end_ns);
            }
            self.is_decided = true;
        }
        let is_exhausted = match &self.work {
            Work::Open(backlog) => backlog.is_counted() && backlog.next_due_ns().is_none(),
            Work::Closed { requests, .. } => *requests == 0,
        };
        if is_exhausted && !self.is_exhausted {
            self.is_exhausted = true;
            let drain_ns = self.times.drain_end_ns - self.times.end_ns;
            (self.times.end_ns, self.times.drain_end_ns) = (now_ns, now_ns + drain_ns);
        }
    }

    /// Lets connections begin that wait for their time.
    fn admit(&mut self, now_ns: u64) {
        while self.joins_ns().is_some_and(|at_ns| at_ns <= now_ns) {
            self.free.push_back(self.joined);
            self.joined += 1;
        }
        while let Some(&(until_ns, number)) = self.thinking.front()
            && until_ns <= now_ns
        {
            self.thinking.pop_front();
            self.free.push_back(number);
        }
    }

    /// When the next connection begins.
    fn joins_ns(&self) -> Option<u64> {
        let (joined, all) = (self.joined as u64, self.slots.len() as u64);
        let ramp_ns = match &self.work {
            Work::Open(_) => 0,
            Work::Closed { ramp_ns, .. } => *ramp_ns,
        };
        (joined < all).then(|| self.times.start_ns + ramp_ns / all * joined)
    }

    /// Gives what is due to connections with a free place, in turn.
    fn assign(&mut self, now_ns: u64) {
        let in_time = (self.times.start_ns..self.times.end_ns).contains(&now_ns);
        match &mut self.work {
            Work::Open(backlog) => backlog.notice(now_ns),
            Work::Closed { .. } if !in_time => return,
            Work::Closed { .. } => {}
        }
        while let Some(&number) = self.free.front() {
            let slot = &mut self.slots[number];
            if !slot.alive {
                slot.listed = false;
                self.free.pop_front();
                continue;
            }
            let (intended_ns, noticed_ns) = match &mut self.work {
                Work::Closed { requests: 0, .. } => return,
                Work::Closed { requests, .. } => {
                    let is_counted = *requests < u64::MAX && now_ns >= self.times.measure_ns;
                    *requests -= u64::from(is_counted);
                    (now_ns, now_ns)
                }
                Work::Open(backlog) => match backlog.take() {
                    Some(due) => (due.intended_ns, due.noticed_ns),
                    None => return,
                },
            };
            slot.connection.push(&mut *self.protocol, intended_ns, noticed_ns);
            self.in_flight += 1;
            self.outcome.ledger.sent += 1;
            if intended_ns < self.times.measure_ns {
                self.outcome.ledger.warmup += 1;
            }
            if !slot.dirty {
                slot.dirty = true;
                self.dirty.push(number);
            }
            self.free.pop_front();
            slot.listed = slot.connection.has_space();
            if slot.listed {
                self.free.push_back(number);
            }
        }
    }

    fn flush(&mut self) {
        let open = matches!(self.work, Work::Open(_));
        let mut dirty = std::mem::take(&mut self.dirty);
        for number in dirty.drain(..) {
            self.slots[number].dirty = false;
            if !self.slots[number].alive {
                continue;
            }
            let now_ns = self.world.now_ns();
            self.active_ns = now_ns;
            if let Err(error) = self.open(number) {
                self.lose(number, &error);
                continue;
            }
            let sent = match self.slots[number].connection.flush(now_ns) {
                Ok(sent) => sent,
                Err(error) => {
                    self.lose(number, &error);
                    continue;
                }
            };
            if !open {
                continue;
            }
            for flight in sent.filter(|flight| flight.intended_ns >= self.times.measure_ns) {
                record_lateness(&mut self.recorder, flight);
                if self.last_sent_ns != 0 {
                    let gap_ns = flight.sent_ns.saturating_sub(self.last_sent_ns);
                    self.outcome.send_gaps.add(gap_ns as f64);
                }
                self.last_sent_ns = flight.sent_ns;
            }
        }
        self.dirty = dirty;
    }

    /// Opens a connection, unless it is open. The requests in it are sent from the moment when that begins, as
    /// their users wait from then on.
    fn open(&mut self, number: usize) -> std::io::Result<()> {
        let connection = &mut self.slots[number].connection;
        if !connection.is_open() {
            connection.open(self.world.connect(number)?);
            self.outcome.opened += 1;
        }
        Ok(())
    }

    /// How long the loop may wait for something to arrive; zero to look and go on.
    fn wait_limit(&mut self, now_ns: u64) -> u64 {
        if std::mem::take(&mut self.has_freed) {
            return 0;
        }
        let boundary_ns = [
            self.times.start_ns,
            self.times.end_ns,
            self.times.drain_end_ns,
            self.recorder.interval_ends_ns(),
        ]
        .into_iter()
        .filter(|boundary| *boundary > now_ns)
        .min()
        .unwrap_or(now_ns);
        let due_ns = match &self.work {
            Work::Open(backlog) => backlog.next_due_ns().unwrap_or(u64::MAX),
            Work::Closed { .. } => {
                let thought_ns = self.thinking.front().map(|(until_ns, _)| *until_ns);
                thought_ns.into_iter().chain(self.joins_ns()).min().unwrap_or(u64::MAX)
            }
        };
        let until_boundary = boundary_ns - now_ns;
        let until_due = due_ns.saturating_sub(now_ns);
        match self.pacing {
            Pacing::Spin => 0,
            Pacing::Sleep => until_due.min(until_boundary),
            Pacing::Hybrid => {
                let expecting = self.in_flight > 0 && now_ns < self.active_ns + SPIN_NS;
                if expecting { 0 } else { until_due.saturating_sub(SPIN_NS).min(until_boundary) }
            }
        }
    }

    fn read(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        if !slot.alive || !slot.connection.is_open() {
            return;
        }
        let before = slot.connection.in_flight();
        let context = Landing {
            times: self.times,
            timeout_ns: self.timeout_ns,
            open: matches!(self.work, Work::Open(_)),
            is_counted: match &self.work {
                Work::Open(backlog) => backlog.is_counted(),
                Work::Closed { requests, .. } => *requests < u64::MAX,
            },
        };
        let (recorder, outcome) = (&mut self.recorder, &mut self.outcome);
        let mut last_ns = self.active_ns;
        let world = &mut self.world;
        let result = slot
            .connection
            .read(&*self.protocol, &mut || world.now_ns(), |landed| {
                last_ns = landed.done_ns;
                context.record(landed, recorder, outcome);
            })
            .and_then(|()| slot.connection.write_out());
        self.active_ns = last_ns;
        self.in_flight -= before - slot.connection.in_flight();
        if let Err(error) = result {
            self.lose(number, &error);
            return;
        }
        if slot.connection.is_used_up() {
            slot.connection.close();
        }
        if !slot.listed && slot.connection.has_space() {
            self.list(number, last_ns);
        }
    }

    /// A connection takes the next request, once its user has thought.
    fn list(&mut self, number: usize, since_ns: u64) {
        self.slots[number].listed = true;
        match &self.work {
            Work::Closed { think_ns, .. } if *think_ns > 0 => {
                self.thinking.push_back((since_ns + think_ns, number));
            }
            _ => self.free.push_back(number),
        }
    }

    /// Gives a connection up, or what is left of it until the next; what was on its way there counts as errors.
    fn lose(&mut self, number: usize, error: &std::io::Error) {
        let slot = &mut self.slots[number];
        let flights = slot.connection.take_flights();
        self.in_flight -= flights.len();
        self.outcome.ledger.errors += flights.len() as u64;
        // That a server closes what nobody uses is no loss where another connection is opened for the next request.
        if !(self.reconnects && flights.is_empty()) {
            self.outcome.losses.note(error);
        }
        slot.connection.close();
        if !self.reconnects {
            slot.alive = false;
            self.alive -= 1;
        } else if !slot.listed {
            self.has_freed = true;
            self.list(number, self.active_ns);
        }
    }

    /// Records what never came at its age, and closes the ledger.
    fn close(mut self, now_ns: u64) -> ThreadOutcome {
        let open = matches!(self.work, Work::Open(_));
        for slot in &mut self.slots {
            for flight in slot.connection.take_flights() {
                self.outcome.ledger.unfinished += 1;
                if flight.intended_ns >= self.times.measure_ns {
                    let from_ns = if open { flight.intended_ns } else { flight.sent_ns };
                    self.outcome.censor(now_ns.saturating_sub(from_ns), &mut self.recorder);
                    let service_ns = now_ns.saturating_sub(flight.sent_ns);
                    self.outcome.censored_service.note(service_ns);
                    if open {
                        self.recorder.record(Metric::Service, service_ns);
                    }
                }
            }
        }
        if let Work::Open(backlog) = &mut self.work {
            backlog.notice(now_ns);
            self.outcome.ledger.unsent = backlog.waiting();
            self.outcome.ledger.scheduled = backlog.noticed();
            while let Some(due) = backlog.take() {
                if due.intended_ns < self.times.measure_ns {
                    self.outcome.ledger.warmup += 1;
                    continue;
                }
                self.outcome.censor(now_ns - due.intended_ns, &mut self.recorder);
                let flight = Flight {
                    intended_ns: due.intended_ns,
                    noticed_ns: due.noticed_ns,
                    free_ns: now_ns,
                    sent_ns: now_ns,
                    note: Note::ANY,
                };
                record_lateness(&mut self.recorder, &flight);
            }
        } else {
            self.outcome.ledger.scheduled = self.outcome.ledger.sent;
        }
        self.recorder.finish(now_ns);
        self.outcome
    }
}

#[cfg(test)]
mod tests;
