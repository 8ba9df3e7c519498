//! What stands in for `encrypted.rs` in a build without TLS: there is no such connection, and the compiler
//! sees that nothing of this is called.

use std::io;
use std::rc::Rc;

use super::Stream;
use crate::driver::{Outcome, WriteData};

/// TLS of a stream: none has it.
pub(crate) enum Tls {}

impl Tls {
    pub(super) fn error(&self) -> Option<io::Error> {
        match *self {}
    }

    pub(super) fn truncation(&self) -> Option<io::Error> {
        match *self {}
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        match *self {}
    }

    pub(super) fn lost(&mut self) {
        match *self {}
    }
}

impl Stream {
    pub(super) fn received_encrypted(self: &Rc<Self>, _raw: &[u8]) {}

    pub(super) fn ended_encrypted(&self) {}

    pub(super) fn take_encrypted(&self) -> Option<WriteData> {
        None
    }

    pub(super) fn finish_encrypted(self: &Rc<Self>) {}

    pub(super) fn limit_end(self: &Rc<Self>) {}

    pub(super) fn is_listening(&self) -> bool {
        false
    }

    pub(super) fn heard(&self, _outcome: Outcome) {}

    pub(super) fn heard_and_listen_on(&self, _outcome: Outcome) {}
}
