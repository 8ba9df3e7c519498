//! Commands that concern the connection they came on.

use super::client::is_plain_text;
use super::integer_or_reply;
use crate::kv::caller::Caller;
use crate::kv::home::Home;
use crate::kv::number::parse_i64;
use crate::kv::reply::{Reply, Resp};
use crate::kv::request::Args;

/// The version of Redis whose answers these are: clients choose their features by it.
pub(crate) const REDIS_VERSION: &str = "7.0.15";

/// `PING [message]`
pub(crate) fn ping(_: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    match args.len() {
        1 => reply.status("PONG"),
        2 => reply.bulk(args.at(1)),
        _ => reply.error("wrong number of arguments for 'ping' command"),
    }
}

/// ECHO message
pub(crate) fn echo(_: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    reply.bulk(args.at(1));
}

/// SELECT index: there is one database.
pub(crate) fn select(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    match integer_or_reply(args.at(1), reply) {
        None => {}
        Some(0) => reply.ok(),
        Some(_) if caller.home.slots.cluster().is_some() => {
            reply.error("SELECT is not allowed in cluster mode");
        }
        Some(_) => reply.error("DB index is out of range"),
    }
}

/// QUIT
pub(crate) fn quit(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    caller.talk.is_closing = true;
    reply.ok();
}

/// RESET
pub(crate) fn reset(caller: &mut Caller<'_>, _: Args<'_>, reply: &mut Reply<'_>) {
    caller.talk.resp = Resp::Two;
    if let Some(client) = caller.client() {
        client.name.clear();
    }
    reply.status("RESET");
}

/// HELLO [version [AUTH user password] [SETNAME name]]
pub(crate) fn hello(caller: &mut Caller<'_>, args: Args<'_>, reply: &mut Reply<'_>) {
    let options = match HelloOptions::parse(args, caller.talk.resp) {
        Ok(options) => options,
        Err(text) => return reply.coded_error(text),
    };
    caller.talk.resp = options.resp;
    if let (Some(client), Some(name)) = (caller.client(), options.name) {
        client.name = String::from_utf8_lossy(name).into_owned();
    }
    reply.speak(options.resp);
    reply.map(7);
    let texts = [("server", "redis"), ("version", REDIS_VERSION)];
    let numbers = [("proto", options.resp.number()), ("id", caller.talk.id as i64)];
    let rest = [("mode", mode(caller.home)), ("role", "master")];
    for (field, text) in texts {
        pair(reply, field, text);
    }
    for (field, number) in numbers {
        reply.bulk(field.as_bytes());
        reply.integer(number);
    }
    for (field, text) in rest {
        pair(reply, field, text);
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// What the server calls itself.
pub(crate) fn mode(home: &Home) -> &'static str {
    if home.slots.cluster().is_some() { "cluster" } else { "standalone" }
}

fn pair(reply: &mut Reply<'_>, field: &str, text: &str) {
    reply.bulk(field.as_bytes());
    reply.bulk(text.as_bytes());
}

struct HelloOptions<'a> {
    resp: Resp,
    name: Option<&'a [u8]>,
}

impl<'a> HelloOptions<'a> {
    /// Reads the options; without a version the one that is spoken stays. The errors name their
    /// code.
    fn parse(args: Args<'a>, spoken: Resp) -> Result<Self, Vec<u8>> {
        let mut options = Self { resp: spoken, name: None };
        if args.len() == 1 {
            return Ok(options);
        }
        options.resp = match parse_i64(args.at(1)) {
            Some(2) => Resp::Two,
            Some(3) => Resp::Three,
            Some(_) => return Err(b"NOPROTO unsupported protocol version".into()),
            None => {
                return Err(b"ERR Protocol version is not an integer or out of range".into());
            }
        };
        let mut rest = args.from(2);
        while let Some(option) = rest.next() {
            let wanted = match option.to_ascii_lowercase().as_slice() {
                b"auth" => 2,
                b"setname" => 1,
                _ => usize::MAX,
            };
            if rest.len() < wanted {
                return Err([b"ERR Syntax error in HELLO option '", option, b"'"].concat());
            }
            let value = rest.next().unwrap_or_default();
            if wanted == 1 {
                if !is_plain_text(value) {
                    return Err([b"ERR ", super::client::BAD_NAME.as_bytes()].concat());
                }
                options.name = Some(value);
            } else {
                // As in a Redis without passwords: the user `default` comes in with any.
                rest.next();
                if value != b"default" {
                    let text = b"WRONGPASS invalid username-password pair or user is disabled.";
                    return Err(text.into());
                }
            }
        }
        Ok(options)
    }
}
