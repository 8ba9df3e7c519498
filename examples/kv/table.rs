//! The commands this server knows. Summaries and costs are ours; the rest says what Redis 7 says.
//!
//! What an entry does not say is in the kind it ends with (`kinds`).

mod kinds;
mod subcommands;

use super::command::{Command, Keys, Merge, Route};
use super::commands::{cluster, connection, counters, info, introspect, keyspace, strings};
use kinds::*;
use subcommands::{CLIENT, CLUSTER, COMMAND, CONFIG};

/// Every command, by name.
pub(crate) const TABLE: &[Command] = &[
    Command {
        name: "append",
        arity: 3,
        access: &["RW", "insert"],
        since: "2.0.0",
        summary: "Adds bytes to the end of a string.",
        route: Route::Key(strings::append),
        ..STRING_WRITE
    },
    Command {
        name: "asking",
        flags: &["fast"],
        since: "3.0.0",
        summary: "Agrees to follow a redirection: there are none that need it.",
        route: Route::Connection(cluster::agree),
        ..CLUSTER_SWITCH
    },
    Command {
        name: "client",
        arity: -2,
        flags: &[],
        categories: &["@slow"],
        since: "2.4.0",
        complexity: "Depends on the subcommand.",
        summary: "Tells about connections.",
        route: Route::Subcommands,
        subcommands: CLIENT,
        ..CONNECTION
    },
    Command {
        name: "cluster",
        arity: -2,
        flags: &[],
        complexity: "Depends on the subcommand.",
        summary: "Tells about the cluster.",
        route: Route::Subcommands,
        subcommands: CLUSTER,
        ..CLUSTER_PART
    },
    Command {
        name: "command",
        arity: -1,
        flags: &["loading", "stale"],
        categories: &["@slow", "@connection"],
        tips: &["nondeterministic_output_order"],
        since: "2.8.13",
        complexity: "O(N) in the number of commands",
        summary: "Describes every command.",
        route: Route::Connection(introspect::all),
        subcommands: COMMAND,
        ..PLAIN
    },
    Command {
        name: "config",
        arity: -2,
        categories: &["@slow"],
        since: "2.0.0",
        complexity: "Depends on the subcommand.",
        summary: "Tells about settings.",
        route: Route::Subcommands,
        subcommands: CONFIG,
        ..PLAIN
    },
    Command {
        name: "dbsize",
        arity: 1,
        flags: &["readonly", "fast"],
        categories: &["@keyspace", "@read", "@fast"],
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        summary: "Counts the keys.",
        route: Route::Everywhere(keyspace::dbsize, Merge::Sum),
        ..PLAIN
    },
    Command {
        name: "decr",
        arity: 2,
        summary: "Takes one from a number.",
        route: Route::Key(counters::decr),
        ..STRING_UPDATE
    },
    Command {
        name: "decrby",
        arity: 3,
        summary: "Takes an amount from a number.",
        route: Route::Key(counters::decrby),
        ..STRING_UPDATE
    },
    Command {
        name: "del",
        arity: -2,
        flags: &["write"],
        access: &["RM", "delete"],
        categories: &["@keyspace", "@write", "@slow"],
        summary: "Removes keys.",
        route: Route::Split(keyspace::del, Merge::Sum),
        ..KEYS_WRITE
    },
    Command {
        name: "echo",
        arity: 2,
        flags: &["loading", "stale", "fast"],
        summary: "Sends its argument back.",
        route: Route::Connection(connection::echo),
        ..CONNECTION
    },
    Command {
        name: "exists",
        arity: -2,
        flags: &["readonly", "fast"],
        access: &["RO"],
        categories: &["@keyspace", "@read", "@fast"],
        summary: "Counts those of the keys that are there.",
        route: Route::Split(keyspace::exists, Merge::Sum),
        ..KEYS_WRITE
    },
    Command {
        name: "expire",
        arity: -3,
        summary: "Sets a key's time to live in seconds.",
        route: Route::Key(keyspace::expire),
        ..KEY_WRITE
    },
    Command {
        name: "flushall",
        arity: -1,
        summary: "Removes every key.",
        route: Route::Everywhere(keyspace::flush, Merge::Ok),
        ..FLUSH
    },
    Command {
        name: "flushdb",
        arity: -1,
        summary: "Removes every key of the selected database.",
        route: Route::Everywhere(keyspace::flush, Merge::Ok),
        ..FLUSH
    },
    Command {
        name: "get",
        arity: 2,
        access: &["RO", "access"],
        summary: "Gives the string of a key.",
        route: Route::Key(strings::get),
        ..STRING_READ
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: &["write", "fast"],
        access: &["RW", "access", "delete"],
        since: "6.2.0",
        summary: "Gives the string of a key and removes the key.",
        route: Route::Key(strings::getdel),
        ..STRING_WRITE
    },
    Command {
        name: "getset",
        arity: 3,
        summary: "Stores a string and gives the one before.",
        route: Route::Key(strings::getset),
        ..STRING_UPDATE
    },
    Command {
        name: "hello",
        arity: -1,
        since: "6.0.0",
        summary: "Agrees on the version of the protocol.",
        route: Route::Connection(connection::hello),
        ..CONNECTION
    },
    Command {
        name: "incr",
        arity: 2,
        summary: "Adds one to a number.",
        route: Route::Key(counters::incr),
        ..STRING_UPDATE
    },
    Command {
        name: "incrby",
        arity: 3,
        summary: "Adds an amount to a number.",
        route: Route::Key(counters::incrby),
        ..STRING_UPDATE
    },
    Command {
        name: "info",
        arity: -1,
        flags: &["loading", "stale"],
        categories: &["@slow", "@dangerous"],
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        summary: "Tells about the server, in sections.",
        route: Route::Everywhere(info::part, Merge::Info),
        ..PLAIN
    },
    Command {
        name: "keys",
        arity: 2,
        categories: &["@keyspace", "@read", "@slow", "@dangerous"],
        tips: &["request_policy:all_shards", "nondeterministic_output_order"],
        complexity: "O(N) in the number of keys",
        summary: "Lists the keys that match a pattern.",
        route: Route::Everywhere(keyspace::keys, Merge::Arrays),
        ..KEYSPACE
    },
    Command {
        name: "mget",
        arity: -2,
        keys: Keys::All { step: 1 },
        access: &["RO", "access"],
        tips: &["request_policy:multi_shard"],
        complexity: "O(N) in the number of keys",
        summary: "Gives the strings of several keys.",
        route: Route::Each(strings::mget, strings::get),
        ..STRING_READ
    },
    Command {
        name: "mset",
        arity: -3,
        flags: &["write", "denyoom"],
        keys: Keys::All { step: 2 },
        access: &["OW", "update"],
        categories: &["@write", "@string", "@slow"],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        since: "1.0.1",
        complexity: "O(N) in the number of keys",
        summary: "Stores several strings.",
        route: Route::Split(strings::mset, Merge::Ok),
        ..STRING_WRITE
    },
    Command {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Takes a key's time to live away.",
        route: Route::Key(keyspace::persist),
        ..KEY_WRITE
    },
    Command {
        name: "pexpire",
        arity: -3,
        since: "2.6.0",
        summary: "Sets a key's time to live in milliseconds.",
        route: Route::Key(keyspace::pexpire),
        ..KEY_WRITE
    },
    Command {
        name: "ping",
        arity: -1,
        flags: &["fast"],
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        summary: "Answers.",
        route: Route::Connection(connection::ping),
        ..CONNECTION
    },
    Command {
        name: "pttl",
        arity: 2,
        access: &["RO", "access"],
        tips: &["nondeterministic_output"],
        since: "2.6.0",
        summary: "Gives a key's time to live in milliseconds.",
        route: Route::Key(keyspace::pttl),
        ..KEY_READ
    },
    Command {
        name: "quit",
        arity: -1,
        summary: "Ends the connection.",
        route: Route::Connection(connection::quit),
        ..CONNECTION
    },
    Command {
        name: "readonly",
        summary: "Allows reads from a replica: there are none.",
        route: Route::Connection(cluster::agree),
        ..CLUSTER_SWITCH
    },
    Command {
        name: "readwrite",
        summary: "Takes READONLY back.",
        route: Route::Connection(cluster::agree),
        ..CLUSTER_SWITCH
    },
    Command {
        name: "reset",
        arity: 1,
        since: "6.2.0",
        summary: "Sets the connection back to how it began.",
        route: Route::Connection(connection::reset),
        ..CONNECTION
    },
    Command {
        name: "scan",
        arity: -2,
        tips: &["nondeterministic_output", "request_policy:special"],
        since: "2.8.0",
        complexity: "O(1) for a call, O(N) for all keys",
        summary: "Lists the keys, a few with each call.",
        route: Route::Cursor(keyspace::scan, keyspace::scan_here),
        ..KEYSPACE
    },
    Command {
        name: "select",
        arity: 2,
        flags: &["loading", "stale", "fast"],
        summary: "Selects the database: there is only 0.",
        route: Route::Connection(connection::select),
        ..CONNECTION
    },
    Command {
        name: "set",
        arity: -3,
        flags: &["write", "denyoom"],
        access: &["RW", "access", "update", "variable_flags"],
        categories: &["@write", "@string", "@slow"],
        summary: "Stores a string.",
        route: Route::Key(strings::set),
        ..STRING_WRITE
    },
    Command {
        name: "setnx",
        arity: 3,
        access: &["OW", "insert"],
        summary: "Stores a string if the key is not there.",
        route: Route::Key(strings::setnx),
        ..STRING_WRITE
    },
    Command {
        name: "strlen",
        arity: 2,
        since: "2.2.0",
        summary: "Gives the length of a string.",
        route: Route::Key(strings::strlen),
        ..STRING_READ
    },
    Command {
        name: "ttl",
        arity: 2,
        access: &["RO", "access"],
        tips: &["nondeterministic_output"],
        summary: "Gives a key's time to live in seconds.",
        route: Route::Key(keyspace::ttl),
        ..KEY_READ
    },
    Command {
        name: "type",
        arity: 2,
        summary: "Gives the type of what a key holds.",
        route: Route::Key(keyspace::kind),
        ..KEY_READ
    },
    Command {
        name: "unlink",
        arity: -2,
        access: &["RM", "delete"],
        since: "4.0.0",
        summary: "Removes keys.",
        route: Route::Split(keyspace::del, Merge::Sum),
        ..KEYS_WRITE
    },
];
