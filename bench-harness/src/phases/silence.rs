//! Load points that have nothing to say, as nobody answered.

use std::io;

use crate::point::PointSpec;
use crate::report::Point;
use crate::serve::Wire;
use crate::traffic::Traffic;

/// Why a point says nothing about its server, if so.
pub(super) fn error_of(spec: &PointSpec, point: &Point) -> Option<io::Error> {
    every_connection_lost(spec, point).or_else(|| no_answer(spec, point)).map(io::Error::other)
}

fn every_connection_lost(spec: &PointSpec, point: &Point) -> Option<String> {
    let lost = point.connections.lost;
    let is_all = match spec.requests_each {
        None => lost == spec.connections as u64,
        Some(_) => point.ledger.ok + point.ledger.timeouts == 0,
    };
    let reason = point.connections.reason.as_ref().filter(|_| is_all && lost > 0)?;
    // A reply that is none has said already what it may be instead.
    let question = if point.connections.wrong_replies == 0 {
        format!("; does the server run, and speak {}?", spec.traffic.wire().name())
    } else {
        String::new()
    };
    Some(format!("every connection was lost: {reason}{question}"))
}

fn no_answer(spec: &PointSpec, point: &Point) -> Option<String> {
    let ledger = &point.ledger;
    if ledger.sent == 0 || ledger.ok + ledger.timeouts + ledger.errors > 0 {
        return None;
    }
    let what = match (&spec.traffic, spec.traffic.wire()) {
        (Traffic::Echo { frame_bytes, .. }, _) => format!("echo frames of {frame_bytes} bytes"),
        (_, Wire::Resp) => "redis' protocol".to_owned(),
        (_, wire) => wire.name().to_owned(),
    };
    Some(format!("none of {} requests was answered; does the server speak {what}?", ledger.sent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::Mode;
    use crate::report::sample_point;

    #[test]
    fn a_point_without_any_answer_is_an_error_and_one_with_a_single_one_is_not() {
        let traffic = Traffic::Echo { frame_bytes: 64, verify_every: 0 };
        let spec = PointSpec::new("x", Mode::Closed, traffic);
        let mut point = sample_point("x");
        assert!(error_of(&spec, &point).is_none(), "nothing was asked");
        point.ledger.sent = 7;
        let text = error_of(&spec, &point).unwrap().to_string();
        assert!(text.contains("none of 7") && text.contains("frames of 64 bytes"), "{text}");
        point.ledger.timeouts = 1;
        assert!(error_of(&spec, &point).is_none());
    }

    #[test]
    fn the_question_whether_the_server_runs_is_asked_where_nothing_else_is_known() {
        let traffic = Traffic::Echo { frame_bytes: 64, verify_every: 0 };
        let spec = PointSpec::new("x", Mode::Closed, traffic);
        let mut point = sample_point("x");
        (point.connections.lost, point.connections.reason) = (1, Some("it hung up".to_owned()));
        let text = |point: &Point| error_of(&spec, point).unwrap().to_string();
        assert!(text(&point).contains("it hung up; does the server run, and speak echo?"));
        point.connections.wrong_replies = 1;
        assert!(text(&point).ends_with("it hung up"));
    }
}
