//! The search for the highest rate that is kept: which rate to try next, and for how long.
//!
//! ```text
//! Double ──a trial fails──▶ Bisect ──bracket narrow──▶ Confirm ──▶ done
//! ```
//! Trials are short while the bracket is wide; only its lower edge is tried at full length. It is pure:
//! whoever runs the trials says how they ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search found: the highest rate that is kept lies between the two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Bracket {
    /// The highest rate that is known to pass, in requests a second; `null` if none does.
    pub(crate) passes_rps: Option<f64>,
    /// The lowest rate that is known to fail; `null` if none does.
    pub(crate) fails_rps: Option<f64>,
    /// Why that one failed.
    pub(crate) fault: Option<Fault>,
    /// Whether the search came to its end; false if its time ran out.
    pub(crate) finished: bool,
}

/// How long a trial lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// While rates double.
    Short,
    /// While the bracket is halved.
    Medium,
    /// To confirm its lower edge.
    Full,
}

/// Why a trial did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// A condition was missed.
    Slo,
    /// The server answered less than was asked of it.
    Overload,
    /// The generator or the machine: the server may be able to do more.
    Generator,
}

impl Fault {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Slo => "a condition was missed",
            Fault::Overload => "the server could not keep up",
            Fault::Generator => {
                "the generator or the machine could not: this is no limit of the server"
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Double,
    Bisect,
    /// So many full trials of the lower edge have passed.
    Confirm(u32),
    Done,
}

/// The state of a search.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    stage: Stage,
    passes: Option<f64>,
    fails: Option<(f64, Fault)>,
    next: f64,
    /// The bracket is narrow enough when its edges differ by this share.
    precision: f64,
    confirmations: u32,
    lowest: f64,
}

/// A search never goes below this rate; a server that fails there passes nowhere.
const LOWEST: f64 = 1.0;

/// A search never goes above this rate.
const HIGHEST: f64 = 1e8;

impl Search {
    /// A search that begins at `start` requests a second and ends when the edges of its bracket are
    /// within `precision` (a share) and `confirmations` full trials of the lower one have passed.
    pub(crate) fn new(start: f64, precision: f64, confirmations: u32) -> Self {
        Search {
            stage: Stage::Double,
            passes: None,
            fails: None,
            next: start.clamp(LOWEST, HIGHEST),
            precision,
            confirmations,
            lowest: LOWEST,
        }
    }

    /// The next trial; `None` when the search is over.
    pub(crate) fn next(&self) -> Option<(f64, Length)> {
        let length = match self.stage {
            Stage::Double => Length::Short,
            Stage::Bisect => Length::Medium,
            Stage::Confirm(_) => Length::Full,
            Stage::Done => return None,
        };
        Some((self.next, length))
    }

    /// Tells how the trial of [`next`](Self::next) ended.
    pub(crate) fn tell(&mut self, fault: Option<Fault>) {
        let Some((rate, _)) = self.next() else { return };
        match (self.stage, fault) {
            (Stage::Confirm(passed), None) => {
                let passed = passed + 1;
                let done = passed >= self.confirmations;
                self.stage = if done { Stage::Done } else { Stage::Confirm(passed) };
                return;
            }
            (Stage::Confirm(_), Some(fault)) => {
                // What passed for a moment did not last: the edge lies below.
                self.passes = None;
                self.fails = Some((rate, fault));
            }
            (_, None) => self.passes = Some(rate),
            (_, Some(fault)) => self.fails = Some((rate, fault)),
        }
        self.choose();
    }

    fn choose(&mut self) {
        (self.stage, self.next) = match (self.passes, self.fails) {
            (None, None) => (Stage::Double, self.next),
            (Some(passes), None) if passes >= HIGHEST => (Stage::Confirm(0), passes),
            (Some(passes), None) => (Stage::Double, (passes * 2.0).min(HIGHEST)),
            (None, Some((fails, _))) if fails <= self.lowest => (Stage::Done, fails),
            // Nothing is known to pass: downwards in steps that grow from a confirmation on.
            (None, Some((fails, _))) => {
                let step = if matches!(self.stage, Stage::Double) { 0.5 } else { 0.9 };
                let stage = if step > 0.5 { Stage::Bisect } else { Stage::Double };
                (stage, (fails * step).max(self.lowest))
            }
            (Some(passes), Some((fails, _))) if fails <= passes * (1.0 + self.precision) => {
                (Stage::Confirm(0), passes)
            }
            // The middle of the logarithms halves the bracket also when it spans decades.
            (Some(passes), Some((fails, _))) => (Stage::Bisect, (passes * fails).sqrt()),
        };
    }

    /// What is known so far.
    pub(crate) fn bracket(&self) -> Bracket {
        Bracket {
            passes_rps: self.passes,
            fails_rps: self.fails.map(|(rate, _)| rate),
            fault: self.fails.map(|(_, fault)| fault),
            finished: self.stage == Stage::Done,
        }
    }
}

#[cfg(test)]
mod tests;
