//! memcached's text protocol: `get` and `set` over a keyspace.

use super::{Note, Protocol, ProtocolError, Reply, push_number, wrong_value};
use crate::advice::other_language;
use crate::serve::Wire;
use crate::workload::{Draws, Tables, Workload, fill_of, is_value_of, push_key};

/// Encoder of one thread.
pub(crate) struct Memcache {
    draws: Draws,
    key_bytes: usize,
    size_bounds: (u32, u32),
}

/// A line is at most this long; keys have 250 bytes and the rest is words.
const MAX_LINE_BYTES: usize = 2 * 1_024;

/// The largest value that is believed: memcached can be told to take a gigabyte.
const MAX_VALUE_BYTES: usize = 1 << 30;

impl Memcache {
    /// An encoder whose draws depend on the workload and the seed.
    pub(crate) fn new(workload: &Workload, tables: &Tables, seed: u64) -> Self {
        Memcache {
            draws: Draws::new(workload, tables, seed),
            key_bytes: workload.key_bytes,
            size_bounds: workload.sizes.bounds(),
        }
    }

    fn encode_set(&self, index: u32, value_bytes: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"set ");
        push_key(index, self.key_bytes, out);
        out.extend_from_slice(b" 0 0 ");
        push_number(value_bytes as usize, out);
        out.extend_from_slice(b"\r\n");
        out.resize(out.len() + value_bytes as usize, fill_of(index));
        out.extend_from_slice(b"\r\n");
    }
}

impl Protocol for Memcache {
    fn encode(&mut self, _sequence: u64, out: &mut Vec<u8>) -> Note {
        let draw = self.draws.draw_for(0);
        if let Some(bytes) = draw.set_bytes {
            self.encode_set(draw.key, bytes, out);
        } else {
            out.extend_from_slice(b"get ");
            push_key(draw.key, self.key_bytes, out);
            out.extend_from_slice(b"\r\n");
        }
        if draw.verify { Note::value_of(draw.key) } else { Note::ANY }
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
        let Some((reply, value)) = parse_reply(input)? else { return Ok(None) };
        if let Some(key) = note.key().filter(|_| reply.ok)
            && !value.is_some_and(|value| is_value_of(key, value, self.size_bounds))
        {
            return Err(wrong_value(key));
        }
        Ok(Some(reply))
    }
}

type Found<'a> = (Reply, Option<&'a [u8]>);

/// Finds one whole reply at the front of `input`, and the value in it if there is one.
fn parse_reply(input: &[u8]) -> Result<Option<Found<'_>>, ProtocolError> {
    let Some(end) = line_end(input)? else { return Ok(None) };
    let line = &input[..end - 2];
    let done = |bytes, ok| Ok(Some((Reply { bytes, ok }, None)));
    match line.split(|byte| *byte == b' ').next().unwrap_or_default() {
        b"STORED" | b"END" => done(end, true),
        b"NOT_STORED" | b"EXISTS" | b"NOT_FOUND" => done(end, false),
        b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR" => done(end, false),
        b"VALUE" => {
            let length = value_bytes(line)?;
            let tail = end + length;
            let Some(rest) = input.get(tail..) else { return Ok(None) };
            let last = b"\r\nEND\r\n";
            if !rest.starts_with(last) {
                if last.starts_with(rest) {
                    return Ok(None);
                }
                return Err(ProtocolError("a value of another length than it says".to_owned()));
            }
            let reply = Reply { bytes: tail + last.len(), ok: true };
            Ok(Some((reply, Some(&input[end..tail]))))
        }
        other => {
            let word = String::from_utf8_lossy(other).into_owned();
            let advice = other_language(Wire::Memcache, input);
            Err(ProtocolError(format!("memcached never answers {word:?}; {advice}")))
        }
    }
}

/// Where one whole command ends and whether it stores, for null servers.
///
/// # Errors
/// If `input` is no command that this encoder writes.
pub(crate) fn parse_command(input: &[u8]) -> Result<Option<(usize, bool)>, ProtocolError> {
    let Some(end) = line_end(input)? else { return Ok(None) };
    let line = &input[..end - 2];
    if line.starts_with(b"get ") {
        return Ok(Some((end, false)));
    }
    if !line.starts_with(b"set ") {
        return Err(ProtocolError("neither get nor set".to_owned()));
    }
    let end = end + value_bytes(line)? + 2;
    Ok((input.len() >= end).then_some((end, true)))
}

/// The last word of a line, which is a length in both directions.
fn value_bytes(line: &[u8]) -> Result<usize, ProtocolError> {
    let digits = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .filter(|length| *length <= MAX_VALUE_BYTES)
        .ok_or_else(|| ProtocolError("a value without a length".to_owned()))
}

/// The end of the first line, its CR LF included.
fn line_end(input: &[u8]) -> Result<Option<usize>, ProtocolError> {
    match input.windows(2).take(MAX_LINE_BYTES).position(|pair| pair == b"\r\n") {
        Some(position) => Ok(Some(position + 2)),
        None if input.len() > MAX_LINE_BYTES => Err(ProtocolError("a line never ends".to_owned())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
