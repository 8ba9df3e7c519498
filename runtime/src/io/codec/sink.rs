//! A writer of frames.

use bytes::BytesMut;

use super::Encoder;
use crate::io::StreamWriter;

/// Writes what an [`Encoder`] makes of items. What a turn of the loop wrote leaves together, as with any writer.
#[derive(Debug)]
pub struct FrameSink<E> {
    writer: StreamWriter,
    encoder: E,
}

impl<E> FrameSink<E> {
    /// Writes to `writer`.
    pub fn new(writer: StreamWriter, encoder: E) -> Self {
        Self { writer, encoder }
    }

    /// Writes a frame, and waits as [`drain`](StreamWriter::drain) does while the peer is too slow.
    ///
    /// # Errors
    /// What the encoder says, and nothing is written then; what ended the connection.
    ///
    /// # Cancel safety
    /// Safe: the frame is written before anything is waited for.
    pub async fn send<Item>(&mut self, item: Item) -> Result<(), E::Error>
    where
        E: Encoder<Item>,
    {
        self.feed(item)?;
        Ok(self.writer.drain().await?)
    }

    /// Writes a frame and does not wait. Whoever feeds much sends now and then, so that a slow peer slows it
    /// down.
    ///
    /// # Errors
    /// What the encoder says, and nothing is written then; after `write_eof`.
    pub fn feed<Item>(&mut self, item: Item) -> Result<(), E::Error>
    where
        E: Encoder<Item>,
    {
        let encoder = &mut self.encoder;
        let append = |to: &mut BytesMut| {
            let mut frame = Frame::behind(to);
            encoder.encode(item, frame.to)?;
            frame.is_whole = true;
            Ok(())
        };
        self.writer.with_buffer(append).map_err(std::io::Error::other)?
    }

    /// The writer, to be drained, closed, asked.
    #[must_use]
    pub fn writer(&self) -> &StreamWriter {
        &self.writer
    }

    /// The writer, to be polled.
    #[cfg(feature = "futures-io")]
    pub(crate) fn writer_mut(&mut self) -> &mut StreamWriter {
        &mut self.writer
    }

    /// The encoder.
    pub fn encoder(&mut self) -> &mut E {
        &mut self.encoder
    }

    /// Both apart again.
    #[must_use]
    pub fn into_parts(self) -> (StreamWriter, E) {
        (self.writer, self.encoder)
    }
}

/// A frame that is being written. Unless it is whole in the end, which a panic prevents as an error does, nothing of
/// it stays.
struct Frame<'b> {
    to: &'b mut BytesMut,
    before_bytes: usize,
    is_whole: bool,
}

impl<'b> Frame<'b> {
    fn behind(to: &'b mut BytesMut) -> Self {
        Self { before_bytes: to.len(), to, is_whole: false }
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            self.to.truncate(self.before_bytes);
        }
    }
}
