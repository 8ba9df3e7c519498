//! CLIENT: the connections, and what they say about themselves.

use std::fmt::Write;

use super::{SYNTAX_ERROR, help as print_help};
use crate::kv::caller::Caller;
use crate::kv::command::find;
use crate::kv::home::{Client, Home};
use crate::kv::number::parse_i64;
use crate::kv::reply::Reply;
use crate::kv::request::Args;

/// Redis' answer to a name with a space in it.
pub(crate) const BAD_NAME: &str =
    "Client names cannot contain spaces, newlines or special characters.";

/// Says whether a name can stand in a line of CLIENT LIST.
pub(crate) fn is_plain_text(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

/// CLIENT ID
pub(crate) fn id(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    reply.integer(caller.talk.id as i64);
}

/// CLIENT SETNAME name
pub(crate) fn setname(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    if !is_plain_text(args.at(2)) {
        return reply.error(BAD_NAME);
    }
    if let Some(client) = caller.client() {
        client.name = String::from_utf8_lossy(args.at(2)).into_owned();
    }
    reply.ok();
}

/// CLIENT GETNAME
pub(crate) fn getname(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let name = caller.client().map(|client| client.name.as_bytes());
    reply.optional(name.filter(|name| !name.is_empty()));
}

/// CLIENT SETINFO LIB-NAME name and CLIENT SETINFO LIB-VER version, as in Redis 7.2
pub(crate) fn setinfo(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    let (attribute, value) = (args.at(2), args.at(3));
    let known = match attribute.to_ascii_lowercase().as_slice() {
        b"lib-name" => "lib-name",
        b"lib-ver" => "lib-ver",
        _ => return reply.error([b"Unrecognized option '", attribute, b"'"].concat()),
    };
    if !is_plain_text(value) {
        let text = "cannot contain spaces, newlines or special characters.";
        return reply.error(format!("{known} {text}"));
    }
    if let Some(client) = caller.client() {
        let text = String::from_utf8_lossy(value).into_owned();
        match known {
            "lib-name" => client.library = text,
            _ => client.library_version = text,
        }
    }
    reply.ok();
}

/// CLIENT INFO
pub(crate) fn info(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let (id, now_ms) = (caller.talk.id, caller.home.store.now_ms());
    let shard = caller.home.index;
    let line = caller.client().map(|client| line_of(id, client, now_ms, shard));
    reply.text(&line.unwrap_or_default());
}

/// CLIENT LIST [TYPE type] [ID id ...]: the part of one shard
pub(crate) fn list(home: &mut Home, args: Args<'_>, reply: &mut Reply<'_>) {
    let filter = match Filter::parse(args) {
        Ok(filter) => filter,
        Err(text) => return reply.error(text),
    };
    let now_ms = home.store.now_ms();
    let mut lines = String::new();
    for (id, client) in home.clients.iter().filter(|(id, _)| filter.takes(**id)) {
        lines.push_str(&line_of(*id, client, now_ms, home.index));
    }
    reply.text(&lines);
}

enum Filter {
    All,
    None,
    Ids(Vec<i64>),
}

impl Filter {
    fn parse(args: Args<'_>) -> Result<Self, Vec<u8>> {
        if args.len() == 2 {
            return Ok(Self::All);
        }
        match args.at(2).to_ascii_lowercase().as_slice() {
            b"type" if args.len() == 4 => match args.at(3).to_ascii_lowercase().as_slice() {
                b"normal" => Ok(Self::All),
                b"master" | b"replica" | b"slave" | b"pubsub" => Ok(Self::None),
                _ => Err([b"Unknown client type '", args.at(3), b"'"].concat()),
            },
            b"id" if args.len() > 3 => {
                let ids = args.from(3).map(parse_i64);
                let ids = ids.collect::<Option<_>>().map(Self::Ids);
                ids.ok_or_else(|| b"Invalid client ID".into())
            }
            _ => Err(SYNTAX_ERROR.into()),
        }
    }

    fn takes(&self, id: u64) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Ids(ids) => ids.contains(&(id as i64)),
        }
    }
}

/// A connection in the words of CLIENT LIST. What this server does not have is 0, as a Redis that
/// does not use it prints it; the shard that serves the connection stands where Redis 8 has the thread that reads it.
fn line_of(id: u64, client: &Client, now_ms: i64, shard: usize) -> String {
    let seconds_since = |time_ms: i64| (now_ms - time_ms) / 1000;
    let mut line = String::new();
    let _ = write!(
        line,
        "id={id} addr={} laddr={} fd=-1 name={} age={} idle={} flags=N db=0 sub=0 psub=0 ssub=0 \
         multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 \
         tot-mem=0 events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={} \
         io-thread={shard}",
        client.peer,
        client.local,
        client.name,
        seconds_since(client.since_ms),
        seconds_since(client.heard_ms),
        client.last_command,
        client.resp,
        client.library,
        client.library_version,
    );
    line.push('\n');
    line
}

/// CLIENT HELP
pub(crate) fn help(_: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    let subcommands = find(b"client").map_or(&[][..], |command| command.subcommands);
    print_help("CLIENT", subcommands, reply);
}
