use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_clock_reaches_what_it_is_said_to_show_then_and_not_before() {
    for drift_ppm in [-999_999, -333_333, -1, 0, 1, 17, 500_000, 2_000_000] {
        let mut clock = Clock::new();
        clock.go_ahead(Instant::ZERO + SECOND, SECOND);
        clock.set_drift(Instant::ZERO + 2 * SECOND, drift_ppm);
        for nanos in [3_000_000_001, 3_000_000_002, 4_999_999_999, 7_123_456_789] {
            let wanted = Instant::from_nanos(nanos);
            let when = clock.when(wanted);
            assert!(clock.at(when) >= wanted, "{drift_ppm} {nanos}");
            assert!(clock.at(when - Duration::from_nanos(1)) < wanted, "{drift_ppm} {nanos}");
        }
    }
}

#[test]
fn a_clock_never_goes_back_when_it_is_set() {
    let mut clock = Clock::new();
    let mut before = Instant::ZERO;
    for (number, drift_ppm) in [-500_000, 300_000, 0, -999_999].into_iter().enumerate() {
        let now = Instant::ZERO + SECOND * number as u32;
        clock.set_drift(now, drift_ppm);
        assert!(clock.at(now) >= before);
        before = clock.at(now);
        clock.go_ahead(now, SECOND / 3);
        assert_eq!(clock.at(now), before + SECOND / 3);
    }
}
