//! What a user may choose.

use std::net::IpAddr;

use super::cluster::ClusterOptions;
use crate::common::{PlacementOptions, seconds};
use crate::place::Handed;

/// The settings of the server, as its command line takes them.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "kv", version, about = "A sharded key-value server that speaks Redis' protocol")]
pub struct Options {
    /// Port to listen on; 0 lets the system choose.
    #[arg(long, default_value_t = 6379)]
    pub port: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub bind: IpAddr,
    /// Or a socket that is open already.
    #[command(flatten)]
    pub handed: Handed,
    /// Which shards run where.
    #[command(flatten)]
    pub placement: PlacementOptions,
    /// One port for each shard.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// Most connections at a time, over all shards.
    #[arg(long, default_value_t = 10_000)]
    pub max_clients: usize,
    /// Seconds that the end of the server waits for the first request of a connection: it was accepted, so the peer
    /// has no reason to go elsewhere.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub first_request: f64,
    /// Seconds after which a connection over which nothing moves is ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600.0, value_parser = seconds)]
    pub idle_timeout: f64,
    /// When every shard listens, print a line of JSON first: the machine as they find it, what is wrong with it and
    /// what to do about that.
    #[arg(long)]
    pub host_report: bool,
    /// Seed of the hashes, for runs that are to be alike; chosen by chance unless given. Who knows
    /// it can make keys that slow a shard down.
    #[arg(long)]
    pub hash_seed: Option<u64>,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as
    /// corelane=debug.
    #[arg(long, default_value = "warn")]
    pub log: String,
}
