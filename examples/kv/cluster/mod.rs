//! The shards as the nodes of a Redis Cluster: each has a port of its own, and the map of who has
//! which hash slots is told to clients, so that they connect to the owner of a key.
//!
//! ```text
//!              plain port          node port of shard 0       node port of shard 1
//!  key of 0    answered here       answered here              -MOVED slot host:port of shard 0
//!              or by a hop
//!  key of 1    likewise            -MOVED ... of shard 1      answered here
//!  key of      -MOVED ...          -MOVED ...                 -MOVED ...
//!  a machine
//!  far away
//! ```
//!
//! `open` binds the ports before the first shard serves; `map` is who has what and whether a request is
//! answered; `file` reads the topology file, and `reload` does so again on SIGHUP. CLUSTER itself is
//! among the commands, and whether a request is admitted is asked in `route`.
//!
//! The nodes keep no bus among themselves: what the map says was given to each process, by its
//! options. Nothing fails over, and no data moves.

mod file;
mod map;
mod open;
mod options;
mod reload;

pub(crate) use map::{ClusterMap, Node, Refusal, Slotted};
pub(crate) use open::Cluster;
pub use options::ClusterOptions;
pub(crate) use reload::Reloader;
