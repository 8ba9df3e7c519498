//! Frames in bytes: a decoder cuts what a reader has into messages, an encoder writes messages to a writer.
//!
//! The traits have the shape of tokio-util's, so a decoder that was written for it needs little change: in
//! place of a `BytesMut` it gets an [`Unread`], which has the same calls and copies no large piece.
//!
//! ```
//! use std::io;
//!
//! use bytes::Buf;
//! use corelane::codec::{Decoder, FrameSink, Frames, LengthDelimited, Unread};
//!
//! /// Numbers of four bytes.
//! struct Numbers;
//!
//! impl Decoder for Numbers {
//!     type Item = u32;
//!     type Error = io::Error;
//!
//!     fn decode(&mut self, unread: &mut Unread<'_>) -> io::Result<Option<u32>> {
//!         Ok((unread.len() >= 4).then(|| unread.get_u32()))
//!     }
//! }
//!
//! # async fn example() -> corelane::Result<()> {
//! let (reader, writer) = corelane::open_connection("localhost:7000").await?;
//! let mut numbers = Frames::new(reader, Numbers);
//! let mut answers = FrameSink::new(writer, LengthDelimited::new(1024));
//! while let Some(number) = numbers.next().await {
//!     answers.send(format!("got {}", number?)).await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::ops::Deref;

use bytes::{Buf, Bytes, BytesMut};

use super::read_buffer::ReadBuffer;

mod frames;
mod length_delimited;
mod lines;
mod sink;

pub use self::frames::Frames;
pub use self::length_delimited::LengthDelimited;
pub use self::lines::Lines;
pub use self::sink::FrameSink;

/// Cuts bytes into frames.
pub trait Decoder {
    /// A frame.
    type Item;
    /// What is wrong with the bytes, or with the connection.
    type Error: From<io::Error>;

    /// Takes the next frame off `unread`; `None`, with what may be taken off already, if it is not here as a
    /// whole. Called again with what is left and more behind it.
    ///
    /// # Errors
    /// If the bytes are no frame. Then there are no more frames.
    fn decode(&mut self, unread: &mut Unread<'_>) -> Result<Option<Self::Item>, Self::Error>;

    /// The same when no more bytes will come, again and again until it gives `None`. Unless it is
    /// implemented, a frame that is not whole is an error of kind `UnexpectedEof`.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn decode_eof(&mut self, unread: &mut Unread<'_>) -> Result<Option<Self::Item>, Self::Error> {
        match self.decode(unread)? {
            None if !unread.is_empty() => {
                let text = "the stream ended within a frame";
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
            }
            frame => Ok(frame),
        }
    }

    /// How many bytes may wait for their frame to be whole: the reader's limit unless it is implemented.
    fn limit_bytes(&self) -> Option<usize> {
        None
    }
}

/// Writes frames as bytes.
pub trait Encoder<Item> {
    /// Why a frame cannot be written.
    type Error: From<io::Error>;

    /// Appends `item` to `to`, where other frames may stand already.
    ///
    /// # Errors
    /// If it cannot be written. What was appended is then taken back.
    fn encode(&mut self, item: Item, to: &mut BytesMut) -> Result<(), Self::Error>;
}

/// The bytes that a [`Decoder`] has not used, in one piece.
///
/// It derefs to them. What is used goes from the front: by the calls of [`Buf`], such as `advance` and
/// `get_u32`, or by [`split_to`](Self::split_to).
pub struct Unread<'b>(Source<'b>);

enum Source<'b> {
    Reader(&'b mut ReadBuffer),
    Bytes(&'b mut BytesMut),
}

impl<'b> Unread<'b> {
    /// Bytes that are no reader's, for a decoder that is tested or used on its own.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use corelane::codec::{Decoder, LengthDelimited, Unread};
    ///
    /// let mut bytes = BytesMut::from(&b"\0\0\0\x02hi\0\0"[..]);
    /// let frame = LengthDelimited::new(10).decode(&mut Unread::of(&mut bytes))?;
    /// assert_eq!(frame.as_deref(), Some(&b"hi"[..]));
    /// assert_eq!(&bytes[..], b"\0\0");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of(bytes: &'b mut BytesMut) -> Self {
        Self(Source::Bytes(bytes))
    }

    pub(super) fn of_reader(buffer: &'b mut ReadBuffer) -> Self {
        Self(Source::Reader(buffer))
    }

    /// Takes the first `count_bytes` bytes out; larger pieces without a copy.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn split_to(&mut self, count_bytes: usize) -> Bytes {
        match &mut self.0 {
            Source::Reader(buffer) => buffer.take(count_bytes),
            Source::Bytes(bytes) => bytes.split_to(count_bytes).freeze(),
        }
    }
}

impl Deref for Unread<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Reader(buffer) => buffer.unread(),
            Source::Bytes(bytes) => bytes,
        }
    }
}

impl Buf for Unread<'_> {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self
    }

    fn advance(&mut self, count_bytes: usize) {
        match &mut self.0 {
            Source::Reader(buffer) => buffer.consume(count_bytes),
            Source::Bytes(bytes) => bytes.advance(count_bytes),
        }
    }

    fn copy_to_bytes(&mut self, count_bytes: usize) -> Bytes {
        self.split_to(count_bytes)
    }
}

impl fmt::Debug for Unread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unread({} bytes)", self.len())
    }
}
