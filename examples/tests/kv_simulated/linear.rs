//! Whether what clients saw of one key could have happened one request after the other, each at a moment between
//! its sending and its answer: linearizability, decided by the search of Wing and Gong with Lowe's memory of where
//! it has been.
//!
//! ```text
//!  A  SET 1 ├────────┤                    one order that explains it: B C A D
//!  B     GET ├──┤ none                    a request without an answer may take effect at any time
//!  C   INCR ├─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ …      from its sending on, or never
//!  D                 ├────┤ GET 1
//! ```
//!
//! A key with a deadline has two pasts for a while: within the time in which it may have expired the search tries
//! both. The crates there are for this know no request without an answer, no deadlines or no bound, and one of
//! them none of these; the search itself is short.

use std::collections::BTreeSet;
use std::fmt;

use crate::history::{Action, Moment, Op, Outcome};

/// The server counts whole milliseconds, and a key lives to the end of the one in which its deadline is: so much later
/// than told may it be gone, and never earlier.
const LATE_NS: u64 = 1_000_000;

/// How many states a search looks at, unless told otherwise, before it gives up.
pub(crate) const STATE_LIMIT: usize = 200_000;

/// What became of a search.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// There is an order that explains everything.
    Linear,
    /// There is none.
    Broken(Box<Report>),
    /// It looked at as many states as it may: nobody knows.
    Undecided(Box<Report>),
}

/// What the search has seen.
#[derive(Debug)]
pub(crate) struct Report {
    ops: Vec<Op>,
    /// The longest order that explains some of it.
    longest: Vec<usize>,
    state_count: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, report) = match self {
            Self::Linear => return f.write_str("linearizable"),
            Self::Broken(report) => ("not linearizable", report),
            Self::Undecided(report) => ("not decided", report),
        };
        writeln!(f, "{text}, after {} states; the longest order is:", report.state_count)?;
        for index in &report.longest {
            writeln!(f, "  {}", report.ops[*index])?;
        }
        writeln!(f, "and does not explain:")?;
        let rest = report.ops.iter().enumerate();
        for (_, op) in rest.filter(|(index, _)| !report.longest.contains(index)) {
            writeln!(f, "  {op}")?;
        }
        Ok(())
    }
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    value: i64,
    /// The earliest and the latest time at which it may expire.
    expires_ns: Option<(u64, u64)>,
}

type State = Option<Held>;

/// Decides whether `ops`, all of one key, which holds nothing at first, are linearizable. They are in the order in
/// which they were sent.
pub(crate) fn check(ops: &[Op], state_limit: usize) -> Verdict {
    debug_assert!(
        ops.is_sorted_by_key(|op| op.begun),
        "requests are in the order of their sending"
    );
    // What nobody was told and nobody can see afterwards.
    let is_seen = |op: &&Op| op.outcome != Outcome::Unknown || op.action != Action::Get;
    Search::new(ops.iter().filter(is_seen).copied().collect()).run(state_limit)
}

struct Search {
    ops: Vec<Op>,
    /// For each request the one before it on its connection.
    before: Vec<Option<usize>>,
    /// For each request without an answer the end of the host: after that it does not happen.
    end_of_host: Vec<Option<usize>>,
}

/// A way that the search may go on from.
struct Node {
    /// Which requests have their place in the order, and those that will never happen.
    taken: Taken,
    state: State,
    /// The order so far, as the index of its last step.
    path: Option<usize>,
}

impl Search {
    fn new(ops: Vec<Op>) -> Self {
        let before = |(index, op): (usize, &Op)| {
            ops[..index].iter().rposition(|other| other.connection == op.connection)
        };
        let end_of_host = |(index, op): (usize, &Op)| {
            let is_end = |later: &Op| later.action == Action::Wipe;
            let is_open = op.outcome == Outcome::Unknown;
            let end = || ops[index..].iter().position(is_end).map(|offset| index + offset);
            is_open.then(end).flatten()
        };
        let before = ops.iter().enumerate().map(before).collect();
        let end_of_host = ops.iter().enumerate().map(end_of_host).collect();
        Self { ops, before, end_of_host }
    }

    fn run(self, state_limit: usize) -> Verdict {
        let start = Node { taken: Taken::none(self.ops.len()), state: None, path: None };
        let mut seen = BTreeSet::from([(start.taken.clone(), start.state)]);
        let mut steps: Vec<(usize, Option<usize>)> = Vec::new();
        let mut nodes = vec![start];
        let mut longest = (0, None);
        while let Some(node) = nodes.pop() {
            if self.unanswered_from(&node.taken).is_none() {
                return Verdict::Linear;
            }
            let length = node.taken.count();
            if length >= longest.0 {
                longest = (length, node.path);
            }
            if seen.len() > state_limit {
                let longest = path(&steps, longest.1);
                let report = Report { ops: self.ops, longest, state_count: seen.len() };
                return Verdict::Undecided(Box::new(report));
            }
            // The last one is tried first: the requests that were sent early.
            for (index, state) in self.steps_from(&node).into_iter().rev() {
                let taken = self.take(&node.taken, index);
                if seen.insert((taken.clone(), state)) {
                    steps.push((index, node.path));
                    nodes.push(Node { taken, state, path: Some(steps.len() - 1) });
                }
            }
        }
        let longest = path(&steps, longest.1);
        Verdict::Broken(Box::new(Report { ops: self.ops, longest, state_count: seen.len() }))
    }

    /// The first answer among the requests that have no place yet: what was sent after it comes after it.
    fn unanswered_from(&self, taken: &Taken) -> Option<Moment> {
        let left = self.ops.iter().enumerate().filter(|(index, _)| !taken.has(*index));
        left.map(|(_, op)| op.ended).filter(|ended| *ended != Moment::NEVER).min()
    }

    /// What may come next, and what the key holds then.
    fn steps_from(&self, node: &Node) -> Vec<(usize, State)> {
        let Some(limit) = self.unanswered_from(&node.taken) else { return Vec::new() };
        let mut steps = Vec::new();
        for (index, op) in self.ops.iter().enumerate() {
            if op.begun > limit {
                break;
            }
            if node.taken.has(index) || !self.may_come(&node.taken, index) {
                continue;
            }
            for state in pasts(node.state, op).into_iter().flatten() {
                let (after, outcome) = apply(state, op);
                if outcome == op.outcome && state == node.state && self.only_looks(node, index) {
                    // It changes nothing, so nothing can be gained by having it later.
                    return vec![(index, after)];
                }
                if outcome == op.outcome || op.outcome == Outcome::Unknown {
                    steps.push((index, after));
                }
            }
        }
        steps
    }

    /// Says whether a request can come next, by what else has its place.
    fn may_come(&self, taken: &Taken, index: usize) -> bool {
        if self.end_of_host[index].is_some_and(|end| taken.has(end)) {
            return false;
        }
        let mut before = self.before[index];
        while let Some(earlier) = before.filter(|earlier| !taken.has(*earlier)) {
            // One without an answer may never have happened; one with an answer has.
            if self.ops[earlier].outcome != Outcome::Unknown {
                return false;
            }
            before = self.before[earlier];
        }
        true
    }

    /// Says whether a request cannot change anything: neither the key nor what else may happen.
    fn only_looks(&self, node: &Node, index: usize) -> bool {
        let op = &self.ops[index];
        let is_look = op.action == Action::Get || op.outcome == Outcome::Number(0);
        is_look && self.before[index].is_none_or(|before| node.taken.has(before))
    }

    /// Gives a request its place. What was sent before it on its connection and has none never happens.
    fn take(&self, taken: &Taken, index: usize) -> Taken {
        let mut taken = taken.clone();
        let mut next = Some(index);
        while let Some(index) = next.filter(|index| !taken.has(*index)) {
            taken.add(index);
            next = self.before[index];
        }
        taken
    }
}

/// What the key may hold when a request comes to it: what it held, or nothing if that may have expired.
fn pasts(state: State, op: &Op) -> [Option<State>; 2] {
    let Some((earliest, latest)) = state.and_then(|held| held.expires_ns) else {
        return [Some(state), None];
    };
    let may_live = op.begun.time_ns <= latest.saturating_add(LATE_NS);
    let may_be_gone = op.ended.time_ns >= earliest;
    [may_live.then_some(state), may_be_gone.then_some(None)]
}

/// What a request does, and gives.
fn apply(state: State, op: &Op) -> (State, Outcome) {
    let value = state.map(|held| held.value);
    match op.action {
        Action::Get => (state, Outcome::Value(value)),
        Action::Wipe => (None, Outcome::Done),
        Action::Del => (None, Outcome::Number(i64::from(state.is_some()))),
        Action::Set { value, life_ms } => {
            let life_ns = life_ms.map(|life_ms| life_ms * 1_000_000);
            let expires = |life_ns| {
                let after = |moment: Moment| moment.time_ns.saturating_add(life_ns);
                (after(op.begun), after(op.ended))
            };
            (Some(Held { value, expires_ns: life_ns.map(expires) }), Outcome::Done)
        }
        Action::Incr => {
            let value = value.unwrap_or_default() + 1;
            let expires_ns = state.and_then(|held| held.expires_ns);
            (Some(Held { value, expires_ns }), Outcome::Number(value))
        }
    }
}

/// The steps that lead to one of them, the first one first.
fn path(steps: &[(usize, Option<usize>)], last: Option<usize>) -> Vec<usize> {
    let mut path = Vec::new();
    let mut at = last;
    while let Some(step) = at {
        let (index, before) = steps[step];
        path.push(index);
        at = before;
    }
    path.reverse();
    path
}

/// A set of requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Taken(Box<[u64]>);

impl Taken {
    fn none(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    fn add(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests;
