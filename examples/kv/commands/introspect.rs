//! COMMAND: the table of commands, printed.

use super::help as print_help;
use crate::kv::caller::Caller;
use crate::kv::command::{Command, Keys, find, find_subcommand};
use crate::kv::reply::Reply;
use crate::kv::request::Args;
use crate::kv::table::TABLE;

/// COMMAND
pub(crate) fn all(_: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    reply.array(TABLE.len());
    for command in TABLE {
        describe(command, reply);
    }
}

/// COMMAND COUNT
pub(crate) fn count(_: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    reply.count(TABLE.len());
}

/// COMMAND LIST
pub(crate) fn list(_: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() > 2 {
        return reply.error(super::SYNTAX_ERROR);
    }
    reply.set(TABLE.len());
    for command in TABLE {
        reply.bulk(command.name.as_bytes());
    }
}

/// COMMAND INFO [name ...]
pub(crate) fn info(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() == 2 {
        return all(caller, args, reply);
    }
    reply.array(args.len() - 2);
    for name in args.from(2) {
        match find_full(name) {
            Some(command) => describe(command, reply),
            None => reply.null(),
        }
    }
}

/// COMMAND DOCS [name ...]
pub(crate) fn docs(_: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    let named: Vec<&Command> = match args.len() {
        2 => TABLE.iter().collect(),
        _ => args.from(2).filter_map(find_full).collect(),
    };
    reply.map(named.len());
    for command in named {
        explain(command, reply);
    }
}

/// COMMAND HELP
pub(crate) fn help(_: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let subcommands = find(b"command").map_or(&[][..], |command| command.subcommands);
    print_help("COMMAND", subcommands, reply);
}

/// Finds `name` or `name|subcommand`.
fn find_full(name: &[u8]) -> Option<&'static Command> {
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let command = find(words.next()?)?;
    match words.next() {
        Some(word) => find_subcommand(command, word),
        None => Some(command),
    }
}

/// The ten fields of COMMAND INFO.
fn describe(command: &Command, reply: &mut Reply<'_>) {
    let (first, last, step) = command.key_positions();
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.integer(i64::from(command.arity));
    statuses(command.flags, reply);
    for position in [first, last, step] {
        reply.integer(position);
    }
    statuses(command.categories, reply);
    reply.set(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    describe_keys(command, reply);
    reply.array(command.subcommands.len());
    for subcommand in command.subcommands {
        describe(subcommand, reply);
    }
}

fn statuses(words: &[&str], reply: &mut Reply<'_>) {
    reply.set(words.len());
    for word in words {
        reply.status(word);
    }
}

/// The key specifications: where the search begins (an index) and which arguments are keys (a
/// range).
fn describe_keys(command: &Command, reply: &mut Reply<'_>) {
    let (last_from_first, step) = match command.keys {
        Keys::None => return reply.set(0),
        Keys::First => (0, 1),
        Keys::All { step } => (-1, step as i64),
    };
    reply.set(1);
    reply.map(3);
    reply.bulk(b"flags");
    statuses(command.access, reply);
    specification("begin_search", "index", &[("index", 1)], reply);
    let range = [("lastkey", last_from_first), ("keystep", step), ("limit", 0)];
    specification("find_keys", "range", &range, reply);
}

fn specification(field: &str, kind: &str, numbers: &[(&str, i64)], reply: &mut Reply<'_>) {
    reply.bulk(field.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

/// One entry of COMMAND DOCS.
fn explain(command: &Command, reply: &mut Reply<'_>) {
    reply.bulk(command.name.as_bytes());
    let texts = [
        ("summary", command.summary),
        ("since", command.since),
        ("group", command.group),
        ("complexity", command.complexity),
    ];
    let has_subcommands = !command.subcommands.is_empty();
    reply.map(texts.len() + usize::from(has_subcommands));
    for (field, text) in texts {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if has_subcommands {
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        for subcommand in command.subcommands {
            explain(subcommand, reply);
        }
    }
}
