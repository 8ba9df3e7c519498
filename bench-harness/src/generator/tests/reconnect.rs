//! Connections that end after so many requests, and a server that is away for a while.

use super::*;

#[test]
fn a_connection_for_each_request_is_opened_once_for_each_and_loses_none() {
    for (rate, each) in [(Some(1_000.0), 1), (None, 1), (Some(1_000.0), 7), (None, 7)] {
        for depth in [1, 3] {
            let requests_each = Some(each);
            let case = Case { rate, requests_each, depth, requests: Some(777), ..Case::default() };
            let (outcome, _, served) = case.run();
            let ledger = outcome.ledger;
            assert!(ledger.balanced(), "{ledger:?}");
            assert_eq!((ledger.ok, served), (ledger.sent, ledger.sent));
            assert_eq!(ledger.sent - ledger.warmup, 777);
            // Each of the four may have ended in the middle of what it carries.
            let least = ledger.sent.div_ceil(each);
            assert!((least..=least + 3).contains(&outcome.opened), "{}", outcome.opened);
            assert_eq!(outcome.losses, Losses::default());
        }
    }
}

/// A server that is replaced by another one, and is away for a tenth of a second between.
fn away() -> Universe {
    Universe {
        service_ns: 20_000,
        // What has come before the end is not answered any more.
        freezes: vec![(995 * MS, 1_000 * MS)],
        dies_ns: Some(1_000 * MS - 1),
        back_ns: 1_100 * MS - 1,
        ..Universe::default()
    }
}

#[test]
fn each_request_that_is_due_while_nobody_listens_is_refused_once_and_the_others_are_answered() {
    for depth in [1, 5] {
        let case = Case { universe: away(), requests_each: Some(1), depth, ..Case::default() };
        let (outcome, recording, _) = case.run();
        let (ledger, losses) = (outcome.ledger, &outcome.losses);
        assert!(ledger.balanced(), "{ledger:?}");
        // Four are on their way when the server ends; a fifth finds no free place and comes later.
        assert_eq!((losses.closed, losses.refused, losses.all), (4, 101, 105), "{losses:?}");
        assert_eq!((ledger.errors, ledger.ok), (105, 1_995));
        assert_eq!(outcome.opened, ledger.sent - losses.refused);
        assert_eq!(recording.total(Metric::Response).len(), 1_895);
        assert!(losses.reason.as_deref().unwrap().contains("closed"), "{losses:?}");
    }
}

#[test]
fn a_closed_loop_comes_back_with_its_server_and_a_count_is_kept() {
    let universe = || Universe { dies_ns: Some(5 * MS), back_ns: 6 * MS, ..away() };
    let case = Case { universe: universe(), rate: None, depth: 1, ..Case::default() };
    let case = Case { requests_each: Some(1), requests: Some(3_000), ..case };
    let (outcome, _, _) = case.run();
    let (ledger, losses) = (outcome.ledger, &outcome.losses);
    assert!(ledger.balanced(), "{ledger:?}");
    assert_eq!(ledger.sent - ledger.warmup, 3_000);
    assert!(losses.refused > 100 && losses.refused < 4_100, "{losses:?}");
    assert_eq!(ledger.errors, losses.all);
    // Users who think try less often.
    let case = Case { universe: universe(), rate: None, depth: 1, ..Case::default() };
    let case = Case { requests_each: Some(1), think_ns: MS / 4, ..case };
    let (outcome, _, _) = case.run();
    let thinking = &outcome.losses;
    assert!(thinking.refused >= 12 && thinking.refused <= 20, "{thinking:?}");
}

#[test]
fn a_connection_that_the_server_ends_while_nobody_uses_it_is_no_loss() {
    let universe = Universe { freezes: Vec::new(), back_ns: 0, ..away() };
    let case = Case { universe, requests_each: Some(1_000), ..Case::default() };
    let (outcome, _, _) = case.run();
    assert!(outcome.ledger.balanced());
    assert_eq!((outcome.ledger.ok, outcome.ledger.errors), (2_100, 0));
    assert_eq!((outcome.opened, outcome.losses.all), (8, 0));
}
