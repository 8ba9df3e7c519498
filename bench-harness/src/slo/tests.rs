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

#[test]
fn each_quantity_is_read_from_its_own_place() {
    let mut point = point();
    let of = |us: u64| {
        let mut histogram = crate::record::new_histogram::<u64>();
        (0..1_000).for_each(|_| histogram.saturating_record(us * 1_000));
        Summary::new(&histogram)
    };
    (point.service, point.generator_lag) = (of(70), of(3));
    for (text, expected) in [
        ("service.p99<71us", true),
        ("service.max<69us", false),
        ("lag.p99<4us", true),
        ("lag.mean>2us", true),
        ("mean<510us", true),
        ("mean>490us", true),
        ("max>999us", true),
    ] {
        assert_eq!(holds(text, &point), expected, "{text}");
    }
}

#[test]
fn whatever_got_no_good_answer_in_time_is_an_error() {
    let mut point = point();
    let ledger = &mut point.ledger;
    (ledger.errors, ledger.timeouts, ledger.unfinished, ledger.unsent) = (1, 20, 300, 4_000);
    assert!(holds("errors<=4321", &point) && !holds("errors<=4320", &point));
}

#[test]
fn a_lower_bound_proves_what_lies_below_it() {
    let mut point = point();
    point.response.lower_bound_from_ns = Some(900_000);
    assert!(holds("p99>900us", &point) && holds("p99>=900us", &point));
    assert!(!holds("p99>2ms", &point));
}
