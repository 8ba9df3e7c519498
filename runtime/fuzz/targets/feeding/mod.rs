//! What the targets of streams share: bytes that come in pieces, each when the one before is used up.

use std::slice::Chunks;

use corelane::StreamFeed;

/// Feeds a reader.
pub struct Feeding<'a> {
    feed: StreamFeed,
    pieces: Chunks<'a, u8>,
    has_ended: bool,
}

impl<'a> Feeding<'a> {
    /// Of `bytes`, in pieces of this length.
    pub fn new(feed: StreamFeed, bytes: &'a [u8], piece_bytes: usize) -> Self {
        Self { feed, pieces: bytes.chunks(piece_bytes), has_ended: false }
    }

    /// The reader waits: the next piece, or once the end. Behind that nothing may wait.
    pub fn go_on(&mut self) {
        match self.pieces.next() {
            Some(piece) => self.feed.feed_data(piece),
            None => {
                assert!(!self.has_ended, "it waits behind the end");
                self.has_ended = true;
                self.feed.feed_eof();
            }
        }
    }
}
