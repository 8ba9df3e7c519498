use super::*;
use crate::generator::Losses;
use crate::ledger::Ledger;
use crate::record::new_histogram;
use crate::verdict::Status;

const SECOND_NS: u64 = 1_000_000_000;

/// One that ran for a second of warm-up and two of measurement at 1000/s: what became of its requests, and what was
/// recorded of them.
struct Case {
    spec: PointSpec,
    outcome: ThreadOutcome,
    used: Used,
    shared: bool,
    hiccup_us: Option<f64>,
    /// Of the first half and of the second.
    response_us: [u64; 2],
    lag_us: Vec<u64>,
    overflow: u64,
}

impl Default for Case {
    fn default() -> Self {
        let rate = Rate::per_second(1_000.0).unwrap();
        let traffic = Traffic::Echo { frame_bytes: 64, verify_every: 0 };
        let ledger =
            Ledger { scheduled: 3_000, sent: 3_000, ok: 3_000, warmup: 1_000, ..Ledger::default() };
        Case {
            spec: PointSpec {
                connections: 4,
                ..PointSpec::new("open", Mode::Open(rate, Arrival::Constant), traffic)
            },
            outcome: ThreadOutcome { ledger, done_in_window: 2_000, ..ThreadOutcome::default() },
            used: Used {
                elapsed_ns: 3 * SECOND_NS,
                shards: Vec::new(),
                steal: None,
                throttled_us: None,
            },
            shared: false,
            hiccup_us: None,
            response_us: [100, 100],
            lag_us: vec![1; 1_000],
            overflow: 0,
        }
    }
}

impl Case {
    fn point(&self) -> Point {
        let mut recording = Recording::new(SECOND_NS / 10);
        for number in 0..20 {
            let mut histogram = new_histogram::<u32>();
            histogram.record_n(self.response_us[number / 10] * 1_000, 100).unwrap();
            let interval = recording.interval_at((10 + number as u64) * SECOND_NS / 10);
            interval.add(Metric::Response, &histogram);
            interval.add(Metric::Service, &histogram);
        }
        let mut lags = new_histogram::<u32>();
        self.lag_us.iter().for_each(|lag_us| lags.saturating_record(lag_us * 1_000));
        recording.interval_at(SECOND_NS).add(Metric::GeneratorLag, &lags);
        recording.interval_at(SECOND_NS).overflow = self.overflow;
        let layout = Layout::new(vec![1], vec![0], self.shared);
        let conditions =
            Conditions { hiccup_us: self.hiccup_us, ..Conditions::new(layout, Arc::default()) };
        let times = Times {
            start_ns: 0,
            measure_ns: SECOND_NS,
            end_ns: 3 * SECOND_NS,
            drain_end_ns: 5 * SECOND_NS,
        };
        let used = Used { shards: Vec::new(), ..self.used };
        let run = Run {
            spec: &self.spec,
            conditions: &conditions,
            times,
            measured_ns: 2 * SECOND_NS,
            outcome: self.outcome.clone(),
            used,
            busiest: SECOND_NS,
            server_hops: None,
        };
        run.point(&recording)
    }

    fn status(&self) -> Status {
        self.point().verdict.status
    }
}

#[test]
fn what_was_answered_in_the_measured_time_is_achieved_and_nothing_else() {
    let point = Case::default().point();
    assert!((point.achieved_rps - 1_000.0).abs() < 1e-9, "{}", point.achieved_rps);
    assert_eq!(point.verdict.status, Status::Valid, "{:?}", point.verdict);
    assert!(point.balanced && point.stationary.ok);
    assert_eq!((point.warmup_s, point.duration_s), (1.0, 2.0));
}

#[test]
fn each_fact_of_a_run_comes_before_the_judge() {
    let used = || Case::default().used;
    let outcome = |losses| ThreadOutcome { losses, ..Case::default().outcome };
    let one_lost = Losses { all: 1, reset: 1, ..Losses::default() };
    let cases = [
        (Status::Indicative, Case { shared: true, ..Case::default() }),
        (Status::Indicative, Case { hiccup_us: Some(9_000.0), ..Case::default() }),
        (
            Status::Indicative,
            Case { used: Used { steal: Some(0.02), ..used() }, ..Case::default() },
        ),
        (
            Status::Invalid,
            Case { used: Used { throttled_us: Some(5), ..used() }, ..Case::default() },
        ),
        (Status::Invalid, Case { outcome: outcome(one_lost.clone()), ..Case::default() }),
        (Status::Invalid, Case { lag_us: vec![900; 1_000], ..Case::default() }),
        // Too few samples for a percentile: the latest stands for all.
        (Status::Invalid, Case { lag_us: vec![1, 900], ..Case::default() }),
        (Status::Indicative, Case { response_us: [100, 200], ..Case::default() }),
    ];
    for (number, (expected, case)) in cases.iter().enumerate() {
        assert_eq!(case.status(), *expected, "case {number}: {:?}", case.point().verdict);
    }
    assert!(!cases[7].1.point().stationary.ok);
    let unopened = Losses { all: 1, unopened: 1, ..Losses::default() };
    // Where another connection is opened for the next request, only want of ports counts.
    for (losses, expected) in [(one_lost, Status::Valid), (unopened, Status::Invalid)] {
        let spec = PointSpec { requests_each: Some(1), ..Case::default().spec };
        let case = Case { spec, outcome: outcome(losses), ..Case::default() };
        assert_eq!(case.status(), expected, "{:?}", case.point().verdict);
    }
}

#[test]
fn a_shortfall_is_overload_if_something_is_left_over_and_else_the_generators_fault() {
    let with = |unsent, unfinished| {
        let ledger = Ledger { unsent, unfinished, ..Case::default().outcome.ledger };
        let outcome = ThreadOutcome { ledger, done_in_window: 1_000, ..ThreadOutcome::default() };
        let verdict = Case { outcome, ..Case::default() }.point().verdict;
        (verdict.status, verdict.overloaded)
    };
    assert_eq!(with(0, 0), (Status::Invalid, false));
    assert_eq!(with(1, 0), (Status::Valid, true));
    assert_eq!(with(0, 1), (Status::Valid, true));
}

#[test]
fn percentiles_of_requests_without_an_answer_are_bounds_of_response_and_service_alike() {
    let censored = Censored { count: 7, least_ns: Some(90_000) };
    let censored_service = Censored { count: 3, least_ns: Some(95_000) };
    let outcome = ThreadOutcome { censored, censored_service, ..Case::default().outcome };
    let point = Case { outcome, overflow: 2, ..Case::default() }.point();
    for (summary, expected) in [(&point.response, censored), (&point.service, censored_service)] {
        assert_eq!(summary.censored, expected.count);
        assert_eq!(summary.lower_bound_from_ns, expected.least_ns);
        assert!(summary.is_lower_bound(summary.percentile("50").unwrap()));
    }
    assert_eq!(point.response.overflow, 2);
}

#[test]
fn a_server_of_ours_may_not_count_more_than_was_sent_and_one_with_other_clients_says_nothing_then()
{
    assert_eq!(believed(Some(101), true, 100), Some(101));
    assert_eq!(believed(Some(101), false, 100), None);
    assert_eq!(believed(Some(100), false, 100), Some(100));
}

#[test]
fn the_threads_of_a_counted_run_share_it_without_remainder() {
    let times = Times { start_ns: 0, measure_ns: 0, end_ns: 1, drain_end_ns: 1 };
    let spec = PointSpec { mode: Mode::Closed, requests: Some(11), ..Case::default().spec };
    let shares = (0..4).map(|thread| match work(&spec, times, (thread, 4)) {
        Work::Closed { requests, .. } => requests,
        Work::Open(_) => unreachable!("the loop is closed"),
    });
    assert_eq!(shares.collect::<Vec<_>>(), [3, 3, 3, 2]);
}
