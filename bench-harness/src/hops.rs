//! Where the time of a request goes that another shard answers.
//!
//! Server and generator read one clock, so that their times compare. The server writes its own into the
//! answer; with those of the generator they cut the response into stages. A stage ends where the next one
//! begins, so that the stages of a request add up to its response exactly.

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::new_histogram;
use crate::report::Summary;

/// What a server tells of a request, in monotonic nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// It has been read.
    pub(crate) read_ns: u64,
    /// It begins on the shard that answers it.
    pub(crate) begun_ns: u64,
    /// It is done there.
    pub(crate) done_ns: u64,
    /// The shard that read it has the answer.
    pub(crate) back_ns: u64,
}

/// Number of stages.
const STAGES: usize = 6;

/// What the stages are called.
const NAMES: [&str; STAGES] = [
    "due to sent",
    "sent to read by the server",
    "hop to the owner",
    "execute",
    "hop back",
    "answer to its last byte read",
];

/// The stages of all sampled requests of a thread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hops {
    stages: [Histogram<u64>; STAGES],
    sums_ns: [u128; STAGES],
    response_ns: u128,
    /// Responses of all requests that the reading shard answers, and of those that another does.
    own: Histogram<u64>,
    remote: Histogram<u64>,
    /// Samples whose times are not in their order.
    disordered: u64,
}

impl Hops {
    /// Nothing yet. The room is touched now, and not while something is measured.
    pub(crate) fn new() -> Self {
        let mut stages = [(); STAGES].map(|()| new_histogram());
        stages.iter_mut().for_each(Histogram::reset);
        let [mut own, mut remote] = [(); 2].map(|()| new_histogram());
        own.reset();
        remote.reset();
        Hops { stages, sums_ns: [0; STAGES], response_ns: 0, own, remote, disordered: 0 }
    }

    /// Takes the response of a request that another shard has answered, or the one that read it.
    pub(crate) fn record_response(&mut self, remote: bool, response_ns: u64) {
        let histogram = if remote { &mut self.remote } else { &mut self.own };
        histogram.saturating_record(response_ns.max(1));
    }

    /// Takes the times of one request.
    pub(crate) fn record(&mut self, intended_ns: u64, sent_ns: u64, stamps: Stamps, done_ns: u64) {
        let Stamps { read_ns, begun_ns, done_ns: executed_ns, back_ns } = stamps;
        let times = [intended_ns, sent_ns, read_ns, begun_ns, executed_ns, back_ns, done_ns];
        if !times.is_sorted() {
            self.disordered += 1;
            return;
        }
        self.response_ns += u128::from(done_ns - intended_ns);
        for (stage, pair) in times.windows(2).enumerate() {
            let length_ns = pair[1] - pair[0];
            self.stages[stage].saturating_record(length_ns.max(1));
            self.sums_ns[stage] += u128::from(length_ns);
        }
    }

    /// Adds another thread's.
    pub(crate) fn add(&mut self, other: &Hops) {
        for (stage, more) in self.stages.iter_mut().zip(&other.stages) {
            // All have the same bounds, and so there is room.
            let _ = stage.add(more);
        }
        for (sum, more) in self.sums_ns.iter_mut().zip(&other.sums_ns) {
            *sum += more;
        }
        self.response_ns += other.response_ns;
        let _ = self.own.add(&other.own);
        let _ = self.remote.add(&other.remote);
        self.disordered += other.disordered;
    }

    /// The responses by who has answered, if that is known of any; the server's own count of hops belongs to them.
    pub(crate) fn split(&self, server_hops: Option<u64>) -> Option<Split> {
        let is_known = !self.own.is_empty() || !self.remote.is_empty();
        let [own, remote] = [&self.own, &self.remote].map(Summary::new);
        is_known.then_some(Split { own, remote, server_hops })
    }

    /// The numbers, if there is a sample.
    pub(crate) fn breakdown(&self) -> Option<Breakdown> {
        let samples = self.stages[0].len();
        let mean = |sum_ns: u128| sum_ns as f64 / samples as f64;
        (samples > 0).then(|| Breakdown {
            samples,
            disordered: self.disordered,
            response_mean_ns: mean(self.response_ns),
            stages: (0..STAGES)
                .map(|at| Stage {
                    name: NAMES[at].to_owned(),
                    mean_ns: mean(self.sums_ns[at]),
                    p50_ns: self.stages[at].value_at_percentile(50.0),
                    p99_ns: self.stages[at].value_at_percentile(99.0),
                })
                .collect(),
        })
    }
}

/// Responses by who answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Split {
    /// Of requests that the shard answers that reads them.
    pub(crate) own: Summary,
    /// Of requests that another shard answers.
    pub(crate) remote: Summary,
    /// How many commands the server says it has sent to another shard, warm-up included; `null` if it does not tell.
    pub(crate) server_hops: Option<u64>,
}

/// Where the time of requests goes that another shard answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Breakdown {
    /// Requests that were looked at.
    pub(crate) samples: u64,
    /// Requests whose times were not in their order, which are left out; a clock went back if there is one.
    pub(crate) disordered: u64,
    /// Mean of their response, and the sum of the means of the stages.
    pub(crate) response_mean_ns: f64,
    /// In their order.
    pub(crate) stages: Vec<Stage>,
}

/// A stage of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Stage {
    /// From what to what.
    pub(crate) name: String,
    /// Mean.
    pub(crate) mean_ns: f64,
    /// Median.
    pub(crate) p50_ns: u64,
    /// 99th percentile.
    pub(crate) p99_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(hops: &mut Hops, begin_ns: u64, steps: [u64; 6]) {
        let mut at = begin_ns;
        let [sent_ns, read_ns, begun_ns, executed_ns, back_ns, done_ns] = steps.map(|step| {
            at += step;
            at
        });
        let stamps = Stamps { read_ns, begun_ns, done_ns: executed_ns, back_ns };
        hops.record(begin_ns, sent_ns, stamps, done_ns);
    }

    #[test]
    fn the_stages_of_all_requests_add_up_to_their_responses() {
        let (mut one, mut other) = (Hops::new(), Hops::new());
        sample(&mut one, 1_000, [10, 20, 30, 40, 50, 60]);
        sample(&mut one, 9_000, [0, 1, 0, 0, 7, 3]);
        sample(&mut other, 5_000, [1_000_000, 2, 3, 4, 5, 6]);
        one.add(&other);
        let breakdown = one.breakdown().unwrap();
        assert_eq!((breakdown.samples, breakdown.disordered), (3, 0));
        let sum: f64 = breakdown.stages.iter().map(|stage| stage.mean_ns).sum();
        assert!((sum - breakdown.response_mean_ns).abs() < 1e-6);
        assert!((sum * 3.0 - (210.0 + 11.0 + 1_000_020.0)).abs() < 1e-6);
        for (stage, total_ns) in breakdown.stages.iter().zip([1_000_010, 23, 33, 44, 62, 69]) {
            assert!((stage.mean_ns * 3.0 - f64::from(total_ns)).abs() < 1e-6, "{stage:?}");
        }
    }

    #[test]
    fn responses_are_split_by_who_answers_and_those_of_two_threads_add_up() {
        let (mut one, mut other) = (Hops::new(), Hops::new());
        assert_eq!(one.split(Some(3)), None, "nobody said who answers");
        one.record_response(false, 10);
        one.record_response(true, 500);
        other.record_response(true, 700);
        one.add(&other);
        let split = one.split(Some(3)).unwrap();
        assert_eq!((split.own.count, split.own.max_ns), (1, Some(10)));
        assert_eq!((split.remote.count, split.remote.max_ns), (2, Some(700)));
        assert_eq!(split.server_hops, Some(3));
    }

    #[test]
    fn times_that_are_out_of_order_are_counted_and_left_out() {
        let mut hops = Hops::new();
        let stamps = Stamps { read_ns: 30, begun_ns: 29, done_ns: 31, back_ns: 32 };
        hops.record(10, 20, stamps, 40);
        assert_eq!((hops.disordered, hops.breakdown()), (1, None));
        assert_eq!(Hops::new().breakdown(), None);
    }
}
