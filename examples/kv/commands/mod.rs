//! What the commands do. Each function gets its arguments checked for their number, and answers
//! exactly once.

pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod info;
pub(crate) mod introspect;
pub(crate) mod keyspace;
pub(crate) mod strings;

use super::number::parse_i64;
use super::reply::Reply;

/// Redis' answer to an option that is none.
const SYNTAX_ERROR: &str = "syntax error";
/// Redis' answer to a text where a number belongs.
const NOT_AN_INTEGER: &str = "value is not an integer or out of range";

/// Reads a number, or answers that it is none.
fn integer_or_reply(text: &[u8], reply: &mut Reply<'_>) -> Option<i64> {
    let value = parse_i64(text);
    if value.is_none() {
        reply.error(NOT_AN_INTEGER);
    }
    value
}

/// Answers with the lines of a HELP subcommand.
fn help(command: &str, subcommands: &[super::command::Command], reply: &mut Reply<'_>) {
    reply.array(1 + 2 * subcommands.len());
    reply.status(&format!("{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for subcommand in subcommands {
        let (_, word) = subcommand.name.split_once('|').unwrap_or_default();
        reply.status(&word.to_ascii_uppercase());
        reply.status(&format!("    {}", subcommand.summary));
    }
}
