//! How a run fails, and what there is to say about it.

use std::fmt::{self, Write as _};
use std::io;

use crate::driver::sim::Draws;
use crate::error::Error;
use crate::util::instant::Instant;

/// Why a run failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The program ended with an error.
    Ended(Error),
    /// Every task waits, and nothing is on its way to any: no message, no timer.
    Stuck,
    /// The run had as many steps as it may have.
    StepLimit(u64),
    /// The run took as much of the world's time as it may take.
    TimeLimit(Instant),
}

/// A run that failed: why, who waited for what, the last draws, and how to run it again.
///
/// Its `Debug` is its `Display`, so that a test that unwraps it shows lines.
pub struct Failure {
    reason: Reason,
    /// Empty if there was no run.
    report: String,
}

impl Failure {
    pub(super) fn new(reason: Reason, report: String) -> Self {
        Self { reason, report }
    }

    /// The same with a line more, for whoever reads it: what may be the matter.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.report = format!("{hint}\n{}", self.report);
        self
    }

    /// Whether it says how to run it again.
    pub(super) fn has_report(&self) -> bool {
        !self.report.is_empty()
    }

    /// Why it failed.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// Who waited for what, the last draws, and how to run it again.
pub(super) fn report(seed: u64, now: Instant, tasks: &str, draws: &Draws) -> String {
    let mut report = format!("at {now}, after {} draws\n{tasks}last draws:\n", draws.count());
    for draw in draws.last() {
        // Writing to a string does not fail.
        let _ = writeln!(report, "  {draw}");
    }
    report + &replay(seed)
}

/// The line that runs a test again.
pub(super) fn replay(seed: u64) -> String {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    format!("seed {seed}; to run it again: CORELANE_SEED={seed} cargo test {test}")
}

impl From<Error> for Reason {
    fn from(error: Error) -> Self {
        Self::Ended(error)
    }
}

/// What a program meets before it runs, such as a loop that cannot be made, fails it too.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { reason: Reason::Ended(error), report: String::new() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Error::from(error).into()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(error) => write!(f, "the program failed: {error}"),
            Self::Stuck => f.write_str("nothing can happen any more"),
            Self::StepLimit(count) => write!(f, "it goes on after {count} steps"),
            Self::TimeLimit(limit) => write!(f, "it goes on after {limit} of its time"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, report, .. } = self;
        write!(f, "a simulation failed: {reason}\n{report}")
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.reason {
            Reason::Ended(error) => error.source(),
            _ => None,
        }
    }
}
