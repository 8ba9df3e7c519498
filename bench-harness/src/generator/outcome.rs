//! What became of the requests of one load thread.

use super::{Losses, Times};
use crate::connection::{Flight, Landed};
use crate::hops::Hops;
use crate::ledger::Ledger;
use crate::record::{Metric, Recorder};
use crate::statistics::Moments;

/// What a load thread reports at its end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ThreadOutcome {
    /// What became of the requests.
    pub(crate) ledger: Ledger,
    /// Answers that arrived between `measure_ns` and `end_ns`; those of a counted run, however late.
    pub(crate) done_in_window: u64,
    /// When the last answer arrived.
    pub(crate) last_done_ns: u64,
    /// Measured requests that are in the response at their age because no answer came.
    pub(crate) censored: Censored,
    /// Those of them that were sent: they are in the service at the time since then.
    pub(crate) censored_service: Censored,
    /// Connections that were opened during the run.
    pub(crate) opened: u64,
    /// Connections that broke, or never were.
    pub(crate) losses: Losses,
    /// Gaps between measured requests as they left.
    pub(crate) send_gaps: Moments,
    /// The longest turn, waiting not counted.
    pub(crate) loop_gap_max_ns: u64,
    /// The stages of sampled requests, if a server tells of them.
    pub(crate) hops: Option<Box<Hops>>,
    /// CPU time of the thread.
    pub(crate) cpu_ns: u64,
}

/// Samples that are lower bounds: nobody knows how long it would have taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Censored {
    /// So many.
    pub(crate) count: u64,
    /// The least of them: percentiles from here on are lower bounds as well.
    pub(crate) least_ns: Option<u64>,
}

impl Censored {
    pub(super) fn note(&mut self, age_ns: u64) {
        self.add(Censored { count: 1, least_ns: Some(age_ns) });
    }

    fn add(&mut self, other: Censored) {
        self.count += other.count;
        self.least_ns = [self.least_ns, other.least_ns].into_iter().flatten().min();
    }
}

impl ThreadOutcome {
    pub(super) fn censor(&mut self, age_ns: u64, recorder: &mut Recorder) {
        self.censored.note(age_ns);
        recorder.record(Metric::Response, age_ns);
    }

    /// Adds another thread's report. The gaps between sends are those of one thread, so they are
    /// kept only if there is one.
    pub(crate) fn add(&mut self, other: ThreadOutcome) {
        self.ledger.add(&other.ledger);
        self.done_in_window += other.done_in_window;
        self.last_done_ns = self.last_done_ns.max(other.last_done_ns);
        self.censored.add(other.censored);
        self.censored_service.add(other.censored_service);
        self.opened += other.opened;
        self.losses.add(other.losses);
        self.send_gaps = Moments::default();
        self.loop_gap_max_ns = self.loop_gap_max_ns.max(other.loop_gap_max_ns);
        match (&mut self.hops, other.hops) {
            (Some(sum), Some(more)) => sum.add(&more),
            (sum, more) => *sum = sum.take().or(more),
        }
        self.cpu_ns += other.cpu_ns;
    }
}

/// Records when a request left, and whose fault it is that it did not earlier.
pub(super) fn record_lateness(recorder: &mut Recorder, flight: &Flight) {
    let lateness_ns = flight.sent_ns.saturating_sub(flight.intended_ns);
    let queue_ns = flight.free_ns.saturating_sub(flight.noticed_ns);
    recorder.record(Metric::Lateness, lateness_ns);
    recorder.record(Metric::ClientQueue, queue_ns);
    recorder.record(Metric::GeneratorLag, lateness_ns.saturating_sub(queue_ns));
}

/// What is needed to judge a reply.
pub(super) struct Landing {
    pub(super) times: Times,
    pub(super) timeout_ns: u64,
    pub(super) open: bool,
    /// The run ends by a count, not by a time.
    pub(super) is_counted: bool,
}

impl Landing {
    /// Counts a reply and records its latencies.
    pub(super) fn record(
        &self,
        landed: Landed,
        recorder: &mut Recorder,
        outcome: &mut ThreadOutcome,
    ) {
        let Landed { flight, done_ns, ok, stamps, remote } = landed;
        let service_ns = done_ns.saturating_sub(flight.sent_ns);
        let response_ns =
            if self.open { done_ns.saturating_sub(flight.intended_ns) } else { service_ns };
        recorder.count_done();
        outcome.last_done_ns = outcome.last_done_ns.max(done_ns);
        // The window of a counted run is as long as it takes; only its own requests count then.
        let in_window = if self.is_counted {
            flight.intended_ns >= self.times.measure_ns
        } else {
            (self.times.measure_ns..self.times.end_ns).contains(&done_ns)
        };
        outcome.done_in_window += u64::from(in_window);
        match (ok, service_ns > self.timeout_ns) {
            (false, _) => outcome.ledger.errors += 1,
            (true, true) => outcome.ledger.timeouts += 1,
            (true, false) => outcome.ledger.ok += 1,
        }
        if !ok {
            // An error may be answered faster than the work would have been done.
            return;
        }
        if flight.intended_ns < self.times.measure_ns {
            recorder.record(Metric::Warmup, response_ns);
        } else {
            recorder.record(Metric::Response, response_ns);
            // In a closed loop they are the same.
            if self.open {
                recorder.record(Metric::Service, service_ns);
            }
            let Some(hops) = outcome.hops.as_mut() else { return };
            if let Some(remote) = remote {
                hops.record_response(remote, response_ns);
            }
            if let Some(stamps) = stamps {
                let from_ns = if self.open { flight.intended_ns } else { flight.sent_ns };
                hops.record(from_ns, flight.sent_ns, stamps, done_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests;
