//! What a user may choose.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::common::{ShardOptions, seconds};
use crate::place::Handed;

/// The settings of the server, as its command line takes them.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "http", version, about = "A sharded HTTP server on hyper")]
pub struct Options {
    /// Where to listen; port 0 lets the system choose.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Or a socket that is open already.
    #[command(flatten)]
    pub handed: Handed,
    /// Certificate chain as PEM; with it the server speaks TLS only.
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of the certificate as PEM.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Seconds that the head of a request may take, from the end of the one before.
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    pub header_timeout: f64,
    /// Requests at a time on one connection of HTTP/2.
    #[arg(long, default_value_t = 128)]
    pub max_streams: u32,
    /// Shards, limits, log.
    #[command(flatten)]
    pub shards: ShardOptions,
}

impl Options {
    /// How long a head may take.
    pub(super) fn header_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.header_timeout)
    }
}
