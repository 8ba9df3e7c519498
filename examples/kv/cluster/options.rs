//! What a user may choose about the cluster.

use std::path::PathBuf;

/// The settings of the cluster, as the command line takes them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ClusterOptions {
    /// Give each shard a port of its own and be a Redis Cluster to clients, each shard a node.
    #[arg(long)]
    pub cluster: bool,
    /// Port of the first shard, the others have the next ones; 0 lets the system choose each. One
    /// above --port unless given.
    #[arg(long, requires = "cluster")]
    pub cluster_port: Option<u16>,
    /// Address or name under which clients find the shards, if that is not the one of --bind.
    #[arg(long, requires = "cluster", value_name = "HOST")]
    pub cluster_announce: Option<String>,
    /// File that says which machines have which shards, ports and slots; read again on SIGHUP.
    #[arg(long, requires = "cluster_self", conflicts_with_all = ["cluster_port", "cluster_announce"])]
    pub cluster_file: Option<PathBuf>,
    /// Which of the file's machines this process is.
    #[arg(long, requires = "cluster_file", value_name = "NAME")]
    pub cluster_self: Option<String>,
}
