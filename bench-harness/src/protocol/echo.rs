//! Frames of a fixed length that come back as they were.
//!
//! ```text
//! 0        8                      length
//! ├ sequence ┼ fill: low byte of sequence ┤
//! ```
//! The sequence is compared on every reply, so that a lost, repeated or reordered frame is found at
//! once; the fill is compared on one reply in as many as was asked for.

use super::{Note, Protocol, ProtocolError, Reply};

/// The shortest frame: it must hold its sequence number.
const MIN_FRAME_BYTES: usize = 8;

/// The echo protocol with one frame length.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    frame_bytes: usize,
    verify_every: u32,
}

impl Echo {
    /// Frames of `frame_bytes`, at least `MIN_FRAME_BYTES`, of which one in `verify_every` is
    /// compared to its last byte; 0 for none.
    pub(crate) fn new(frame_bytes: usize, verify_every: u32) -> Self {
        Echo { frame_bytes: frame_bytes.max(MIN_FRAME_BYTES), verify_every }
    }
}

fn fill_of(sequence: u64) -> u8 {
    sequence.to_be_bytes()[7]
}

impl Protocol for Echo {
    fn encode(&mut self, sequence: u64, out: &mut Vec<u8>) -> Note {
        let end = out.len() + self.frame_bytes;
        out.extend_from_slice(&sequence.to_be_bytes());
        out.resize(end, fill_of(sequence));
        Note::ANY
    }

    fn parse(
        &self,
        sequence: u64,
        _note: Note,
        input: &[u8],
    ) -> Result<Option<Reply>, ProtocolError> {
        let Some(frame) = input.get(..self.frame_bytes) else { return Ok(None) };
        let (head, fill) = frame.split_at(MIN_FRAME_BYTES);
        if head != sequence.to_be_bytes() {
            return Err(ProtocolError(format!("frame {sequence} came back as {head:02x?}")));
        }
        let wanted = fill_of(sequence);
        let verify = self.verify_every > 0 && sequence.is_multiple_of(self.verify_every.into());
        if verify && fill.iter().any(|byte| *byte != wanted) {
            return Err(ProtocolError(format!("frame {sequence} came back with other bytes")));
        }
        Ok(Some(Reply { bytes: self.frame_bytes, ok: true }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_comes_back_is_its_reply() {
        let mut echo = Echo::new(64, 1_024);
        let mut wire = Vec::new();
        echo.encode(0, &mut wire);
        echo.encode(1, &mut wire);
        assert_eq!(wire.len(), 128);
        assert_eq!(echo.parse(0, Note::ANY, &wire[..63]), Ok(None));
        assert_eq!(echo.parse(0, Note::ANY, &wire), Ok(Some(Reply { bytes: 64, ok: true })));
        assert_eq!(echo.parse(1, Note::ANY, &wire[64..]), Ok(Some(Reply { bytes: 64, ok: true })));
    }

    #[test]
    fn a_lost_frame_and_a_wrong_byte_are_errors() {
        let mut echo = Echo::new(16, 1_024);
        let mut wire = Vec::new();
        echo.encode(1_024, &mut wire);
        assert!(echo.parse(1_023, Note::ANY, &wire).is_err());
        wire[12] ^= 1;
        assert!(echo.parse(1_024, Note::ANY, &wire).is_err());
        assert!(Echo::new(16, 0).parse(1_024, Note::ANY, &wire).is_ok());
    }
}
