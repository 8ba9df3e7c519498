//! A kernel that wakes the generator late.

use super::*;

/// The greatest lag and the greatest response, where each wait lasts 50 µs longer than it should.
fn run(pacing: Pacing) -> (u64, u64) {
    let universe = Universe { service_ns: 20_000, oversleep_ns: 50_000, ..Universe::default() };
    let (outcome, recording, _) = Case { universe, pacing, ..Case::default() }.run();
    assert!(outcome.ledger.balanced());
    (at(&recording, Metric::GeneratorLag, 1.0), at(&recording, Metric::Response, 1.0))
}

#[test]
fn hybrid_pacing_is_as_exact_as_spinning_and_sleeping_is_as_late_as_the_kernel() {
    for pacing in [Pacing::Spin, Pacing::Hybrid] {
        let (lag_ns, response_ns) = run(pacing);
        assert!(lag_ns < 2_000, "{pacing:?}: {lag_ns}");
        // An answer that is about to come is waited for without sleep.
        assert!(response_ns < 23_000, "{pacing:?}: {response_ns}");
    }
    let (lag_ns, response_ns) = run(Pacing::Sleep);
    assert!((50_000..52_000).contains(&lag_ns), "{lag_ns}");
    assert!(response_ns >= 100_000, "{response_ns}");
}

#[test]
fn the_longest_turn_of_the_loop_is_work_and_no_waiting() {
    let (outcome, _, _) = Case::default().run();
    assert!(outcome.loop_gap_max_ns < 5_000, "{}", outcome.loop_gap_max_ns);
}
