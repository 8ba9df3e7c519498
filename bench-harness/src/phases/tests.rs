use super::*;
use crate::record::Recording;
use crate::report::sample_point;

fn verdict(status: Status, overloaded: bool) -> Verdict {
    Verdict { status, overloaded, reasons: Vec::new() }
}

#[test]
fn what_the_machine_spoiled_is_tried_again_and_what_the_server_cannot_do_is_not() {
    for status in [Status::Capacity, Status::Valid] {
        assert!(!worth_another_try(&verdict(status, false)));
    }
    for status in [Status::Indicative, Status::Invalid] {
        assert!(worth_another_try(&verdict(status, false)));
        assert!(!worth_another_try(&verdict(status, true)));
    }
}

#[test]
fn of_two_tries_the_better_verdict_is_kept_and_of_equals_the_later() {
    use Status::{Indicative, Invalid, Valid};
    for (first, second, kept) in [
        (Invalid, Indicative, "second"),
        (Indicative, Invalid, "first"),
        (Invalid, Invalid, "second"),
        (Invalid, Valid, "second"),
    ] {
        let recorded = |label, status| {
            let mut point = sample_point(label);
            point.verdict.status = status;
            Recorded { point, recording: Recording::new(1) }
        };
        let mut all = vec![recorded("before", Valid), recorded("first", first)];
        keep_the_better(&mut all, 1, 0);
        assert_eq!(all.len(), 2, "there is nothing to choose from yet");
        all.push(recorded("second", second));
        keep_the_better(&mut all, 2, 1);
        let labels: Vec<&str> = all.iter().map(|one| one.point.label.as_str()).collect();
        assert_eq!(labels, ["before", kept], "{first:?} and {second:?}");
    }
}

#[test]
fn a_share_of_the_probe_is_that_share() {
    let half = share_of(Some(8_000.0), 50.0).unwrap();
    assert_eq!(half, Rate::per_second(4_000.0).unwrap());
    for nothing in [None, Some(0.0)] {
        assert!(share_of(nothing, 50.0).unwrap_err().to_string().contains("no capacity"));
    }
}
