//! The Redis protocol: GET and SET over a keyspace, and the parsing of any reply.

use std::fmt;

use super::{Protocol, ProtocolError, Reply};
use crate::rng::{Rng, scramble};

/// How often each key is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum KeyDistribution {
    /// Every key alike.
    Uniform,
    /// The key of rank `r` with weight `r^-exponent`; ranks are scattered over the keyspace.
    Zipf(f64),
}

impl fmt::Display for KeyDistribution {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyDistribution::Uniform => out.write_str("uniform"),
            KeyDistribution::Zipf(exponent) => write!(out, "zipf {exponent}"),
        }
    }
}

/// What a RESP run asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RespWorkload {
    /// Number of distinct keys.
    pub(crate) keys: u32,
    /// Which of them are asked for.
    pub(crate) distribution: KeyDistribution,
    /// Length of the values that SET writes.
    pub(crate) value_bytes: usize,
    /// Parts of the requests that are GET.
    pub(crate) get_parts: u32,
    /// Parts of the requests that are SET.
    pub(crate) set_parts: u32,
}

/// Encoder of one thread. Keys and operations come from a ring drawn before the run, so that no
/// random number is made between two requests.
pub(crate) struct Resp {
    ring: Vec<Draw>,
    position: usize,
    set_tail: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Draw {
    key: u32,
    set: bool,
}

/// Draws in the ring; a power of two.
const RING: usize = 1 << 16;

/// Every key is `key:` and twelve digits.
const KEY_BYTES: usize = 16;

/// Arrays within arrays, deeper than any reply to GET, SET or INFO.
const MAX_DEPTH: u32 = 8;

/// A length line is at most this long, so that garbage is not taken for one that is incomplete.
const MAX_LINE_BYTES: usize = 64 * 1_024;

/// The longest bulk string that Redis allows.
const MAX_BULK_BYTES: usize = 512 * 1_024 * 1_024;

impl Resp {
    /// An encoder whose draws depend on the workload and the seed.
    pub(crate) fn new(workload: &RespWorkload, seed: u64) -> Self {
        let mut set_tail = format!("${}\r\n", workload.value_bytes).into_bytes();
        set_tail.resize(set_tail.len() + workload.value_bytes, b'v');
        set_tail.extend_from_slice(b"\r\n");
        Resp { ring: draw_ring(workload, seed), position: 0, set_tail }
    }

    /// Appends a SET of key `index`, for filling the keyspace.
    pub(crate) fn encode_set(&self, index: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        push_key(index, out);
        out.extend_from_slice(&self.set_tail);
    }
}

impl Protocol for Resp {
    fn encode(&mut self, _sequence: u64, out: &mut Vec<u8>) {
        let draw = self.ring[self.position];
        self.position = (self.position + 1) % RING;
        if draw.set {
            self.encode_set(draw.key, out);
        } else {
            out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
            push_key(draw.key, out);
        }
    }

    fn parse(&self, _sequence: u64, input: &[u8]) -> Result<Option<Reply>, ProtocolError> {
        parse_reply(input)
    }
}

fn push_key(index: u32, out: &mut Vec<u8>) {
    let mut key = *b"$16\r\nkey:000000000000\r\n";
    let mut rest = index;
    for digit in key[9..21].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    debug_assert_eq!(key[5..21].len(), KEY_BYTES);
    out.extend_from_slice(&key);
}

fn draw_ring(workload: &RespWorkload, seed: u64) -> Vec<Draw> {
    let mut rng = Rng::new(scramble(seed ^ 0x6b65_7973));
    let keys = workload.keys.max(1);
    let parts = u64::from(workload.get_parts) + u64::from(workload.set_parts);
    let cumulated = match workload.distribution {
        KeyDistribution::Uniform => Vec::new(),
        KeyDistribution::Zipf(exponent) => zipf_cumulated(keys, exponent),
    };
    let mut draw = || {
        let key = match cumulated.last() {
            None => rng.below(u64::from(keys)),
            Some(total) => {
                let target = rng.unit() * total;
                let rank = cumulated.partition_point(|sum| *sum <= target);
                // Hot keys must not be neighbours: neighbours may share a shard or a cache line.
                scatter(rank as u64, keys)
            }
        };
        Draw { key: key as u32, set: rng.below(parts.max(1)) >= u64::from(workload.get_parts) }
    };
    (0..RING).map(|_| draw()).collect()
}

/// Running sums of `rank^-exponent`.
fn zipf_cumulated(keys: u32, exponent: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=keys)
        .map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        })
        .collect()
}

/// Spreads ranks over the keyspace: a multiplication by a prime that does not divide `keys` is a
/// permutation of it.
fn scatter(rank: u64, keys: u32) -> u64 {
    const PRIMES: [u64; 2] = [2_654_435_761, 4_294_967_291];
    let keys = u64::from(keys);
    let prime = if keys.is_multiple_of(PRIMES[0]) { PRIMES[1] } else { PRIMES[0] };
    rank * prime % keys
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
        other => Err(ProtocolError(format!("a reply cannot begin with 0x{other:02x}"))),
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
