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
            let before_bytes = to.len();
            encoder.encode(item, to).inspect_err(|_| to.truncate(before_bytes))
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
