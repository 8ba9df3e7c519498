use std::time::Duration;

use super::*;
use crate::protocol::Note;
use crate::record::{Intervals, Recording, recorders};

/// Of a thread that has `number` of everything, and whose times are the hundredfold.
fn outcome(number: u64) -> ThreadOutcome {
    let mut send_gaps = Moments::default();
    [1.0, 2.0, 9.0].into_iter().for_each(|gap| send_gaps.add(gap));
    ThreadOutcome {
        ledger: Ledger { ok: number, ..Ledger::default() },
        done_in_window: number,
        last_done_ns: number * 100,
        censored: Censored { count: number, least_ns: Some(number * 100) },
        censored_service: Censored { count: number, least_ns: Some(number * 50) },
        opened: number,
        losses: Losses { all: number, ..Losses::default() },
        send_gaps,
        loop_gap_max_ns: number * 100,
        hops: None,
        cpu_ns: number,
    }
}

#[test]
fn the_reports_of_two_threads_add_up_whichever_comes_first() {
    for (first, second) in [(3, 40), (40, 3)] {
        let mut sum = outcome(first);
        sum.add(outcome(second));
        let expected = ThreadOutcome {
            last_done_ns: 4_000,
            censored: Censored { count: 43, least_ns: Some(300) },
            censored_service: Censored { count: 43, least_ns: Some(150) },
            loop_gap_max_ns: 4_000,
            // Between the sends of one thread lie those of the other.
            send_gaps: Moments::default(),
            ..outcome(43)
        };
        assert_eq!(sum, expected);
    }
}

#[test]
fn a_bound_of_one_thread_is_one_of_both() {
    let one = Censored { count: 1, least_ns: Some(7) };
    for (first, second) in [(one, Censored::default()), (Censored::default(), one)] {
        let mut sum = first;
        sum.add(second);
        assert_eq!(sum, one);
    }
}

/// What becomes of a request that was due at 1000, sent at 1400 and answered at 2000.
fn landed(ok: bool, measure_ns: u64, timeout_ns: u64, open: bool) -> (ThreadOutcome, Recording) {
    let (mut ends, mut collector) =
        recorders(1, Intervals { origin_ns: 0, length_ns: 1 << 40, digits: 3 });
    let (mut recorder, mut outcome) = (ends.pop().unwrap(), ThreadOutcome::default());
    let times = Times { start_ns: 0, measure_ns, end_ns: 1_500, drain_end_ns: 9_000 };
    let landing = Landing { times, timeout_ns, open, is_counted: false };
    let flight = Flight {
        intended_ns: 1_000,
        noticed_ns: 1_000,
        free_ns: 1_400,
        sent_ns: 1_400,
        note: Note::ANY,
    };
    let landed = Landed { flight, done_ns: 2_000, ok, stamps: None, remote: None };
    landing.record(landed, &mut recorder, &mut outcome);
    recorder.finish(2_000);
    while collector.collect(Duration::ZERO).is_ok() {}
    (outcome, collector.into_recording())
}

#[test]
fn an_answer_is_one_thing_in_the_ledger_and_its_latency_of_one_kind() {
    let count = |recording: &Recording, metric| recording.total(metric).len();
    let value = |recording: &Recording, metric| recording.total(metric).max();
    let (outcome, recording) = landed(true, 500, 600, true);
    assert_eq!(outcome.ledger, Ledger { ok: 1, ..Ledger::default() });
    assert_eq!(
        (value(&recording, Metric::Response), value(&recording, Metric::Service)),
        (1_000, 600)
    );
    // It came after the end, and so it is in no rate.
    assert_eq!((outcome.done_in_window, outcome.last_done_ns), (0, 2_000));
    let (outcome, _) = landed(true, 500, 599, true);
    assert_eq!(outcome.ledger, Ledger { timeouts: 1, ..Ledger::default() });
    let (_, recording) = landed(true, 500, 600, false);
    assert_eq!((value(&recording, Metric::Response), count(&recording, Metric::Service)), (600, 0));
    let (_, recording) = landed(true, 1_001, 600, true);
    assert_eq!(
        (count(&recording, Metric::Response), value(&recording, Metric::Warmup)),
        (0, 1_000)
    );
    // An error may be answered faster than the work would have been done: it is no latency.
    let (outcome, recording) = landed(false, 500, 600, true);
    assert_eq!(outcome.ledger, Ledger { errors: 1, ..Ledger::default() });
    assert!(Metric::ALL.iter().all(|metric| count(&recording, *metric) == 0));
}
