//! The subcommands of those commands that have some.

use super::kinds::{CLIENT_PART, CLUSTER_PART, COMMAND_PART, CONFIG_PART};
use crate::kv::command::{Command, Merge, Route};
use crate::kv::commands::{client, cluster, config, introspect};

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

/// The subcommands of CLUSTER.
pub(super) const CLUSTER: &[Command] = &[
    Command {
        name: "cluster|countkeysinslot",
        arity: 3,
        complexity: "O(N) in the number of keys of the shard",
        summary: "Counts the keys in a hash slot.",
        route: Route::Everywhere(cluster::countkeysinslot, Merge::Sum),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|getkeysinslot",
        arity: 4,
        tips: &["nondeterministic_output"],
        complexity: "O(N) in the number of keys of the shard",
        summary: "Gives keys in a hash slot, up to a number.",
        route: Route::Everywhere(cluster::getkeysinslot, Merge::Arrays),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|help",
        arity: 2,
        flags: &["loading", "stale"],
        since: "5.0.0",
        summary: "Lists the subcommands.",
        route: Route::Connection(cluster::help),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|info",
        arity: 2,
        tips: &["nondeterministic_output"],
        summary: "Tells about the state of the cluster.",
        route: Route::Connection(cluster::info),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|keyslot",
        arity: 3,
        complexity: "O(N) in the length of the key",
        summary: "Gives the hash slot of a key.",
        route: Route::Connection(cluster::keyslot),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|links",
        arity: 2,
        tips: &["nondeterministic_output"],
        since: "7.0.0",
        summary: "Lists the links between nodes: there are none.",
        route: Route::Connection(cluster::links),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|myid",
        arity: 2,
        summary: "Gives the id of this node.",
        route: Route::Connection(cluster::myid),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|nodes",
        arity: 2,
        tips: &["nondeterministic_output"],
        complexity: "O(N) in the number of nodes",
        summary: "Lists the nodes as lines of text.",
        route: Route::Connection(cluster::nodes),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|replicas",
        summary: "Lists the replicas of a node: there are none.",
        ..CLUSTER_REPLICAS
    },
    Command {
        name: "cluster|shards",
        arity: 2,
        tips: &["nondeterministic_output"],
        since: "7.0.0",
        complexity: "O(N) in the number of nodes",
        summary: "Lists the nodes with their slots.",
        route: Route::Connection(cluster::shards),
        ..CLUSTER_PART
    },
    Command {
        name: "cluster|slaves",
        since: "3.0.0",
        summary: "The old name of REPLICAS.",
        ..CLUSTER_REPLICAS
    },
    Command {
        name: "cluster|slots",
        arity: 2,
        tips: &["nondeterministic_output"],
        complexity: "O(N) in the number of nodes",
        summary: "Lists runs of slots with their nodes.",
        route: Route::Connection(cluster::slots),
        ..CLUSTER_PART
    },
];

const CLUSTER_REPLICAS: Command = Command {
    arity: 3,
    flags: &["admin", "stale"],
    categories: &["@admin", "@slow", "@dangerous"],
    tips: &["nondeterministic_output"],
    since: "5.0.0",
    route: Route::Connection(cluster::replicas),
    ..CLUSTER_PART
};

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
