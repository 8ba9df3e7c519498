//! The subcommands of those commands that have some.

use super::kinds::{CLIENT_PART, COMMAND_PART, CONFIG_PART};
use crate::kv::command::{Command, Merge, Route};
use crate::kv::commands::{client, config, introspect};

/// The subcommands of CLIENT.
pub(super) const CLIENT: &[Command] = &[
    Command {
        name: "client|getname",
        arity: 2,
        since: "2.6.9",
        summary: "Gives the name of this connection.",
        route: Route::Connection(client::getname),
        ..CLIENT_PART
    },
    Command {
        name: "client|help",
        arity: 2,
        flags: &["loading", "stale"],
        since: "5.0.0",
        summary: "Lists the subcommands.",
        route: Route::Connection(client::help),
        ..CLIENT_PART
    },
    Command {
        name: "client|id",
        arity: 2,
        since: "5.0.0",
        summary: "Gives the number of this connection.",
        route: Route::Connection(client::id),
        ..CLIENT_PART
    },
    Command {
        name: "client|info",
        arity: 2,
        tips: &["nondeterministic_output"],
        since: "6.2.0",
        summary: "Tells about this connection.",
        route: Route::Connection(client::info),
        ..CLIENT_PART
    },
    Command {
        name: "client|list",
        arity: -2,
        flags: &["admin", "noscript", "loading", "stale"],
        categories: &["@admin", "@slow", "@dangerous", "@connection"],
        tips: &["nondeterministic_output"],
        since: "2.4.0",
        summary: "Tells about all connections.",
        route: Route::Everywhere(client::list, Merge::Texts),
        ..CLIENT_PART
    },
    Command {
        name: "client|setinfo",
        arity: 4,
        since: "7.2.0",
        summary: "Takes the name or the version of the client library.",
        route: Route::Connection(client::setinfo),
        ..CLIENT_PART
    },
    Command {
        name: "client|setname",
        arity: 3,
        since: "2.6.9",
        summary: "Names this connection.",
        route: Route::Connection(client::setname),
        ..CLIENT_PART
    },
];

/// The subcommands of COMMAND.
pub(super) const COMMAND: &[Command] = &[
    Command {
        name: "command|count",
        arity: 2,
        since: "2.8.13",
        summary: "Counts the commands.",
        route: Route::Connection(introspect::count),
        ..COMMAND_PART
    },
    Command {
        name: "command|docs",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        since: "7.0.0",
        summary: "Explains commands.",
        route: Route::Connection(introspect::docs),
        ..COMMAND_PART
    },
    Command {
        name: "command|help",
        arity: 2,
        since: "5.0.0",
        summary: "Lists the subcommands.",
        route: Route::Connection(introspect::help),
        ..COMMAND_PART
    },
    Command {
        name: "command|info",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        since: "2.8.13",
        summary: "Describes commands.",
        route: Route::Connection(introspect::info),
        ..COMMAND_PART
    },
    Command {
        name: "command|list",
        arity: -2,
        tips: &["nondeterministic_output_order"],
        since: "7.0.0",
        summary: "Lists the names of the commands.",
        route: Route::Connection(introspect::list),
        ..COMMAND_PART
    },
];

/// The subcommands of CONFIG.
pub(super) const CONFIG: &[Command] = &[
    Command {
        name: "config|get",
        arity: -3,
        since: "2.0.0",
        summary: "Gives the settings that match patterns.",
        route: Route::Connection(config::get),
        ..CONFIG_PART
    },
    Command {
        name: "config|help",
        arity: 2,
        flags: &["loading", "stale"],
        categories: &["@slow"],
        since: "5.0.0",
        summary: "Lists the subcommands.",
        route: Route::Connection(config::help),
        ..CONFIG_PART
    },
];
