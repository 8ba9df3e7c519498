//! A key-value server that speaks Redis' protocol, sharded over pinned event loops.
//!
//! Each shard is a thread with its own loop, its own part of the keys and its own connections;
//! nothing is locked. A connection belongs to the shard that accepted it. What its requests ask of
//! that shard runs at once, what they ask of others travels in one batch for each, and the answers
//! go out in the order of the requests.
//!
//! ```text
//!  bytes ─▶ request ─▶ route ─┬─▶ commands on this shard's store ─────────────┬─▶ plan ─▶ bytes
//!           (parser)  (table) └─▶ batch ──▶ another shard's store ──▶ batch ──┘  (order)
//! ```
//!
//! Where things are: `server` starts the shards, `program` is what each of them runs, `connection` and `session` are one connection with and
//! without its socket, `request` reads and `reply` writes; `command` and `table` say what each command
//! is, `commands` what it does; `route` finds who answers, `batch` and `merge` are what travels;
//! `local` and `home` are what a shard has, `lobby` where shards wait for each other as they begin, `store` and `keymap` its keys; `slots` and `cluster` say
//! whose a key is; `manager` talks to the service manager.
//!
//! By default the map of the keys is the server's own affair. With `--cluster` it is told: each shard
//! has a port of its own, too, and clients that know Redis Cluster go to the owner of a key at once,
//! on this machine or another (`cluster`).
//!
//! What is here: strings, counters, expiry, and the commands about keys, connections and the server
//! that clients need ([`Options`] has the settings). What is not: other types, transactions,
//! scripts, replication, saving, several databases.
//!
//! A command on one key is atomic. A command on several keys is atomic on each shard: keys with one
//! `{tag}` are on one shard. MSET, MGET, DEL, UNLINK and EXISTS over several shards are not atomic
//! as a whole; each shard does its part at one moment of its own, and no part is left out unless
//! the answer is an error.

mod batch;
mod caller;
mod cluster;
mod command;
mod commands;
mod connection;
mod glob;
mod home;
mod inline;
mod keymap;
mod lobby;
mod local;
mod manager;
mod merge;
mod number;
mod options;
mod plan;
mod program;
mod reply;
mod request;
mod route;
mod server;
mod session;
mod slots;
mod store;
mod table;

pub use cluster::ClusterOptions;
pub use options::Options;
pub use program::Program;
pub use server::serve;
pub use slots::owner_of;
