//! What a sample is: a number and, where the latency is the point, how the single times lie.

use std::io;

use hdrhistogram::Histogram;

use super::costs::{Costs, note_operations};
use crate::clock::now_ns;
use crate::record::new_histogram;

/// The result of one benchmark body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// In the unit of the benchmark.
    pub(super) value: f64,
    /// Single times in nanoseconds, where they were taken.
    pub(super) times: Option<Histogram<u64>>,
    /// What an operation needed beside time.
    pub(super) costs: Costs,
}

impl From<f64> for Reading {
    fn from(value: f64) -> Self {
        Reading { value, times: None, costs: Costs::default() }
    }
}

impl Reading {
    /// A number with the times that it was made of.
    pub(super) fn with(value: f64, times_ns: impl IntoIterator<Item = u64>) -> Self {
        let mut times = new_histogram();
        times_ns.into_iter().for_each(|time_ns| times.saturating_record(time_ns.max(1)));
        Reading { value, times: Some(times), costs: Costs::default() }
    }

    /// The line that a child prints: the number, what else an operation needed, then each time and how often it occurred.
    pub(crate) fn line(&self) -> String {
        let steps = self.times.iter().flat_map(Histogram::iter_recorded);
        let times =
            steps.map(|step| format!(" {}:{}", step.value_iterated_to(), step.count_at_value()));
        format!("{}{}{}", self.value, self.costs.words(), times.collect::<String>())
    }

    /// Reads such a line.
    ///
    /// # Errors
    /// If it is another one.
    pub(super) fn parse(line: &str) -> io::Result<Self> {
        let wrong =
            || io::Error::new(io::ErrorKind::InvalidData, format!("not a sample: {line:?}"));
        let mut words = line.split_whitespace();
        let value = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        let (mut times, mut costs): (Option<Histogram<u64>>, _) = (None, Costs::default());
        for word in words {
            if costs.take(word) {
                continue;
            }
            let (time_ns, count) = word.split_once(':').ok_or_else(wrong)?;
            let (time_ns, count) = (time_ns.parse().ok(), count.parse().ok());
            let (time_ns, count) = time_ns.zip(count).ok_or_else(wrong)?;
            times.get_or_insert_with(new_histogram).saturating_record_n(time_ns, count);
        }
        Ok(Reading { value, times, costs })
    }
}

/// Times operations that are done one after the other: those of the first half together, as to look at the clock takes
/// time too, and those of the second half one by one.
pub(super) struct Laps {
    half: u64,
    done: u64,
    since_ns: u64,
    first_half_ns: u64,
    times: Histogram<u64>,
}

impl Laps {
    /// So many operations, of which the first begins now.
    pub(super) fn begin(count: u64) -> Self {
        let mut times = new_histogram();
        // Its pages are touched now, and not while something is timed.
        times.reset();
        Laps { half: (count / 2).max(1), done: 0, since_ns: now_ns(), first_half_ns: 0, times }
    }

    /// An operation has ended, and the next one begins.
    #[inline]
    pub(super) fn lap(&mut self) {
        self.done += 1;
        if self.done < self.half {
            return;
        }
        let now_ns = now_ns();
        let time_ns = now_ns.saturating_sub(self.since_ns);
        if self.done == self.half {
            self.first_half_ns = time_ns;
        } else {
            self.times.saturating_record(time_ns.max(1));
        }
        self.since_ns = now_ns;
    }

    /// Microseconds for each, and how the times lie.
    pub(super) fn end(self) -> Reading {
        let value = self.first_half_ns as f64 / self.half as f64 / 1e3;
        note_operations(self.done);
        let times = Some(self.times).filter(|times| !times.is_empty());
        Reading { value, times, costs: Costs::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_same_behind_the_pipe() {
        let costs = Costs { instructions: Some(7.5), ..Costs::default() };
        let timed = Reading::with(3.0, [1_000, 1_000, 70_000, 0]);
        for reading in [Reading::from(12.5), Reading { costs, ..timed.clone() }, timed] {
            assert_eq!(Reading::parse(&reading.line()).unwrap(), reading);
        }
        let times = Reading::with(3.0, [1_000, 1_000, 70_000]).times.unwrap();
        assert_eq!((times.len(), times.count_at(1_000)), (3, 2));
        for wrong in ["", "fast", "1.0 7", "1.0 7:x", "1.0 :7"] {
            assert!(Reading::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn half_of_the_laps_are_timed_together_and_the_others_one_by_one() {
        let mut laps = Laps::begin(10);
        (0..10).for_each(|_| laps.lap());
        let reading = laps.end();
        assert!(reading.value > 0.0, "{reading:?}");
        assert_eq!(reading.times.unwrap().len(), 5);
        let mut one = Laps::begin(1);
        one.lap();
        assert_eq!(one.end().times, None, "there is no second half");
    }
}
