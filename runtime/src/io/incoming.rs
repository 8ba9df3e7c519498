//! Chunks that arrived and that the reader has not taken yet.

use std::collections::VecDeque;

use crate::driver::Buf;

#[cfg(test)]
mod tests;

/// A queue of received chunks. One chunk, which is what a request brings, needs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    chunks: Chunks,
    bytes: usize,
}

#[derive(Debug, Default)]
enum Chunks {
    #[default]
    None,
    One(Buf),
    Many(VecDeque<Buf>),
}

impl Incoming {
    /// Adds a chunk at the end.
    pub(crate) fn push(&mut self, chunk: Buf) {
        self.bytes += chunk.len();
        self.chunks = match std::mem::take(&mut self.chunks) {
            Chunks::None => Chunks::One(chunk),
            Chunks::One(first) => Chunks::Many(VecDeque::from([first, chunk])),
            Chunks::Many(mut chunks) => {
                chunks.push_back(chunk);
                Chunks::Many(chunks)
            }
        };
    }

    /// Takes the first chunk.
    pub(crate) fn pop(&mut self) -> Option<Buf> {
        let chunk = match std::mem::take(&mut self.chunks) {
            Chunks::None => return None,
            Chunks::One(chunk) => chunk,
            Chunks::Many(mut chunks) => {
                let chunk = chunks.pop_front()?;
                if !chunks.is_empty() {
                    self.chunks = Chunks::Many(chunks);
                }
                chunk
            }
        };
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// How many bytes wait here.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }
}
