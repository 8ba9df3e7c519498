//! Requests as they are sent, and what their answers say.

use fastrand::Rng;
use redis_protocol::resp2::types::OwnedFrame;

use crate::history::{Action, Outcome};

/// One request. Keys are numbers, and so are values.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    One(usize, Action),
    /// MGET.
    GetAll(Vec<usize>),
    /// MSET.
    SetAll(Vec<(usize, i64)>),
    /// ECHO of so many bytes: a long request, with a long answer that takes its time on the way.
    Echo(usize),
}

/// How many keys everybody asks for often.
const MEETING_KEYS: usize = 6;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was done: what came of each part.
    Done(Vec<Outcome>),
    /// Nothing was done: it belongs to the node at this address.
    Moved(String),
    /// Nothing was done.
    Refused,
    /// Nobody knows what was done: the shard that would know did not say.
    Lost,
    /// Nobody knows what was done: there is no answer.
    None,
}

/// The longest that an ECHO is.
const ECHO_BYTES: usize = 100_000;

impl Command {
    /// Draws one, about some of so many keys. `value` is one that nobody has set yet; with `gives_lives` it may be
    /// set with a deadline.
    pub(crate) fn any(rng: &mut Rng, key_count: usize, value: i64, gives_lives: bool) -> Self {
        // Clients meet at the first keys, and the others are there for the sake of the stores.
        let key = if rng.bool() { rng.usize(..MEETING_KEYS) } else { rng.usize(..key_count) };
        match rng.u8(..32) {
            0..9 => Self::One(key, Action::Get),
            9..15 => Self::One(key, Action::Set { value, life_ms: None }),
            15..17 => {
                let life_ms = Some(rng.u64(1..60)).filter(|_| gives_lives);
                Self::One(key, Action::Set { value, life_ms })
            }
            17..20 => Self::One(key, Action::Del),
            20..27 => Self::One(key, Action::Incr),
            27..29 => Self::GetAll(some_keys(rng, key_count)),
            29..31 => Self::SetAll(
                some_keys(rng, key_count).into_iter().map(|key| (key, value)).collect(),
            ),
            _ => Self::Echo(rng.usize(..ECHO_BYTES)),
        }
    }

    /// What it does to each key.
    pub(crate) fn parts(&self) -> Vec<(usize, Action)> {
        match self {
            Self::One(key, action) => vec![(*key, *action)],
            Self::GetAll(keys) => keys.iter().map(|key| (*key, Action::Get)).collect(),
            Self::SetAll(pairs) => {
                let set = |(key, value): &_| (*key, Action::Set { value: *value, life_ms: None });
                pairs.iter().map(set).collect()
            }
            Self::Echo(_) => Vec::new(),
        }
    }

    /// Appends its bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let words: Vec<String> = match self {
            Self::One(key, action) => {
                let mut words = vec![String::new(), name(*key)];
                words[0] = match action {
                    Action::Get => "GET",
                    Action::Del => "DEL",
                    Action::Incr => "INCR",
                    Action::Set { .. } => "SET",
                    Action::Wipe => unreachable!("nobody can ask for it"),
                }
                .to_owned();
                if let Action::Set { value, life_ms } = action {
                    words.push(value.to_string());
                    words.extend(
                        life_ms.iter().flat_map(|life| ["PX".to_owned(), life.to_string()]),
                    );
                }
                words
            }
            Self::GetAll(keys) => {
                ["MGET".to_owned()].into_iter().chain(keys.iter().map(|key| name(*key))).collect()
            }
            Self::SetAll(pairs) => {
                let pair = |(key, value): &(usize, i64)| [name(*key), value.to_string()];
                ["MSET".to_owned()].into_iter().chain(pairs.iter().flat_map(pair)).collect()
            }
            Self::Echo(length) => vec!["ECHO".to_owned(), long_text(*length)],
        };
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }

    /// Reads its answer.
    ///
    /// # Panics
    /// At one that is no answer to it.
    pub(crate) fn answer(&self, frame: &OwnedFrame) -> Answer {
        if let OwnedFrame::Error(text) = frame {
            return refusal(text).unwrap_or_else(|| panic!("{self:?} was answered with {text}"));
        }
        let outcomes = match (self, frame) {
            (Self::One(_, Action::Get), value) => value_of(value).map(|value| vec![value]),
            (Self::One(_, Action::Set { .. }), OwnedFrame::SimpleString(text)) if text == b"OK" => {
                Some(vec![Outcome::Done])
            }
            (Self::One(_, Action::Del | Action::Incr), OwnedFrame::Integer(number)) => {
                Some(vec![Outcome::Number(*number)])
            }
            (Self::GetAll(keys), OwnedFrame::Array(values)) if values.len() == keys.len() => {
                values.iter().map(value_of).collect()
            }
            (Self::SetAll(pairs), OwnedFrame::SimpleString(text)) if text == b"OK" => {
                Some(vec![Outcome::Done; pairs.len()])
            }
            (Self::Echo(length), OwnedFrame::BulkString(text))
                if *text == long_text(*length).as_bytes() =>
            {
                Some(Vec::new())
            }
            _ => None,
        };
        Answer::Done(outcomes.unwrap_or_else(|| panic!("{self:?} was answered with {frame:?}")))
    }
}

/// The key with this number.
pub(crate) fn name(key: usize) -> String {
    format!("key{key}")
}

/// A text of so many bytes. Its pattern is of no length that buffers have, so what is cut out or doubled shows.
fn long_text(length: usize) -> String {
    const PATTERN: &str = "0123456789abcdefghijklmnopqrstuvwxyz!";
    let mut text = PATTERN.repeat(length / PATTERN.len() + 1);
    text.truncate(length);
    text
}

/// Two keys or more, none of them twice.
fn some_keys(rng: &mut Rng, key_count: usize) -> Vec<usize> {
    let mut keys: Vec<usize> = (0..key_count).collect();
    rng.shuffle(&mut keys);
    keys.truncate(rng.usize(2..=3));
    keys
}

fn value_of(frame: &OwnedFrame) -> Option<Outcome> {
    match frame {
        OwnedFrame::Null => Some(Outcome::Value(None)),
        OwnedFrame::BulkString(bytes) => {
            let value = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            Some(Outcome::Value(Some(value)))
        }
        _ => None,
    }
}

/// The errors that a server that is right may answer with.
fn refusal(text: &str) -> Option<Answer> {
    if let Some(rest) = text.strip_prefix("MOVED ") {
        let (_slot, address) = rest.split_once(' ')?;
        return Some(Answer::Moved(address.to_owned()));
    }
    let is_lost = text.starts_with("ERR shard ");
    let is_refused = ["CROSSSLOT ", "CLUSTERDOWN "].iter().any(|code| text.starts_with(code));
    match (is_lost, is_refused) {
        (true, _) => Some(Answer::Lost),
        (_, true) => Some(Answer::Refused),
        _ => None,
    }
}
