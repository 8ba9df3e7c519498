//! The answers of a pipeline in their order, when some of them come from other shards.
//!
//! ```text
//!  requests   GET a    GET b    SET c 1   DEL a b      (a, c live here; b on shard 1)
//!  order      Here     From(1)  Here      Merged{Sum, here, [1]}
//!  batch 1             GET b              DEL b        one trip, however many requests
//! ```
//!
//! What lives here has run when its request was read; what lives elsewhere waits in one batch for
//! each shard. So each shard sees the commands of a connection in the order in which they were
//! sent, and a pipeline makes one trip to a shard. Nothing is promised about the order of two
//! shards among themselves.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BytesMut};

use super::batch::Batch;
use super::command::Merge;
use super::home::Home;
use super::merge::merge;
use super::reply::{Reply, Resp};

/// Most commands that wait for other shards, of one connection.
const CALL_LIMIT: usize = 1024;
/// Most bytes of arguments that wait for other shards, unless a single request has more.
const ARGUMENT_LIMIT_BYTES: usize = 1024 * 1024;

/// One answer, or a run of answers.
#[derive(Debug)]
enum Item {
    /// The next `len` bytes of what was answered here.
    Here { len: usize },
    /// The next answer of a shard.
    From(usize),
    /// Parts: `len` bytes from here, if any, and the next answer of each shard.
    Merged(Box<Parts>),
}

/// What is to be put together.
#[derive(Debug)]
pub(crate) struct Parts {
    /// How.
    pub(crate) how: Merge,
    /// The form of the whole.
    pub(crate) resp: Resp,
    /// Bytes of the part that was answered here; 0 if there is none.
    pub(crate) here_bytes: usize,
    /// The other shards that have a part.
    pub(crate) shards: Vec<usize>,
    /// Arguments that the printing needs.
    pub(crate) words: Vec<String>,
}

/// What is known of the commands for one shard.
#[derive(Debug)]
enum Lane {
    /// Here, to be filled, sent, or read from.
    Home(Batch),
    /// On its way.
    Away,
    /// It did not come back: every answer that is missing is this encoded error.
    Lost(String),
}

/// The answers that are owed, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    order: VecDeque<Item>,
    here: BytesMut,
    lanes: BTreeMap<usize, Lane>,
    /// Commands and bytes that were added since the plan was empty.
    call_count: usize,
    argument_bytes: usize,
}

impl Plan {
    /// Says whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Says whether the commands so far should run before more are added.
    pub(crate) fn is_full(&self) -> bool {
        self.call_count >= CALL_LIMIT || self.argument_bytes >= ARGUMENT_LIMIT_BYTES
    }

    /// Bytes that were answered here and wait for their turn.
    pub(crate) fn here_bytes(&self) -> usize {
        self.here.len()
    }

    /// Answers here and now; the answer waits for its turn.
    pub(crate) fn answer_here(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let added = self.write_here(write);
        match self.order.back_mut() {
            Some(Item::Here { len }) => *len += added,
            _ => self.order.push_back(Item::Here { len: added }),
        }
    }

    /// Writes a part of an answer and returns its length; [`Self::merged`] says what it is a part
    /// of.
    pub(crate) fn write_here(&mut self, write: impl FnOnce(&mut BytesMut)) -> usize {
        let before = self.here.len();
        write(&mut self.here);
        self.here.len() - before
    }

    /// The next answer is the one that `shard` gives to the command which `fill` adds.
    pub(crate) fn answer_from(&mut self, shard: usize, fill: impl FnOnce(&mut Batch)) {
        self.send(shard, fill);
        self.order.push_back(Item::From(shard));
    }

    /// Adds a command for `shard`, whose answer is a part.
    pub(crate) fn send(&mut self, shard: usize, fill: impl FnOnce(&mut Batch)) {
        let lane = self.lanes.entry(shard).or_insert_with(|| Lane::Home(Batch::default()));
        if let Lane::Home(batch) = lane {
            let before = batch.argument_bytes();
            fill(batch);
            self.argument_bytes += batch.argument_bytes() - before;
        }
        self.call_count += 1;
    }

    /// The next answer is made of parts, which were written and sent in the same order.
    pub(crate) fn merged(&mut self, parts: Parts) {
        self.order.push_back(Item::Merged(Box::new(parts)));
    }

    /// The batches that have commands to run and no answers that wait: to be sent, run and given
    /// back.
    pub(crate) fn take_batches(&mut self) -> Vec<(usize, Batch)> {
        let mut batches = Vec::new();
        for (shard, lane) in &mut self.lanes {
            match std::mem::replace(lane, Lane::Away) {
                Lane::Home(batch) if batch.is_unfinished() && !batch.has_reply() => {
                    batches.push((*shard, batch));
                }
                other => *lane = other,
            }
        }
        batches
    }

    /// Takes a batch back after its trip, or the reason why it is lost.
    pub(crate) fn give_back(&mut self, shard: usize, batch: Result<Batch, String>) {
        let lane = match batch {
            Ok(batch) => Lane::Home(batch),
            Err(reason) => Lane::Lost(format!("-ERR {}\r\n", reason.replace(['\r', '\n'], " "))),
        };
        self.lanes.insert(shard, lane);
    }

    /// Appends the answers whose turn has come.
    pub(crate) fn emit(&mut self, home: &Home, out: &mut BytesMut) {
        while let Some(item) = self.order.front() {
            let is_ready = match item {
                Item::Here { .. } => true,
                Item::From(shard) => self.has_reply(*shard),
                Item::Merged(parts) => parts.shards.iter().all(|shard| self.has_reply(*shard)),
            };
            if !is_ready {
                break;
            }
            match self.order.pop_front().expect("the front item was just looked at") {
                Item::Here { len } => {
                    out.extend_from_slice(&self.here[..len]);
                    self.here.advance(len);
                }
                Item::From(shard) => out.extend_from_slice(self.take_reply(shard)),
                Item::Merged(parts) => self.emit_merged(&parts, home, out),
            }
        }
        self.tidy();
    }

    fn emit_merged(&mut self, parts: &Parts, home: &Home, out: &mut BytesMut) {
        let mut encoded: Vec<Vec<u8>> = Vec::with_capacity(parts.shards.len() + 1);
        if parts.here_bytes > 0 {
            encoded.push(self.here[..parts.here_bytes].to_vec());
            self.here.advance(parts.here_bytes);
        }
        for shard in &parts.shards {
            encoded.push(self.take_reply(*shard).to_vec());
        }
        let encoded: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        merge(parts.how, &encoded, &parts.words, home, &mut Reply::new(out, parts.resp));
    }

    fn has_reply(&self, shard: usize) -> bool {
        match self.lanes.get(&shard) {
            Some(Lane::Home(batch)) => batch.has_reply(),
            Some(Lane::Lost(_)) => true,
            Some(Lane::Away) | None => false,
        }
    }

    fn take_reply(&mut self, shard: usize) -> &[u8] {
        match self.lanes.get_mut(&shard) {
            Some(Lane::Home(batch)) => batch.take_reply().expect("the caller saw an answer"),
            Some(Lane::Lost(reason)) => reason.as_bytes(),
            Some(Lane::Away) | None => unreachable!("the caller saw an answer"),
        }
    }

    /// Makes the buffers ready for more, and small again if they were large.
    fn tidy(&mut self) {
        for lane in self.lanes.values_mut() {
            if let Lane::Home(batch) = lane {
                batch.tidy();
            }
        }
        if self.here.is_empty() {
            // Dropped rather than kept: an idle connection holds no buffer.
            self.here = BytesMut::new();
        }
        if self.order.is_empty() {
            self.lanes.retain(|_, lane| matches!(lane, Lane::Home(_)));
            (self.call_count, self.argument_bytes) = (0, 0);
        }
    }
}
