//! What travels: requests encoded and replies parsed, without any I/O.
//!
//! Both protocols answer in the order of the requests, so a reply belongs to the oldest request of
//! its connection; `sequence` counts the requests of one connection from zero.

mod echo;
mod resp;

pub(crate) use echo::Echo;
pub(crate) use resp::{KeyDistribution, Resp, RespWorkload, command, parse_command, parse_reply};

use std::fmt;

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

/// Encodes requests and finds their replies.
pub(crate) trait Protocol: Send {
    /// Appends request `sequence` of a connection to `out`.
    fn encode(&mut self, sequence: u64, out: &mut Vec<u8>);

    /// Finds the reply to request `sequence` at the front of `input`; `None` if bytes are missing.
    ///
    /// # Errors
    /// If `input` cannot be the beginning of that reply.
    fn parse(&self, sequence: u64, input: &[u8]) -> Result<Option<Reply>, ProtocolError>;
}
