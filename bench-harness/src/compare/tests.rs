use super::*;
use crate::record::{Recording, new_histogram};
use crate::report::{Summary, sample_point, sample_result};
use crate::rng::Rng;

const LIMITS: Limits = Limits { threshold: 0.05, floors: Vec::new() };

/// What `pairs` interleaved runs with 3 % noise each measure of two sides that differ by `factor`.
fn measured(rng: &mut Rng, pairs: usize, factor: f64) -> (Values, Values) {
    let mut run = |level: f64| Some(level * (0.03 * rng.normal()).exp());
    (0..pairs).map(|_| (run(100.0), run(100.0 * factor))).unzip()
}

fn verdict(a: &Values, b: &Values, worse: f64) -> Change {
    let (estimate, _) = from_pairs(a, b).unwrap();
    change(estimate, worse, LIMITS.threshold, DEFAULT_FLOOR)
}

#[test]
fn the_same_against_the_same_is_called_a_change_in_five_percent_at_most() {
    let mut rng = Rng::new(21);
    for pairs in [5, 8] {
        let trials = 2_000;
        let flagged = (0..trials)
            .filter(|_| {
                let (a, b) = measured(&mut rng, pairs, 1.0);
                matches!(verdict(&a, &b, 1.0), Change::Worse | Change::Better)
            })
            .count();
        assert!(flagged * 20 <= trials, "{pairs} pairs: {flagged} of {trials}");
    }
}

#[test]
fn ten_percent_more_at_three_percent_noise_is_found_in_95_of_100() {
    let mut rng = Rng::new(22);
    let trials = 2_000;
    for (factor, worse, expected) in
        [(1.1, 1.0, Change::Worse), (1.1, -1.0, Change::Better), (1.0 / 1.1, 1.0, Change::Better)]
    {
        let found = (0..trials)
            .filter(|_| {
                let (a, b) = measured(&mut rng, DEFAULT_PAIRS, factor);
                verdict(&a, &b, worse) == expected
            })
            .count();
        assert!(found * 100 >= 95 * trials, "{factor}: {found} of {trials}");
    }
}

#[test]
fn the_same_is_proven_by_a_narrow_interval_and_a_wide_one_is_unclear() {
    let around = |low: f64, high: f64| Estimate { value: f64::midpoint(low, high), low, high };
    assert_eq!(change(around(-0.02, 0.03), 1.0, 0.05, 0.03), Change::Same);
    assert_eq!(change(around(-0.02, 0.09), 1.0, 0.05, 0.03), Change::Unclear);
    assert_eq!(change(around(0.06, 0.09), 1.0, 0.05, 0.03), Change::Worse);
    assert_eq!(change(around(0.06, 0.09), -1.0, 0.05, 0.03), Change::Better);
    // Nothing is called a change that two runs of one thing differ by.
    assert_eq!(change(around(0.06, 0.09), 1.0, 0.05, 0.10), Change::Unclear);
    // A difference for sure, and one that does not matter.
    assert_eq!(change(around(0.01, 0.03), 1.0, 0.05, 0.03), Change::Same);
}

#[test]
fn more_pairs_are_asked_for_where_the_interval_is_wide() {
    assert_eq!(more_pairs(5, 0.1, 0.1), 20);
    assert_eq!(more_pairs(5, 0.01, 0.1), 6);
}

fn result(metric: Metric, verdict: Change) -> CompareResult {
    let comparison = Comparison {
        point: "open".to_owned(),
        metric: metric.name().to_owned(),
        a: 1e6,
        b: 2e6,
        change_pct: 100.0,
        ci95_pct: (90.0, 110.0),
        p: Some(0.0625),
        verdict,
        pairs_needed: (verdict == Change::Unclear).then_some(12),
    };
    CompareResult {
        schema: SCHEMA.to_owned(),
        runs: (5, 5),
        method: "paired".to_owned(),
        threshold: 0.05,
        invalid_points: 0,
        comparisons: vec![comparison],
    }
}

#[test]
fn a_change_counts_only_if_other_runs_agree() {
    let mut once = result(Metric::P99, Change::Worse);
    assert!(once.regressed());
    once.confirmed_by(&result(Metric::P99, Change::Worse));
    assert!(once.regressed());
    once.confirmed_by(&result(Metric::P99, Change::Unclear));
    assert!(!once.regressed() && once.inconclusive());
    let mut once = result(Metric::P99, Change::Worse);
    once.confirmed_by(&result(Metric::P50, Change::Worse));
    assert!(!once.regressed(), "another metric confirms nothing");
}

#[test]
fn a_comparison_is_a_table_for_people_and_for_pages() {
    let worse = result(Metric::P99, Change::Worse);
    let table = worse.table(true);
    for word in ["1.00 ms", "2.00 ms", "+100.0 %", "[+90.0, +110.0]", "worse", "5 interleaved"] {
        assert!(table.contains(word), "{word} is not in:\n{table}");
    }
    assert!(table.is_ascii());
    assert!(worse.markdown().contains("| open | p99 | 1.00 ms | 2.00 ms | +100.0 % |"));
    let unclear = result(Metric::Rps, Change::Unclear).table(false);
    assert!(unclear.contains("about 12 pairs"), "{unclear}");
}

#[test]
fn the_noise_floor_is_how_far_an_interval_reaches() {
    let floor = NoiseFloor::of(&result(Metric::P99, Change::Same));
    let limits = Limits { threshold: 0.05, floors: floor.into_floors() };
    assert!((limits.floor(Metric::P99) - 1.1).abs() < 1e-9);
    assert!((limits.floor(Metric::Rps) - DEFAULT_FLOOR).abs() < 1e-9);
}

/// A run that achieves `rps` and whose requests all take so many microseconds.
fn run(rps: f64, us: u64) -> Run {
    let mut recording = Recording::new(100_000_000);
    let mut all = new_histogram::<u64>();
    for number in 0..12 {
        let mut histogram = new_histogram::<u64>();
        histogram.record_n(us * 1_000, 100).unwrap();
        recording
            .interval_at(number * recording.interval_ns)
            .add(Distribution::Response, &histogram);
        all.add(&histogram).unwrap();
    }
    let mut point = sample_point("open");
    (point.achieved_rps, point.response) = (rps, Summary::new(&all));
    point.hlog = Some("latency.hlog".to_owned());
    let result = sample_result(vec![point.clone()]);
    Run { result, recorded: vec![Recorded { point, recording }] }
}

fn held_against(a: &[Run], b: &[Run], pairing: Pairing) -> CompareResult {
    compare(a, b, pairing, &[Metric::Rps, Metric::P50], &LIMITS).unwrap()
}

#[test]
fn b_is_held_against_a_whatever_the_method() {
    let slow = || vec![run(1_000.0, 100), run(1_010.0, 101), run(990.0, 102)];
    let fast = || vec![run(2_000.0, 50), run(2_020.0, 51), run(1_980.0, 52)];
    let single = |mut runs: Vec<Run>| runs.drain(..1).collect::<Vec<_>>();
    let pairs = held_against(&slow(), &fast(), Pairing::Pairs);
    let groups = held_against(&slow(), &fast(), Pairing::Groups);
    let within = held_against(&single(slow()), &single(fast()), Pairing::Groups);
    // Of three pairs two of eight ways are as lopsided, of three and three runs two of twenty.
    for (result, method, p) in [
        (&pairs, "paired", Some(0.25)),
        (&groups, "groups", Some(0.1)),
        (&within, "within-run", None),
    ] {
        assert_eq!(result.method, method);
        let [rps, p50] = &result.comparisons[..] else { panic!("{result:?}") };
        assert!(
            (rps.change_pct - 100.0).abs() < 1.0 && (p50.change_pct + 50.0).abs() < 1.0,
            "{result:?}"
        );
        assert!(rps.ci95_pct.0 <= rps.change_pct && rps.change_pct <= rps.ci95_pct.1, "{rps:?}");
        assert_eq!(p50.p.map(|p| (p * 1e6).round() / 1e6), p, "{method}");
        assert_eq!(p50.verdict, Change::Better, "{method}: {p50:?}");
        assert!(!result.regressed(), "{method}: {result:?}");
    }
    assert_eq!((pairs.comparisons[1].a, pairs.comparisons[1].b), (101_055.0, 51_007.0));
    assert!(held_against(&fast(), &slow(), Pairing::Pairs).regressed());
}

#[test]
fn runs_that_do_not_count_and_comparisons_of_nothing_are_told() {
    let mut spoiled = run(1_000.0, 100);
    spoiled.result.points[0].verdict.status = Status::Invalid;
    let result = held_against(&[run(1_000.0, 100)], &[spoiled], Pairing::Groups);
    assert_eq!(result.invalid_points, 1);
    assert!(result.table(true).contains("1 load points of these runs are invalid"));
    let nothing = CompareResult { comparisons: Vec::new(), ..result };
    assert!(nothing.inconclusive() && !nothing.regressed());
    let mut two = run(1_000.0, 100);
    two.result.points.push(two.result.points[0].clone());
    assert!(compare(&[run(1.0, 1)], &[two], Pairing::Groups, &[Metric::P50], &LIMITS).is_err());
}

#[test]
fn an_interval_that_leaves_the_threshold_on_either_side_is_no_proof_of_sameness() {
    let around = |low: f64, high: f64| Estimate { value: f64::midpoint(low, high), low, high };
    for wide in [around(-0.09, 0.02), around(-0.02, 0.09), around(-0.2, 0.2)] {
        assert_eq!(change(wide, 1.0, 0.05, 0.03), Change::Unclear, "{wide:?}");
    }
    // Zero lies inside, so it may be nothing, however far the middle is.
    assert_eq!(change(around(-0.01, 0.9), 1.0, 0.05, 0.03), Change::Unclear);
}

#[test]
fn the_noise_floor_reaches_as_far_as_any_point_to_any_side() {
    let mut alike = result(Metric::P99, Change::Same);
    let with = |ci95_pct| Comparison { ci95_pct, ..alike.comparisons[0].clone() };
    alike.comparisons = vec![with((-7.0, 2.0)), with((-1.0, 3.0))];
    assert_eq!(NoiseFloor::of(&alike).into_floors(), [("p99".to_owned(), 0.07)]);
}
