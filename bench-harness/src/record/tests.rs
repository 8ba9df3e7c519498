use proptest::prelude::*;

use super::*;

const INTERVALS: Intervals = Intervals { origin_ns: 1_000, length_ns: 100, digits: 3 };

fn drain(mut collector: Collector) -> Recording {
    while collector.collect(Duration::from_secs(1)).is_ok() {}
    collector.into_recording()
}

#[test]
fn a_latency_is_counted_in_the_interval_in_which_it_was_recorded() {
    let (mut recorders, collector) = recorders(1, INTERVALS);
    let mut recorder = recorders.pop().unwrap();
    recorder.record(Metric::Response, 5);
    recorder.roll(1_099);
    recorder.record(Metric::Response, 6);
    // Nothing happened in the intervals 1 and 2.
    recorder.roll(1_350);
    recorder.record(Metric::Service, 7);
    recorder.count_done();
    recorder.finish(1_360);

    let recording = drain(collector);
    assert_eq!(recording.intervals.len(), 4);
    assert_eq!(recording.intervals[0].counts(Metric::Response), &[(5, 1), (6, 1)]);
    assert_eq!(recording.intervals[1], Interval::default());
    assert_eq!(recording.intervals[3].counts(Metric::Service), &[(7, 1)]);
    assert_eq!(recording.intervals[3].done, 1);
    assert_eq!(recording.span(Metric::Service).len(), 1);
}

#[test]
fn the_intervals_of_all_threads_add_up() {
    let (recorders, collector) = recorders(3, INTERVALS);
    for (thread, mut recorder) in recorders.into_iter().enumerate() {
        for value in 1..=10 {
            recorder.record(Metric::Response, value * 100 + thread as u64);
        }
        recorder.finish(1_050);
    }
    let total = drain(collector).total(Metric::Response);
    assert_eq!((total.len(), total.min(), total.max()), (30, 100, 1_002));
}

#[test]
fn a_latency_above_the_limit_is_counted_as_overflow_and_at_the_limit() {
    let (mut recorders, collector) = recorders(1, INTERVALS);
    let mut recorder = recorders.pop().unwrap();
    recorder.record(Metric::Response, MAX_LATENCY_NS + 1);
    recorder.record(Metric::Response, 0);
    recorder.finish(1_000);
    let recording = drain(collector);
    assert_eq!(recording.overflow(), 1);
    let total = recording.total(Metric::Response);
    assert_eq!(total.len(), 2);
    assert!(total.max() >= MAX_LATENCY_NS);
}

#[test]
fn a_set_that_comes_back_is_empty() {
    let (mut recorders, mut collector) = recorders(1, INTERVALS);
    let mut recorder = recorders.pop().unwrap();
    for turn in 0..10 {
        recorder.record(Metric::Response, 1 + turn);
        recorder.roll(1_100 + turn * 100);
        assert_eq!(collector.collect(Duration::from_secs(1)).map(|interval| interval.done), Ok(0));
    }
    drop(recorder);
    assert_eq!(drain(collector).total(Metric::Response).len(), 10);
}

/// Runs for so many intervals, with 40 different latencies in each; what is left in the end.
fn run_for(intervals: u64) -> Recording {
    let (mut recorders, mut collector) = recorders(1, INTERVALS);
    let mut recorder = recorders.pop().unwrap();
    for number in 0..intervals {
        for value in 1..=40 {
            recorder.record(Metric::Response, value * 1_000);
        }
        recorder.count_done();
        recorder.roll(INTERVALS.origin_ns + number * INTERVALS.length_ns + 99);
        recorder.roll(INTERVALS.origin_ns + (number + 1) * INTERVALS.length_ns);
        while collector.collect(Duration::ZERO).is_ok() {}
    }
    drop(recorder);
    drain(collector)
}

fn retained_entries(recording: &Recording) -> usize {
    let counts = recording.intervals.iter().flat_map(|interval| &interval.counts);
    counts.map(Vec::capacity).sum()
}

#[test]
fn a_run_twenty_times_as_long_keeps_no_more_and_loses_nothing() {
    let full = MAX_INTERVALS as u64;
    let (short, long) = (run_for(full), run_for(full * 20));
    assert_eq!(short.interval_ns, INTERVALS.length_ns, "a full recording is not made coarser");
    assert_eq!(long.interval_ns, INTERVALS.length_ns * 32);
    assert_eq!(short.intervals.len(), MAX_INTERVALS);
    assert!((MAX_INTERVALS / 2..=MAX_INTERVALS).contains(&long.intervals.len()));
    assert!(retained_entries(&long) <= retained_entries(&short));
    assert_eq!(long.total(Metric::Response).len(), full * 20 * 40);
    assert_eq!(long.intervals.iter().map(|interval| interval.done).sum::<u64>(), full * 20);
}

#[test]
fn intervals_that_are_added_up_keep_when_and_how_often() {
    let mut recording = Recording::new(100);
    for (at_ns, value) in [(0, 5), (150, 5), (199, 6), (250, 7), (450, 8)] {
        let mut histogram = new_histogram::<u32>();
        histogram.saturating_record(value);
        recording.interval_at(at_ns).add(Metric::Response, &histogram);
    }
    recording.interval_at(450).overflow = 3;
    recording.interval_at(150).overflow = 2;
    recording.coarsen();
    let counts = |number: usize| recording.intervals[number].counts(Metric::Response).clone();
    assert_eq!((recording.interval_ns, recording.intervals.len()), (200, 3));
    assert_eq!(counts(0), [(5, 2), (6, 1)]);
    assert_eq!((counts(1), counts(2)), (vec![(7, 1)], vec![(8, 1)]));
    assert_eq!(recording.overflow(), 5);
}

#[test]
fn the_service_of_a_closed_loop_is_its_response() {
    let mut recording = Recording::new(100);
    let mut histogram = new_histogram::<u32>();
    histogram.saturating_record(5);
    recording.interval_at(250).add(Metric::Response, &histogram);
    recording.take_response_for_service();
    assert_eq!(recording.total(Metric::Service), recording.total(Metric::Response));
    assert_eq!(recording.intervals[2].counts(Metric::Service), &[(5, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn percentiles_equal_those_of_the_sorted_values_to_three_digits(
        mut values in prop::collection::vec(1u64..MAX_LATENCY_NS, 1..400),
        split in 0usize..400,
    ) {
        let (mut recorders, collector) = recorders(1, INTERVALS);
        let mut recorder = recorders.pop().unwrap();
        for (index, value) in values.iter().enumerate() {
            if index == split {
                recorder.roll(1_500);
            }
            recorder.record(Metric::Response, *value);
        }
        recorder.finish(1_600);
        let total = drain(collector).total(Metric::Response);
        values.sort_unstable();
        for quantile in [0.0, 0.5, 0.9, 0.99, 1.0] {
            let rank = (quantile * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[rank - 1] as f64;
            let ours = total.value_at_quantile(quantile) as f64;
            prop_assert!((ours - exact).abs() <= exact * 1e-3 + 1.0, "{quantile}: {ours} {exact}");
        }
    }
}

#[test]
fn two_digits_are_off_by_a_hundredth_at_most_and_three_by_a_thousandth() {
    // The first two differ by a thousandth.
    let values = [1_000_000_u64, 1_001_000, 59_999_999_999];
    for (digits, share, apart) in [(2, 0.01, 2), (3, 0.001, 3)] {
        let (mut recorders, collector) = recorders(1, Intervals { digits, ..INTERVALS });
        for value in values {
            recorders[0].record(Metric::Response, value);
        }
        recorders.remove(0).finish(1_000);
        let total = drain(collector).total(Metric::Response);
        let recorded: Vec<u64> =
            total.iter_recorded().map(|step| step.value_iterated_to()).collect();
        assert_eq!((recorded.len(), total.len()), (apart, 3), "{digits} digits: {recorded:?}");
        for wanted in values {
            let off = |recorded: &u64| (*recorded as f64 / wanted as f64 - 1.0).abs();
            let least = recorded.iter().map(off).fold(f64::INFINITY, f64::min);
            // Once more a thousandth when it is added up.
            assert!(least <= share + 0.001, "{digits} digits: {recorded:?} for {wanted}");
        }
    }
}
