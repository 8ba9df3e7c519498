use super::*;

#[test]
fn a_latency_axis_has_marks_from_end_to_end() {
    assert_eq!(latency_marks(&(1.3e6..4.5e6)), [2e6, 3e6, 4e6]);
    assert_eq!(latency_marks(&(80.0..1_200.0)), [100.0, 200.0, 500.0, 1_000.0]);
    assert_eq!(latency_marks(&(900.0..2e7)), [1e3, 1e4, 1e5, 1e6, 1e7]);
    for low in [1, 2, 1_300_000, 4_999_999, 60_000_000_000] {
        let axis = latency_axis(low, low);
        assert!(axis.bold_points().len() >= 2, "{low}: {:?}", axis.bold_points());
    }
}

fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
    let mut histogram = crate::record::new_histogram();
    values.for_each(|value| histogram.saturating_record(value));
    histogram
}

#[test]
fn a_curve_has_each_value_at_its_percentile_and_ends_with_its_samples() {
    let points = curve(&histogram(1..=1_000), 1e6);
    assert_eq!((points[0], points.last().unwrap().0.round()), ((1.0, 1.0), 1_000.0));
    assert!(points.is_sorted_by(|a, b| a.1 <= b.1));
    for (odds, value) in points {
        let expected = 1_000.0 * (1.0 - 1.0 / odds);
        assert!((value - expected).abs() <= 2.0, "{value} at {odds}");
    }
    let labels = [1.0, 10.0, 99.99, 1_000.0, 2_000.0].map(percentile_label);
    assert_eq!(labels, ["0", "90 %", "99 %", "99.9 %", ""]);
}

#[test]
fn a_track_lies_where_its_intervals_do_and_has_no_percentile_of_few_samples() {
    let mut recording = crate::record::Recording::new(100_000_000);
    for (number, count) in [(0, 1_000), (2, 100)] {
        let values = histogram((1..=count).map(|value| value * 1_000));
        recording.interval_at(number * 100_000_000).add(Metric::Response, &values);
    }
    let point = crate::report::Point { begin_s: 3.0, ..crate::report::sample_point("open") };
    let track = Track::new(&Recorded { point, recording });
    let near = |series: &Series, expected: &[(f64, f64)]| {
        series.len() == expected.len()
            && series.iter().zip(expected).all(|(found, expected)| {
                (found.0 - expected.0).abs() < 1e-9 && (found.1 / expected.1 - 1.0).abs() < 2e-3
            })
    };
    assert!(near(&track.p50, &[(3.05, 5e5), (3.25, 5e4)]), "{:?}", track.p50);
    assert!(near(&track.p99, &[(3.05, 9.9e5)]), "{:?}", track.p99);
    assert!(near(&track.max, &[(3.05, 1e6), (3.25, 1e5)]), "{:?}", track.max);
}

#[test]
fn eighteen_curves_are_told_apart() {
    let strokes: Vec<Stroke> = (0..18).map(Stroke::of).collect();
    for (at, stroke) in strokes.iter().enumerate() {
        assert!(!strokes[..at].contains(stroke), "{at}: {stroke:?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let curves: Vec<_> = (1..=9)
        .map(|n| (format!("open {n}"), histogram((1..=1_000).map(move |v| v * n))))
        .collect();
    write_percentiles(file.path(), "nine", &curves).unwrap();
    let picture = std::fs::read_to_string(file.path()).unwrap();
    assert!((1..=9).all(|n| picture.contains(&format!("open {n}\n"))), "{picture}");
}
