//! What a command is. One table ([`TABLE`]) says everything about each: it finds the command,
//! checks the number of arguments, sends it to its shards, and answers COMMAND.

use super::caller::Caller;
use super::home::Home;
use super::reply::Reply;
use super::request::Args;
use super::table::TABLE;

/// One command, or one subcommand such as `client|list`.
#[derive(Debug)]
pub(crate) struct Command {
    /// The full name, in lower case.
    pub(crate) name: &'static str,
    /// The number of arguments with the name; if negative, the least number.
    pub(crate) arity: i32,
    /// Redis' flags, as COMMAND prints them.
    pub(crate) flags: &'static [&'static str],
    /// Which arguments are keys.
    pub(crate) keys: Keys,
    /// What the command does with its keys, in the words of Redis' key specifications.
    pub(crate) access: &'static [&'static str],
    /// Redis' categories of access control.
    pub(crate) categories: &'static [&'static str],
    /// Hints for clients that know a cluster.
    pub(crate) tips: &'static [&'static str],
    /// The version of Redis that had it first.
    pub(crate) since: &'static str,
    /// The group of Redis' documentation.
    pub(crate) group: &'static str,
    /// What it costs.
    pub(crate) complexity: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// Who answers it.
    pub(crate) route: Route,
    /// Its subcommands, if the second argument names one.
    pub(crate) subcommands: &'static [Command],
}

/// Which arguments of a command are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// None.
    None,
    /// The first after the name.
    First,
    /// From the first after the name to the last, every `step`th.
    All {
        /// Arguments from one key to the next.
        step: usize,
    },
}

impl Keys {
    /// The keys among the arguments of a command.
    pub(crate) fn of<'a>(self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (most, step) = match self {
            Self::None => (0, 1),
            Self::First => (1, 1),
            Self::All { step } => (usize::MAX, step),
        };
        args.from(1).step_by(step).take(most)
    }
}

/// Does a command's work on one shard.
pub(crate) type Run = fn(&mut Home, Args<'_>, &mut Reply<'_>);

/// Who answers a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route {
    /// The connection itself: nothing of it is in a store.
    Connection(fn(&mut Caller<'_>, Args<'_>, &mut Reply<'_>)),
    /// The shard of the first key.
    Key(Run),
    /// Each key's shard gets the part with its keys; the parts are put together.
    Split(Run, Merge),
    /// Each key is asked for at its shard, by the second function under its own name; the answers
    /// make an array in the order of the keys. If all keys are here, the first function does the
    /// whole.
    Each(Run, Run),
    /// Every shard; the parts are put together.
    Everywhere(Run, Merge),
    /// The shard that the cursor in the first argument names, by the first function. Where only
    /// one shard is in sight, that one, by the second.
    Cursor(Run, Run),
    /// Only its subcommands do anything.
    Subcommands,
}

/// How the parts of an answer become one. If a part is an error, the first such part is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Integers are added.
    Sum,
    /// All parts are OK, and so is the whole.
    Ok,
    /// Arrays are joined.
    Arrays,
    /// Strings are joined to one text.
    Texts,
    /// Lists of counters are added and printed by INFO.
    Info,
}

impl Command {
    /// Says whether the command may be called with `count` arguments, its name included.
    pub(crate) fn takes(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }

    /// The position of the first key, of the last (negative: counted from the end) and the distance
    /// between two, as COMMAND prints them.
    pub(crate) fn key_positions(&self) -> (i64, i64, i64) {
        match self.keys {
            Keys::None => (0, 0, 0),
            Keys::First => (1, 1, 1),
            Keys::All { step } => (1, -1, step as i64),
        }
    }
}

/// The places of the table's commands by a small hash of their names: open addressing, made when
/// this is compiled.
static PLACES: [u8; PLACE_COUNT] = places();
const PLACE_COUNT: usize = 256;
const NO_PLACE: u8 = u8::MAX;

const _: () = assert!(TABLE.len() * 2 <= PLACE_COUNT, "the places are at most half full");

const fn places() -> [u8; PLACE_COUNT] {
    let mut places = [NO_PLACE; PLACE_COUNT];
    let mut index = 0;
    while index < TABLE.len() {
        let mut at = first_place(TABLE[index].name.as_bytes());
        while places[at] != NO_PLACE {
            at = (at + 1) % PLACE_COUNT;
        }
        places[at] = index as u8;
        index += 1;
    }
    places
}

/// A hash of the length and three letters, the same for both cases.
const fn first_place(name: &[u8]) -> usize {
    let [first, .., last] = name else { return 0 };
    let middle = name[name.len() / 2] | 0x20;
    let letters =
        (*first | 0x20) as usize * 5 + (*last | 0x20) as usize * 19 + middle as usize * 71;
    (letters + name.len() * 37) % PLACE_COUNT
}

/// Finds a command by its name, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut at = first_place(name);
    while PLACES[at] != NO_PLACE {
        let command = &TABLE[usize::from(PLACES[at])];
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        at = (at + 1) % PLACE_COUNT;
    }
    None
}

/// Finds the command, or the subcommand, that a request calls, and checks the number of its
/// arguments.
///
/// # Errors
/// The text that Redis answers with, without `ERR`.
pub(crate) fn resolve(args: Args<'_>) -> Result<&'static Command, Vec<u8>> {
    let command = find(args.at(0)).ok_or_else(|| unknown_command(args))?;
    let wrong_count = |command: &Command| {
        format!("wrong number of arguments for '{}' command", command.name).into_bytes()
    };
    if command.subcommands.is_empty() || (args.len() == 1 && command.takes(1)) {
        return if command.takes(args.len()) { Ok(command) } else { Err(wrong_count(command)) };
    }
    if args.len() < 2 {
        return Err(wrong_count(command));
    }
    let subcommand = find_subcommand(command, args.at(1));
    let subcommand = subcommand.ok_or_else(|| unknown_subcommand(command, args.at(1)))?;
    if subcommand.takes(args.len()) { Ok(subcommand) } else { Err(wrong_count(subcommand)) }
}

/// Finds a subcommand by the word after its command's name.
pub(crate) fn find_subcommand(command: &Command, word: &[u8]) -> Option<&'static Command> {
    let after_bar = command.name.len() + 1;
    command
        .subcommands
        .iter()
        .find(|each| each.name.as_bytes()[after_bar..].eq_ignore_ascii_case(word))
}

/// At most this many bytes of a name, and of all arguments together, are said back.
const ECHOED_BYTES: usize = 128;

fn unknown_command(args: Args<'_>) -> Vec<u8> {
    let mut text = b"unknown command '".to_vec();
    text.extend_from_slice(as_c_string(args.at(0), ECHOED_BYTES));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut shown: Vec<u8> = Vec::new();
    for arg in args.from(1) {
        if shown.len() >= ECHOED_BYTES {
            break;
        }
        let part = as_c_string(arg, ECHOED_BYTES - shown.len());
        shown.push(b'\'');
        shown.extend_from_slice(part);
        shown.extend_from_slice(b"' ");
    }
    text.append(&mut shown);
    text
}

fn unknown_subcommand(command: &Command, word: &[u8]) -> Vec<u8> {
    let mut text = b"unknown subcommand '".to_vec();
    text.extend_from_slice(as_c_string(word, ECHOED_BYTES));
    let hint = format!("'. Try {} HELP.", command.name.to_ascii_uppercase());
    text.extend_from_slice(hint.as_bytes());
    text
}

/// What C prints of a string: up to its first zero byte, and no more than `most` bytes.
fn as_c_string(text: &[u8], most: usize) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    &text[..end.min(most)]
}

#[cfg(test)]
mod tests;
