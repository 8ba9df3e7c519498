use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_instant_plus_a_duration_minus_the_instant_is_the_duration() {
    let start = Instant::from_nanos(17);
    assert_eq!((start + SECOND) - start, SECOND);
    assert_eq!((start + SECOND) - SECOND, start);
}

#[test]
fn arithmetic_saturates_at_both_ends() {
    assert_eq!(Instant::from_nanos(5) + Duration::MAX, Instant::MAX);
    assert_eq!(Instant::MAX + SECOND, Instant::MAX);
    assert_eq!(Instant::from_nanos(5) - SECOND, Instant::ZERO);
    assert_eq!(Instant::ZERO - Instant::MAX, Duration::ZERO);
    assert_eq!(Instant::MAX.checked_add(SECOND), None);
    assert_eq!(Instant::ZERO.checked_add(SECOND), Some(Instant::from_nanos(1_000_000_000)));
}

#[test]
fn it_prints_as_a_time_since_the_loop_began() {
    let instant = Instant::ZERO + Duration::from_micros(1_500);
    assert_eq!(instant.to_string(), "1.5ms");
    assert_eq!(format!("{instant:?}"), "Instant(+1.5ms)");
    assert_eq!(format!("{:>8}", instant.to_string()), "   1.5ms");
}
