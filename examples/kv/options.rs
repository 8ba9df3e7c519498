//! What a user may choose.

use std::net::IpAddr;

use corelane_shards::Placement;

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
    /// Number of shards; one on each core that the process may use, unless given.
    #[arg(long, conflicts_with = "cores")]
    pub shards: Option<usize>,
    /// Cores to pin the shards to, one each, such as 0,2,3.
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Do not pin: for laptops and machines that others share.
    #[arg(long, conflicts_with = "cores")]
    pub unpinned: bool,
    /// Most connections at a time, over all shards.
    #[arg(long, default_value_t = 10_000)]
    pub max_clients: usize,
    /// Seed of the hashes, for runs that are to be alike; chosen by chance unless given. Who knows
    /// it can make keys that slow a shard down.
    #[arg(long)]
    pub hash_seed: Option<u64>,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as
    /// corelane=debug.
    #[arg(long, default_value = "warn")]
    pub log: String,
}

impl Options {
    /// Which shards run where.
    pub(crate) fn placement(&self) -> Placement {
        match self.shards {
            _ if !self.cores.is_empty() => Placement::Cores(self.cores.clone()),
            Some(count) if self.unpinned => Placement::Unpinned(count),
            Some(count) => Placement::Count(count),
            None if self.unpinned => {
                Placement::Unpinned(std::thread::available_parallelism().map_or(1, usize::from))
            }
            None => Placement::PerCore,
        }
    }
}
