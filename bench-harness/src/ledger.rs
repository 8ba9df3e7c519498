//! What became of every request.
//!
//! ```text
//! scheduled = sent + unsent
//! sent      = ok + errors + timeouts + unfinished
//! ```
//! A run whose ledger does not balance has lost a request, and with it perhaps its worst latency.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counts of requests over one load point, those of the warm-up included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Ledger {
    /// Due according to the plan, or begun by a closed loop.
    pub(crate) scheduled: u64,
    /// Due, but with no free place in any window before the run ended.
    pub(crate) unsent: u64,
    /// Handed to the kernel, or at least to a connection's buffer.
    pub(crate) sent: u64,
    /// Answered in time.
    pub(crate) ok: u64,
    /// Answered with an error, or lost with their connection.
    pub(crate) errors: u64,
    /// Answered later than the time limit.
    pub(crate) timeouts: u64,
    /// Not answered when the run ended.
    pub(crate) unfinished: u64,
    /// How many of the scheduled ones belong to the warm-up and are in no histogram but its own.
    pub(crate) warmup: u64,
    /// How many requests the server says it executed; unknown for a server that cannot tell.
    pub(crate) server_count: Option<u64>,
}

impl Ledger {
    /// Adds another thread's counts.
    pub(crate) fn add(&mut self, other: &Ledger) {
        self.scheduled += other.scheduled;
        self.unsent += other.unsent;
        self.sent += other.sent;
        self.ok += other.ok;
        self.errors += other.errors;
        self.timeouts += other.timeouts;
        self.unfinished += other.unfinished;
        self.warmup += other.warmup;
        self.server_count = match (self.server_count, other.server_count) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }

    /// Whether both equations hold and the server's own count fits.
    ///
    /// A request that never got its answer may or may not have reached the server, so its count
    /// may be short by the unfinished and the lost ones, and by nothing else.
    pub(crate) fn balanced(&self) -> bool {
        let answered = self.ok + self.timeouts;
        self.scheduled == self.sent + self.unsent
            && self.sent == answered + self.errors + self.unfinished
            && self.server_count.is_none_or(|count| (answered..=self.sent).contains(&count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            scheduled: 110,
            unsent: 10,
            sent: 100,
            ok: 90,
            errors: 3,
            timeouts: 2,
            unfinished: 5,
            warmup: 20,
            server_count: None,
        }
    }

    #[test]
    fn a_ledger_balances_only_if_no_request_is_missing() {
        assert!(ledger().balanced());
        assert!(!Ledger { ok: 89, ..ledger() }.balanced());
        assert!(!Ledger { unsent: 9, ..ledger() }.balanced());
        // As with one that is missing, so with one too many.
        assert!(!Ledger { ok: 91, ..ledger() }.balanced());
        assert!(!Ledger { unsent: 11, ..ledger() }.balanced());
    }

    #[test]
    fn the_servers_count_may_miss_only_what_was_never_answered() {
        for (count, fits) in [(91, false), (92, true), (100, true), (101, false)] {
            let ledger = Ledger { server_count: Some(count), ..ledger() };
            assert_eq!(ledger.balanced(), fits, "server counted {count}");
        }
        let all_answered = Ledger { ok: 98, errors: 0, unfinished: 0, ..ledger() };
        assert!(Ledger { server_count: Some(100), ..all_answered }.balanced());
        assert!(!Ledger { server_count: Some(99), ..all_answered }.balanced());
    }

    #[test]
    fn the_ledgers_of_two_threads_add_up() {
        let mut sum = ledger();
        sum.add(&ledger());
        assert_eq!((sum.scheduled, sum.ok, sum.server_count), (220, 180, None));
        assert!(sum.balanced());
        let other = Ledger {
            scheduled: 1_000,
            unsent: 2_000,
            sent: 3_000,
            ok: 4_000,
            errors: 5_000,
            timeouts: 6_000,
            unfinished: 7_000,
            warmup: 8_000,
            server_count: Some(9_000),
        };
        let mut sum = Ledger { server_count: Some(92), ..ledger() };
        sum.add(&other);
        let expected = Ledger {
            scheduled: 1_110,
            unsent: 2_010,
            sent: 3_100,
            ok: 4_090,
            errors: 5_003,
            timeouts: 6_002,
            unfinished: 7_005,
            warmup: 8_020,
            server_count: Some(9_092),
        };
        assert_eq!(sum, expected);
    }
}
