//! Latencies of one run: a histogram per metric and interval.
//!
//! Each load thread records into a set of histograms that it owns; at the end of an interval it
//! hands the set to the control thread and goes on with an empty one. Nothing is allocated and no
//! lock is taken between two requests. What reaches the control thread is kept sparse, because an
//! interval holds a few hundred distinct values in 27 000 buckets.
//!
//! A run may last for days and its memory may not grow with it: once there are [`MAX_INTERVALS`],
//! neighbours are added up and intervals are twice as long from then on. No value is lost by that,
//! only when exactly it occurred.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use hdrhistogram::{Counter, Histogram};

use crate::clock::SECOND_NS;

/// What is measured of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// From when it should have begun to its last byte: what a user feels.
    Response,
    /// From the system call that sent it to its last byte: what the server took.
    Service,
    /// From when it should have begun to the system call that sent it.
    Lateness,
    /// The part of the lateness spent waiting for a place in a window: the server's fault.
    ClientQueue,
    /// The rest of the lateness: the generator's own fault.
    GeneratorLag,
    /// The response of requests scheduled before the measurement began.
    Warmup,
}

/// Number of metrics.
pub(crate) const METRICS: usize = 6;

impl Metric {
    /// Every metric, in the order of their indices.
    pub(crate) const ALL: [Metric; METRICS] = [
        Metric::Response,
        Metric::Service,
        Metric::Lateness,
        Metric::ClientQueue,
        Metric::GeneratorLag,
        Metric::Warmup,
    ];

    /// Its tag in the interval log. The response has none, because log processors read only
    /// untagged lines unless told otherwise.
    pub(crate) fn tag(self) -> Option<&'static str> {
        match self {
            Metric::Response => None,
            Metric::Service => Some("service"),
            Metric::Lateness => Some("lateness"),
            Metric::ClientQueue => Some("client_queue"),
            Metric::GeneratorLag => Some("generator_lag"),
            Metric::Warmup => Some("warmup"),
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The largest latency that a histogram holds; larger ones are counted there and as overflow.
pub(crate) const MAX_LATENCY_NS: u64 = 60 * SECOND_NS;

/// Significant decimal digits of a recorded latency, unless others are asked for.
pub(crate) const DIGITS: u8 = 3;

/// An empty histogram with the bounds that all of ours share.
pub(crate) fn new_histogram<C: Counter>() -> Histogram<C> {
    histogram_with(DIGITS)
}

fn histogram_with<C: Counter>(digits: u8) -> Histogram<C> {
    Histogram::new_with_bounds(1, MAX_LATENCY_NS, digits)
        .expect("the bounds are constants that fit, and so are two digits or three")
}

/// The histograms of one thread and one interval.
pub(crate) struct IntervalSet {
    number: u64,
    histograms: [Histogram<u32>; METRICS],
    overflow: u64,
    done: u64,
}

impl IntervalSet {
    fn new(digits: u8) -> Self {
        let mut histograms = [(); METRICS].map(|()| histogram_with::<u32>(digits));
        for histogram in &mut histograms {
            // Writing to the whole array now keeps page faults out of the measurement.
            histogram.reset();
        }
        IntervalSet { number: 0, histograms, overflow: 0, done: 0 }
    }

    fn clear(&mut self) {
        for histogram in self.histograms.iter_mut().filter(|histogram| !histogram.is_empty()) {
            histogram.reset();
        }
        (self.overflow, self.done) = (0, 0);
    }
}

/// When intervals begin, how long they are, and how exactly they are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// Monotonic time at which interval 0 begins.
    pub(crate) origin_ns: u64,
    /// Length of each.
    pub(crate) length_ns: u64,
    /// Significant digits of the latencies: two or three.
    pub(crate) digits: u8,
}

impl Intervals {
    fn number_at(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.origin_ns) / self.length_ns
    }

    fn end_of(&self, number: u64) -> u64 {
        self.origin_ns + (number + 1) * self.length_ns
    }
}

/// A load thread's end: records, and hands over full intervals.
pub(crate) struct Recorder {
    thread: usize,
    current: Box<IntervalSet>,
    intervals: Intervals,
    ends_ns: u64,
    full: Sender<(usize, Box<IntervalSet>)>,
    empty: Receiver<Box<IntervalSet>>,
}

impl Recorder {
    /// Sets when interval 0 begins; nothing has been recorded yet.
    pub(crate) fn begin_at(&mut self, origin_ns: u64) {
        self.intervals.origin_ns = origin_ns;
        self.ends_ns = self.intervals.end_of(0);
    }

    /// Records one latency.
    #[inline]
    pub(crate) fn record(&mut self, metric: Metric, latency_ns: u64) {
        if latency_ns > MAX_LATENCY_NS {
            self.current.overflow += 1;
        }
        // Zero would lie below the lowest value that a histogram tells apart.
        self.current.histograms[metric.index()].saturating_record(latency_ns.max(1));
    }

    /// Counts a request whose answer has arrived.
    #[inline]
    pub(crate) fn count_done(&mut self) {
        self.current.done += 1;
    }

    /// When the interval that is being recorded ends.
    pub(crate) fn interval_ends_ns(&self) -> u64 {
        self.ends_ns
    }

    /// Hands the interval over if it has ended.
    #[inline]
    pub(crate) fn roll(&mut self, now_ns: u64) {
        if now_ns >= self.ends_ns {
            self.hand_over(now_ns);
        }
    }

    /// Hands over what was recorded last.
    pub(crate) fn finish(mut self, now_ns: u64) {
        self.hand_over(now_ns);
    }

    fn hand_over(&mut self, now_ns: u64) {
        // The control thread returns sets as fast as it takes them; a new one is only made when it
        // was kept from running for a whole interval.
        let next = self.empty.try_recv().unwrap_or_else(|_| {
            let digits = self.intervals.digits;
            Box::new(IntervalSet::new(digits))
        });
        let full = std::mem::replace(&mut self.current, next);
        self.current.number = self.intervals.number_at(now_ns);
        self.ends_ns = self.intervals.end_of(self.current.number);
        // If the control thread is gone the run is over and nobody wants the numbers.
        let _ = self.full.send((self.thread, full));
    }
}

/// What is shown of an interval of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Collected {
    /// Answers in it.
    pub(crate) done: u64,
    /// Median and 99th percentile of the response, if there was one.
    pub(crate) percentiles: Option<(u64, u64)>,
}

/// The control thread's end: takes full intervals from all load threads.
pub(crate) struct Collector {
    full: Receiver<(usize, Box<IntervalSet>)>,
    empty: Vec<Sender<Box<IntervalSet>>>,
    /// Length of the intervals as they come.
    length_ns: u64,
    /// For each thread, how many intervals it has handed over or left out.
    past: Vec<u64>,
    recording: Recording,
}

impl Collector {
    /// Waits no longer than `limit` for an interval. Returns what is shown of it while the run goes
    /// on, or `Err(Disconnected)` once every recorder has finished.
    pub(crate) fn collect(&mut self, limit: Duration) -> Result<Collected, RecvTimeoutError> {
        let (thread, mut set) = self.full.recv_timeout(limit)?;
        let response = &set.histograms[Metric::Response.index()];
        let percentiles = (!response.is_empty())
            .then(|| (response.value_at_percentile(50.0), response.value_at_percentile(99.0)));
        let collected = Collected { done: set.done, percentiles };
        self.past[thread] = self.past[thread].max(set.number + 1);
        self.recording.add(&set, set.number.saturating_mul(self.length_ns));
        set.clear();
        // The thread may have ended: then nobody needs the set.
        let _ = self.empty[thread].send(set);
        Ok(collected)
    }

    /// The intervals that every thread has handed over so far.
    pub(crate) fn complete(&self) -> &[Interval] {
        let complete = self.past.iter().min().copied().unwrap_or(0);
        let is_as_it_came = self.recording.interval_ns == self.length_ns;
        let known = self.recording.intervals.len();
        let count = usize::try_from(complete).unwrap_or(known).min(known);
        if is_as_it_came { &self.recording.intervals[..count] } else { &[] }
    }

    /// What was collected.
    pub(crate) fn into_recording(self) -> Recording {
        self.recording
    }
}

/// Sets of histograms for each load thread, besides the one that is being filled.
const SPARE_SETS: usize = 7;

/// Makes the two ends for `threads` load threads.
pub(crate) fn recorders(threads: usize, intervals: Intervals) -> (Vec<Recorder>, Collector) {
    let (full, from_threads) = channel();
    let mut recorders = Vec::with_capacity(threads);
    let mut to_threads = Vec::with_capacity(threads);
    for thread in 0..threads {
        let (to_thread, empty) = channel();
        // One set is being filled, the others wait or are on their way: a control thread that has no
        // CPU for some intervals must not make the load thread allocate.
        for _ in 0..SPARE_SETS {
            let _ = to_thread.send(Box::new(IntervalSet::new(intervals.digits)));
        }
        recorders.push(Recorder {
            thread,
            current: Box::new(IntervalSet::new(intervals.digits)),
            intervals,
            ends_ns: intervals.end_of(0),
            full: full.clone(),
            empty,
        });
        to_threads.push(to_thread);
    }
    let length_ns = intervals.length_ns;
    let recording = Recording::new(length_ns);
    (
        recorders,
        Collector {
            full: from_threads,
            empty: to_threads,
            length_ns,
            past: vec![0; threads],
            recording,
        },
    )
}

/// Latencies and how often each occurred, one entry for each bucket, in the order of the latencies.
pub(crate) type Sparse = Vec<(u64, u64)>;

/// Adds the counts of `more` to those of `sum`, and keeps no more room than they need.
fn add_counts(sum: &mut Sparse, more: impl Iterator<Item = (u64, u64)>) {
    let mine = std::mem::take(sum);
    let mut mine = mine.into_iter().peekable();
    for (value, count) in more {
        while let Some(before) = mine.next_if(|(own, _)| *own < value) {
            sum.push(before);
        }
        let same = mine.next_if(|(own, _)| *own == value).map_or(0, |(_, own)| own);
        sum.push((value, same + count));
    }
    sum.extend(mine);
    sum.shrink_to_fit();
}

/// One interval of all threads together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    counts: [Sparse; METRICS],
    /// Latencies above [`MAX_LATENCY_NS`].
    pub(crate) overflow: u64,
    /// Answers that arrived in this interval, also those of the warm-up.
    pub(crate) done: u64,
}

impl Interval {
    /// The recorded values of one metric.
    pub(crate) fn counts(&self, metric: Metric) -> &Sparse {
        &self.counts[metric.index()]
    }

    /// The histogram of one metric.
    pub(crate) fn histogram(&self, metric: Metric) -> Histogram<u64> {
        histogram_of(std::iter::once(self), metric)
    }

    /// Adds the values of `histogram`.
    pub(crate) fn add<C: Counter>(&mut self, metric: Metric, histogram: &Histogram<C>) {
        let steps = histogram.iter_recorded();
        let counts = steps.map(|step| (step.value_iterated_to(), step.count_at_value().as_u64()));
        add_counts(&mut self.counts[metric.index()], counts);
    }

    /// Adds all that another interval holds.
    pub(crate) fn absorb(&mut self, other: &Interval) {
        for (sum, more) in self.counts.iter_mut().zip(&other.counts) {
            add_counts(sum, more.iter().copied());
        }
        self.overflow += other.overflow;
        self.done += other.done;
    }
}

/// The most intervals that are kept of a load point: about as many as a picture has room for. It is
/// even, so that they can be added up in pairs.
pub(crate) const MAX_INTERVALS: usize = 512;

/// Everything that was recorded at one load point: what the files are written from, and what
/// reading them gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Length of each interval; it doubles when there would be more than [`MAX_INTERVALS`].
    pub(crate) interval_ns: u64,
    /// The intervals in order; one in which nothing happened is empty.
    pub(crate) intervals: Vec<Interval>,
}

impl Recording {
    /// A recording of nothing yet.
    pub(crate) fn new(interval_ns: u64) -> Self {
        Recording { interval_ns: interval_ns.max(1), intervals: Vec::new() }
    }

    /// The interval that holds the moment `at_ns` after the beginning; made if it is new.
    pub(crate) fn interval_at(&mut self, at_ns: u64) -> &mut Interval {
        let number = loop {
            let number = at_ns / self.interval_ns;
            match usize::try_from(number) {
                Ok(number) if number < MAX_INTERVALS => break number,
                _ => self.coarsen(),
            }
        };
        if self.intervals.len() <= number {
            self.intervals.resize_with(number + 1, Interval::default);
        }
        &mut self.intervals[number]
    }

    /// Makes intervals twice as long.
    pub(crate) fn coarsen(&mut self) {
        self.interval_ns = self.interval_ns.saturating_mul(2);
        let mut finer = std::mem::take(&mut self.intervals).into_iter();
        while let Some(mut sum) = finer.next() {
            if let Some(second) = finer.next() {
                sum.absorb(&second);
            }
            self.intervals.push(sum);
        }
    }

    /// Takes the response for the service too, as in a closed loop, where a request is sent when it is due: to
    /// record the same number twice would be a part of what a request costs the generator.
    pub(crate) fn take_response_for_service(&mut self) {
        for interval in &mut self.intervals {
            interval.counts[Metric::Service.index()] = interval.counts(Metric::Response).clone();
        }
    }

    /// The whole histogram of one metric. Percentiles are never averaged: intervals are added.
    pub(crate) fn total(&self, metric: Metric) -> Histogram<u64> {
        histogram_of(&self.intervals, metric)
    }

    /// Latencies that were too large for a histogram.
    pub(crate) fn overflow(&self) -> u64 {
        self.intervals.iter().map(|interval| interval.overflow).sum()
    }

    /// The intervals in which something of `metric` was recorded, the first and the last included.
    pub(crate) fn span(&self, metric: Metric) -> &[Interval] {
        let has_some = |interval: &Interval| !interval.counts(metric).is_empty();
        let first = self.intervals.iter().position(has_some);
        let last = self.intervals.iter().rposition(has_some);
        match (first, last) {
            (Some(first), Some(last)) => &self.intervals[first..=last],
            _ => &[],
        }
    }

    /// Adds what a load thread recorded from `begin_ns` on, counted from the beginning.
    fn add(&mut self, set: &IntervalSet, begin_ns: u64) {
        let interval = self.interval_at(begin_ns);
        for metric in Metric::ALL {
            let histogram = &set.histograms[metric.index()];
            if !histogram.is_empty() {
                interval.add(metric, histogram);
            }
        }
        interval.overflow += set.overflow;
        interval.done += set.done;
    }
}

/// Adds up one metric of some intervals.
pub(crate) fn histogram_of<'a>(
    intervals: impl IntoIterator<Item = &'a Interval>,
    metric: Metric,
) -> Histogram<u64> {
    let mut sum = new_histogram();
    for (value, count) in intervals.into_iter().flat_map(|interval| interval.counts(metric)) {
        sum.saturating_record_n(*value, *count);
    }
    sum
}

#[cfg(test)]
mod tests;
