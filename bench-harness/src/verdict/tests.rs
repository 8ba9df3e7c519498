use super::*;

fn lag(p90_ns: u64, p99_ns: u64, max_ns: u64) -> Option<Lag> {
    Some(Lag { p90_ns, p99_ns, max_ns })
}

fn clean() -> Evidence {
    Evidence {
        open: true,
        offered: 10_000.0,
        achieved: 9_990.0,
        lag: lag(4_000, 6_000, 40_000),
        client_queue_p99_ns: Some(1),
        left_over: 0,
        response_p50_ns: Some(30_000),
        response_p90_ns: Some(60_000),
        response_p99_ns: Some(90_000),
        pacing: Pacing::Hybrid,
        generator_busy: Some(1.0),
        steal: Some(0.0),
        throttled_us: Some(0),
        connections: (32, 32),
        unopened: 0,
        shared_cpu: false,
        hiccup_us: Some(60.0),
        drift_p50_percent: Some(2.0),
    }
}

fn status(evidence: &Evidence) -> (Status, bool) {
    let verdict = judge(evidence);
    assert_eq!(
        verdict.reasons.is_empty(),
        matches!(verdict.status, Status::Valid | Status::Capacity) && !verdict.overloaded,
        "a verdict has reasons if and only if something is wrong: {verdict:?}"
    );
    (verdict.status, verdict.overloaded)
}

#[test]
fn a_clean_run_is_valid_and_a_closed_loop_is_capacity() {
    assert_eq!(status(&clean()), (Status::Valid, false));
    assert_eq!(status(&Evidence { open: false, ..clean() }), (Status::Capacity, false));
}

#[test]
fn each_fault_of_the_generator_or_the_machine_makes_a_run_invalid() {
    let faults = [
        Evidence { lag: lag(50_001, 60_000, 60_000), ..clean() },
        Evidence { lag: lag(1_000, 10_000, STOPPED_NS), ..clean() },
        Evidence { achieved: 9_800.0, ..clean() },
        Evidence { pacing: Pacing::Sleep, generator_busy: Some(0.96), ..clean() },
        Evidence { connections: (32, 31), ..clean() },
        Evidence { unopened: 1, ..clean() },
        Evidence { steal: Some(0.051), ..clean() },
        Evidence { throttled_us: Some(1), ..clean() },
    ];
    for fault in faults {
        assert_eq!(status(&fault), (Status::Invalid, false), "{fault:?}");
    }
}

#[test]
fn lag_may_be_a_tenth_of_a_slow_response() {
    let slow =
        Evidence { response_p90_ns: Some(2_000_000), response_p99_ns: Some(4_000_000), ..clean() };
    let with = |lag| status(&Evidence { lag, ..slow.clone() }).0;
    assert_eq!(with(lag(200_000, 400_000, 500_000)), Status::Valid);
    assert_eq!(with(lag(200_000, 400_001, 500_000)), Status::Indicative);
    assert_eq!(with(lag(200_001, 400_000, 500_000)), Status::Invalid);
}

#[test]
fn a_late_tail_leaves_the_p90_and_says_so() {
    let verdict = judge(&Evidence { lag: lag(10_000, 230_000, 300_000), ..clean() });
    assert_eq!(verdict.status, Status::Indicative);
    assert!(verdict.reasons[0].contains("up to p90"), "{:?}", verdict.reasons);
}

#[test]
fn a_shortfall_while_requests_wait_for_the_server_is_overload() {
    let short = Evidence { achieved: 8_000.0, ..clean() };
    let waits = [
        Evidence { client_queue_p99_ns: Some(400_000_000), ..short.clone() },
        Evidence { left_over: 10, ..short.clone() },
        Evidence { response_p50_ns: Some(900_000_000), ..short },
    ];
    for wait in waits {
        assert_eq!(status(&wait), (Status::Valid, true), "{wait:?}");
    }
}

#[test]
fn each_limit_is_where_it_says() {
    for (inside, outside) in [
        (Evidence { achieved: 9_900.0, ..clean() }, Evidence { achieved: 9_899.0, ..clean() }),
        (
            Evidence { lag: lag(1_000, 10_000, STOPPED_NS - 1), ..clean() },
            Evidence { lag: lag(1_000, 10_000, STOPPED_NS), ..clean() },
        ),
        (
            Evidence { lag: lag(50_000, 50_000, 60_000), ..clean() },
            Evidence { lag: lag(50_000, 50_001, 60_000), ..clean() },
        ),
        (Evidence { steal: Some(0.01), ..clean() }, Evidence { steal: Some(0.0101), ..clean() }),
        (
            Evidence { hiccup_us: Some(1_000.0), ..clean() },
            Evidence { hiccup_us: Some(1_000.1), ..clean() },
        ),
        (
            Evidence { drift_p50_percent: Some(25.0), ..clean() },
            Evidence { drift_p50_percent: Some(25.1), ..clean() },
        ),
    ] {
        assert_eq!(status(&inside).0, Status::Valid, "{inside:?}");
        assert_ne!(status(&outside).0, Status::Valid, "{outside:?}");
    }
}

#[test]
fn what_is_only_doubtful_is_indicative() {
    let doubts = [
        Evidence { shared_cpu: true, ..clean() },
        Evidence { steal: Some(0.011), ..clean() },
        Evidence { hiccup_us: Some(1_001.0), ..clean() },
        Evidence { drift_p50_percent: Some(-26.0), ..clean() },
    ];
    for doubt in doubts {
        assert_eq!(status(&doubt), (Status::Indicative, false), "{doubt:?}");
    }
}

#[test]
fn what_is_unknown_is_no_fault() {
    let unknown = Evidence {
        lag: None,
        client_queue_p99_ns: None,
        response_p50_ns: None,
        response_p90_ns: None,
        response_p99_ns: None,
        generator_busy: None,
        steal: None,
        throttled_us: None,
        hiccup_us: None,
        drift_p50_percent: None,
        ..clean()
    };
    assert_eq!(status(&unknown), (Status::Valid, false));
}

#[test]
fn the_response_of_an_overloaded_server_grows_and_that_is_no_drift() {
    let grows =
        Evidence { achieved: 8_000.0, left_over: 10, drift_p50_percent: Some(80.0), ..clean() };
    assert_eq!(status(&grows), (Status::Valid, true));
    assert_eq!(judge(&grows).reasons.len(), 1, "that it is overloaded");
}

#[test]
fn what_is_sent_when_there_is_room_cannot_be_late() {
    for late in [lag(60_000, 60_000, 60_000), lag(1_000, 60_000, 60_000), lag(1, 1, STOPPED_NS)] {
        let closed = Evidence { open: false, lag: late, ..clean() };
        assert_eq!(status(&closed), (Status::Capacity, false), "{late:?}");
    }
}
