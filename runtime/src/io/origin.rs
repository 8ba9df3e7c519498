//! Where the bytes of a reader come from: a connection, or whoever feeds it.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::feed::Fed;
use super::read_buffer::ReadBuffer;
use super::stream::Stream;
use crate::driver::Buf;

/// The two kinds, behind the questions that a reader asks.
pub(super) enum Origin {
    Stream(Rc<Stream>),
    Fed(Rc<Fed>),
}

impl Origin {
    /// The error that every read ends with from now on, if there is one (rule S51).
    pub(super) fn failure(&self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.failure(),
            Self::Fed(fed) => fed.failure(),
        }
    }

    /// How many bytes may come before a separator.
    pub(super) fn limit_bytes(&self) -> usize {
        match self {
            Self::Stream(stream) => stream.limit_bytes(),
            Self::Fed(fed) => fed.limit_bytes(),
        }
    }

    /// Adds the next chunk to `unread`, which is all that the reader holds; false at the end.
    #[inline]
    pub(super) fn poll_chunk(
        &self,
        context: &mut Context<'_>,
        unread: &mut ReadBuffer,
    ) -> Poll<io::Result<bool>> {
        match self {
            Self::Stream(stream) => stream.poll_chunk(context, unread),
            Self::Fed(fed) => fed.poll_chunk(context, unread),
        }
    }

    /// Takes a chunk that is here already.
    pub(super) fn next_chunk(&self) -> Option<Buf> {
        match self {
            Self::Stream(stream) => stream.next_chunk(),
            Self::Fed(fed) => fed.next_chunk(),
        }
    }

    /// The reader says how many unread bytes it holds now. Who feeds is not slowed down.
    #[inline]
    pub(super) fn set_held_bytes(&self, held_bytes: usize) {
        if let Self::Stream(stream) = self {
            stream.set_held_bytes(held_bytes);
        }
    }

    /// Whether no chunk is here and none will come.
    pub(super) fn is_read_up(&self) -> bool {
        match self {
            Self::Stream(stream) => stream.is_read_up(),
            Self::Fed(fed) => fed.is_read_up(),
        }
    }

    /// The reader is gone.
    pub(super) fn reader_dropped(&self) {
        match self {
            Self::Stream(stream) => stream.reader_dropped(),
            Self::Fed(fed) => fed.reader_dropped(),
        }
    }
}
