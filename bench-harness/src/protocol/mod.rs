//! What travels: requests encoded and replies parsed, without any I/O.
//!
//! All protocols answer in the order of the requests, so a reply belongs to the oldest request of
//! its connection; `sequence` counts the requests of one connection from zero.

mod echo;
mod hop;
mod http;
mod memcache;
mod resp;

pub(crate) use echo::Echo;
pub(crate) use hop::{HOP_FRAME_BYTES, Hop, HopRequest, parse_hop_request, write_stamps};
pub(crate) use http::{Http, parse_request as parse_http_request};
pub(crate) use memcache::{Memcache, parse_command as parse_memcache_command};
pub(crate) use resp::{Resp, command, parse_command, parse_reply};

use std::fmt;

use crate::hops::Stamps;

/// A reply that is complete in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its length; the next reply begins behind it.
    pub(crate) bytes: usize,
    /// False if the server answered with an error.
    pub(crate) ok: bool,
}

/// The peer sent bytes that no reply begins with: the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProtocolError(pub(crate) String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ProtocolError {}

/// What an encoder must be told again to know the right reply; the connection keeps it meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Note(pub(crate) u64);

impl Note {
    /// The reply may be any.
    pub(crate) const ANY: Note = Note(1 << 32);
    /// The shard that reads the request answers it, or another one; neither if that is not known.
    const OWN: u64 = 1 << 33;
    const REMOTE: u64 = 1 << 34;

    /// The reply must be a value of this key.
    fn value_of(key: u32) -> Self {
        Note(u64::from(key))
    }

    /// The key whose value the reply must be, if it must.
    fn key(self) -> Option<u32> {
        (self.0 & Note::ANY.0 == 0).then_some(self.0 as u32)
    }

    /// The same, and who answers.
    fn answered_by(self, remote: Option<bool>) -> Self {
        Note(self.0 | remote.map_or(0, |remote| if remote { Note::REMOTE } else { Note::OWN }))
    }

    /// Whether another shard answers, if that is known.
    fn remote(self) -> Option<bool> {
        (self.0 & (Note::OWN | Note::REMOTE) != 0).then_some(self.0 & Note::REMOTE != 0)
    }
}

/// Encodes requests and finds their replies.
pub(crate) trait Protocol: Send {
    /// Appends request `sequence` of a connection to `out`.
    fn encode(&mut self, sequence: u64, out: &mut Vec<u8>) -> Note;

    /// Tells whose connection the next request is for: the shard that reads it.
    fn aim(&mut self, _shard: u16) {}

    /// Whether another shard than the reading one answers the request, if that is known.
    fn is_remote(&self, _note: Note) -> Option<bool> {
        None
    }

    /// Whether it is known who answers, and answers may hold times of the server.
    fn is_sampling(&self) -> bool {
        false
    }

    /// The times of the server in a whole reply, if it holds some.
    fn stamps(&self, _note: Note, _reply: &[u8]) -> Option<Stamps> {
        None
    }

    /// Appends a write of key `key`, for filling a keyspace; nothing where there are no keys.
    fn encode_fill(&mut self, _key: u32, _out: &mut Vec<u8>) {}

    /// Finds the reply to request `sequence` at the front of `input`; `None` if bytes are missing.
    /// `note` is what the encoding of that request returned.
    ///
    /// # Errors
    /// If `input` cannot be the beginning of that reply.
    fn parse(
        &self,
        sequence: u64,
        note: Note,
        input: &[u8],
    ) -> Result<Option<Reply>, ProtocolError>;
}

/// What a verification found.
fn wrong_value(key: u32) -> ProtocolError {
    ProtocolError(format!(
        "key {key} came back without the value that was written; if others change the keys there, or \
         the server may drop them, use --verify off"
    ))
}

/// Appends a number in decimal digits, without going through a formatter.
fn push_number(number: usize, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[begin..].reverse();
}
