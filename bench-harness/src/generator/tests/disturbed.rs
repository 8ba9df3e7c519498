//! A machine that takes CPUs away: what is left in the quiet windows.

use hdrhistogram::Histogram;

use super::*;
use crate::selftest::quiet::{Span, Windows};
use crate::serve::Gap;

/// A run at half load on a machine that takes the server's CPU away six times a second and the
/// generator's five times, for up to eight milliseconds; the mean response in service times, of all and
/// of the quiet windows.
fn disturbed(arrival: Arrival) -> (f64, f64) {
    let stops = |every_ns: u64, first_ns: u64| {
        (1..)
            .map(move |number| (first_ns + number * every_ns, number % 8 + 1))
            .map(|(from_ns, length_ms)| (from_ns, from_ns + length_ms * MS))
    };
    let end_ns = 8_100 * MS;
    let within = |(from_ns, _): &(u64, u64)| *from_ns < end_ns;
    let freezes: Vec<(u64, u64)> = stops(166 * MS, 7 * MS).take_while(within).collect();
    let gaps: Vec<Gap> =
        freezes.iter().map(|&(begin_ns, end_ns)| Gap { begin_ns, end_ns }).collect();
    let generator_stops = stops(211 * MS, 3 * MS).take_while(within).collect();
    let case = Case {
        universe: Universe { service_ns: 200_000, freezes, generator_stops, ..Universe::default() },
        rate: Some(2_500.0),
        arrival,
        seconds: 8.0,
        connections: 16,
        interval_ns: 25 * MS,
        ..Case::default()
    };
    let (outcome, recording, _) = case.run();
    assert!(outcome.ledger.balanced());
    let span = Span { origin_ns: 0, measure_ns: 100 * MS, end_ns };
    let windows = Windows::find(&recording, span, &gaps);
    assert_eq!(windows.too_few(), None);
    let mean = |histogram: Histogram<u64>| histogram.mean() / 200_000.0;
    (mean(recording.total(Metric::Response)), mean(windows.histogram(Metric::Response)))
}

#[test]
fn the_quiet_windows_of_a_disturbed_run_follow_theory_and_the_whole_does_not() {
    let (all, quiet) = disturbed(Arrival::Poisson);
    assert!(all > 2.0, "the disturbances weigh: {all}");
    assert!((quiet - 1.5).abs() < 0.09, "mean response {quiet} service times at half load");
}

#[test]
fn quiet_windows_do_not_make_other_arrivals_look_like_poisson() {
    let (_, quiet) = disturbed(Arrival::Constant);
    assert!((quiet - 1.0).abs() < 0.03, "even arrivals do not queue: {quiet}");
}
