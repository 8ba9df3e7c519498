//! One connection without its socket: bytes in, answers out, batches for other shards between.
//!
//! ```text
//!         feed(bytes)               Next::Read   all is answered: bring more bytes
//!  bytes ────────────▶ Session ──┬─▶ Next::More   drain, let others run, feed again
//!                         ▲      ├─▶ Next::Hop    run the batches on their shards, give back, emit
//!                         └─ hop ┘   Next::Close  all is answered, and it was the last
//! ```
//!
//! What is promised: answers come in the order of the requests. Commands on one key take effect in
//! that order, and so do all commands that touch one shard. A command with keys on several shards
//! takes effect on each by itself: another connection may see one half without the other.

use bytes::{Buf, BytesMut};

use super::batch::Batch;
use super::caller::{Door, Talk};
use super::home::{Admission, Client, Home};
use super::plan::Plan;
use super::reply::Resp;
use super::request::Parser;
use super::route::Desk;

/// A connection lets others run after this many requests.
const REQUEST_BUDGET: usize = 1024;
/// Answers of this many bytes are sent before more requests are looked at.
const REPLY_LIMIT_BYTES: usize = 256 * 1024;
/// A connection with an unfinished request of more bytes is closed (Redis'
/// `client-query-buffer-limit`).
const REQUEST_LIMIT_BYTES: usize = 1024 * 1024 * 1024;

/// What a session wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More bytes.
    Read,
    /// To be fed again, if with no bytes, after others have run and what was answered has been
    /// sent.
    More,
    /// Its batches run on other shards.
    Hop,
    /// To end: what was answered is to be sent, and the connection closed.
    Close,
}

/// A connection's state between two pieces of its bytes.
#[derive(Debug)]
pub(crate) struct Session {
    talk: Talk,
    parser: Parser,
    /// The bytes of a request that is not complete, and what was read with its end.
    pending: BytesMut,
    plan: Plan,
    last_command: &'static str,
    /// Held so that the connection's place is free when the session ends.
    _admission: Admission,
}

impl Session {
    /// Begins a connection and lists it at its shard.
    pub(crate) fn open(admission: Admission, client: Client, door: Door, home: &mut Home) -> Self {
        home.counters.connections += 1;
        home.clients.insert(admission.id, client);
        Self {
            talk: Talk { id: admission.id, door, resp: Resp::Two, is_closing: false },
            parser: Parser::new(),
            pending: BytesMut::new(),
            plan: Plan::default(),
            last_command: "NULL",
            _admission: admission,
        }
    }

    /// Answers the requests in `input`, after what was left before. Returns how many bytes of
    /// `input` were taken, which is all if the session then wants to read; the rest must come
    /// again.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        home: &mut Home,
        out: &mut BytesMut,
    ) -> (usize, Next) {
        home.counters.bytes_in += input.len() as u64;
        let (taken, is_starved);
        if self.pending.is_empty() {
            let answered;
            (answered, is_starved) = self.answer(input, home, out);
            if is_starved {
                self.pending.extend_from_slice(&input[answered..]);
            }
            taken = if is_starved { input.len() } else { answered };
            home.counters.bytes_in -= (input.len() - taken) as u64;
        } else {
            let mut pending = std::mem::take(&mut self.pending);
            pending.extend_from_slice(input);
            let answered;
            (answered, is_starved) = self.answer(&pending, home, out);
            pending.advance(answered);
            if !pending.is_empty() {
                self.pending = pending;
            }
            taken = input.len();
        }
        if self.pending.len() > REQUEST_LIMIT_BYTES {
            tracing::warn!(client = self.talk.id, "closed: a request of more than 1 GiB");
            self.talk.is_closing = true;
        }
        self.describe(home);
        (taken, self.next(is_starved))
    }

    /// The batches to run on their shards, by [`Batch::run`].
    pub(crate) fn take_batches(&mut self) -> Vec<(usize, Batch)> {
        self.plan.take_batches()
    }

    /// Takes a batch back that ran, or the reason why it could not.
    pub(crate) fn give_back(&mut self, shard: usize, batch: Result<Batch, String>) {
        self.plan.give_back(shard, batch);
    }

    /// Appends the answers whose turn has come since the batches are back.
    pub(crate) fn emit(&mut self, home: &Home, out: &mut BytesMut) -> Next {
        self.plan.emit(home, out);
        self.next(false)
    }

    /// Answers requests from the front of `buf`: how many bytes they had, and whether it stopped
    /// for want of more.
    fn answer(&mut self, buf: &[u8], home: &mut Home, out: &mut BytesMut) -> (usize, bool) {
        let before = out.len();
        let mut answered = 0;
        for _ in 0..REQUEST_BUDGET {
            let answers = out.len() - before + self.plan.here_bytes();
            if self.talk.is_closing || answers > REPLY_LIMIT_BYTES || self.plan.is_full() {
                return (answered, false);
            }
            let rest = &buf[answered..];
            match self.parser.parse(rest) {
                Ok(None) => return (answered, true),
                Ok(Some(length)) => {
                    answered += length;
                    let args = self.parser.args(rest);
                    if args.len() > 0 {
                        let mut desk =
                            Desk { talk: &mut self.talk, plan: &mut self.plan, home, out };
                        self.last_command = desk.handle(args);
                    }
                }
                Err(error) => {
                    let mut desk = Desk { talk: &mut self.talk, plan: &mut self.plan, home, out };
                    desk.refuse(&error.text());
                    self.talk.is_closing = true;
                }
            }
        }
        (answered, false)
    }

    fn next(&self, is_starved: bool) -> Next {
        if !self.plan.is_empty() {
            Next::Hop
        } else if self.talk.is_closing {
            Next::Close
        } else if is_starved {
            Next::Read
        } else {
            Next::More
        }
    }

    /// Writes into the shard's list what CLIENT LIST shows.
    fn describe(&self, home: &mut Home) {
        let now_ms = home.store.now_ms();
        if let Some(client) = home.clients.get_mut(&self.talk.id) {
            client.heard_ms = now_ms;
            client.last_command = self.last_command;
            client.resp = self.talk.resp.number();
        }
    }
}

#[cfg(test)]
mod tests;
