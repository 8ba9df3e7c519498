//! What speaks against a load point beside what was measured at it.

use crate::layout::{Layout, Pin};
use crate::verdict::{Status, Verdict};

/// The verdict on threads that the kernel could put anywhere.
pub(super) fn with_doubts(mut verdict: Verdict, layout: &Layout) -> Verdict {
    if layout.pin == Pin::Off {
        verdict.status = verdict.status.max(Status::Indicative);
        verdict.reasons.push("the threads were not pinned, and may have shared a cpu".to_owned());
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_may_be_anywhere_make_a_point_indicative_at_best() {
        let verdict = |status| Verdict { status, overloaded: false, reasons: Vec::new() };
        let mut layout = Layout::new(vec![1], vec![0], false);
        let kept = with_doubts(verdict(Status::Valid), &layout);
        assert_eq!((kept.status, kept.reasons.len()), (Status::Valid, 0));
        layout.pin = Pin::Off;
        for (before, after) in [
            (Status::Valid, Status::Indicative),
            (Status::Capacity, Status::Indicative),
            (Status::Invalid, Status::Invalid),
        ] {
            let doubted = with_doubts(verdict(before), &layout);
            assert_eq!((doubted.status, doubted.reasons.len()), (after, 1));
        }
    }
}
