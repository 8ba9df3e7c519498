//! The Redis protocol: GET and SET over a keyspace, and the parsing of any reply.

use super::{Note, Protocol, ProtocolError, Reply, push_number, wrong_value};
use crate::advice::other_language;
use crate::serve::Wire;
use crate::workload::{Draws, Tables, Workload, fill_of, is_value_of, push_key};

/// Encoder of one thread.
pub(crate) struct Resp {
    draws: Draws,
    key_bytes: usize,
    size_bounds: (u32, u32),
    /// The shard that reads the next request, where keys are chosen by it.
    shard: u16,
}

/// Arrays within arrays, deeper than any reply to GET, SET or INFO.
const MAX_DEPTH: u32 = 8;

/// A length line is at most this long, so that garbage is not taken for one that is incomplete.
const MAX_LINE_BYTES: usize = 64 * 1_024;

/// The longest bulk string that Redis allows.
const MAX_BULK_BYTES: usize = 512 * 1_024 * 1_024;

impl Resp {
    /// An encoder whose draws depend on the workload and the seed.
    pub(crate) fn new(workload: &Workload, tables: &Tables, seed: u64) -> Self {
        Resp {
            draws: Draws::new(workload, tables, seed),
            key_bytes: workload.key_bytes,
            size_bounds: workload.sizes.bounds(),
            shard: 0,
        }
    }

    fn encode_set(&self, index: u32, value_bytes: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        self.push_key(index, out);
        push_length(value_bytes as usize, out);
        out.resize(out.len() + value_bytes as usize, fill_of(index));
        out.extend_from_slice(b"\r\n");
    }

    fn push_key(&self, index: u32, out: &mut Vec<u8>) {
        push_length(self.key_bytes, out);
        push_key(index, self.key_bytes, out);
        out.extend_from_slice(b"\r\n");
    }

    /// Whether a whole reply is the value that was written to `key`.
    fn is_value_of(&self, key: u32, reply: &[u8]) -> bool {
        let body = reply.first().filter(|kind| **kind == b'$').and_then(|_| {
            let begin = reply.windows(2).position(|pair| pair == b"\r\n")? + 2;
            reply.get(begin..reply.len().checked_sub(2)?)
        });
        body.is_some_and(|value| is_value_of(key, value, self.size_bounds))
    }
}

impl Protocol for Resp {
    fn encode(&mut self, _sequence: u64, out: &mut Vec<u8>) -> Note {
        let draw = self.draws.draw_for(self.shard);
        if let Some(bytes) = draw.set_bytes {
            self.encode_set(draw.key, bytes, out);
        } else {
            out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
            self.push_key(draw.key, out);
        }
        let note = if draw.verify { Note::value_of(draw.key) } else { Note::ANY };
        note.answered_by(draw.remote)
    }

    fn aim(&mut self, shard: u16) {
        self.shard = shard;
    }

    fn is_remote(&self, note: Note) -> Option<bool> {
        note.remote()
    }

    fn is_sampling(&self) -> bool {
        self.draws.are_aimed()
    }

    fn encode_fill(&mut self, key: u32, out: &mut Vec<u8>) {
        let bytes = self.draws.size();
        self.encode_set(key, bytes, out);
    }

    fn parse(
        &self,
        _sequence: u64,
        note: Note,
        input: &[u8],
    ) -> Result<Option<Reply>, ProtocolError> {
        let Some(reply) = parse_reply(input)? else { return Ok(None) };
        // An error is counted as one; only an answer can be a wrong one.
        if let Some(key) = note.key().filter(|_| reply.ok)
            && !self.is_value_of(key, &input[..reply.bytes])
        {
            return Err(wrong_value(key));
        }
        Ok(Some(reply))
    }
}

/// Appends the head of a bulk string.
fn push_length(bytes: usize, out: &mut Vec<u8>) {
    out.push(b'$');
    push_number(bytes, out);
    out.extend_from_slice(b"\r\n");
}

/// A command as an array of bulk strings.
pub(crate) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Finds one whole reply (RESP2, and the RESP3 types that are framed alike) at the front of `input`.
///
/// # Errors
/// If no reply begins like this.
pub(crate) fn parse_reply(input: &[u8]) -> Result<Option<Reply>, ProtocolError> {
    let ok = input.first() != Some(&b'-');
    Ok(value_end(input, 0, MAX_DEPTH)?.map(|bytes| Reply { bytes, ok }))
}

/// Finds one whole command, an array of bulk strings, at the front of `input`; for null servers.
///
/// # Errors
/// If `input` does not begin with an array.
pub(crate) fn parse_command(input: &[u8]) -> Result<Option<usize>, ProtocolError> {
    match input.first() {
        Some(b'*') | None => value_end(input, 0, MAX_DEPTH),
        Some(other) => Err(ProtocolError(format!("a command cannot begin with 0x{other:02x}"))),
    }
}

/// Where the value that begins at `at` ends.
fn value_end(input: &[u8], at: usize, depth: u32) -> Result<Option<usize>, ProtocolError> {
    let Some(kind) = input.get(at) else { return Ok(None) };
    let Some(line_end) = line_end(input, at)? else { return Ok(None) };
    match kind {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Ok(Some(line_end)),
        b'$' | b'=' | b'!' => {
            let Some(length) = length(&input[at + 1..line_end - 2])? else {
                return Ok(Some(line_end));
            };
            let end = line_end + length + 2;
            Ok((input.len() >= end).then_some(end))
        }
        b'*' | b'~' | b'>' | b'%' => {
            let count = length(&input[at + 1..line_end - 2])?.unwrap_or(0);
            let count = if *kind == b'%' { count * 2 } else { count };
            if depth == 0 {
                return Err(ProtocolError("a reply is nested too deeply".to_owned()));
            }
            let mut end = line_end;
            for _ in 0..count {
                let Some(next) = value_end(input, end, depth - 1)? else { return Ok(None) };
                end = next;
            }
            Ok(Some(end))
        }
        _ => {
            let said = &input[at..];
            let begin = String::from_utf8_lossy(&said[..said.len().min(16)]).into_owned();
            let advice = other_language(Wire::Resp, said);
            Err(ProtocolError(format!("redis never answers {begin:?}; {advice}")))
        }
    }
}

/// The end of the line that begins at `at`, its CR LF included.
fn line_end(input: &[u8], at: usize) -> Result<Option<usize>, ProtocolError> {
    let rest = &input[at..];
    match rest.windows(2).take(MAX_LINE_BYTES).position(|pair| pair == b"\r\n") {
        Some(position) => Ok(Some(at + position + 2)),
        None if rest.len() > MAX_LINE_BYTES => Err(ProtocolError("a line never ends".to_owned())),
        None => Ok(None),
    }
}

/// A length; `None` is the nil of RESP2, written -1.
fn length(digits: &[u8]) -> Result<Option<usize>, ProtocolError> {
    if digits == b"-1" {
        return Ok(None);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|length| *length <= MAX_BULK_BYTES)
        .map(Some)
        .ok_or_else(|| {
            ProtocolError(format!("not a length: {:?}", String::from_utf8_lossy(digits)))
        })
}

#[cfg(test)]
mod tests;
