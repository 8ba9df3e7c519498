//! Requests that are due and not yet sent, without keeping them.
//!
//! Two cursors run over one schedule: `ahead` marks what the generator has noticed, `next` what it
//! has sent. Between them lies the backlog. Only *when* requests were noticed is stored, one entry
//! for each turn that noticed some.

use std::collections::VecDeque;

use crate::plan::Schedule;

/// A request that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// When it should begin.
    pub(crate) intended_ns: u64,
    /// When the generator saw that.
    pub(crate) noticed_ns: u64,
}

/// What is due and waits for a free place in a window.
#[derive(Debug)]
pub(crate) struct Backlog {
    next: Schedule,
    ahead: Schedule,
    /// The schedule of all threads, and how many of its requests are measured, if that is what ends it.
    counted: Option<(Schedule, u64)>,
    turns: VecDeque<Turn>,
    noticed: u64,
    waiting: u64,
}

#[derive(Debug)]
struct Turn {
    noticed_ns: u64,
    count: u64,
}

/// The most entries that are kept. When a backlog is this many turns deep, later requests join the
/// last entry: they then count as noticed on time, and their wait as the server's, which it is.
const MAX_TURNS: usize = 1 << 20;

impl Backlog {
    /// An empty backlog before the first request of `schedule`.
    pub(crate) fn new(schedule: Schedule) -> Self {
        Backlog {
            next: schedule.clone(),
            ahead: schedule,
            counted: None,
            turns: VecDeque::with_capacity(1_024),
            noticed: 0,
            waiting: 0,
        }
    }

    /// The same, and it ends after so many measured requests of all threads together, whose schedule is
    /// `whole`.
    pub(crate) fn counted(mut self, whole: Schedule, requests: u64) -> Self {
        self.counted = Some((whole, requests));
        self
    }

    /// Whether it ends by a count.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.is_some()
    }

    /// Learns when the measurement begins and ends. Neither may have passed.
    pub(crate) fn measure(&mut self, measure_ns: u64, end_ns: u64) {
        for cursor in [&mut self.next, &mut self.ahead] {
            cursor.set_end(end_ns);
        }
        if let Some((whole, requests)) = &self.counted {
            let limit = whole.first_from(measure_ns).saturating_add(*requests);
            self.next.set_limit(limit);
            self.ahead.set_limit(limit);
        }
    }

    /// Takes note of everything that is due at `now_ns`.
    pub(crate) fn notice(&mut self, now_ns: u64) {
        let mut count = 0;
        while self.ahead.peek().is_some_and(|due_ns| due_ns <= now_ns) {
            self.ahead.advance();
            count += 1;
        }
        if count == 0 {
            return;
        }
        self.noticed += count;
        self.waiting += count;
        let is_full = self.turns.len() >= MAX_TURNS;
        match self.turns.back_mut() {
            Some(last) if is_full => last.count += count,
            _ => self.turns.push_back(Turn { noticed_ns: now_ns, count }),
        }
    }

    /// Takes the oldest request that waits.
    pub(crate) fn take(&mut self) -> Option<Due> {
        let turn = self.turns.front_mut()?;
        let intended_ns = self.next.advance()?;
        let noticed_ns = turn.noticed_ns.max(intended_ns);
        turn.count -= 1;
        if turn.count == 0 {
            self.turns.pop_front();
        }
        self.waiting -= 1;
        Some(Due { intended_ns, noticed_ns })
    }

    /// When the next request becomes due; `None` once the schedule has ended.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.ahead.peek()
    }

    /// How many requests wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// How many requests have become due so far.
    pub(crate) fn noticed(&self) -> u64 {
        self.noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Arrival, Rate};

    fn backlog() -> Backlog {
        let rate = Rate::per_second(1e6).unwrap();
        Backlog::new(Schedule::new(rate, Arrival::Constant, 1, (0, 10_000), (0, 1)))
    }

    #[test]
    fn a_request_remembers_when_it_was_due_and_when_that_was_noticed() {
        let mut backlog = backlog();
        assert_eq!(backlog.take(), None);
        backlog.notice(1_500);
        backlog.notice(1_600);
        backlog.notice(4_200);
        assert_eq!(backlog.waiting(), 5);
        let taken: Vec<_> = std::iter::from_fn(|| backlog.take()).collect();
        let due = |intended_ns, noticed_ns| Due { intended_ns, noticed_ns };
        let late = [due(2_000, 4_200), due(3_000, 4_200), due(4_000, 4_200)];
        assert_eq!(taken, [&[due(0, 1_500), due(1_000, 1_500)], &late[..]].concat());
        assert_eq!((backlog.waiting(), backlog.noticed()), (0, 5));
        assert_eq!(backlog.next_due_ns(), Some(5_000));
    }

    #[test]
    fn nothing_is_due_after_the_end() {
        let mut backlog = backlog();
        backlog.notice(u64::MAX);
        assert_eq!(backlog.waiting(), 10);
        assert_eq!(backlog.next_due_ns(), None);
    }

    #[test]
    fn of_a_backlog_too_deep_to_remember_each_turn_none_was_noticed_before_it_was_due() {
        let rate = Rate::per_second(1e9).unwrap();
        let deep = MAX_TURNS as u64 + 10;
        let mut backlog =
            Backlog::new(Schedule::new(rate, Arrival::Constant, 1, (0, deep), (0, 1)));
        (0..deep).for_each(|at_ns| backlog.notice(at_ns));
        assert_eq!((backlog.turns.len(), backlog.waiting()), (MAX_TURNS, deep));
        for at_ns in 0..deep {
            let due = Due { intended_ns: at_ns, noticed_ns: at_ns };
            assert_eq!(backlog.take(), Some(due));
        }
        assert_eq!((backlog.take(), backlog.turns.len()), (None, 0));
    }
}
