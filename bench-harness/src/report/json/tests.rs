use super::*;
use crate::report::sample_result;

#[test]
fn a_percentile_of_too_few_samples_is_unknown_also_if_it_was_asked_for() {
    let mut histogram = crate::record::new_histogram::<u64>();
    histogram.record_n(1_000, 567).unwrap();
    let wanted = [("98", 98.0), ("75", 75.0)]
        .map(|(name, value)| Percentile { name: name.to_owned(), value });
    let names = ["75", "90", "98", "99"];
    let known = |histogram: &Histogram<u64>| {
        let summary = Summary::with(histogram, &wanted);
        names.map(|name| summary.percentile(name).is_some())
    };
    assert_eq!(known(&histogram), [true, true, false, false]);
    histogram.record(1_000).unwrap();
    assert_eq!(known(&histogram), [true; 4]);
}

#[test]
fn the_least_censored_value_is_itself_a_bound() {
    let summary = Summary { lower_bound_from_ns: Some(500), ..Summary::default() };
    assert_eq!([499, 500, 501].map(|ns| summary.is_lower_bound(ns)), [false, true, true]);
    assert!(!Summary::default().is_lower_bound(u64::MAX));
}

#[test]
fn the_connections_of_two_generators_add_up() {
    let of = |number: u64| Connections {
        asked: number as usize,
        established: number as usize + 1,
        requests_each: Some(7),
        opened: number + 2,
        lost: number + 3,
        refused: number + 4,
        reset: number + 5,
        closed: number + 6,
        wrong_replies: number + 7,
        unopened: number + 8,
        reason: Some(format!("reason {number}")),
    };
    let mut sum = of(100);
    sum.add(&of(0));
    let expected = Connections {
        asked: 100,
        established: 102,
        requests_each: Some(7),
        opened: 104,
        lost: 106,
        refused: 108,
        reset: 110,
        closed: 112,
        wrong_replies: 114,
        unopened: 116,
        reason: Some("reason 100".to_owned()),
    };
    assert_eq!(sum, expected);
}

#[test]
fn a_result_of_another_schema_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let write = |result: &RunResult| {
        let text = serde_json::to_vec(result).unwrap();
        std::fs::write(directory.path().join("result.json"), text).unwrap();
    };
    let mut result = sample_result(Vec::new());
    write(&result);
    assert_eq!(load(directory.path()).unwrap().0, result);
    result.schema = "corelane.bench.result/2".to_owned();
    write(&result);
    assert!(load(directory.path()).unwrap_err().to_string().contains("result/2"));
}
