//! Frames that some shard answers, with the times at which the server had them.
//!
//! ```text
//! 0        8        16     24      32     40      64
//! ├ sequence ┼ kind ┼ read ┼ begun ┼ done ┼ back ┼ zeros ┤
//! ```
//! The kind says whether another shard than the reading one is to answer, and whether times are wanted.

use super::{Note, Protocol, ProtocolError, Reply};
use crate::hops::Stamps;

/// Length of a frame.
pub(crate) const HOP_FRAME_BYTES: usize = 64;

/// Another shard answers.
const REMOTE: u64 = 1;
/// Times are wanted.
const SAMPLED: u64 = 2;

/// One in so many remote requests is sampled.
const SAMPLE_EVERY: u64 = 64;

/// Encodes frames of which a share is for other shards.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    remote_percent: u32,
    /// Percents that have added up; a whole hundred is a remote request.
    share: u32,
    until_sample: u64,
}

impl Hop {
    /// Exactly so many percent of the requests are for other shards.
    pub(crate) fn new(remote_percent: u32) -> Self {
        Hop { remote_percent, share: 0, until_sample: 0 }
    }
}

/// What a server is asked for in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HopRequest {
    /// Another shard is to answer.
    pub(crate) remote: bool,
    /// Times are wanted.
    pub(crate) sampled: bool,
}

fn word(frame: &[u8], at: usize) -> u64 {
    let bytes = frame.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

/// Reads a whole frame.
pub(crate) fn parse_hop_request(frame: &[u8]) -> HopRequest {
    let kind = word(frame, 1);
    HopRequest { remote: kind & REMOTE != 0, sampled: kind & SAMPLED != 0 }
}

/// Writes times into the answer to a frame.
pub(crate) fn write_stamps(frame: &mut [u8; HOP_FRAME_BYTES], stamps: Stamps) {
    let Stamps { read_ns, begun_ns, done_ns, back_ns } = stamps;
    for (place, time_ns) in
        frame[16..48].chunks_exact_mut(8).zip([read_ns, begun_ns, done_ns, back_ns])
    {
        place.copy_from_slice(&time_ns.to_be_bytes());
    }
}

impl Protocol for Hop {
    fn encode(&mut self, sequence: u64, out: &mut Vec<u8>) -> Note {
        let mut kind = 0;
        self.share += self.remote_percent;
        if self.share >= 100 {
            self.share -= 100;
            kind = REMOTE;
            if self.until_sample == 0 {
                self.until_sample = SAMPLE_EVERY;
                kind |= SAMPLED;
            }
            self.until_sample -= 1;
        }
        let end = out.len() + HOP_FRAME_BYTES;
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.resize(end, 0);
        Note(kind)
    }

    fn parse(
        &self,
        sequence: u64,
        note: Note,
        input: &[u8],
    ) -> Result<Option<Reply>, ProtocolError> {
        let Some(frame) = input.get(..HOP_FRAME_BYTES) else { return Ok(None) };
        if (word(frame, 0), word(frame, 1)) != (sequence, note.0) {
            return Err(ProtocolError(format!(
                "frame {sequence} came back as {:02x?}",
                &frame[..16]
            )));
        }
        Ok(Some(Reply { bytes: HOP_FRAME_BYTES, ok: true }))
    }

    fn is_remote(&self, note: Note) -> Option<bool> {
        Some(note.0 & REMOTE != 0)
    }

    fn is_sampling(&self) -> bool {
        self.remote_percent > 0
    }

    fn stamps(&self, note: Note, reply: &[u8]) -> Option<Stamps> {
        let [read_ns, begun_ns, done_ns, back_ns] = [2, 3, 4, 5].map(|at| word(reply, at));
        let stamps = Stamps { read_ns, begun_ns, done_ns, back_ns };
        // A server that knows nothing of times sends the zeros back.
        (note.0 & SAMPLED != 0 && read_ns > 0).then_some(stamps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_share_that_was_asked_for_is_remote_and_some_of_it_sampled() {
        for percent in [0, 1, 33, 50, 100] {
            let mut hop = Hop::new(percent);
            let requests = (0..100_000).map(|sequence| {
                let mut frame = Vec::new();
                hop.encode(sequence, &mut frame);
                assert_eq!(frame.len(), HOP_FRAME_BYTES);
                parse_hop_request(&frame)
            });
            let requests: Vec<HopRequest> = requests.collect();
            let remote = requests.iter().filter(|request| request.remote).count();
            assert_eq!(remote, percent as usize * 1_000);
            let sampled = requests.iter().filter(|request| request.sampled).count();
            assert_eq!(sampled, remote.div_ceil(64));
            assert!(requests.iter().all(|request| request.remote || !request.sampled));
        }
    }

    #[test]
    fn times_come_back_with_their_frame_and_another_frame_is_an_error() {
        let mut hop = Hop::new(100);
        let mut wire = Vec::new();
        let note = hop.encode(7, &mut wire);
        assert_eq!(hop.stamps(note, &wire), None, "an echo has no times");
        let mut frame: [u8; HOP_FRAME_BYTES] = wire.as_slice().try_into().unwrap();
        let stamps = Stamps { read_ns: 5, begun_ns: 6, done_ns: 7, back_ns: 8 };
        write_stamps(&mut frame, stamps);
        assert_eq!(hop.parse(7, note, &frame), Ok(Some(Reply { bytes: 64, ok: true })));
        assert_eq!(hop.stamps(note, &frame), Some(stamps));
        assert_eq!(hop.parse(7, note, &frame[..63]), Ok(None));
        assert!(hop.parse(8, note, &frame).is_err());
        frame[15] ^= 1;
        assert!(hop.parse(7, note, &frame).is_err(), "it came back as another kind");
    }
}
