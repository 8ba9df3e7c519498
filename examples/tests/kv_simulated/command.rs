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
}

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
}

impl Command {
    /// Draws one, about some of so many keys. `value` is one that nobody has set yet; with `gives_lives` it may be
    /// set with a deadline.
    pub(crate) fn any(rng: &mut Rng, key_count: usize, value: i64, gives_lives: bool) -> Self {
        let key = rng.usize(..key_count);
        match rng.u8(..16) {
            0..5 => Self::One(key, Action::Get),
            5..8 => Self::One(key, Action::Set { value, life_ms: None }),
            8 => {
                let life_ms = Some(rng.u64(1..60)).filter(|_| gives_lives);
                Self::One(key, Action::Set { value, life_ms })
            }
            9 => Self::One(key, Action::Del),
            10..14 => Self::One(key, Action::Incr),
            14 => Self::GetAll(some_keys(rng, key_count)),
            _ => Self::SetAll(
                some_keys(rng, key_count).into_iter().map(|key| (key, value)).collect(),
            ),
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
            _ => None,
        };
        Answer::Done(outcomes.unwrap_or_else(|| panic!("{self:?} was answered with {frame:?}")))
    }
}

/// The key with this number.
pub(crate) fn name(key: usize) -> String {
    format!("key{key}")
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
