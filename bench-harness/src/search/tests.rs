use super::*;

/// Runs a search against a server that keeps up to `capacity`; the bracket and the trials.
fn run(capacity: f64, start: f64, mut noise: impl FnMut(Length) -> f64) -> (Search, Vec<f64>) {
    let mut search = Search::new(start, 0.02, 3);
    let mut tried = Vec::new();
    while let Some((rate, length)) = search.next() {
        tried.push(rate);
        assert!(tried.len() < 200, "the search does not end: {tried:?}");
        search.tell((rate > capacity * noise(length)).then_some(Fault::Slo));
    }
    (search, tried)
}

fn edges(search: &Search) -> (f64, f64) {
    let bracket = search.bracket();
    assert!(bracket.finished);
    (bracket.passes_rps.unwrap(), bracket.fails_rps.unwrap())
}

#[test]
fn the_bracket_holds_the_capacity_and_is_as_narrow_as_asked() {
    for capacity in [3.0, 999.0, 1_000.0, 123_456.0, 7e6] {
        for start in [1.0, 1_000.0, 1e7] {
            let (search, tried) = run(capacity, start, |_| 1.0);
            let (passes, fails) = edges(&search);
            assert!(passes <= capacity && capacity < fails, "{passes}..{fails}, not {capacity}");
            assert!(fails <= passes * 1.0201, "{passes}..{fails}");
            assert!(tried.len() < 45, "{} trials", tried.len());
            assert_eq!(tried[tried.len() - 3..], [passes; 3], "the edge is confirmed three times");
        }
    }
}

#[test]
fn a_rate_that_passes_only_for_a_moment_is_not_the_answer() {
    // Short and medium trials flatter the server by a tenth.
    let (search, _) =
        run(10_000.0, 1_000.0, |length| if length == Length::Full { 1.0 } else { 1.1 });
    let (passes, _) = edges(&search);
    assert!(passes <= 10_000.0 && passes > 8_500.0, "{passes}");
}

#[test]
fn a_server_that_always_fails_passes_nowhere_and_one_that_never_does_everywhere() {
    let (search, _) = run(0.0, 1_000.0, |_| 1.0);
    assert_eq!(search.bracket().passes_rps, None);
    let (search, _) = run(f64::INFINITY, 1_000.0, |_| 1.0);
    let bracket = search.bracket();
    assert_eq!((bracket.passes_rps, bracket.fails_rps), (Some(HIGHEST), None));
}

#[test]
fn the_fault_of_the_upper_edge_is_kept() {
    let mut search = Search::new(8.0, 0.5, 1);
    for fault in [None, Some(Fault::Generator), None, None] {
        search.tell(fault);
    }
    let bracket = search.bracket();
    assert_eq!((bracket.fails_rps, bracket.fault), (Some(16.0), Some(Fault::Generator)));
}

#[test]
fn the_fault_is_that_of_the_lowest_rate_that_failed_and_the_end_is_told() {
    let mut search = Search::new(8.0, 0.5, 1);
    for fault in [None, Some(Fault::Generator), Some(Fault::Slo)] {
        assert!(!search.bracket().finished);
        search.tell(fault);
    }
    let bracket = search.bracket();
    assert_eq!((bracket.fault, bracket.finished), (Some(Fault::Slo), false));
    search.tell(None);
    assert!(search.bracket().finished);
}
