//! A reader as a stream of frames.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::Decoder;
use crate::io::StreamReader;

/// The frames that a [`Decoder`] finds in a reader: awaited with [`next`](Self::next), or as a [`Stream`].
///
/// Several frames that came together are given one by one without a look at the connection. It reads no more
/// than it needs for the next frame, but for what the reader has in its buffer. After an error there are no more
/// frames.
pub struct Frames<D> {
    reader: StreamReader,
    decoder: D,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There may be a frame in what is unread.
    Full,
    /// There is none: more has to come first.
    Short,
    /// No more will come; what is unread may hold frames.
    Last,
    Ended,
}

impl<D: Decoder> Frames<D> {
    /// The frames of `reader`. They begin with what is unread.
    pub fn new(reader: StreamReader, decoder: D) -> Self {
        Self { reader, decoder, state: State::Full }
    }

    /// The next frame; `None` at the end of the stream, and after an error.
    ///
    /// # Errors
    /// What the decoder says; what ended the connection; of kind `InvalidData`, if a frame is longer than
    /// [`limit_bytes`](Decoder::limit_bytes).
    ///
    /// # Cancel safety
    /// Safe: received bytes stay in the reader, and the next call begins with them.
    pub async fn next(&mut self) -> Option<Result<D::Item, D::Error>> {
        poll_fn(|context| self.poll_frame(context)).await
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<D::Item, D::Error>>> {
        let result = ready!(self.poll_step(context));
        if !matches!(result, Ok(Some(_))) {
            self.state = State::Ended;
        }
        Poll::Ready(result.transpose())
    }

    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<D::Item>, D::Error>> {
        loop {
            let decoder = &mut self.decoder;
            match self.state {
                State::Full => {
                    if let Some(frame) = self.reader.decode_by(|unread| decoder.decode(unread))? {
                        return Poll::Ready(Ok(Some(frame)));
                    }
                    self.check_limit()?;
                    self.state = State::Short;
                }
                State::Short => {
                    let more = ready!(self.reader.poll_chunk(context))?;
                    self.state = if more { State::Full } else { State::Last };
                }
                State::Last => {
                    let frame = self.reader.decode_by(|unread| decoder.decode_eof(unread));
                    return Poll::Ready(frame);
                }
                State::Ended => return Poll::Ready(Ok(None)),
            }
        }
    }

    fn check_limit(&self) -> io::Result<()> {
        let limit_bytes = self.decoder.limit_bytes().unwrap_or(self.reader.limit_bytes());
        if self.reader.buffer().len() <= limit_bytes {
            return Ok(());
        }
        let text = format!("a frame is longer than the limit of {limit_bytes} bytes");
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut D {
        &mut self.decoder
    }

    /// The reader, with what was not decoded, and the decoder: for a protocol that changes in mid-course.
    #[must_use]
    pub fn into_parts(self) -> (StreamReader, D) {
        (self.reader, self.decoder)
    }
}

impl<D: Decoder + Unpin> Stream for Frames<D> {
    type Item = Result<D::Item, D::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_frame(context)
    }
}

impl<D> fmt::Debug for Frames<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("reader", &self.reader)
            .field("has_ended", &(self.state == State::Ended))
            .finish_non_exhaustive()
    }
}
