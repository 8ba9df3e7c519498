use super::*;
use crate::report::sample_point;

/// 1000 responses from 1 µs to 1 ms at 500/s, of which one timed out.
fn point() -> Point {
    let mut point = sample_point("open");
    let mut histogram = crate::record::new_histogram::<u64>();
    (1..=1_000).for_each(|us| histogram.saturating_record(us * 1_000));
    point.response = Summary::new(&histogram);
    point.achieved_rps = 500.0;
    point.ledger.timeouts = 1;
    point
}

fn holds(text: &str, point: &Point) -> bool {
    Slo::parse(text).unwrap().check(point).holds
}

#[test]
fn conditions_are_held_against_what_was_measured() {
    let point = point();
    for (text, expected) in [
        ("p99<1ms", true),
        ("p99 < 500us", false),
        ("response.p50<=600us", true),
        ("max<2ms", true),
        ("mean<400us", false),
        ("rps>=500", true),
        ("rps>0.5k/s", false),
        ("errors<=1", true),
        ("errors<1", false),
    ] {
        assert_eq!(holds(text, &point), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_told_does_not_hold() {
    let mut point = point();
    let result = Slo::parse("p99.99<1s").unwrap().check(&point);
    assert_eq!((result.holds, result.measured), (false, None));
    point.response.lower_bound_from_ns = Some(900_000);
    let result = Slo::parse("p99<1s").unwrap().check(&point);
    assert!(!result.holds && result.measured.unwrap().starts_with('≥'));
    assert!(holds("p50<1s", &point));
}

#[test]
fn what_is_not_understood_says_what_would_be() {
    for (bad, word) in [
        ("p99", "p99<1ms"),
        ("p98<1ms", "p99.9"),
        ("p99<1", "p99<1ms"),
        ("speed>9", "rps"),
        ("errors<=few", "errors<=0"),
        ("service.rps>1", "possible"),
    ] {
        let error = Slo::parse(bad).unwrap_err();
        assert!(error.contains(word), "{bad}: {error}");
    }
}
