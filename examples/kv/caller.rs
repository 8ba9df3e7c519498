//! Who asks: the connection behind a command, and the shard it is on.

use super::home::{Client, Home};
use super::reply::Resp;

/// What a command that concerns its own connection may see and change.
pub(crate) struct Caller<'a> {
    /// The connection.
    pub(crate) talk: &'a mut Talk,
    /// The shard that the connection is on.
    pub(crate) home: &'a mut Home,
}

impl Caller<'_> {
    /// The connection's entry in its shard's list.
    pub(crate) fn client(&mut self) -> Option<&mut Client> {
        self.home.clients.get_mut(&self.talk.id)
    }
}

/// By which port a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// The one that all shards share: every shard is in sight.
    Plain,
    /// The shard's own: it is a node of a cluster, and the others are not in sight.
    Node,
}

/// The part of a connection's state that commands change.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The number of the connection, unique in the server.
    pub(crate) id: u64,
    /// By which port it came.
    pub(crate) door: Door,
    /// The form of its answers.
    pub(crate) resp: Resp,
    /// Set when the connection is to end after the answers so far.
    pub(crate) is_closing: bool,
}
