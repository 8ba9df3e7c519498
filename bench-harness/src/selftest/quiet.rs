//! Which parts of a run the machine left alone.
//!
//! A shared machine takes the CPU away now and then. That says nothing about the generator, so a
//! check looks at the windows between. Two witnesses tell which those are, and neither knows of
//! queues or responses: the server, which spins and notes when it did not run, and the generator's
//! own lag. So nothing is chosen by what is being checked; and a generator that is late by itself
//! leaves no window in which it could pass.

use hdrhistogram::Histogram;

use crate::record::{Interval, Metric, Recording, histogram_of};
use crate::serve::Gap;

/// A server that did not run for so long, or a request that left so late, disturbs.
const DISTURBANCE_NS: u64 = 100_000;
/// A disturbance is felt for this many times its length, until the backlog has gone: at 70 % load it
/// takes 2.3 times.
const AFTERMATH: u64 = 3;
/// … and for this long at least, which covers what was on its way.
const AFTERMATH_NS: u64 = 5_000_000;
/// Fewer windows than this share of a run prove nothing.
const ENOUGH_SHARE: f64 = 0.25;
/// A failure counts only if what the server lost in gaps that do not disturb by themselves is below
/// this share of the quiet windows.
const LOST_SHARE: f64 = 0.01;

/// When a run took place, in monotonic time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first window begins.
    pub(crate) origin_ns: u64,
    /// What is due from here on is measured.
    pub(crate) measure_ns: u64,
    /// The last request is due.
    pub(crate) end_ns: u64,
}

/// The windows of a run, which are its recorded intervals.
pub(crate) struct Windows<'a> {
    recording: &'a Recording,
    origin_ns: u64,
    /// By the number of the interval.
    quiet: Vec<bool>,
    measured_count: usize,
    lost_ns: u64,
}

impl<'a> Windows<'a> {
    /// Finds the quiet windows of `recording`.
    pub(crate) fn find(recording: &'a Recording, span: Span, gaps: &[Gap]) -> Self {
        let length_ns = recording.interval_ns;
        let begin_of = |number: usize| span.origin_ns + number as u64 * length_ns;
        let mut quiet: Vec<bool> = (0..recording.intervals.len())
            .map(|number| {
                // Answers of the warm-up come in until a little after it.
                begin_of(number) >= span.measure_ns + AFTERMATH_NS
                    && begin_of(number + 1) <= span.end_ns
            })
            .collect();
        let measured_count = quiet.iter().filter(|measured| **measured).count();
        let lags = recording.intervals.iter().enumerate().filter_map(|(number, interval)| {
            let lag_ns = interval.histogram(Metric::GeneratorLag).max();
            // The requests were due before they left.
            let begin_ns = begin_of(number).saturating_sub(lag_ns);
            (lag_ns > DISTURBANCE_NS)
                .then(|| (begin_ns, begin_of(number + 1) + AFTERMATH * lag_ns + AFTERMATH_NS))
        });
        let (long, short): (Vec<&Gap>, Vec<&Gap>) =
            gaps.iter().partition(|gap| gap.end_ns - gap.begin_ns > DISTURBANCE_NS);
        let stops = long.iter().map(|gap| {
            let length_ns = gap.end_ns - gap.begin_ns;
            (gap.begin_ns, gap.end_ns + AFTERMATH * length_ns + AFTERMATH_NS)
        });
        for (begin_ns, end_ns) in lags.chain(stops) {
            let number_at =
                |at_ns: u64| (at_ns.saturating_sub(span.origin_ns) / length_ns) as usize;
            let past = quiet.len();
            quiet[number_at(begin_ns).min(past)..(number_at(end_ns) + 1).min(past)].fill(false);
        }
        let mut windows =
            Windows { recording, origin_ns: span.origin_ns, quiet, measured_count, lost_ns: 0 };
        windows.lost_ns = short
            .iter()
            .filter(|gap| windows.contains(gap.begin_ns))
            .map(|gap| gap.end_ns - gap.begin_ns)
            .sum();
        windows
    }

    /// Whether this moment lies in a quiet window.
    pub(crate) fn contains(&self, at_ns: u64) -> bool {
        let number =
            at_ns.checked_sub(self.origin_ns).map(|into| into / self.recording.interval_ns);
        number.and_then(|number| self.quiet.get(number as usize)).is_some_and(|quiet| *quiet)
    }

    /// What was recorded in the quiet windows.
    pub(crate) fn histogram(&self, metric: Metric) -> Histogram<u64> {
        let quiet = |(_, quiet): &(&'a Interval, &bool)| **quiet;
        let intervals = self.recording.intervals.iter().zip(&self.quiet).filter(quiet);
        histogram_of(intervals.map(|(interval, _)| interval), metric)
    }

    /// Why nothing can be judged by the quiet windows, if so.
    pub(crate) fn too_few(&self) -> Option<String> {
        let short = (self.count() as f64) < ENOUGH_SHARE * self.measured_count.max(1) as f64;
        short.then(|| format!("only {}", self.describe()))
    }

    /// Why a failure in them may be the machine's, if so.
    pub(crate) fn doubt(&self) -> Option<String> {
        let length_ns = self.count() as u64 * self.recording.interval_ns;
        let share = self.lost_ns as f64 / length_ns.max(1) as f64;
        (share > LOST_SHARE)
            .then(|| format!("the server lost {:.1} % in short gaps", share * 100.0))
    }

    /// How many there are, for people.
    pub(crate) fn describe(&self) -> String {
        format!("{} of {} windows were quiet", self.count(), self.measured_count)
    }

    fn count(&self) -> usize {
        self.quiet.iter().filter(|quiet| **quiet).count()
    }
}

#[cfg(test)]
mod tests;
