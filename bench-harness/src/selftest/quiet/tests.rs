use super::*;

const WINDOW_NS: u64 = 50_000_000;
const SPAN: Span =
    Span { origin_ns: 1_000_000_000, measure_ns: 1_100_000_000, end_ns: 3_100_000_000 };

/// A run with a request a millisecond that takes as long as the number of its window, and the lag
/// given by window.
fn recording(lag_ns: impl Fn(usize) -> u64) -> Recording {
    let mut recording = Recording::new(WINDOW_NS);
    for number in 0..44 {
        let mut response = crate::record::new_histogram::<u64>();
        let mut lag = crate::record::new_histogram::<u64>();
        response.record_n(number as u64 + 1, 50).unwrap();
        lag.record_n(lag_ns(number).max(1), 50).unwrap();
        let interval = recording.interval_at(number as u64 * recording.interval_ns);
        interval.add(Metric::Response, &response);
        interval.add(Metric::GeneratorLag, &lag);
    }
    recording
}

fn quiet_numbers(windows: &Windows<'_>) -> Vec<usize> {
    (0..windows.quiet.len()).filter(|number| windows.quiet[*number]).collect()
}

#[test]
fn the_windows_of_an_undisturbed_run_are_those_of_the_measured_time() {
    let recording = recording(|_| 2_000);
    let windows = Windows::find(&recording, SPAN, &[]);
    // The first after the warm-up may hold answers of it.
    assert_eq!(quiet_numbers(&windows), (3..42).collect::<Vec<_>>());
    assert_eq!(windows.histogram(Metric::Response).len(), 39 * 50);
    assert_eq!((windows.too_few(), windows.doubt()), (None, None));
}

#[test]
fn a_gap_spoils_the_windows_until_its_backlog_has_gone() {
    let recording = recording(|_| 2_000);
    let begin_ns = SPAN.origin_ns + 10 * WINDOW_NS + 49_000_000;
    let gap = |length_ns| Gap { begin_ns, end_ns: begin_ns + length_ns };
    let quiet = |gap| quiet_numbers(&Windows::find(&recording, SPAN, &[gap]));
    let without = |spoiled: std::ops::RangeInclusive<usize>| -> Vec<usize> {
        (3..42).filter(|number| !spoiled.contains(number)).collect()
    };
    assert_eq!(quiet(gap(100_000)), without(0..=0), "a short one is only counted");
    assert_eq!(quiet(gap(4_000_000)), without(10..=11));
    assert_eq!(quiet(gap(30_000_000)), without(10..=13), "30 ms, and three times 30 after it");
}

#[test]
fn a_late_request_spoils_the_window_in_which_it_was_due_and_those_after() {
    let recording = recording(|number| if number == 20 { 60_000_000 } else { 2_000 });
    let windows = Windows::find(&recording, SPAN, &[]);
    let spoiled: Vec<usize> = (3..42).filter(|number| !windows.quiet[*number]).collect();
    assert_eq!(spoiled, (18..=24).collect::<Vec<_>>());
}

#[test]
fn a_generator_that_is_always_late_leaves_nothing_to_judge() {
    let recording = recording(|number| if number % 5 == 0 { 150_000 } else { 2_000 });
    let windows = Windows::find(&recording, SPAN, &[]);
    assert!(windows.too_few().is_none(), "two in five are left");
    let recording = self::recording(|number| if number % 2 == 0 { 150_000 } else { 2_000 });
    let windows = Windows::find(&recording, SPAN, &[]);
    assert_eq!(windows.count(), 0);
    assert!(windows.too_few().is_some());
}

#[test]
fn many_short_gaps_excuse_a_failure() {
    let recording = recording(|_| 2_000);
    let every = |step_ns: u64| -> Vec<Gap> {
        (SPAN.measure_ns..SPAN.end_ns)
            .step_by(step_ns as usize)
            .map(|begin_ns| Gap { begin_ns, end_ns: begin_ns + 50_000 })
            .collect()
    };
    assert!(Windows::find(&recording, SPAN, &every(2_000_000)).doubt().is_some());
    assert!(Windows::find(&recording, SPAN, &every(20_000_000)).doubt().is_none());
}
