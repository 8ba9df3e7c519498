//! What the commands of one kind have in common.

use crate::kv::command::{Command, Keys, Route};

/// What most commands share: one step, no keys.
pub(super) const PLAIN: Command = Command {
    name: "",
    arity: 1,
    flags: &[],
    keys: Keys::None,
    access: &[],
    categories: &[],
    tips: &[],
    since: "1.0.0",
    group: "server",
    complexity: "O(1)",
    summary: "",
    route: Route::Subcommands,
    subcommands: &[],
};

/// Reads a string.
pub(super) const STRING_READ: Command = Command {
    flags: &["readonly", "fast"],
    keys: Keys::First,
    access: &["RO"],
    categories: &["@read", "@string", "@fast"],
    group: "string",
    ..PLAIN
};

/// Writes a string.
pub(super) const STRING_WRITE: Command = Command {
    flags: &["write", "denyoom", "fast"],
    keys: Keys::First,
    categories: &["@write", "@string", "@fast"],
    group: "string",
    ..PLAIN
};

/// Reads a string and writes another.
pub(super) const STRING_UPDATE: Command =
    Command { access: &["RW", "access", "update"], ..STRING_WRITE };

/// Looks at a key.
pub(super) const KEY_READ: Command =
    Command { categories: &["@keyspace", "@read", "@fast"], group: "generic", ..STRING_READ };

/// Changes a key's time to live.
pub(super) const KEY_WRITE: Command = Command {
    flags: &["write", "fast"],
    access: &["RW", "update"],
    categories: &["@keyspace", "@write", "@fast"],
    group: "generic",
    ..STRING_WRITE
};

/// Works on several keys and counts.
pub(super) const KEYS_WRITE: Command = Command {
    keys: Keys::All { step: 1 },
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    complexity: "O(N) in the number of keys",
    ..KEY_WRITE
};

/// Looks at all keys.
pub(super) const KEYSPACE: Command = Command {
    flags: &["readonly"],
    categories: &["@keyspace", "@read", "@slow"],
    group: "generic",
    ..PLAIN
};

/// Removes all keys.
pub(super) const FLUSH: Command = Command {
    flags: &["write"],
    categories: &["@keyspace", "@write", "@slow", "@dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    complexity: "O(1); the memory comes back in small steps",
    ..PLAIN
};

/// Concerns the connection alone.
pub(super) const CONNECTION: Command = Command {
    flags: &["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
    categories: &["@fast", "@connection"],
    group: "connection",
    ..PLAIN
};

/// Concerns connections.
pub(super) const CLIENT_PART: Command = Command {
    flags: &["noscript", "loading", "stale"],
    categories: &["@slow", "@connection"],
    group: "connection",
    ..PLAIN
};

/// Describes commands.
pub(super) const COMMAND_PART: Command =
    Command { flags: &["loading", "stale"], categories: &["@slow", "@connection"], ..PLAIN };

/// Concerns settings.
pub(super) const CONFIG_PART: Command = Command {
    flags: &["admin", "noscript", "loading", "stale"],
    categories: &["@admin", "@slow", "@dangerous"],
    ..PLAIN
};

/// Tells about the cluster.
pub(super) const CLUSTER_PART: Command = Command {
    flags: &["stale"],
    categories: &["@slow"],
    group: "cluster",
    since: "3.0.0",
    ..PLAIN
};

/// What a client of a cluster says about its connection.
pub(super) const CLUSTER_SWITCH: Command = Command {
    flags: &["loading", "stale", "fast"],
    group: "cluster",
    since: "3.0.0",
    ..CONNECTION
};
