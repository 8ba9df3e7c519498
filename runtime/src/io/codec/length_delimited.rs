//! Frames that begin with their length.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Decoder, Encoder, Unread};

/// Frames behind a number that says how many bytes they have: four bytes, the highest first, unless told
/// otherwise. The number counts the bytes behind it.
///
/// It is both, a decoder that gives [`Bytes`] and an encoder of whatever can be seen as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthDelimited {
    max_frame_bytes: usize,
    width_bytes: usize,
    is_little_endian: bool,
}

impl LengthDelimited {
    /// Frames of at most `max_frame_bytes` bytes, the number not counted.
    #[must_use]
    pub const fn new(max_frame_bytes: usize) -> Self {
        Self { max_frame_bytes, width_bytes: 4, is_little_endian: false }
    }

    /// How many bytes the number has.
    ///
    /// # Panics
    /// If that is not 1 to 8.
    #[must_use]
    pub const fn width_bytes(mut self, width_bytes: usize) -> Self {
        assert!(width_bytes >= 1 && width_bytes <= 8, "a length has 1 to 8 bytes");
        self.width_bytes = width_bytes;
        self
    }

    /// The number begins with its lowest byte.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.is_little_endian = true;
        self
    }

    /// The most that a number of this width can say, and that is allowed.
    fn limit(self) -> u64 {
        let most = u64::MAX >> (64 - 8 * self.width_bytes);
        most.min(self.max_frame_bytes as u64)
    }
}

impl Decoder for LengthDelimited {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, unread: &mut Unread<'_>) -> io::Result<Option<Bytes>> {
        let Some(mut number) = unread.get(..self.width_bytes) else { return Ok(None) };
        let length = match self.is_little_endian {
            true => number.get_uint_le(self.width_bytes),
            false => number.get_uint(self.width_bytes),
        };
        if length > self.max_frame_bytes as u64 {
            return Err(too_long(length, self.max_frame_bytes as u64));
        }
        // It fits: the limit is a length in memory.
        let length = length as usize;
        if unread.len() - self.width_bytes < length {
            return Ok(None);
        }
        unread.advance(self.width_bytes);
        Ok(Some(unread.split_to(length)))
    }

    fn limit_bytes(&self) -> Option<usize> {
        Some(self.max_frame_bytes.saturating_add(self.width_bytes))
    }
}

impl<T: AsRef<[u8]>> Encoder<T> for LengthDelimited {
    type Error = io::Error;

    fn encode(&mut self, item: T, to: &mut BytesMut) -> io::Result<()> {
        let bytes = item.as_ref();
        let length = bytes.len() as u64;
        if length > self.limit() {
            return Err(too_long(length, self.limit()));
        }
        to.reserve(self.width_bytes + bytes.len());
        match self.is_little_endian {
            true => to.put_uint_le(length, self.width_bytes),
            false => to.put_uint(length, self.width_bytes),
        }
        to.extend_from_slice(bytes);
        Ok(())
    }
}

fn too_long(length: u64, limit: u64) -> io::Error {
    let text = format!("a frame of {length} bytes, and {limit} are allowed");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
