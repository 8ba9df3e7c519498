//! Requests that get no answer: they count at their age, each from the moment it is about.

use super::*;

#[test]
fn a_server_that_never_answers_again_leaves_censored_samples_of_every_age() {
    let universe = Universe {
        service_ns: 20_000,
        freezes: vec![(1_100 * MS, u64::MAX)],
        ..Universe::default()
    };
    let case = Case { universe, depth: 8, drain_ns: 500 * MS, ..Case::default() };
    let (outcome, recording, _) = case.run();
    let ledger = outcome.ledger;
    assert!(ledger.balanced());
    assert_eq!((ledger.ok, ledger.unfinished, ledger.unsent), (1_100, 32, 968));
    assert_eq!((outcome.censored.count, outcome.censored_service.count), (1_000, 32));
    // The youngest was due when the schedule ended, the oldest when the server stopped.
    assert!((500 * MS..503 * MS).contains(&outcome.censored.least_ns.unwrap()));
    // What was sent filled the windows within 32 ms of that.
    assert!((1_467 * MS..1_470 * MS).contains(&outcome.censored_service.least_ns.unwrap()));
    let max = at(&recording, Metric::Response, 1.0);
    assert!((1_499 * MS..1_502 * MS).contains(&max), "{max}");
    assert_eq!(recording.total(Metric::Response).len(), 2_000);
}

#[test]
fn what_is_due_in_the_warm_up_and_never_answered_is_not_measured() {
    let universe =
        Universe { service_ns: 20_000, freezes: vec![(50 * MS, u64::MAX)], ..Universe::default() };
    let case = Case { universe, depth: 8, drain_ns: 500 * MS, ..Case::default() };
    let (outcome, recording, _) = case.run();
    let ledger = outcome.ledger;
    assert!(ledger.balanced());
    assert_eq!((ledger.ok, ledger.unfinished, ledger.unsent, ledger.warmup), (50, 32, 2_018, 100));
    assert_eq!((outcome.censored.count, recording.total(Metric::Response).len()), (2_000, 2_000));
}

#[test]
fn what_was_sent_late_and_never_answered_ages_from_when_it_was_due() {
    let universe = Universe {
        service_ns: 20_000,
        // Between the two it answers what fills the windows, so that as much leaves that has waited.
        freezes: vec![(1_100 * MS, 1_300 * MS), (1_301 * MS, u64::MAX)],
        ..Universe::default()
    };
    let case = Case { universe, depth: 8, drain_ns: 500 * MS, ..Case::default() };
    let (outcome, recording, _) = case.run();
    assert!(outcome.ledger.balanced());
    assert_eq!(outcome.ledger.unfinished, 32);
    // The run ends after 2600 ms: due after 1132 and later, sent after 1300.
    let (response, service) =
        (at(&recording, Metric::Response, 1.0), at(&recording, Metric::Service, 1.0));
    assert!((1_450 * MS..1_470 * MS).contains(&response), "{response}");
    assert!((1_298 * MS..1_302 * MS).contains(&service), "{service}");
}
