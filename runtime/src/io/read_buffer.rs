//! Unread bytes of a stream, and the search for separators in them. Pure: no loop, no socket.
//!
//! The bytes lie in one piece, so that a parser can borrow all of them. A chunk that arrives while
//! nothing is unread becomes the buffer itself; only a message that spans chunks is copied together.

use std::mem;

use bytes::Bytes;
use memchr::{memchr, memmem};

use crate::driver::Buf;
use crate::error::ValueError;

#[cfg(test)]
mod tests;

/// The unread bytes of one stream: what one receive brought, where it was received, or a message that spans
/// chunks, copied together. When nothing is unread, no memory is held.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer(Buf);

impl ReadBuffer {
    /// Adds a chunk behind the unread bytes: without a copy if there are none.
    #[inline]
    pub(crate) fn push(&mut self, chunk: Buf) {
        if self.is_empty() {
            self.0 = chunk;
        } else {
            self.append(&chunk);
        }
    }

    #[inline(never)]
    fn append(&mut self, chunk: &Buf) {
        if self.0.spare_bytes() < chunk.len() {
            self.join(chunk.len());
        }
        self.0.append(chunk);
    }

    /// Makes room for `total_bytes` unread bytes in one piece.
    pub(crate) fn reserve_total(&mut self, total_bytes: usize) {
        let more_bytes = total_bytes.saturating_sub(self.len());
        if !self.0.is_nothing() && self.0.spare_bytes() < more_bytes {
            self.join(more_bytes);
        }
    }

    /// Takes the first `count_bytes` bytes out: copied if they are few, else shared.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn take(&mut self, count_bytes: usize) -> Bytes {
        if count_bytes == self.len() {
            // Not only emptied: an idle connection holds no buffer.
            mem::take(&mut self.0).freeze()
        } else {
            self.0.split_to(count_bytes)
        }
    }

    /// Throws the first `count_bytes` bytes away.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline]
    pub(crate) fn consume(&mut self, count_bytes: usize) {
        if count_bytes == self.len() {
            self.0 = Buf::default();
        } else {
            self.0.advance(count_bytes);
        }
    }

    /// The unread bytes.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes are unread.
    pub(crate) fn len(&self) -> usize {
        self.unread().len()
    }

    /// Whether nothing is unread.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }

    /// Copies the unread bytes to where there is room for `more_bytes` behind them.
    fn join(&mut self, more_bytes: usize) {
        let unread = self.unread();
        // At least doubled, so that a long message is copied a bounded number of times.
        let mut joined = Buf::with_capacity(unread.len() + more_bytes.max(unread.len()));
        joined.append(unread);
        self.0 = joined;
    }
}

/// Where a separator was found: it is `unread[start..end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// One search for the separator that ends earliest, over a buffer that grows at its end.
///
/// Bytes that were looked at are not looked at again, but for those in which a separator may have
/// begun, so a sender of single bytes costs no more than a sender of large chunks (rule S54).
#[derive(Debug)]
pub(crate) struct Search<'s> {
    separators: &'s [&'s [u8]],
    longest_bytes: usize,
    /// No separator ends at or before this place.
    searched_bytes: usize,
}

impl<'s> Search<'s> {
    /// Begins a search.
    ///
    /// # Errors
    /// `ValueError` without separators or with an empty one (rule S46).
    pub(crate) fn new(separators: &'s [&'s [u8]]) -> Result<Self, ValueError> {
        let longest_bytes = separators
            .iter()
            .map(|separator| separator.len())
            .max()
            .ok_or(ValueError("at least one separator is needed"))?;
        if separators.iter().any(|separator| separator.is_empty()) {
            return Err(ValueError("a separator must not be empty"));
        }
        Ok(Self { separators, longest_bytes, searched_bytes: 0 })
    }

    /// Looks for the match that ends earliest, and among those for the shortest (rule S46). `unread` is
    /// what it was at the last call with more bytes behind it.
    pub(crate) fn find(&mut self, unread: &[u8]) -> Option<Match> {
        debug_assert!(self.searched_bytes <= unread.len(), "the buffer shrank under a search");
        let mut best: Option<Match> = None;
        for separator in self.separators {
            let from = self.searched_bytes.saturating_sub(separator.len() - 1);
            // A match that ends behind the best one is of no interest, so the search stops there.
            let window = &unread[from..best.map_or(unread.len(), |best| best.end)];
            let Some(at) = find_one(window, separator) else { continue };
            let found = Match { start: from + at, end: from + at + separator.len() };
            if best.is_none_or(|best| found.end < best.end || found.start > best.start) {
                best = Some(found);
            }
        }
        if best.is_none() {
            self.searched_bytes = unread.len();
        }
        best
    }

    /// How many of the bytes looked at in vain can belong to no separator, whatever comes next.
    pub(crate) fn settled_bytes(&self) -> usize {
        (self.searched_bytes + 1).saturating_sub(self.longest_bytes)
    }
}

/// The first occurrence, which is also the one that ends first.
fn find_one(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => memchr(*byte, haystack),
        _ => memmem::find(haystack, needle),
    }
}
