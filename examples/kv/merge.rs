//! Puts the parts of an answer together, as they came from the shards.

use super::command::Merge;
use super::commands::info::{self, COUNTER_COUNT};
use super::home::Home;
use super::number::parse_i64;
use super::reply::Reply;

/// Answers with the whole of `parts`, each the encoded answer of one shard. `words` are the
/// arguments of the command that the printing needs.
pub(crate) fn merge(
    how: Merge,
    parts: &[&[u8]],
    words: &[String],
    home: &Home,
    reply: &mut Reply<'_>,
) {
    if let Some(error) = parts.iter().find(|part| part.starts_with(b"-")) {
        return reply.encoded(error);
    }
    match how {
        Merge::Ok => reply.ok(),
        Merge::Sum => reply.integer(parts.iter().map(|part| split_number(part).0).sum()),
        Merge::Arrays => {
            reply.array(parts.iter().map(|part| split_number(part).0 as usize).sum());
            for part in parts {
                reply.encoded(split_number(part).1);
            }
        }
        Merge::Texts => {
            let texts: Vec<&[u8]> = parts.iter().map(|part| text_of(part)).collect();
            reply.text(&String::from_utf8_lossy(&texts.concat()));
        }
        Merge::Info => {
            let mut sums = [0; COUNTER_COUNT];
            for part in parts {
                let mut rest = split_number(part).1;
                for sum in &mut sums {
                    let (value, after) = split_number(rest);
                    *sum += value;
                    rest = after;
                }
            }
            reply.text(&info::print(home, words, sums));
        }
    }
}

/// The number of a part's first line, after its mark, and what follows the line.
fn split_number(part: &[u8]) -> (i64, &[u8]) {
    let end = part.iter().position(|byte| *byte == b'\r').expect("our own answers have line ends");
    let number = parse_i64(&part[1..end]).expect("our own answer is a number or has a length");
    (number, &part[end + 2..])
}

/// The bytes of a bulk string, or of a RESP3 text without its `txt:`.
fn text_of(part: &[u8]) -> &[u8] {
    let (length, rest) = split_number(part);
    let text = &rest[..length as usize];
    if part.starts_with(b"=") { &text[4..] } else { text }
}
