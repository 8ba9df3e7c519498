//! When a producer has to pause and when it may go on (rule S71).

/// Two marks on a buffer's length. Its producer pauses when more than `high_bytes` are buffered and
/// goes on when `low_bytes` or fewer are left; the gap keeps it from stuttering around one mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermarks {
    low_bytes: usize,
    high_bytes: usize,
}

impl Watermarks {
    /// 16 KiB and 64 KiB.
    pub(crate) const DEFAULT: Self = Self { low_bytes: 16_384, high_bytes: 65_536 };

    /// Marks by rule S71: with only one given the other is four times as high or a quarter, with
    /// none given the defaults hold.
    ///
    /// # Errors
    /// The text of a value error if `high_bytes` is below `low_bytes`.
    pub(crate) const fn new(
        high_bytes: Option<usize>,
        low_bytes: Option<usize>,
    ) -> Result<Self, &'static str> {
        let (high_bytes, low_bytes) = match (high_bytes, low_bytes) {
            (None, None) => return Ok(Self::DEFAULT),
            (Some(high), None) => (high, high / 4),
            // A low mark that overflows here is more than any memory: its producer never pauses.
            (None, Some(low)) => (low.saturating_mul(4), low),
            (Some(high), Some(low)) => (high, low),
        };
        if high_bytes < low_bytes {
            return Err("the high water mark is below the low one");
        }
        Ok(Self { low_bytes, high_bytes })
    }

    /// At or below this the producer may go on.
    pub(crate) const fn low_bytes(self) -> usize {
        self.low_bytes
    }

    /// Above this the producer pauses.
    pub(crate) const fn high_bytes(self) -> usize {
        self.high_bytes
    }

    /// Whether the producer is paused at this length of the buffer, if it was `paused` before.
    pub(crate) const fn is_paused(self, paused: bool, buffered_bytes: usize) -> bool {
        if paused { buffered_bytes > self.low_bytes } else { buffered_bytes > self.high_bytes }
    }
}

impl Default for Watermarks {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests;
