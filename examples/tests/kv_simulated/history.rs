//! What clients asked and were answered, and when.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use corelane::{Instant, now};

use crate::linear::{self, Verdict};

/// A moment: its place in the order of all that happened, and its time, for what a deadline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Counts what was recorded before.
    pub(crate) order: u64,
    /// Nanoseconds of the world's clock.
    pub(crate) time_ns: u64,
}

impl Moment {
    /// After everything.
    pub(crate) const NEVER: Self = Self { order: u64::MAX, time_ns: u64::MAX };
}

/// What is done to a key. Every value is a number, so that each of them goes with every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// GET, or the key's part of an MGET.
    Get,
    /// SET, with PX if it has a life, or the key's part of an MSET.
    Set { value: i64, life_ms: Option<u64> },
    /// DEL.
    Del,
    /// INCR.
    Incr,
    /// The end of the host that had the key.
    Wipe,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The key held this.
    Value(Option<i64>),
    /// This many, or this is the sum.
    Number(i64),
    /// OK.
    Done,
    /// Nobody knows: it happened once, at any later time, or never.
    Unknown,
}

/// One request about one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// The connection that it went out on. Its requests take effect in the order in which they were sent, if at
    /// all.
    pub(crate) connection: u64,
    pub(crate) action: Action,
    pub(crate) outcome: Outcome,
    /// When it was sent.
    pub(crate) begun: Moment,
    /// When it was answered; [`Moment::NEVER`] if it was not.
    pub(crate) ended: Moment,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connection, action, outcome, begun, ended } = self;
        write!(f, "#{:<4} {:>9} us", begun.order, begun.time_ns / 1_000)?;
        match *ended {
            Moment::NEVER => write!(f, "      ...          ")?,
            at => write!(f, " to #{:<4} {:>9} us", at.order, at.time_ns / 1_000)?,
        }
        write!(f, "  connection {connection}: {action:?} gave {outcome:?}")
    }
}

/// A request that was sent, until it is answered, refused or given up.
#[derive(Debug)]
#[must_use = "a request that nobody ends is one that the server forgot"]
pub(crate) struct Ticket(usize);

/// What all clients of a run have seen. Clones are the same history.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Rc<RefCell<Log>>);

#[derive(Debug, Default)]
struct Log {
    requests: Vec<Request>,
    last_order: u64,
    last_connection: u64,
    unsent_count: usize,
    cut_count: usize,
}

#[derive(Debug)]
struct Request {
    key: String,
    op: Op,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The client waits.
    Open,
    Answered,
    /// The connection has ended without an answer.
    GivenUp,
    /// A shard has not answered another, says the server.
    Lost,
    /// The server has said that it does nothing about it.
    Refused,
}

/// How many requests there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) answered: usize,
    pub(crate) given_up: usize,
    pub(crate) lost: usize,
    pub(crate) refused: usize,
    /// There was no connection to be had.
    pub(crate) unsent: usize,
    /// Answers of which a part came, and then the end.
    pub(crate) cut: usize,
}

impl Counts {
    /// Whether each request that was no other node's has its answer.
    pub(crate) fn are_all_answered(&self) -> bool {
        let Self { given_up, lost, unsent, cut, answered: _, refused: _ } = *self;
        [given_up, lost, unsent, cut] == [0; 4]
    }
}

impl History {
    /// The number of one more connection.
    pub(crate) fn connection(&self) -> u64 {
        let mut log = self.0.borrow_mut();
        log.last_connection += 1;
        log.last_connection
    }

    /// A request is sent.
    pub(crate) fn begin(&self, connection: u64, key: &str, action: Action) -> Ticket {
        let mut log = self.0.borrow_mut();
        let begun = log.moment(now());
        let op = Op { connection, action, outcome: Outcome::Unknown, begun, ended: Moment::NEVER };
        log.requests.push(Request { key: key.to_owned(), op, standing: Standing::Open });
        Ticket(log.requests.len() - 1)
    }

    /// It is answered.
    pub(crate) fn answered(&self, ticket: Ticket, outcome: Outcome) {
        let mut log = self.0.borrow_mut();
        let ended = log.moment(now());
        let request = log.close(ticket, Standing::Answered);
        (request.op.outcome, request.op.ended) = (outcome, ended);
    }

    /// The server does nothing about it, and has said so.
    pub(crate) fn refused(&self, ticket: Ticket) {
        self.0.borrow_mut().close(ticket, Standing::Refused);
    }

    /// There will be no answer.
    pub(crate) fn given_up(&self, ticket: Ticket) {
        self.0.borrow_mut().close(ticket, Standing::GivenUp);
    }

    /// A shard has not answered another, and the server has said so.
    pub(crate) fn lost(&self, ticket: Ticket) {
        self.0.borrow_mut().close(ticket, Standing::Lost);
    }

    /// A connection has ended within an answer.
    pub(crate) fn cut(&self) {
        self.0.borrow_mut().cut_count += 1;
    }

    /// There was no connection to be had for so many requests, and their client knows.
    pub(crate) fn unsent(&self, count: usize) {
        self.0.borrow_mut().unsent_count += count;
    }

    /// At this time of the world, the host that has `keys` ends, and what they hold is gone.
    pub(crate) fn wiped<'a>(&self, time: Instant, keys: impl IntoIterator<Item = &'a str>) {
        let mut log = self.0.borrow_mut();
        for key in keys {
            let (begun, ended) = (log.moment(time), log.moment(time));
            let (action, outcome) = (Action::Wipe, Outcome::Done);
            let op = Op { connection: 0, action, outcome, begun, ended };
            log.requests.push(Request { key: key.to_owned(), op, standing: Standing::Answered });
        }
    }

    /// How many requests there were.
    pub(crate) fn counts(&self) -> Counts {
        let log = self.0.borrow();
        let (unsent, cut) = (log.unsent_count, log.cut_count);
        let mut counts = Counts { unsent, cut, ..Counts::default() };
        for request in &log.requests {
            match request.standing {
                Standing::Open => {}
                Standing::Answered => counts.answered += 1,
                Standing::GivenUp => counts.given_up += 1,
                Standing::Lost => counts.lost += 1,
                Standing::Refused => counts.refused += 1,
            }
        }
        counts
    }

    /// Says of the first key that is not right what has happened to it, or which requests the clients still wait
    /// for.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_where(|standing| standing != Standing::Refused)
    }

    /// The same, and nothing has happened that was not answered.
    pub(crate) fn check_answered(&self) -> Result<(), String> {
        self.check_where(|standing| standing == Standing::Answered)
    }

    fn check_where(&self, has_happened: impl Fn(Standing) -> bool) -> Result<(), String> {
        let log = self.0.borrow();
        let mut open = log.requests.iter().filter(|request| request.standing == Standing::Open);
        if let Some(Request { key, op, .. }) = open.next() {
            return Err(format!(
                "{} requests have no end, such as, of {key}, {op}",
                1 + open.count()
            ));
        }
        let mut by_key: BTreeMap<&str, Vec<Op>> = BTreeMap::new();
        for Request { key, op, standing } in &log.requests {
            if has_happened(*standing) {
                by_key.entry(key).or_default().push(*op);
            }
        }
        for (key, ops) in by_key {
            match linear::check(&ops, linear::STATE_LIMIT) {
                Verdict::Linear => {}
                verdict => return Err(format!("{key}: {verdict}")),
            }
        }
        Ok(())
    }
}

impl Log {
    fn moment(&mut self, time: Instant) -> Moment {
        self.last_order += 1;
        Moment { order: self.last_order, time_ns: time.as_nanos() }
    }

    fn close(&mut self, Ticket(index): Ticket, standing: Standing) -> &mut Request {
        let request = &mut self.requests[index];
        assert_eq!(request.standing, Standing::Open, "a request ends once: {}", request.op);
        request.standing = standing;
        request
    }
}
