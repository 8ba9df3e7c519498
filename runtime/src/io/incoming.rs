//! Chunks that arrived and that the reader has not taken yet.

use std::collections::VecDeque;
use std::mem;

use crate::driver::Buf;

#[cfg(test)]
mod tests;

/// A queue of received chunks. One chunk, which is what a request brings, needs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// Nothing if there is none.
    first: Buf,
    rest: Option<Box<Rest>>,
}

/// The chunks behind the first, at least one.
#[derive(Debug, Default)]
struct Rest {
    chunks: VecDeque<Buf>,
    bytes: usize,
}

impl Incoming {
    /// Adds a chunk at the end.
    #[inline]
    pub(crate) fn push(&mut self, chunk: Buf) {
        if self.first.is_nothing() {
            self.first = chunk;
        } else {
            self.push_behind(chunk);
        }
    }

    #[inline(never)]
    fn push_behind(&mut self, chunk: Buf) {
        let rest = self.rest.get_or_insert_default();
        rest.bytes += chunk.len();
        rest.chunks.push_back(chunk);
    }

    /// Takes the first chunk.
    pub(crate) fn pop(&mut self) -> Option<Buf> {
        if self.first.is_nothing() {
            return None;
        }
        let first = mem::take(&mut self.first);
        if let Some(rest) = &mut self.rest {
            self.first = rest.chunks.pop_front().unwrap_or_default();
            rest.bytes -= self.first.len();
            if rest.chunks.is_empty() {
                self.rest = None;
            }
        }
        Some(first)
    }

    /// How many bytes wait here.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.rest.as_ref().map_or(0, |rest| rest.bytes)
    }

    /// Whether nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_nothing()
    }
}
