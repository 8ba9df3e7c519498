//! Commands on their way to another shard, and their answers on the way back.
//!
//! A batch owns copies of its arguments, one after the other in one buffer. It travels to the
//! shard, runs there as far as its answers stay below a limit, and comes home with them; what is
//! left makes the way again. Its buffers stay with the connection and are used again.

use bytes::BytesMut;

use super::command::{Keys, Run};
use super::home::Home;
use super::reply::{Reply, Resp};
use super::request::{Args, Range};

/// A batch stops when it holds this many bytes of answers: the rest of its commands run on the next
/// trip.
const REPLY_LIMIT_BYTES: usize = 256 * 1024;
/// Buffers larger than this are not kept for the next batch.
const KEPT_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
struct Call {
    run: Run,
    keys: Keys,
    resp: Resp,
    /// The end of its arguments in the batch's list.
    end: usize,
}

/// A list of commands for one shard, with the answers of those that have run.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    ranges: Vec<Range>,
    calls: Vec<Call>,
    /// The version of the map by which the commands were sent to the shard.
    map_version: u64,
    /// How many of the calls have run.
    done_count: usize,
    replies: BytesMut,
    /// The ends of the answers in `replies`.
    ends: Vec<usize>,
    /// How many of the answers were taken.
    taken_count: usize,
}

impl Batch {
    /// Adds a command whose arguments are `args`, `keys` of them keys, and whose work is `run`. It
    /// was sent to the shard by the map with this version.
    pub(crate) fn push(
        &mut self,
        run: Run,
        keys: Keys,
        resp: Resp,
        map_version: u64,
        args: Args<'_>,
    ) {
        self.map_version = map_version;
        for arg in args.from(0) {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(arg);
            self.ranges.push(Range::new(start, self.bytes.len()));
        }
        self.calls.push(Call { run, keys, resp, end: self.ranges.len() });
    }

    /// Runs commands until all are done or the answers are long enough. At least one makes
    /// progress.
    ///
    /// Between sending and running the map may have changed. What is no longer this shard's is
    /// refused: nobody would ever find what it stored.
    pub(crate) fn run(&mut self, home: &mut Home) {
        let newer_map = home.slots.cluster().filter(|map| map.version() != self.map_version);
        let newer_map = newer_map.cloned();
        while let Some(call) = self.calls.get(self.done_count)
            && self.replies.len() < REPLY_LIMIT_BYTES
        {
            let start = self.done_count.checked_sub(1).map_or(0, |before| self.calls[before].end);
            let args = Args::new(&self.bytes, &self.ranges[start..call.end]);
            let mut reply = Reply::new(&mut self.replies, call.resp);
            match newer_map.as_ref().map(|map| map.admit_part(home.index, call.keys, args)) {
                Some(Err(refusal)) => reply.coded_error(refusal.to_string()),
                None | Some(Ok(())) => (call.run)(home, args, &mut reply),
            }
            self.ends.push(self.replies.len());
            self.done_count += 1;
        }
    }

    /// Takes the next answer.
    pub(crate) fn take_reply(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.taken_count)?;
        let start = self.taken_count.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.taken_count += 1;
        Some(&self.replies[start..end])
    }

    /// Says whether there is an answer to take.
    pub(crate) fn has_reply(&self) -> bool {
        self.taken_count < self.ends.len()
    }

    /// Says whether commands are left to run.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.done_count < self.calls.len()
    }

    /// Bytes of all arguments.
    pub(crate) fn argument_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the answers that were taken, and when all is done the commands too.
    pub(crate) fn tidy(&mut self) {
        if self.has_reply() {
            return;
        }
        self.ends.clear();
        self.taken_count = 0;
        self.replies.clear();
        if self.replies.capacity() > KEPT_BYTES {
            self.replies = BytesMut::new();
        }
        if !self.is_unfinished() {
            self.calls.clear();
            self.ranges.clear();
            self.bytes.clear();
            self.done_count = 0;
            if self.bytes.capacity() > KEPT_BYTES {
                *self = Self::default();
            }
        }
    }
}
