use fastrand::Rng;

use super::*;

/// A request of a history by hand: its connection, its first and its last moment, and what it did and gave. The
/// moments are milliseconds, too. 0 as the last one means that it was not answered.
type Line = (u64, [u64; 2], Action, Outcome);

fn history(lines: &[Line]) -> Vec<Op> {
    let moment = |at: u64| Moment { order: at, time_ns: at * 1_000_000 };
    let op = |&(connection, [begun, ended], action, outcome): &Line| {
        let ended = if ended == 0 { Moment::NEVER } else { moment(ended) };
        Op { connection, action, outcome, begun: moment(begun), ended }
    };
    lines.iter().map(op).collect()
}

fn is_linear(lines: &[Line]) -> bool {
    match check(&history(lines), STATE_LIMIT) {
        Verdict::Linear => true,
        Verdict::Broken(_) => false,
        undecided => panic!("{undecided}"),
    }
}

use Action::{Del, Get, Incr, Wipe};
use Outcome::{Done, Number, Unknown};

const fn set(value: i64) -> Action {
    Action::Set { value, life_ms: None }
}

const fn set_for(value: i64, life_ms: u64) -> Action {
    Action::Set { value, life_ms: Some(life_ms) }
}

const fn holds(value: i64) -> Outcome {
    Outcome::Value(Some(value))
}

const NOTHING: Outcome = Outcome::Value(None);

#[test]
fn requests_that_overlap_may_come_in_any_order() {
    assert!(is_linear(&[
        (1, [1, 9], set(1), Done),
        (2, [2, 4], Get, NOTHING),
        (3, [3, 8], Incr, Number(2)),
        (2, [5, 10], Get, holds(2)),
        (4, [6, 7], Get, holds(1)),
        (1, [11, 12], Del, Number(1)),
        (1, [13, 14], Del, Number(0)),
    ]));
}

#[test]
fn a_read_of_what_was_there_before_is_seen() {
    let stale = [(1, [1, 2], set(1), Done), (1, [3, 4], set(2), Done), (2, [5, 6], Get, holds(1))];
    assert!(!is_linear(&stale));
    assert!(is_linear(&stale[..2]));
}

#[test]
fn a_write_that_was_acknowledged_and_lost_is_seen() {
    assert!(!is_linear(&[(1, [1, 2], set(1), Done), (2, [3, 4], Get, NOTHING)]));
    assert!(!is_linear(&[(1, [1, 2], set(1), Done), (2, [3, 4], Del, Number(0))]));
    assert!(!is_linear(&[(1, [1, 2], set(1), Done), (2, [3, 4], Incr, Number(1))]));
}

#[test]
fn two_that_count_to_one_number_are_seen() {
    let (one, other) = ((1, [1, 5], Incr, Number(1)), (2, [2, 6], Incr, Number(1)));
    assert!(!is_linear(&[one, other]));
    assert!(is_linear(&[one, (2, [2, 6], Incr, Number(2))]));
    assert!(is_linear(&[(1, [1, 5], Incr, Number(2)), (2, [2, 6], Incr, Number(1))]));
}

#[test]
fn an_answer_that_came_twice_is_seen_when_nobody_saw_what_it_answers() {
    assert!(!is_linear(&[(1, [1, 2], Get, holds(7)), (1, [3, 4], set(7), Done)]));
}

#[test]
fn what_only_a_whole_search_finds_is_found() {
    // Each reader by itself sees a possible order of the writes, and so do any two requests. All together do not.
    let writes: Vec<_> = (1..=4).map(|n| (n, [n as u64, 100], set(n as i64), Done)).collect();
    let writes = writes.iter().map(|&(n, at, action, outcome)| (n as u64, at, action, outcome));
    let reads = |connection: u64, from: u64, values: [i64; 3]| {
        let read = move |(nth, value): (usize, i64)| {
            let begun = from + 10 * nth as u64;
            (connection, [begun, begun + 5], Get, holds(value))
        };
        values.into_iter().enumerate().map(read)
    };
    let both = |second: [i64; 3]| {
        let mut lines: Vec<_> = writes.clone().collect();
        lines.extend(reads(10, 20, [1, 2, 3]));
        lines.extend(reads(11, 22, second));
        lines.sort_by_key(|line| line.1[0]);
        lines
    };
    assert!(is_linear(&both([1, 4, 3])));
    assert!(is_linear(&both([4, 2, 3])));
    assert!(!is_linear(&both([2, 1, 3])));
    assert!(!is_linear(&both([1, 3, 2])));
}

#[test]
fn a_request_without_an_answer_takes_effect_once_at_any_time_or_never() {
    let open = (1, [1, 0], Incr, Unknown);
    let sees = |nth: u64, outcome| (2, [2 * nth, 2 * nth + 1], Get, outcome);
    assert!(is_linear(&[open, sees(1, NOTHING), sees(2, NOTHING), sees(3, holds(1))]));
    assert!(is_linear(&[open, sees(1, NOTHING), (2, [4, 5], set(7), Done), sees(3, holds(8))]));
    assert!(is_linear(&[open, sees(1, NOTHING), (2, [4, 5], set(7), Done), sees(3, holds(7))]));
    assert!(!is_linear(&[open, sees(1, holds(1)), sees(2, NOTHING)]));
    assert!(!is_linear(&[open, sees(1, holds(2))]));
    let before_it_was_sent = [(2, [1, 2], Get, holds(5)), (1, [3, 0], set(5), Unknown)];
    assert!(!is_linear(&before_it_was_sent));
}

#[test]
fn a_connection_keeps_the_order_of_its_requests() {
    let lines = |second: u64| {
        [
            (1, [1, 0], set(1), Unknown),
            (second, [2, 0], set(2), Unknown),
            (3, [3, 4], Get, holds(2)),
            (3, [5, 6], Get, holds(1)),
        ]
    };
    assert!(is_linear(&lines(2)));
    assert!(!is_linear(&lines(1)));
    // The same of a pipeline that was answered.
    assert!(is_linear(&[(1, [1, 8], set(1), Done), (2, [2, 9], Get, NOTHING)]));
    assert!(!is_linear(&[(1, [1, 8], set(1), Done), (1, [2, 9], Get, NOTHING)]));
    // One without an answer is passed over, or not.
    assert!(is_linear(&[(1, [1, 0], set(1), Unknown), (1, [2, 9], Get, NOTHING)]));
    assert!(is_linear(&[(1, [1, 0], set(1), Unknown), (1, [2, 9], Get, holds(1))]));
    assert!(!is_linear(&[
        (1, [1, 0], set(1), Unknown),
        (1, [2, 9], Get, NOTHING),
        (2, [10, 11], Get, holds(1)),
    ]));
}

#[test]
fn the_end_of_a_host_takes_what_it_had_and_what_was_under_way() {
    let end = (0, [5, 6], Wipe, Done);
    let before = (1, [1, 2], set(1), Done);
    assert!(is_linear(&[before, end, (2, [7, 8], Get, NOTHING)]));
    assert!(!is_linear(&[before, end, (2, [7, 8], Get, holds(1))]));
    let under_way = (1, [1, 0], set(1), Unknown);
    assert!(is_linear(&[under_way, (2, [2, 3], Get, holds(1)), end, (2, [7, 8], Get, NOTHING)]));
    assert!(!is_linear(&[under_way, end, (2, [7, 8], Get, holds(1))]));
    // The end takes nothing from an empty key, and all the same it comes where it came.
    assert!(is_linear(&[under_way, (2, [2, 9], Get, holds(1)), end]));
}

#[test]
fn a_key_expires_in_its_time_and_neither_before_nor_after() {
    let first = (1, [10, 20], set_for(1, 100), Done);
    let sees = |at: u64, outcome| is_linear(&[first, (2, [at, at + 1], Get, outcome)]);
    assert!(sees(21, holds(1)) && !sees(21, NOTHING));
    assert!(sees(107, holds(1)) && !sees(107, NOTHING));
    // From 110 to 120 either may be, for it was set some time from 10 to 20.
    assert!(sees(112, holds(1)) && sees(112, NOTHING));
    assert!(!sees(124, holds(1)) && sees(124, NOTHING));
    let comes_back = [first, (2, [112, 113], Get, NOTHING), (2, [114, 115], Get, holds(1))];
    assert!(!is_linear(&comes_back));
    // Counting keeps the deadline, and begins anew after it. To set it again takes it away.
    assert!(is_linear(&[
        first,
        (2, [30, 31], Incr, Number(2)),
        (2, [130, 131], Incr, Number(1)),
        (2, [300, 301], Get, holds(1)),
    ]));
    assert!(is_linear(&[first, (2, [30, 31], set(5), Done), (2, [300, 301], Get, holds(5))]));
}

#[test]
fn what_takes_too_long_is_told_and_not_passed() {
    let mut lines: Vec<_> = (1..=12).map(|n| (n, [n, 0], set(n as i64), Unknown)).collect();
    lines.push((20, [20, 21], Get, holds(99)));
    let verdict = check(&history(&lines), 1_000);
    assert!(matches!(verdict, Verdict::Undecided(_)), "{verdict}");
    assert!(verdict.to_string().starts_with("not decided, after 10"), "{verdict}");
    let verdict = check(&history(&lines), STATE_LIMIT);
    assert!(matches!(verdict, Verdict::Broken(_)), "{verdict}");
}

#[test]
fn it_says_what_cannot_be_explained() {
    let ops = history(&[(1, [1, 2], set(1), Done), (2, [3, 4], Get, NOTHING)]);
    let text = check(&ops, STATE_LIMIT).to_string();
    let (explained, rest) = text.split_once("and does not explain:").unwrap();
    assert!(
        explained.contains("connection 1: Set { value: 1, life_ms: None } gave Done"),
        "{text}"
    );
    assert!(rest.contains("connection 2: Get gave Value(None)"), "{text}");
}

/// A few requests that know nothing of each other: about a third of such histories can be explained.
fn any_history(rng: &mut Rng) -> Vec<Op> {
    let count = rng.usize(2..=6);
    let mut lines = Vec::new();
    for nth in 0..count as u64 {
        let begun = 10 * nth + 1;
        let ended = if rng.u8(..4) == 0 { 0 } else { begun + 1 + 10 * rng.u64(..4) + nth };
        let (action, outcome) = match rng.u8(..8) {
            0 | 1 => (set(rng.i64(1..3)), Done),
            2 => (Incr, Number(rng.i64(1..4))),
            3 => (Del, Number(rng.i64(..2))),
            4 => (Wipe, Done),
            5 => (Get, NOTHING),
            _ => (Get, holds(rng.i64(1..4))),
        };
        lines.push(match action {
            Wipe => (0, [begun, begun + 1], action, outcome),
            _ if ended == 0 => (rng.u64(1..4), [begun, 0], action, Unknown),
            _ => (rng.u64(1..4), [begun, ended], action, outcome),
        });
    }
    history(&lines)
}

/// The same question, answered by trying every order of every choice of the requests that happened.
fn by_all_orders(ops: &[Op]) -> bool {
    let unknown: Vec<usize> =
        (0..ops.len()).filter(|index| ops[*index].outcome == Unknown).collect();
    (0..1_u32 << unknown.len()).any(|choice| {
        let is_left_out = |index: &usize| {
            unknown
                .iter()
                .position(|open| open == index)
                .is_some_and(|nth| choice & (1 << nth) != 0)
        };
        let mut chosen: Vec<usize> = (0..ops.len()).filter(|index| !is_left_out(index)).collect();
        any_order(ops, &mut chosen, 0)
    })
}

fn any_order(ops: &[Op], order: &mut [usize], fixed: usize) -> bool {
    if fixed == order.len() {
        return is_explained(ops, order);
    }
    (fixed..order.len()).any(|next| {
        order.swap(fixed, next);
        let found = any_order(ops, order, fixed + 1);
        order.swap(fixed, next);
        found
    })
}

fn is_explained(ops: &[Op], order: &[usize]) -> bool {
    let must_precede = |one: usize, other: usize| {
        let (first, second) = (&ops[one], &ops[other]);
        let is_in_one_connection = first.connection == second.connection && one < other;
        let is_cut_off =
            first.outcome == Unknown && second.action == Wipe && first.begun < second.begun;
        first.ended < second.begun || is_in_one_connection || is_cut_off
    };
    let mut later = (0..order.len()).flat_map(|at| (0..at).map(move |before| (before, at)));
    if later.any(|(before, at)| must_precede(order[at], order[before])) {
        return false;
    }
    let mut state = None;
    order.iter().all(|index| {
        let (after, outcome) = apply(state, &ops[*index]);
        state = after;
        outcome == ops[*index].outcome || ops[*index].outcome == Unknown
    })
}

#[test]
fn it_decides_as_one_does_who_tries_every_order() {
    let mut rng = Rng::with_seed(41);
    let mut linear_count = 0;
    let case_count = 1_500;
    for case in 0..case_count {
        let ops = any_history(&mut rng);
        let expected = by_all_orders(&ops);
        linear_count += u32::from(expected);
        let verdict = check(&ops, STATE_LIMIT);
        assert_eq!(
            matches!(verdict, Verdict::Linear),
            expected,
            "case {case}: {verdict}\n{ops:#?}"
        );
    }
    let share = linear_count * 100 / case_count;
    assert!((20..80).contains(&share), "{share} % can be explained: the cases say little");
}
