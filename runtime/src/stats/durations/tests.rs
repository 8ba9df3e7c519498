use super::*;

fn near(found: Duration, wanted: Duration) -> bool {
    found.abs_diff(wanted) <= wanted / 100
}

#[test]
fn lengths_are_kept_to_one_percent() {
    let mut lengths = Durations::default();
    assert_eq!((lengths.count(), lengths.quantile(0.5)), (0, Duration::ZERO));
    for micros in 1..=1000 {
        lengths.record(Duration::from_micros(micros));
    }
    assert_eq!(lengths.count(), 1000);
    assert_eq!(lengths.total(), Duration::from_micros(500_500));
    assert!(near(lengths.quantile(0.5), Duration::from_micros(500)), "{lengths:?}");
    assert!(near(lengths.max(), Duration::from_micros(1000)), "{lengths:?}");
    let half = lengths.count_up_to(Duration::from_micros(500));
    assert!((500..=505).contains(&half), "{half}");
}

#[test]
fn nothing_and_more_than_an_hour_are_recorded_too() {
    let mut lengths = Durations::default();
    lengths.record(Duration::ZERO);
    lengths.record(Duration::MAX);
    assert_eq!((lengths.count(), lengths.count_up_to(Duration::MAX)), (2, 2));
    assert!(near(lengths.max(), Duration::from_secs(3600)), "{lengths:?}");
}

#[test]
fn what_two_have_recorded_is_what_one_would_have() {
    let (mut one, mut other) = (Durations::default(), Durations::default());
    one.merge(&other);
    assert_eq!(one.count(), 0);
    other.record(Duration::from_millis(3));
    one.record(Duration::from_millis(1));
    one.merge(&other);
    assert_eq!((one.count(), one.total()), (2, Duration::from_millis(4)));
}
