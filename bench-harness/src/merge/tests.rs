use super::*;
use crate::record::{Recording, new_histogram};
use crate::report::{sample_point, sample_result};
use crate::verdict::Status;

fn run(values: std::ops::RangeInclusive<u64>) -> (RunResult, Vec<Recorded>) {
    let mut histogram = new_histogram::<u64>();
    values.for_each(|us| histogram.saturating_record(us * 1_000));
    let mut recording = Recording::new(1_000_000);
    recording.interval_at(2_000_000).add(Metric::Response, &histogram);
    let mut point = sample_point("open");
    point.response = Summary::new(&histogram);
    point.achieved_rps = 100.0;
    point.offered_rps = Some(110.0);
    let count = histogram.len();
    (point.ledger.scheduled, point.ledger.sent, point.ledger.ok) = (count, count, count);
    (sample_result(vec![point.clone()]), vec![Recorded { point, recording }])
}

#[test]
fn the_percentiles_of_a_sum_are_those_of_all_requests_together() {
    let (fast, slow) = (run(1..=900), run(9_001..=9_100));
    let (result, recorded) = merge(vec![fast, slow], &[]).unwrap();
    let all = run(1..=900).1[0].recording.total(Metric::Response).len() + 100;
    let point = &result.points[0];
    assert_eq!((point.response.count, point.ledger.sent), (all, 1_000));
    // The 90th percentile of the sum is the slowest of the fast ones; the mean of both would be far.
    let p90 = point.response.percentile("90").unwrap();
    assert!((899_000..=901_000).contains(&p90), "{p90}");
    assert_eq!((point.offered_rps, point.achieved_rps), (Some(220.0), 200.0));
    assert!(point.balanced);
    assert_eq!(recorded[0].recording.intervals.len(), 3);
    assert!(result.workload.description.ends_with("2 generators"));
}

#[test]
fn the_worst_verdict_counts_with_all_reasons() {
    let (good, mut bad) = (run(1..=900), run(1..=900));
    bad.1[0].point.verdict =
        Verdict { status: Status::Invalid, overloaded: false, reasons: vec!["late".to_owned()] };
    let (result, _) = merge(vec![good, bad], &[]).unwrap();
    assert_eq!(result.points[0].verdict.status, Status::Invalid);
    assert_eq!(result.points[0].verdict.reasons, ["late"]);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    assert!(merge(Vec::new(), &[]).is_err());
    let mut short = run(1..=900);
    short.1.clear();
    assert!(merge(vec![run(1..=900), short], &[]).unwrap_err().contains("one command"));
    let mut other = run(1..=900);
    // Not the same length times a power of two, as a longer run would have.
    other.1[0].recording.interval_ns = 7;
    assert!(merge(vec![run(1..=900), other], &[]).unwrap_err().contains("length"));
}

#[test]
fn a_run_that_doubled_its_intervals_and_one_that_did_not_add_up() {
    let long = || {
        let mut run = run(1..=900);
        run.1[0].recording.coarsen();
        run
    };
    for runs in [vec![long(), run(1..=50)], vec![run(1..=50), long()]] {
        let (result, recorded) = merge(runs, &[]).unwrap();
        assert_eq!(result.points[0].response.count, 950);
        assert_eq!(
            (recorded[0].recording.interval_ns, result.points[0].interval_ns),
            (2_000_000, 2_000_000)
        );
        assert_eq!(recorded[0].recording.intervals.len(), 2);
    }
}

#[test]
fn whatever_befell_one_of_the_generators_befell_the_sum() {
    let clean = || run(1..=900);
    let disturbed = || {
        let mut run = run(1..=900);
        run.0.complete = false;
        let point = &mut run.1[0].point;
        for (summary, count) in [(&mut point.response, 7), (&mut point.service, 3)] {
            (summary.censored, summary.overflow) = (count, count);
            summary.lower_bound_from_ns = Some(count * 1_000);
        }
        point.verdict.overloaded = true;
        (point.steal, point.throttled_us) = (Some(0.5), Some(9));
        (point.connections.lost, point.connections.unopened) = (2, 1);
        point.generator.loop_gap_max_us = 77.0;
        run
    };
    for runs in [vec![clean(), disturbed()], vec![disturbed(), clean()]] {
        let (result, _) = merge(runs, &[]).unwrap();
        assert!(!result.complete);
        let point = &result.points[0];
        for (summary, count) in [(&point.response, 7), (&point.service, 3)] {
            assert_eq!((summary.censored, summary.overflow), (count, count));
            assert_eq!(summary.lower_bound_from_ns, Some(count * 1_000));
        }
        assert!(point.verdict.overloaded);
        assert_eq!((point.steal, point.throttled_us), (Some(0.5), Some(9)));
        assert_eq!((point.connections.lost, point.connections.unopened), (2, 1));
        assert_eq!((point.connections.asked, point.generator.loop_gap_max_us), (2, 77.0));
    }
    let mut both = [disturbed(), disturbed()];
    both[1].1[0].point.steal = Some(0.25);
    both[1].1[0].point.response.lower_bound_from_ns = Some(5);
    let [a, b] = both;
    let point = merge(vec![a, b], &[]).unwrap().0.points[0].clone();
    assert_eq!(point.steal, Some(0.5));
    let response = &point.response;
    assert_eq!((response.censored, response.lower_bound_from_ns), (14, Some(5)));
}

#[test]
fn intervals_stay_where_they_are_and_other_loads_are_refused() {
    let (_, recorded) = merge(vec![run(1..=900), run(1..=900)], &[]).unwrap();
    let counts =
        recorded[0].recording.intervals.iter().map(|one| one.counts(Metric::Response).len());
    assert_eq!(counts.map(|count| count > 0).collect::<Vec<_>>(), [false, false, true]);
    let mut closed = run(1..=900);
    closed.1[0].point.mode = "closed".to_owned();
    assert!(merge(vec![run(1..=900), closed], &[]).unwrap_err().contains("closed"));
}
