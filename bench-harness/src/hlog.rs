//! The recording of record: an interval log that every HdrHistogram tool reads.
//!
//! Untagged lines are the response, tagged ones the other metrics; values are nanoseconds. Tables
//! and pictures are derived from it and can be made again at any time.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};

use crate::clock;
use crate::record::{Metric, Recording};

/// Maxima in the log are for human eyes, in milliseconds.
const MAX_DIVISOR: f64 = 1e6;

/// Writes one load point. `start_unix_ns` is the wall-clock time at which interval 0 begins.
///
/// # Errors
/// As the writer, or if a histogram cannot be encoded.
pub(crate) fn write(
    out: &mut impl Write,
    recording: &Recording,
    start_unix_ns: u64,
    comment: &str,
) -> io::Result<()> {
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(comment)
        // Java's reader takes the first interval as the start time if only the base is given.
        .with_start_time(clock::system_time(start_unix_ns))
        .with_base_time(clock::system_time(start_unix_ns))
        .with_max_value_divisor(MAX_DIVISOR)
        .begin_log_with(out, &mut serializer)?;
    let length = Duration::from_nanos(recording.interval_ns);
    for (number, interval) in (0u32..).zip(&recording.intervals) {
        for metric in Metric::ALL {
            if interval.counts(metric).is_empty() {
                continue;
            }
            let tag = metric.tag().and_then(Tag::new);
            log.write_histogram(&interval.histogram(metric), length * number, length, tag)
                .map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Reads a log back. Lines with a tag that is not ours are passed over.
///
/// # Errors
/// If it is not an interval log, or a histogram in it cannot be decoded.
pub(crate) fn read(log: &[u8], interval_ns: u64) -> io::Result<Recording> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let mut recording = Recording::new(interval_ns);
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(log) {
        let entry = entry.map_err(|error| invalid(format!("not an interval log: {error:?}")))?;
        let LogEntry::Interval(line) = entry else { continue };
        let tag = line.tag().map(|tag| tag.as_str().to_owned());
        let known = Metric::ALL.into_iter().find(|metric| metric.tag() == tag.as_deref());
        let Some(metric) = known else { continue };
        let bytes = decode_base64(line.encoded_histogram())
            .ok_or_else(|| invalid("a histogram is not base64".to_owned()))?;
        let histogram: Histogram<u64> = deserializer
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| invalid(format!("a histogram cannot be decoded: {error}")))?;
        // Timestamps are rounded to milliseconds, hence the half.
        let at_ns = clock::ns(line.start_timestamp()).saturating_add(interval_ns / 2);
        recording.interval_at(at_ns).add(metric, &histogram);
    }
    Ok(recording)
}

/// Decodes standard base64 with padding; `None` if it is none.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | u32::from(base64_value(*digit)?);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

fn base64_value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
